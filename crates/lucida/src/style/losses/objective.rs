//! Total loss of a canvas, and its gradient.

use lucida_kernels::Buffer;

use crate::style::losses::content::{difference, squares};
use crate::style::losses::gram::GramProducts;
use crate::style::losses::masked::{add_means, add_shift, gathered, means_for, scatter, shrink};
use crate::style::losses::style::{Moments, Target};
use crate::style::pipeline::feature_extractor::{FeatureExtractor, GradientMode, ViewConfig};
use crate::style::pipeline::tiles::Tile;
use crate::style::{Canvas, LossConfig, StyleNetwork};
use crate::{Cpu, Error, Result};

/// Losses of a canvas, before weighting by kind.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Losses {
    /// Content loss: weighted sum over its layers.
    pub content: f64,
    /// Style loss of each layer.
    pub style: Vec<f64>,
    /// Total variation.
    pub variation: f64,
    /// Weighted total, which is minimized.
    pub total: f64,
}

/// Statistics of the style layers, for one style image or a blend of several.
#[derive(Debug, Clone)]
pub(in crate::style) struct StyleTarget {
    layers: Vec<Moments>,
}

impl StyleTarget {
    /// Measures a style image.
    ///
    /// # Errors
    /// [`Error::Argument`] when a layer does not exist; [`Error::Limit`] when the memory is too small.
    pub(in crate::style) fn measure(
        network: &StyleNetwork,
        loss: &LossConfig,
        style: &Canvas,
        view: ViewConfig,
    ) -> Result<Self> {
        let names: Vec<&str> = loss.style.iter().map(|layer| layer.name.as_str()).collect();
        if names.is_empty() {
            return Ok(Self { layers: Vec::new() });
        }
        let mut extractor = FeatureExtractor::new(network, &names, style.size, view, GradientMode::Nothing)?;
        let mut products: Vec<GramProducts> =
            extractor.layers.iter().map(|layer| GramProducts::new(view.cpu, layer.channels)).collect();
        let mut sums: Vec<Buffer> = products.iter().map(|p| Buffer::zeroed(p.channels * p.channels)).collect();
        let mut means: Vec<Vec<f64>> = products.iter().map(|p| means_for(loss, p.channels)).collect();
        let mut mass = vec![0.0; names.len()];
        let mut scratch = Vec::new();
        for tile in extractor.tiles([0, 0]) {
            extractor.extract(&tile, style)?;
            for layer in 0..names.len() {
                let [inside, _] = extractor.parts(&tile, layer);
                let features =
                    gathered(extractor.features(layer), inside, products[layer].channels, None, &mut scratch);
                products[layer].correlate(features, &mut sums[layer]);
                add_means(features, None, &mut means[layer]);
                mass[layer] += (inside.size[0] * inside.size[1]) as f64;
            }
        }
        let sums = sums.iter().zip(&means).zip(mass);
        let layers = sums.map(|((sums, means), mass)| Moments::of_sums(sums, means, mass)).collect();
        Ok(Self { layers })
    }

    /// Weighted mean of several styles. The image whose Gram matrices are closest to the mean also has the lowest weighted
    /// sum of squared distances to all of them.
    pub(in crate::style) fn blend(parts: &[(&Self, f32)]) -> Self {
        let total: f32 = parts.iter().map(|(_, weight)| weight).sum();
        let layer = |index: usize| {
            let parts: Vec<_> = parts.iter().map(|(target, weight)| (&target.layers[index], weight / total)).collect();
            Moments::blend(&parts)
        };
        Self { layers: (0..parts[0].0.layers.len()).map(layer).collect() }
    }
}

/// A region of the canvas with its own style.
#[derive(Debug, Clone)]
pub(in crate::style) struct Region {
    /// Weight of each pixel of the canvas, from 0 to 1; none if the region is the whole canvas.
    pub(in crate::style) mask: Option<Vec<f32>>,
    pub(in crate::style) style: StyleTarget,
}

/// A region at the resolution of each style layer.
#[derive(Debug)]
struct RegionTargets {
    /// For each style layer: its mask, and the sum of the mask's squares.
    masks: Vec<Option<Vec<f32>>>,
    mass: Vec<f64>,
    /// Share of the canvas.
    share: f64,
    /// One target per style layer.
    style: Vec<Target>,
}

