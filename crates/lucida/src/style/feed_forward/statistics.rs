//! Whole-image statistics for the instance normalizations of a network that runs tile by tile.
//!
//! Instance normalization needs the mean and the variance of each channel over the whole image. They are measured first and
//! then fixed, so each tile gives the same result as the whole image, without seams. To measure them, crops from all over
//! the image, as many as fit in memory, go through the network as one batch with shared statistics.
//!
//! Rejected: a downscaled copy of the image, whose edges have other frequencies (the result differs from the untiled one by
//! 4 to 6 levels of 255 on average, instead of 0.5 to 1.8); and passes over all tiles that correct the statistics of all
//! layers at once, which diverge, because the statistics of each layer depend on the still wrong ones of the layers before
//! it.

use super::PixelRange;
use super::apply::StylizerConfig;
use crate::Result;
use crate::nn::layers::Layer;
use crate::nn::{Network, Plan, StepSeed};
use crate::style::Canvas;

/// Approximate side of a crop in pixels. Of 128, 192, 256, and 384, 128 is best: more crops per batch matter more than the
/// context that each lacks at its border.
const CROP: usize = 128;

/// Returns the network with the statistics of an image. `done` receives the number of groups done, and of all groups.
pub(super) fn measured(
    network: &Network,
    image: &Canvas,
    (range, unit): (PixelRange, usize),
    config: StylizerConfig,
    done: &mut dyn FnMut(usize, usize) -> Result<()>,
) -> Result<Network> {
    let crop = image.size.map(|side| side.min(CROP.next_multiple_of(unit)));
    let mut sized = network.with_batch_statistics()?.with_input_size(crop[0], crop[1])?;
    let bytes = Plan::builder(&sized).cpu(config.cpu).training().build()?.memory();
    let places = places(image.size, crop);
    let most = config.memory.map_or(places.len(), |memory| memory as usize / bytes.max(1));
    let groups = places.len().div_ceil(most.clamp(1, places.len()));
    let batch = places.len().div_ceil(groups);
    let mut plan = Plan::builder(&sized).cpu(config.cpu).batch_size(batch).training().build()?;
    let mut sums = Sums::new(&sized);
    for group in 0..groups {
        let own: Vec<[usize; 2]> = places.iter().skip(group).step_by(groups).copied().collect();
        plan.set_batch(own.len());
        let len = 3 * crop[0] * crop[1];
        for (part, place) in plan.input_mut().chunks_exact_mut(len).zip(&own) {
            range.write(&image.crop(*place, crop).values, part);
        }
        plan.forward_training(&mut sized, StepSeed { seed: 0, first_sample: 0 })?;
        sums.add(&sized, own.len());
        done(group + 1, groups)?;
    }
    sums.write(&mut sized);
    Ok(sized)
}

/// Origins of crops that cover an image, row by row, each row rotated against the previous one, so that every n-th crop
/// samples the whole image.
fn places(size: [usize; 2], crop: [usize; 2]) -> Vec<[usize; 2]> {
    let along = |axis: usize| -> Vec<usize> {
        let count = size[axis].div_ceil(crop[axis]);
        let room = size[axis] - crop[axis];
        (0..count).map(|index| if count == 1 { 0 } else { room * index / (count - 1) }).collect()
    };
    let (rows, columns) = (along(0), along(1));
    let mut places = Vec::with_capacity(rows.len() * columns.len());
    for (number, &row) in rows.iter().enumerate() {
        let shift = number * columns.len() / rows.len();
        places.extend((0..columns.len()).map(|column| [row, columns[(column + shift) % columns.len()]]));
    }
    places
}

/// Accumulates statistics over groups of crops.
struct Sums {
    /// For each normalization the index of its mean among the weights (its variance follows), and for each channel the sums
    /// of the means and of the mean squares.
    norms: Vec<(usize, Vec<[f64; 2]>)>,
    count: f64,
}

impl Sums {
    fn new(network: &Network) -> Self {
        let measured = |layer: &Layer| matches!(layer, Layer::BatchNormalization(norm) if norm.momentum == 0.0);
        let norms = network.nodes().iter().filter(|node| measured(node.layer()));
        let norms = norms.map(|node| (node.weights().end - 2, vec![[0.0; 2]; node.shape().channels()]));
        Self { norms: norms.collect(), count: 0.0 }
    }

    /// Adds the statistics of a batch of `crops` crops, which the forward pass stored in the network.
    fn add(&mut self, network: &Network, crops: usize) {
        let weight = crops as f64;
        self.count += weight;
        for (mean, sums) in &mut self.norms {
            let [mean, variance] = [*mean, *mean + 1].map(|weight| network.weights()[weight].values());
            for ((sums, &mean), &variance) in sums.iter_mut().zip(mean).zip(variance) {
                let mean = f64::from(mean);
                sums[0] += weight * mean;
                sums[1] += weight * (f64::from(variance) + mean * mean);
            }
        }
    }

    fn write(&self, network: &mut Network) {
        for (mean, sums) in &self.norms {
            let means = sums.iter().map(|[sum, _]| sum / self.count);
            let variances =
                sums.iter().map(|[sum, squares]| (squares / self.count - (sum / self.count).powi(2)).max(0.0));
            let (means, variances): (Vec<f64>, Vec<f64>) = (means.collect(), variances.collect());
            for (weight, values) in [(*mean, means), (*mean + 1, variances)] {
                let to = network.weights_mut()[weight].values_mut();
                to.iter_mut().zip(values).for_each(|(to, value)| *to = value as f32);
            }
        }
    }
}
