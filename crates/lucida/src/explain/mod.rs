//! Taking networks apart: one file for each question.
//!
//! All of it works on any network that the tool can load, and takes pictures as the network takes them: prepared by the
//! model's own [`Preprocessing`](crate::data::Preprocessing), in batches of (batch, height, width, channels).

mod activations;
mod classic_filters;
mod deconv_figure;
mod deconvnet;
mod effective_field;
pub mod embed;
mod feature_maps;
mod kernels;
pub mod maximize;
mod receptive_field;
mod score;
mod sheet;
mod top_activations;

pub use activations::{LayerActivation, Liveliness, activations, notebook_levels};
pub use classic_filters::{CannyThresholds, Kernel, Plane, canny, filtered};
pub use deconv_figure::{DeconvFigure, Example, FilterExamples, outlined_fields, projection_sheet};
pub use deconvnet::{Deconvnet, Projection, Target, activation_before, peaks, strongest_filters};
pub use effective_field::{EffectiveField, Measurement, effective_field, noise};
pub use feature_maps::{MapScale, MapStyle, feature_maps, overview};
pub use kernels::{KernelStyle, kernel_sheet, layers_with_kernels};
pub use receptive_field::{Field, ReceptiveField, Span, receptive_field, receptive_fields};
pub use score::ClassScore;
pub use top_activations::{Excitation, Question, TopActivations, top_activations};