/// Working memory of a style layer.
#[derive(Debug)]
struct StyleLayer {
    products: GramProducts,
    /// For each region: Gram sums over the tiles so far; then the gradient with respect to the Gram matrix.
    sums: Vec<Buffer>,
    /// For each region: feature sums; then the shift that is added to the gradient of each pixel. Empty if the loss compares
    /// Gram matrices.
    means: Vec<Vec<f64>>,
}

/// The total loss for canvases of one size.
///
/// ```
/// use lucida::prelude::{Cpu, Pooling, Preset, StyleNetwork};
/// use lucida::style::{Canvas, Objective, brushwork, choose_network};
///
/// # let network = StyleNetwork::new(choose_network(Some("vgg16-builtin"), None)?, Pooling::Max)?;
/// let (photo, style) = (Canvas::filled([32, 32], [90.0, 120.0, 200.0]), Canvas::of_image_at(&brushwork()?, [32, 32])?);
/// let loss = Preset::Gatys.config(&network, Cpu::detect())?.loss;
/// let mut objective = Objective::new(&network, &loss, &photo, &style, Cpu::detect(), true)?;
/// let mut gradient = vec![0.0; photo.values.len()];
/// let losses = objective.evaluate(&photo, &mut gradient)?;
/// assert_eq!(losses.content, 0.0, "the content is that of the photo");
/// assert!(losses.total > 0.0 && gradient.iter().any(|&value| value != 0.0));
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug)]
pub struct Objective {
    cpu: Cpu,
    extractor: FeatureExtractor,
    loss: LossConfig,
    /// For each extracted layer: its features for the content, and the factor of the squared differences; none for layers
    /// that are not content layers.
    content: Vec<Option<(Vec<f32>, f64)>>,
    style: Vec<StyleLayer>,
    regions: Vec<RegionTargets>,
    /// Contiguous copy of the features of a window, and its gradient.
    scratch: Vec<f32>,
    scratch_gradient: Vec<f32>,
}

impl Objective {
    /// Creates the objective for a content image and a style image, neither of which is resized. Canvases must have the size
    /// of the content; no tiles are used. `exact` rules out the faster convolution, whose rounding differs from pixel to
    /// pixel.
    ///
    /// # Errors
    /// [`Error::Argument`] when the loss names a layer that does not exist, or a weight is invalid.
    pub fn new(
        network: &StyleNetwork,
        loss: &LossConfig,
        content: &Canvas,
        style: &Canvas,
        cpu: Cpu,
        exact: bool,
    ) -> Result<Self> {
        let view = ViewConfig { cpu, exact, memory: None };
        loss.check()?;
        let network = network.cut(&loss.layers())?;
        let style = StyleTarget::measure(&network, loss, style, view)?;
        Self::with_regions(&network, loss, content, vec![Region { mask: None, style }], view)
    }

    pub(in crate::style) fn with_regions(
        network: &StyleNetwork,
        loss: &LossConfig,
        content: &Canvas,
        regions: Vec<Region>,
        view: ViewConfig,
    ) -> Result<Self> {
        loss.check()?;
        let layers = loss.layers();
        let written: Vec<bool> =
            layers.iter().map(|name| loss.content.iter().any(|layer| layer.name == *name)).collect();
        // With one style for the whole canvas, the gradient is the same linear function of the features at each pixel.
        let back = match &regions[..] {
            [Region { mask: None, .. }] => GradientMode::Linear { linear: loss.style.len(), written: &written },
            _ => GradientMode::Written,
        };
        let extractor = FeatureExtractor::new(network, &layers, content.size, view, back)?;
        let style = extractor.layers[..loss.style.len()].iter().map(|layer| {
            let products = GramProducts::new(view.cpu, layer.channels);
            let sums = regions.iter().map(|_| Buffer::zeroed(products.channels * products.channels)).collect();
            let means = regions.iter().map(|_| means_for(loss, products.channels)).collect();
            StyleLayer { products, sums, means }
        });
        let style = style.collect();
        let pixels = (content.size[0] * content.size[1]) as f64;
        let regions = regions.into_iter().map(|region| {
            let seen = |layer: usize| {
                let stride = extractor.layers[layer].stride;
                region.mask.as_ref().map(|mask| shrink(mask, content.size, stride))
            };
            let masks: Vec<_> = (0..loss.style.len()).map(seen).collect();
            let mass = |(layer, mask): (usize, &Option<Vec<f32>>)| match mask {
                Some(mask) => squares(mask),
                None => pixels / (extractor.layers[layer].stride as f64).powi(2),
            };
            let share =
                region.mask.as_ref().map_or(1.0, |mask| mask.iter().map(|&w| f64::from(w)).sum::<f64>() / pixels);
            let style = region.style.layers.iter().map(|moments| Target::new(loss.style_loss, moments, view.cpu));
            RegionTargets { mass: masks.iter().enumerate().map(mass).collect(), style: style.collect(), masks, share }
        });
        let regions = regions.collect();
        let mut objective = Self {
            cpu: view.cpu,
            content: vec![None; extractor.layers.len()],
            extractor,
            loss: loss.clone(),
            style,
            regions,
            scratch: Vec::new(),
            scratch_gradient: Vec::new(),
        };
        objective.set_content(content)?;
        Ok(objective)
    }

