//! Networks: graphs of layers, and everything needed to run them.
//!
//! - [`Network`]: named layers, their connections and their weights; built in a few lines ([`applications`] has well-known
//!   ones).
//! - [`layers`]: one file per kind of layer, with everything about it: configuration, shape inference, forward pass, and
//!   the gradients with respect to the inputs and the weights.
//! - [`Plan`]: a network prepared to run with one batch size, and with the requested outputs and gradients.
//! - [`losses`], [`Optimizer`], [`Schedule`], [`Initializer`]: the other parts of training.
//!
//! Tensors are plain slices in Keras's layouts: activations (batch, height, width, channel), kernels (row, column,
//! channel, filter).

pub mod applications;
mod backward_rule;
mod finite;
mod gradient_check;
mod inference;
mod initializer;
pub(crate) mod keras_config;
pub mod layers;
pub mod losses;
pub(crate) mod network;
pub(crate) mod onnx_graph;
mod op;
mod optimizer;
mod plan;
mod process_group;
mod schedule;
mod shape;
mod summary;
#[cfg(test)]
mod testing;
mod weight;

pub use backward_rule::BackwardRule;
pub use gradient_check::check_gradients;
pub use inference::Inference;
pub use initializer::Initializer;
pub use layers::Layer;
pub use losses::{Loss, LossKind};
pub use network::{Network, NetworkBuilder, Node, Sequential};
pub use op::{
    Backward, BackwardNeeds, ChannelAffine, Forward, Fused, Fusible, Inputs, LayerSeed, Op, OpConfig, OpStats,
    ReluBefore, StepSeed, WantedGradients,
};
pub use optimizer::{Optimizer, OptimizerState};
pub use plan::{PassTime, Plan, PlanBuilder, StepProfile, TensorRef};
pub use process_group::{BucketSink, ProcessGroup, Shard};
pub use schedule::Schedule;
pub use shape::Shape;
pub use summary::{counted, summary, thousands};
pub use weight::{Weight, WeightSpec};
