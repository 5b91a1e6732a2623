//! Attribution of class scores to pixels by twelve methods, and checks of their reliability.
//!
//! [`Explainer`] is the entry point. `gradient` has the gradient-based methods, with `integrated_gradients` apart, `cam`
//! the class activation maps, followed by `occlusion`, `rise` and `lrp`. [`Faithfulness`] and [`sanity_check`] apply to all
//! methods.

mod cam;
mod comparison;
mod explainer;
mod faithfulness;
mod gradient;
mod heat_map;
mod integrated_gradients;
mod lrp;
mod method;
mod occlusion;
mod passes;
mod rise;
mod sanity;
mod settings;
mod similarity;

pub use cam::{default_layer, spatial_layer};
pub use comparison::{Explained, comparison, heat_scale, overlay, sanity_strips};
pub use explainer::{Explainer, explain};
pub use faithfulness::Faithfulness;
pub use heat_map::{CompletenessCheck, HeatMap};
pub use method::Method;
pub use sanity::{SanityCheck, SanityStage, sanity_check};
pub use settings::{Baseline, ExplainConfig};
