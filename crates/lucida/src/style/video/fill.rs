//! Initialization of uncovered areas of a frame: patches of stylized areas with similar content.
//!
//! The style loss compares Gram matrices of the whole frame. Once most of a frame is stylized, its matrices are close to
//! those of the style whatever the few uncovered pixels look like, so there is no gradient that would stylize raw content
//! there. Patches are searched as in PatchMatch (C. Barnes et al., 2009) and used as in image analogies (A. Hertzmann et
//! al., 2001).

use crate::core::{Purpose, Rng};
use crate::style::Canvas;
use crate::style::video::flow::box_mean;

/// Radius of a patch in pixels.
const REACH: usize = 4;
/// Distance between the centers of adjacent patches, in pixels.
const STEP: usize = 4;
/// Number of rounds in which each patch tries the matches of its neighbors, and random positions.
const ROUNDS: usize = 6;

/// Returns `stylized` with the uncovered areas filled in. `content` is the original frame; `uncovered` weights each pixel
/// from 0 to 1. All have the same size. If there is nothing to copy from, `stylized` is returned unchanged.
pub(in crate::style) fn fill(content: &Canvas, stylized: &Canvas, uncovered: &[f32], seed: u64) -> Canvas {
    let mut filling = PatchMatch::new(content, uncovered);
    let mut random = Rng::keyed(seed, Purpose::Canvas, 3);
    if !filling.start(&mut random) {
        return stylized.clone();
    }
    for round in 0..ROUNDS {
        filling.improve(round % 2 == 1, &mut random);
    }
    filling.blended(stylized, uncovered)
}

/// A patch to fill, and where it is copied from.
#[derive(Debug, Clone, Copy)]
struct Patch {
    center: [usize; 2],
    source: [usize; 2],
    cost: f32,
}

struct PatchMatch<'a> {
    content: &'a Canvas,
    /// Whether the patch around a pixel can be copied.
    usable: Vec<bool>,
    /// A grid of patches, present where there are uncovered pixels.
    grid: Vec<Option<Patch>>,
    columns: usize,
}

impl<'a> PatchMatch<'a> {
    fn new(content: &'a Canvas, uncovered: &[f32]) -> Self {
        let [height, width] = content.size;
        let around = box_mean(uncovered, content.size, REACH);
        let inside = |at: usize, side: usize| at >= REACH && at + REACH < side;
        let usable = |at: usize| inside(at / width, height) && inside(at % width, width) && around[at] < 1e-4;
        let [rows, columns] = content.size.map(|side| side.div_ceil(STEP));
        let patch = |cell: usize| {
            let center = [cell / columns * STEP, cell % columns * STEP];
            let center = [(center[0] + STEP / 2).min(height - 1), (center[1] + STEP / 2).min(width - 1)];
            let is_needed = around[center[0] * width + center[1]] >= 1e-4;
            is_needed.then_some(Patch { center, source: [0, 0], cost: f32::INFINITY })
        };
        let usable = (0..height * width).map(usable).collect();
        Self { content, usable, grid: (0..rows * columns).map(patch).collect(), columns }
    }

    /// Assigns a random source to each patch; returns whether there is any.
    fn start(&mut self, random: &mut Rng) -> bool {
        let width = self.content.size[1];
        let sources: Vec<usize> = (0..self.usable.len()).filter(|&at| self.usable[at]).collect();
        if sources.is_empty() {
            return false;
        }
        for cell in 0..self.grid.len() {
            let Some(mut patch) = self.grid[cell] else { continue };
            let at = sources[random.below(sources.len())];
            patch.source = [at / width, at % width];
            patch.cost = self.cost(patch.center, patch.source);
            self.grid[cell] = Some(patch);
        }
        true
    }

    /// Visits all patches, in reverse order if `backward`.
    fn improve(&mut self, backward: bool, random: &mut Rng) {
        let count = self.grid.len();
        for number in 0..count {
            let cell = if backward { count - 1 - number } else { number };
            let Some(mut patch) = self.grid[cell] else { continue };
            // Neighbors that were visited just before.
            let next = (cell % self.columns != if backward { self.columns - 1 } else { 0 }).then_some(1);
            for away in [next, Some(self.columns)].into_iter().flatten() {
                let neighbor = if backward { cell.checked_add(away) } else { cell.checked_sub(away) };
                let Some(Some(found)) = neighbor.and_then(|cell| self.grid.get(cell)) else { continue };
                let source = [0, 1].map(|axis: usize| {
                    found.source[axis] as isize + patch.center[axis] as isize - found.center[axis] as isize
                });
                self.try_source(&mut patch, source);
            }
            let mut reach = self.content.size[0].max(self.content.size[1]);
            while reach > 0 {
                let from = patch.source;
                let source = from.map(|at| at as isize + random.below(2 * reach + 1) as isize - reach as isize);
                self.try_source(&mut patch, source);
                reach /= 2;
            }
            self.grid[cell] = Some(patch);
        }
    }

