//! A network prepared to run.
//!
//! A plan is made for one network, one largest batch, the values that are wanted and the gradients that are wanted. It
//! leaves out the layers that none of these needs, fuses layers that one operation computes together, decides what each
//! layer keeps for its backward pass, and owns every buffer; buffers whose lifetimes do not overlap share memory. A step
//! then allocates nothing.
//!
//! It is made in this order: `lower` lists the operations and the values between them, `fuse` lets an operation
//! compute its neighbors, `scheduler` traces the gradients, cuts the steps into `sections` of the batch, prepares the operations
//! and gives each tensor a buffer (`memory`); `run` executes the result.
//!
//! Everything above is a loop over a plan: training (forward, loss, backward to the weights), activation maximization
//! (forward, a gradient at one neuron, backward to the image), style transfer (forward, gradients at six layers, backward
//! to the image).
//!
//! The weights stay in the network, which is handed to each pass: a plan packs those that have changed since the last
//! one, so frozen weights are packed once.

mod activation_backward;
mod builder;
mod fuse;
mod lower;
mod memory;
mod profile;
mod request;
mod run;
mod scheduler;
mod sections;
mod step;
#[cfg(test)]
mod tests;

pub use builder::{PlanBuilder, TensorRef};
pub use profile::{PassTime, StepProfile};
pub use run::Plan;
