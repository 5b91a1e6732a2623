//! What is computed when: the stages of a network on a large image.

use std::collections::HashMap;

use super::geometry::{Geometry, PROBE};
use crate::nn::{Network, Plan, Shape};
use crate::style::pipeline::tiles::{Tile, tiles};
use crate::{Cpu, Result};

/// Shares of the free memory, in quarters, that are tried for outputs of layers that are stored for the whole image.
const QUARTERS: std::ops::RangeInclusive<usize> = 0..=3;

/// Smallest side of the core of a tile in pixels.
const LEAST_CORE: usize = 32;

/// A part of the network that runs on all tiles before the next one does.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stage {
    /// The layers that it starts from: the input, and layers that are stored.
    pub(super) from: Vec<usize>,
    /// The layers that it computes.
    pub(super) to: Vec<usize>,
    /// The normalization whose statistics it measures; none in the last stage.
    pub(super) norm: Option<usize>,
    /// Whether `to` is stored, and replaces what was stored before.
    pub(super) keep: bool,
    pub(super) halo: usize,
    pub(super) tile: [usize; 2],
    /// Approximate multiplications of each tile.
    pub(super) work: u64,
    pub(super) count: usize,
}

impl Stage {
    pub(super) fn tiles(&self, size: [usize; 2]) -> Vec<Tile> {
        tiles(size, self.tile, self.halo, [0, 0])
    }
}

/// Plans the stages for images of a size.
pub(super) struct Scheduler<'a> {
    pub(super) geometry: &'a Geometry,
    /// The network with fixed statistics.
    pub(super) network: &'a Network,
    pub(super) size: [usize; 2],
    /// Bytes for plans and for what is stored.
    pub(super) free: usize,
    pub(super) cpu: Cpu,
    /// Bytes per pixel of the plans of parts of the network.
    pub(super) measured: HashMap<(Vec<usize>, Vec<usize>), usize>,
}