    /// Computes the losses of a canvas, and writes the gradient of the total with respect to the values of the canvas to
    /// `gradient`.
    ///
    /// # Panics
    /// When the canvas and the content differ in size.
    ///
    /// # Errors
    /// None in practice.
    pub fn evaluate(&mut self, canvas: &Canvas, gradient: &mut [f32]) -> Result<Losses> {
        self.evaluate_at(canvas, [0, 0], gradient)
    }

    /// As [`evaluate`](Self::evaluate), with the tile boundaries shifted by `phase`, in units of the deepest layer.
    pub(in crate::style) fn evaluate_at(
        &mut self,
        canvas: &Canvas,
        phase: [usize; 2],
        gradient: &mut [f32],
    ) -> Result<Losses> {
        gradient.fill(0.0);
        let tiles = self.extractor.tiles(phase);
        let mut losses = Losses::default();
        for layer in &mut self.style {
            layer.sums.iter_mut().for_each(|sums| sums.fill(0.0));
            layer.means.iter_mut().for_each(|means| means.fill(0.0));
        }
        for tile in &tiles {
            self.extractor.extract(tile, canvas)?;
            self.measure(tile);
        }
        self.compare(&mut losses);
        for tile in &tiles {
            if tiles.len() > 1 {
                self.extractor.extract(tile, canvas)?;
            }
            losses.content += self.seed(tile);
            self.extractor.send_back(tile, gradient)?;
        }
        let LossConfig { content_weight, variation, variation_weight, .. } = self.loss;
        if variation_weight > 0.0 {
            losses.variation = variation.add(canvas, variation_weight, gradient);
        }
        losses.total += f64::from(content_weight) * losses.content + f64::from(variation_weight) * losses.variation;
        if !losses.total.is_finite() {
            return Err(not_finite(losses.total));
        }
        Ok(losses)
    }

    /// Replaces the style.
    ///
    /// # Panics
    /// When there is more than one region.
    pub(in crate::style) fn set_style(&mut self, style: &StyleTarget) {
        let [region] = &mut self.regions[..] else { panic!("each of several regions has a style of its own") };
        let targets = style.layers.iter().map(|moments| Target::new(self.loss.style_loss, moments, self.cpu));
        region.style = targets.collect();
    }

    /// Computes the features of a new content, which must have the size of the previous one.
    ///
    /// # Errors
    /// None in practice.
    pub(in crate::style) fn set_content(&mut self, content: &Canvas) -> Result<()> {
        let weights = self.content_weights();
        let mut maps: Vec<Vec<f32>> = vec![Vec::new(); weights.len()];
        for tile in self.extractor.tiles([0, 0]) {
            self.extractor.extract(&tile, content)?;
            for (layer, map) in maps.iter_mut().enumerate().filter(|(layer, _)| weights[*layer].is_some()) {
                let channels = self.extractor.layers[layer].channels;
                let [inside, outside] = self.extractor.parts(&tile, layer);
                if map.is_empty() {
                    *map = vec![0.0; content.size[0] / self.extractor.layers[layer].stride * outside.width * channels];
                }
                let features = self.extractor.features(layer);
                for (from, to) in inside.rows().zip(outside.rows()) {
                    map[to.start * channels..to.end * channels]
                        .copy_from_slice(&features[from.start * channels..from.end * channels]);
                }
            }
        }
        for (layer, map) in maps.into_iter().enumerate() {
            if let Some(weight) = weights[layer] {
                let factor = f64::from(weight) * self.loss.content_norm.factor(map.len(), squares(&map));
                self.content[layer] = Some((map, factor));
            }
        }
        Ok(())
    }

    /// Content weight of each layer.
    fn content_weights(&self) -> Vec<Option<f32>> {
        let weight = |name: &str| self.loss.content.iter().find(|layer| layer.name == name).map(|layer| layer.weight);
        self.extractor.layers.iter().map(|seen| weight(&seen.name)).collect()
    }

