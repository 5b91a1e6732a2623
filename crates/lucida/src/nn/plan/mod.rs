//! A network prepared to run.
//!
//! A plan is made for one network, one maximum batch size, and the requested outputs and gradients. It omits layers that
//! none of these needs, fuses layers that one operation can compute together, determines what each layer keeps for its
//! backward pass, and owns every buffer; buffers whose lifetimes do not overlap share memory. After that a step allocates
//! nothing.
//!
//! The stages: `lower` lists the operations and the values between them, `fuse` merges operations with their neighbors,
//! `scheduler` traces the gradients, splits the steps into `sections` of the batch, prepares the operations and assigns a
//! buffer to each tensor (`memory`); `run` executes the result.
//!
//! Everything else is a loop over a plan: training (forward, loss, gradients of the weights), activation maximization
//! (forward, a gradient at one neuron, gradient of the image), style transfer (forward, gradients at six layers, gradient
//! of the image).
//!
//! The weights stay in the network, which is passed to each run: a plan repacks those that have changed since the last one,
//! so frozen weights are packed once.

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
