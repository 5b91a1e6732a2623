//! Taking networks apart: one file for each question.
//!
//! All of it works on any network that the tool can load, and takes pictures as the network takes them: prepared by the
//! model's own [`Preprocessing`](crate::data::Preprocessing), in batches of (batch, height, width, channels).
//!
//! Which pixels does a class owe its score to? [`Explainer`] answers by any [`Method`], with a [`HeatMap`];
//! [`Faithfulness`] and [`sanity_check`] tell how far to believe it.

mod cam;
mod class;
mod comparison;
mod draws;
mod explainer;
mod faithfulness;
mod gradient;
mod heat_map;
mod lrp;
mod method;
mod occlusion;
mod passes;
mod rise;
mod sanity;
mod score;
mod settings;
mod similarity;

pub use cam::{default_layer, spatial_layer};
pub use class::{class_name, find_class};
pub use comparison::{Explained, comparison, overlay, sanity_strips};
pub use explainer::{Explainer, explain};
pub use faithfulness::Faithfulness;
pub use heat_map::{Account, HeatMap};
pub use method::Method;
pub use passes::Progress;
pub use sanity::{SanityCheck, SanityStage, sanity_check};
pub use score::ClassScore;
pub use settings::{Baseline, Settings};
