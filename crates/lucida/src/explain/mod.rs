//! Interpretability: one module per method.
//!
//! The methods work on any network that can be loaded, and take its inputs: images preprocessed by the model's own
//! [`Preprocessing`](crate::data::Preprocessing), in batches of `[batch, height, width, channels]`.
//!
//! [`Explainer`] attributes a class score to pixels by any [`Method`], as a [`HeatMap`]; [`Faithfulness`] and
//! [`sanity_check`] measure its reliability.

mod activations;
mod attribution;
mod class;
mod classic_filters;
mod deconvnet;
pub mod embed;
mod feature_maps;
mod kernels;
pub mod maximize;
mod receptive_field;
mod score;
mod sheet;
mod top_activations;

pub use activations::{LayerActivation, MapStatus, activations, chollet_normalization};
pub use attribution::{
    Baseline, CompletenessCheck, ExplainConfig, Explained, Explainer, Faithfulness, HeatMap, Method, SanityCheck,
    SanityStage, comparison, default_layer, explain, heat_scale, overlay, sanity_check, sanity_strips, spatial_layer,
};
pub use class::find_class;
pub use classic_filters::{CannyThresholds, Kernel, Plane, canny, filtered};
pub use deconvnet::{
    DeconvFigure, Deconvnet, Example, FilterExamples, Projection, Target, activation_before, outlined_fields, peaks,
    projection_sheet, strongest_filters,
};
pub use feature_maps::{MapScale, MapStyle, feature_maps, overview};
pub use kernels::{KernelStyle, kernel_sheet, layers_with_kernels};
pub use receptive_field::{
    EffectiveField, Field, Measurement, ReceptiveField, Span, effective_field, noise, receptive_field, receptive_fields,
};
pub use score::ClassScore;
pub use top_activations::{TopActivation, TopActivationQuery, TopActivations, top_activations};
