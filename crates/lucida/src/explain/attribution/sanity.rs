//! The sanity check of Adebayo et al. (2018, "Sanity checks for saliency maps", section 3): cascading randomization.
//!
//! The weights are replaced by those of an untrained network, layer by layer from the top. A map that depends on what the
//! network has learned must change. One that hardly does shows the image rather than the network, as the paper found for
//! guided backpropagation.
//!
//! The change of a map is measured by Spearman's rank correlation with the original, of the values and of their magnitudes,
//! and by the structural similarity of the magnitudes scaled to 0..1. If much of an image is blank, these stay above zero
//! for methods that multiply by the input, whatever the network.

use super::explainer::Explainer;
use super::similarity::{rank_correlation, structural_similarity};
use super::{ExplainConfig, HeatMap, Method};
use crate::Result;
use crate::core::{Progress, Step};
use crate::nn::Network;
use crate::weights::Model;

/// The maps of one method while the network is randomized.
#[derive(Debug, Clone, PartialEq)]
pub struct SanityCheck {
    /// The map of the trained network.
    pub original: HeatMap,
    /// The maps of the randomized networks, from only the top layer to all layers.
    pub stages: Vec<SanityStage>,
}

/// One step of the cascade.
#[derive(Debug, Clone, PartialEq)]
pub struct SanityStage {
    /// The lowest randomized layer; all layers above it are randomized, too.
    pub layer: String,
    /// The map.
    pub map: HeatMap,
    /// Spearman's rank correlation of the map with the original.
    pub rank_correlation: f64,
    /// The rank correlation of the magnitudes.
    pub rank_correlation_of_magnitudes: f64,
    /// The structural similarity of the magnitudes.
    pub structural_similarity: f64,
}

impl SanityCheck {
    /// Whether the map of the fully randomized network is still similar to the original: both the rank correlation and the
    /// structural similarity are above one half.
    pub fn is_suspicious(&self) -> bool {
        let alike = |stage: &SanityStage| stage.rank_correlation.min(stage.structural_similarity) > 0.5;
        self.stages.last().is_some_and(alike)
    }
}

/// Checks methods for one image and class. If the network has more weighted layers than `settings.stages`, several layers
/// are randomized at a time.
///
/// ```
/// use lucida::explain::sanity_check;
/// use lucida::prelude::*;
///
/// # let model = Model::new(applications::mnist_cnn(42)?).with_preprocessing(Preprocessing::mnist());
/// # let mut input = vec![0.0; 28 * 28];
/// # Mnist::builtin()?.train.fill(0, model.preprocessing()?, &mut input)?;
/// let config = ExplainConfig { stages: 2, ..ExplainConfig::default() };
/// let checks = sanity_check(&model, &input, 5, &[Method::Gradient], &config, &mut ())?;
/// assert_eq!((checks.len(), checks[0].stages.len()), (1, 2));
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// As [`Explainer::new`] and [`Explainer::explain`].
pub fn sanity_check(
    model: &Model,
    input: &[f32],
    class: usize,
    methods: &[Method],
    settings: &ExplainConfig,
    progress: &mut dyn Progress,
) -> Result<Vec<SanityCheck>> {
    let mut trained = Explainer::new(model, settings)?.progress(|step: &Step<'_>| progress.update(step));
    let (black, outputs) = (trained.black().to_vec(), trained.outputs().clone());
    let explained = methods.iter().map(|&method| trained.explain(input, class, method));
    let mut checks =
        explained.map(|map| Ok(SanityCheck { original: map?, stages: Vec::new() })).collect::<Result<Vec<_>>>()?;
    drop(trained);
    let mut network = model.network.clone();
    for group in cascade(&network, settings.stages) {
        group.iter().for_each(|&node| randomise(&mut network, node, settings.seed));
        let Some(&lowest) = group.last() else { continue };
        let layer = network.nodes()[lowest].name().to_owned();
        let mut explainer = Explainer::of_network(&network, outputs.clone(), black.clone(), settings)?
            .progress(|step: &Step<'_>| progress.update(step));
        for check in &mut checks {
            let map = explainer.explain(input, class, check.original.method)?;
            check.stages.push(compare(&check.original, map, layer.clone()));
        }
    }
    Ok(checks)
}

/// The layers with weights, from the top, in at most `groups` groups of nearly equal size.
fn cascade(network: &Network, groups: usize) -> Vec<Vec<usize>> {
    let layers: Vec<usize> =
        (0..network.nodes().len()).rev().filter(|&node| !network.nodes()[node].own_weights().is_empty()).collect();
    let groups = groups.min(layers.len()).max(1);
    let bound = |group: usize| layers.len() * group / groups;
    (0..groups).map(|group| layers[bound(group)..bound(group + 1)].to_vec()).filter(|group| !group.is_empty()).collect()
}

/// Replaces the weights of a layer with untrained ones.
fn randomise(network: &mut Network, node: usize, seed: u64) {
    let node = &network.nodes()[node];
    let inputs: Vec<_> = node.inputs().iter().map(|&input| network.nodes()[input].shape().clone()).collect();
    let (specs, range) = (node.layer().spec().weights(&inputs), node.weights());
    for (index, spec) in range.zip(specs) {
        spec.initializer.fill(&spec.shape, network.weights_mut()[index].values_mut(), seed, index);
    }
}

fn compare(original: &HeatMap, map: HeatMap, layer: String) -> SanityStage {
    let magnitudes = |map: &HeatMap| -> Vec<f32> { map.values.iter().map(|value| value.abs()).collect() };
    let (before, after) = (magnitudes(original), magnitudes(&map));
    SanityStage {
        layer,
        rank_correlation: rank_correlation(&original.values, &map.values),
        rank_correlation_of_magnitudes: rank_correlation(&before, &after),
        structural_similarity: structural_similarity(&unit(before), &unit(after), map.size),
        map,
    }
}

/// Scales values to 0..1.
fn unit(mut values: Vec<f32>) -> Vec<f32> {
    let (low, high) = values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
    let span = if high > low { high - low } else { 1.0 };
    values.iter_mut().for_each(|value| *value = (*value - low) / span);
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::applications;

    #[test]
    fn the_cascade_goes_from_the_top_in_even_groups() {
        let network = applications::mnist_cnn(1).unwrap();
        let name = |node: &usize| network.nodes()[*node].name();
        let of = |groups| -> Vec<Vec<&str>> {
            cascade(&network, groups).iter().map(|g| g.iter().map(name).collect()).collect()
        };
        assert_eq!(of(12), [["dense_1"], ["dense"], ["conv2d_2"], ["conv2d_1"], ["conv2d"]]);
        assert_eq!(of(2), [vec!["dense_1", "dense"], vec!["conv2d_2", "conv2d_1", "conv2d"]]);
    }

    #[test]
    fn a_randomised_layer_is_an_untrained_one() {
        let mut network = applications::mnist_cnn(1).unwrap();
        network.weights_mut().iter_mut().for_each(|weight| weight.values_mut().fill(7.0));
        let node = network.find("conv2d_1").unwrap();
        randomise(&mut network, node, 3);
        let [kernel, bias] = ["kernel", "bias"].map(|n| network.weight(&format!("conv2d_1/{n}")).unwrap().values());
        assert!(bias.iter().all(|&b| b == 0.0));
        let limit = (6.0_f32 / (9.0 * 24.0 + 9.0 * 48.0)).sqrt();
        assert!(kernel.iter().all(|k| k.abs() <= limit) && kernel.iter().any(|&k| k < 0.0));
        assert!(network.weight("conv2d/kernel").unwrap().values().iter().all(|&k| k == 7.0));
    }
}
