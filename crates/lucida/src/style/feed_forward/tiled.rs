//! Statistics of a whole image for the instance normalizations of a network that sees it tile by tile.
//!
//! An instance normalization needs the mean and the variance of each channel over the whole image. They are taken first, then
//! fixed: each tile then computes what it would within the whole image, so no seam can show. A small copy of the image gives
//! statistics that are nearly right; a pass over the tiles with these measures them at full size, exactly for the first
//! normalization, and for those after it as far as the ones before were right.

use std::collections::HashMap;
use std::ops::Range;

use crate::nn::{ChannelStatistics, Network, Plan, TensorRef};
use crate::style::pipeline::tiles::Tile;
use crate::{Cpu, Result};

/// Statistics by the name of the normalization.
pub(super) type Statistics = HashMap<String, ChannelStatistics>;

/// Sums of the values that go into the instance normalizations of a network, of one tile after the other.
#[derive(Debug)]
pub(super) struct Moments {
    /// For each normalization: its name, the layer before it, pixels of the image for one of its pixels.
    norms: Vec<(String, String, usize)>,
    /// For each: pixels, and for each channel the sums of the values and of their squares.
    sums: Vec<(usize, Vec<[f64; 2]>)>,
}

impl Moments {
    /// Those of a network for images of a size whose layers have whole parts of it.
    pub(super) fn new(network: &Network) -> Result<Self> {
        let [height, _, _] = network.input_shape()?.as_image().unwrap_or([1, 1, 3]);
        let norms = network.instance_normalizations().map(|index| {
            let node = &network.nodes()[index];
            let before = &network.nodes()[node.inputs()[0]];
            let side = node.shape().as_image().map_or(1, |[height, ..]| height);
            (node.name().to_owned(), before.name().to_owned(), (height / side.max(1)).max(1), node.shape().channels())
        });
        let norms: Vec<_> = norms.collect();
        let sums = norms.iter().map(|(.., channels)| (0, vec![[0.0; 2]; *channels])).collect();
        Ok(Self { norms: norms.into_iter().map(|(name, before, stride, _)| (name, before, stride)).collect(), sums })
    }

    /// A plan that keeps what goes into the normalizations.
    pub(super) fn plan(&self, network: &Network, cpu: Cpu) -> Result<Plan> {
        let mut plan = Plan::builder(network).cpu(cpu);
        for (_, before, _) in &self.norms {
            plan = plan.output(TensorRef::output(before.as_str()));
        }
        plan.build()
    }

    /// Adds those of the core of a tile that such a plan has computed.
    pub(super) fn add(&mut self, plan: &Plan, tile: &Tile, width: usize) {
        for (index, ((_, _, stride), (pixels, sums))) in self.norms.iter().zip(&mut self.sums).enumerate() {
            let inside = |axis: usize| -> Range<usize> {
                let [from, to] = tile.core[axis].map(|at| (at - tile.origin[axis]) / stride);
                from..to
            };
            let (rows, columns, width, channels) = (inside(0), inside(1), width / stride, sums.len());
            let values = plan.output(index);
            *pixels += rows.len() * columns.len();
            for row in rows {
                let start = (row * width + columns.start) * channels;
                for pixel in values[start..start + columns.len() * channels].chunks_exact(channels) {
                    for ([sum, squares], &value) in sums.iter_mut().zip(pixel) {
                        *sum += f64::from(value);
                        *squares += f64::from(value) * f64::from(value);
                    }
                }
            }
        }
    }

    /// The statistics of all that was added.
    pub(super) fn statistics(&self) -> Statistics {
        let of = |((name, ..), (pixels, sums)): (&(String, String, usize), &(usize, Vec<[f64; 2]>))| {
            let count = (*pixels).max(1) as f64;
            let mean = |[sum, _]: &[f64; 2]| sum / count;
            let variance = |sums: &[f64; 2]| (sums[1] / count - mean(sums).powi(2)).max(0.0) as f32;
            let statistics = ChannelStatistics {
                mean: sums.iter().map(|sums| mean(sums) as f32).collect(),
                variance: sums.iter().map(variance).collect(),
            };
            (name.clone(), statistics)
        };
        self.norms.iter().zip(&self.sums).map(of).collect()
    }
}