    /// Adds a tile's Gram products and feature sums.
    fn measure(&mut self, tile: &Tile) {
        for (index, layer) in self.style.iter_mut().enumerate() {
            let [inside, outside] = self.extractor.parts(tile, index);
            for (number, region) in self.regions.iter().enumerate() {
                let mask = region.masks[index].as_deref().map(|mask| (mask, outside));
                let features = self.extractor.features(index);
                let features = gathered(features, inside, layer.products.channels, mask, &mut self.scratch);
                layer.products.correlate(features, &mut layer.sums[number]);
                add_means(features, mask, &mut layer.means[number]);
            }
        }
    }

    /// Converts the sums to losses, and to the gradients with respect to the moments.
    fn compare(&mut self, losses: &mut Losses) {
        for (index, (layer, weighted)) in self.style.iter_mut().zip(&self.loss.style).enumerate() {
            let mut loss = 0.0;
            for (number, region) in self.regions.iter_mut().enumerate() {
                let (sums, means) = (&mut layer.sums[number], &mut layer.means[number]);
                let mass = region.mass[index];
                if mass == 0.0 {
                    // The region is empty at this layer: it is preserved as a whole, or too small. The mean over no pixels
                    // would be NaN.
                    sums.fill(0.0);
                    means.fill(0.0);
                    continue;
                }
                let got = Moments::of_sums(sums, means, mass);
                let weight = f64::from(self.loss.style_weight) * f64::from(weighted.weight) * region.share;
                let slopes = (&mut sums[..], &mut means[..]);
                loss += region.share * region.style[index].compare(self.loss.style_norm, &got, (weight, mass), slopes);
            }
            losses.total += f64::from(self.loss.style_weight) * f64::from(weighted.weight) * loss;
            losses.style.push(loss);
        }
    }

    /// Sets the gradients at the layers, and returns the content loss of the tile.
    fn seed(&mut self, tile: &Tile) -> f64 {
        let whole = self.extractor.is_whole();
        let mut loss = 0.0;
        for index in 0..self.extractor.layers.len() {
            let channels = self.extractor.layers[index].channels;
            let [inside, outside] = self.extractor.parts(tile, index);
            let linear = self.extractor.is_linear(index);
            if linear {
                let layer = &self.style[index];
                let shift: Vec<f32> = layer.means[0].iter().map(|&shift| shift as f32).collect();
                self.extractor.set_linear(index, &layer.sums[0], &shift);
            }
            let Some((features, gradient)) = self.extractor.features_and_gradient(index) else { continue };
            let mut written = false;
            if let Some((wanted, factor)) = &self.content[index] {
                let scale = (2.0 * factor * f64::from(self.loss.content_weight)) as f32;
                if whole {
                    loss += factor * difference(self.cpu, features, wanted, scale, gradient);
                } else {
                    gradient.fill(0.0);
                    for (from, to) in inside.rows().zip(outside.rows()) {
                        let (from, to) = (from.start * channels..from.end * channels, to.start * channels);
                        let wanted = &wanted[to..to + from.len()];
                        let row = &mut gradient[from.clone()];
                        loss += factor * difference(self.cpu, &features[from], wanted, scale, row);
                    }
                }
                written = true;
            }
            let Some(layer) = self.style.get_mut(index).filter(|_| !linear) else {
                if !written {
                    gradient.fill(0.0);
                }
                continue;
            };
            for (number, region) in self.regions.iter().enumerate() {
                layer.products.set_matrix(&layer.sums[number]);
                let shift = &layer.means[number];
                let mask = region.masks[index].as_deref();
                if whole && mask.is_none() {
                    layer.products.gram_backward(features, gradient, written);
                    add_shift(shift, None, gradient);
                } else {
                    if !written {
                        gradient.fill(0.0);
                    }
                    let mask = mask.map(|mask| (mask, outside));
                    let own = gathered(features, inside, channels, mask, &mut self.scratch);
                    self.scratch_gradient.resize(own.len(), 0.0);
                    layer.products.gram_backward(own, &mut self.scratch_gradient, false);
                    add_shift(shift, mask, &mut self.scratch_gradient);
                    scatter(&self.scratch_gradient, inside, channels, mask, gradient);
                }
                written = true;
            }
        }
        loss
    }
}
/// The error of a loss that is not finite.
pub(in crate::style) fn not_finite(loss: f64) -> Error {
    Error::argument(format!("the loss is {loss}: the network's features, or the weights of the losses, are too large"))
}