impl Scheduler<'_> {
    /// The stages that take the least work, or the bytes that are needed at least.
    pub(super) fn schedule(&mut self) -> Result<Result<Vec<Stage>, usize>> {
        let (mut best, mut needed): (Option<Vec<Stage>>, _) = (None, usize::MAX);
        for quarters in QUARTERS {
            let work = |stages: &[Stage]| stages.iter().map(|stage| stage.work * stage.count as u64).sum::<u64>();
            match self.within(self.free / 4 * quarters)? {
                Ok(stages) if best.as_ref().is_none_or(|best| work(&stages) < work(best)) => best = Some(stages),
                Ok(_) => {}
                Err(least) => needed = needed.min(least),
            }
        }
        Ok(best.ok_or(needed))
    }

    /// The stages when this many bytes may be stored.
    fn within(&mut self, storage: usize) -> Result<Result<Vec<Stage>, usize>> {
        let (mut stages, mut from) = (Vec::new(), vec![self.geometry.input]);
        let (mut held, mut needed) = (0, 0);
        for norm in self.geometry.norms.clone() {
            let (frontier, source) = (self.frontier(norm), self.network.nodes()[norm].inputs()[0]);
            // The input need not be stored.
            let stored = if source == self.geometry.input { None } else { self.stored(&frontier) };
            let kept = stored.filter(|bytes| held + bytes <= storage);
            let to = match kept {
                Some(_) => frontier.iter().copied().filter(|&layer| layer != self.geometry.input).collect(),
                None => vec![source],
            };
            let stage = self.stage(&from, to, Some(norm), [held, kept.unwrap_or(0)], &mut needed)?;
            stages.extend(stage);
            if let Some(bytes) = kept {
                (held, from) = (bytes, frontier);
            }
        }
        stages.extend(self.stage(&from, vec![self.geometry.output], None, [held, 0], &mut needed)?);
        Ok(if stages.len() > self.geometry.norms.len() { Ok(stages) } else { Err(needed) })
    }

    /// A stage, if memory suffices. `needed` becomes the least memory with which it does.
    fn stage(
        &mut self,
        from: &[usize],
        to: Vec<usize>,
        norm: Option<usize>,
        [held, kept]: [usize; 2],
        needed: &mut usize,
    ) -> Result<Option<Stage>> {
        let (unit, size) = (self.geometry.unit, self.size);
        let used = self.network.needed(from, &to);
        let from: Vec<usize> = from.iter().copied().filter(|&layer| used[layer]).collect();
        let halo = self.geometry.halo(self.network, &from, &to);
        let per_pixel = self.per_pixel(&from, &to)?;
        // With a smaller core, a tile would be nearly all halo, and take hours.
        let least = size.map(|side| side.min(2 * halo + halo.max(LEAST_CORE.next_multiple_of(unit))));
        *needed = (*needed).max(held + kept + least[0] * least[1] * per_pixel);
        let pixels = self.free.saturating_sub(held + kept) / per_pixel;
        let Some(tile) = tile(size, pixels, [least, [unit; 2]]) else { return Ok(None) };
        let work = self.geometry.work(self.network, &from, &to) as u64 * (tile[0] / unit * (tile[1] / unit)) as u64;
        let mut stage = Stage { from, to, norm, keep: norm.is_some() && kept > 0, halo, tile, work, count: 0 };
        stage.count = stage.tiles(size).len();
        Ok(Some(stage))
    }

    /// The layers before a normalization that later ones need: all before it, once they are computed, are final.
    fn frontier(&self, norm: usize) -> Vec<usize> {
        let nodes = self.network.nodes();
        let needed = self.network.needed(&[], &[self.geometry.output]);
        let later = (norm..nodes.len()).filter(|&node| needed[node]);
        let mut frontier: Vec<usize> =
            later.flat_map(|node| nodes[node].inputs().iter().copied()).filter(|&input| input < norm).collect();
        frontier.sort_unstable();
        frontier.dedup();
        frontier
    }

    /// Bytes of the outputs of some layers for the whole image; none if a layer is not aligned with it.
    fn stored(&self, layers: &[usize]) -> Option<usize> {
        let stored = layers.iter().filter(|&&layer| layer != self.geometry.input);
        let bytes: Option<f64> = stored.map(|&layer| self.geometry.bytes(layer)).sum();
        bytes.map(|bytes| (bytes * (self.size[0] * self.size[1]) as f64) as usize)
    }

    /// Memory of the plan of a part of the network per pixel, in bytes.
    fn per_pixel(&mut self, from: &[usize], to: &[usize]) -> Result<usize> {
        let key = (from.to_vec(), to.to_vec());
        if let Some(&found) = self.measured.get(&key) {
            return Ok(found);
        }
        let side = PROBE.next_multiple_of(self.geometry.unit);
        let part = self.geometry.part(self.network, from, to, [side; 2])?;
        let bytes = Plan::builder(&part).cpu(self.cpu).build()?.memory().div_ceil(side * side).max(1);
        self.measured.insert(key, bytes);
        Ok(bytes)
    }
}

impl Geometry {
    /// The part of a network from some layers to others, for a tile of this size.
    pub(super) fn part(&self, network: &Network, from: &[usize], to: &[usize], tile: [usize; 2]) -> Result<Network> {
        let given: Vec<(usize, Shape)> =
            from.iter().filter_map(|&layer| Some((layer, self.shape(layer, tile)?))).collect();
        network.part(&given, to)
    }
}

/// Tile size of at most this many pixels for an image, at least `least` and in whole units; none if there is none.
fn tile(size: [usize; 2], pixels: usize, [least, unit]: [[usize; 2]; 2]) -> Option<[usize; 2]> {
    if size[0] * size[1] <= pixels {
        return Some(size);
    }
    let side = (pixels as f64).sqrt() as usize;
    let mut tile = [0, 1].map(|axis| side.min(size[axis]) / unit[axis] * unit[axis]);
    // If one side is shorter than the tile, the other one gets the pixels that remain.
    for axis in 0..2 {
        let other = tile[1 - axis].max(1);
        tile[axis] = tile[axis].max((pixels / other).min(size[axis]) / unit[axis] * unit[axis]);
    }
    (0..2).all(|axis| tile[axis] >= least[axis]).then_some(tile)
}
