//! Taking networks apart: one file for each question.
//!
//! All of it works on any network that the tool can load, and takes pictures as the network takes them: prepared by the
//! model's own [`Preprocessing`](crate::data::Preprocessing), in batches of (batch, height, width, channels).
//!
//! Which pixels does a class owe its score to? [`Explainer`] answers by any [`Method`], with a [`HeatMap`];
//! [`Faithfulness`] and [`sanity_check`] tell how far to believe it.

mod activations;
mod cam;
mod class;
mod classic_filters;
mod comparison;
mod deconv_figure;
mod deconvnet;
mod draws;
mod effective_field;
pub mod embed;
mod explainer;
mod faithfulness;
mod feature_maps;
mod gradient;
mod heat_map;
mod kernels;
mod lrp;
pub mod maximize;
mod method;
mod occlusion;
mod passes;
mod receptive_field;
mod rise;
mod sanity;
mod score;
mod settings;
mod sheet;
mod similarity;
mod top_activations;

pub use activations::{LayerActivation, Liveliness, activations, notebook_levels};
pub use cam::{default_layer, spatial_layer};
pub use class::{class_name, find_class};
pub use classic_filters::{CannyThresholds, Kernel, Plane, canny, filtered};
pub use comparison::{Explained, comparison, overlay, sanity_strips};
pub use deconv_figure::{DeconvFigure, Example, FilterExamples, outlined_fields, projection_sheet};
pub use deconvnet::{Deconvnet, Projection, Target, activation_before, peaks, strongest_filters};
pub use effective_field::{EffectiveField, Measurement, effective_field, noise};
pub use explainer::{Explainer, explain};
pub use faithfulness::Faithfulness;
pub use feature_maps::{MapScale, MapStyle, feature_maps, overview};
pub use heat_map::{Account, HeatMap};
pub use kernels::{KernelStyle, kernel_sheet, layers_with_kernels};
pub use method::Method;
pub use passes::Progress;
pub use receptive_field::{Field, ReceptiveField, Span, receptive_field, receptive_fields};
pub use sanity::{SanityCheck, SanityStage, sanity_check};
pub use score::ClassScore;
pub use settings::{Baseline, Settings};
pub use top_activations::{Excitation, Question, TopActivations, top_activations};
