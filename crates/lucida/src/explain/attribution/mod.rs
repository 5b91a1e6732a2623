//! Which pixels a class owes its score to, by twelve methods, and how far to believe each.
//!
//! [`Explainer`] is the way in. Each method has its file: `gradient` with its smoothed, integrated and guided kin, `cam` for
//! the class activation maps, `occlusion`, `rise`, `lrp`. [`Faithfulness`] and [`sanity_check`] judge them all alike.

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