    /// Uses a source if it is usable and better.
    fn try_source(&self, patch: &mut Patch, source: [isize; 2]) {
        let [height, width] = self.content.size;
        let [Ok(y), Ok(x)] = source.map(usize::try_from) else { return };
        if y >= height || x >= width || !self.usable[y * width + x] {
            return;
        }
        let cost = self.cost(patch.center, [y, x]);
        if cost < patch.cost {
            (patch.source, patch.cost) = ([y, x], cost);
        }
    }

    /// Squared content difference between a patch, clipped to the frame, and a source.
    fn cost(&self, center: [usize; 2], source: [usize; 2]) -> f32 {
        let values = &self.content.values;
        let differences = self.pairs(center, source).flat_map(|[to, from]| {
            [0, 1, 2].map(|channel: usize| (values[3 * to + channel] - values[3 * from + channel]).abs())
        });
        differences.sum()
    }

    /// Pairs of pixels of a patch, clipped to the frame, and of its source.
    fn pairs(&self, center: [usize; 2], source: [usize; 2]) -> impl Iterator<Item = [usize; 2]> {
        let [height, width] = self.content.size;
        let range = |at: usize, side: usize| at.saturating_sub(REACH)..(at + REACH + 1).min(side);
        range(center[0], height).flat_map(move |y| {
            range(center[1], width).map(move |x| {
                let from = (source[0] + y - center[0]) * width + source[1] + x - center[1];
                [y * width + x, from]
            })
        })
    }

    /// Blends the overlapping copies into the uncovered areas; patches with nearer centers have higher weights.
    fn blended(&self, stylized: &Canvas, uncovered: &[f32]) -> Canvas {
        let width = self.content.size[1];
        let mut sums = vec![[0.0_f32; 4]; uncovered.len()];
        for patch in self.grid.iter().flatten() {
            let shift = self.shift(patch);
            for [to, from] in self.pairs(patch.center, patch.source) {
                let away = (to / width).abs_diff(patch.center[0]).max((to % width).abs_diff(patch.center[1]));
                let weight = ((REACH + 1 - away) as f32).powi(4);
                for channel in 0..3 {
                    sums[to][channel] += weight * (stylized.values[3 * from + channel] + shift[channel]);
                }
                sums[to][3] += weight;
            }
        }
        let pixels = stylized.values.chunks_exact(3).zip(&sums).zip(uncovered);
        let values = pixels.flat_map(|((pixel, sum), &share)| {
            let share = if sum[3] > 0.0 { share } else { 0.0 };
            [0, 1, 2].map(|c: usize| pixel[c] + share * (sum[c] / sum[3].max(f32::MIN_POSITIVE) - pixel[c]))
        });
        Canvas { size: stylized.size, values: values.collect() }
    }

    /// Mean color difference of the content between a patch and its source, which is added to the copy: it keeps the
    /// strokes, but gets the color of the content.
    fn shift(&self, patch: &Patch) -> [f32; 3] {
        let values = &self.content.values;
        let (mut sums, mut count) = ([0.0; 3], 0.0_f32);
        for [to, from] in self.pairs(patch.center, patch.source) {
            (0..3).for_each(|channel| sums[channel] += values[3 * to + channel] - values[3 * from + channel]);
            count += 1.0;
        }
        sums.map(|sum| sum / count.max(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Left half dark, right half bright; stylized with dark stripes and bright dots.
    #[test]
    fn gaps_get_the_texture_of_like_content() {
        let size = [48, 64];
        let of = |value: &dyn Fn(usize, usize) -> f32| Canvas {
            size,
            values: (0..48 * 64).flat_map(|at| [value(at / 64, at % 64); 3]).collect(),
        };
        let content = of(&|_, x| if x < 32 { 60.0 } else { 180.0 });
        let stylized = of(&|y, x| match x < 32 {
            true => 60.0 + if y % 4 < 2 { 20.0 } else { -20.0 },
            false => 180.0 + if (x + y) % 4 == 0 { 40.0 } else { 0.0 },
        });
        let uncovered: Vec<f32> = (0..48 * 64).map(|at| f32::from(u8::from((20..30).contains(&(at / 64))))).collect();
        let gap = |canvas: &Canvas, x: usize| {
            (20..30)
                .map(|y| canvas.values[3 * (y * 64 + x)])
                .fold([f32::MAX, f32::MIN], |[a, b], v| [a.min(v), b.max(v)])
        };
        let mut holed = stylized.clone();
        for (pixel, share) in holed.values.chunks_exact_mut(3).zip(&uncovered) {
            pixel.iter_mut().for_each(|value| *value *= 1.0 - share);
        }
        let filled = fill(&content, &holed, &uncovered, 7);
        let (dark, bright) = (gap(&filled, 12), gap(&filled, 52));
        assert!(dark[0] < 55.0 && dark[1] > 65.0 && dark[1] < 85.0, "{dark:?}");
        assert!(bright[0] > 170.0 && bright[1] > 190.0, "{bright:?}");
        let outside = |at: usize| uncovered[at / 3] == 0.0;
        assert!((0..filled.values.len()).filter(|&at| outside(at)).all(|at| filled.values[at] == holed.values[at]));
        assert_eq!(fill(&content, &holed, &[1.0; 48 * 64], 7), holed);
    }
}
