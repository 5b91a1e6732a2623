//! How a picture moved from one frame to the next, by matching blocks.
//!
//! From coarse to fine each block of 8x8 pixels looks for its like in the other frame, near where the coarser block found
//! its own; the vectors of the blocks are then interpolated. A pixel whose like is not found, because it was hidden or has
//! changed, has no trust.

use super::Canvas;
use super::colours::gray;
use crate::{Cpu, Result};

/// The side of a block.
const BLOCK: usize = 8;
/// How far a block looks at each level.
const REACH: isize = 3;
/// The mean difference of gray levels at which a match is believed half.
const HALF_TRUST: f32 = 10.0;

/// For each pixel where it was in the other frame, and how much that is to be believed.
#[derive(Debug, Clone)]
pub(super) struct Flow {
    size: [usize; 2],
    /// Rows and columns to add.
    vectors: Vec<[f32; 2]>,
    /// From 0 to 1.
    pub(super) trust: Vec<f32>,
}

struct Plane {
    size: [usize; 2],
    values: Vec<f32>,
}

impl Plane {
    fn at(&self, y: isize, x: isize) -> f32 {
        let [height, width] = self.size;
        self.values[y.clamp(0, height as isize - 1) as usize * width + x.clamp(0, width as isize - 1) as usize]
    }

    /// Means of 2x2 pixels.
    fn halved(&self) -> Self {
        let size = self.size.map(|side| side.div_ceil(2));
        let mut values = Vec::with_capacity(size[0] * size[1]);
        for y in 0..size[0] as isize {
            for x in 0..size[1] as isize {
                let sum = self.at(2 * y, 2 * x) + self.at(2 * y, 2 * x + 1) + self.at(2 * y + 1, 2 * x);
                values.push((sum + self.at(2 * y + 1, 2 * x + 1)) / 4.0);
            }
        }
        Self { size, values }
    }
}

impl Flow {
    /// Where the pixels of `now` were in `before`, a frame of the same size.
    pub(super) fn between(now: &Canvas, before: &Canvas, cpu: Cpu) -> Self {
        let plane = |canvas: &Canvas| Plane { size: canvas.size, values: gray(canvas) };
        let mut levels = vec![(plane(now), plane(before))];
        while levels.len() < 5 {
            let Some((now, before)) = levels.last().filter(|(now, _)| now.size[0].min(now.size[1]) >= 4 * BLOCK) else {
                break;
            };
            levels.push((now.halved(), before.halved()));
        }
        let mut found: Option<([usize; 2], Vec<Match>)> = None;
        for (now, before) in levels.iter().rev() {
            let blocks = now.size.map(|side| side.div_ceil(BLOCK));
            let mut matches = vec![Match::default(); blocks[0] * blocks[1]];
            cpu.parallel_chunks(&mut matches, blocks[1], |row, matches| {
                for (column, own) in matches.iter_mut().enumerate() {
                    let guess = found.as_ref().map_or([0, 0], |(coarse, matches)| {
                        let at = (row / 2).min(coarse[0] - 1) * coarse[1] + (column / 2).min(coarse[1] - 1);
                        matches[at].vector.map(|v| 2 * v)
                    });
                    *own = search(now, before, [row, column], guess);
                }
            });
            found = Some((blocks, matches));
        }
        let (blocks, matches) = found.unwrap_or(([1, 1], vec![Match::default()]));
        interpolate(now.size, blocks, &matches, &levels[0])
    }

    /// The picture that belongs to the frame before, moved to where its parts are now.
    pub(super) fn warp(&self, before: &Canvas) -> Result<Canvas> {
        let [height, width] = self.size;
        let mut values = Vec::with_capacity(before.values.len());
        for (at, [dy, dx]) in self.vectors.iter().enumerate() {
            let y = ((at / width) as f32 + dy).clamp(0.0, height as f32 - 1.0);
            let x = ((at % width) as f32 + dx).clamp(0.0, width as f32 - 1.0);
            let (top, left) = (y as usize, x as usize);
            let (below, right) = ((top + 1).min(height - 1), (left + 1).min(width - 1));
            let (fy, fx) = (y - top as f32, x - left as f32);
            for channel in 0..3 {
                let get = |y: usize, x: usize| before.values[3 * (y * width + x) + channel];
                let upper = get(top, left) + fx * (get(top, right) - get(top, left));
                let lower = get(below, left) + fx * (get(below, right) - get(below, left));
                values.push(upper + fy * (lower - upper));
            }
        }
        Ok(Canvas { size: self.size, values })
    }
}

/// What a block found.
#[derive(Debug, Clone, Copy, Default)]
struct Match {
    vector: [isize; 2],
}

/// The place near the guess, and near no movement, that differs least from a block. Of equal ones the first is taken:
/// the guess itself, then the nearest.
fn search(now: &Plane, before: &Plane, [row, column]: [usize; 2], guess: [isize; 2]) -> Match {
    let origin = [(row * BLOCK) as isize, (column * BLOCK) as isize];
    // A rim around the block makes the vectors smoother.
    let rim = BLOCK as isize / 2;
    let cost = |vector: [isize; 2]| {
        let mut sum = 0.0;
        for y in origin[0] - rim..origin[0] + BLOCK as isize + rim {
            for x in origin[1] - rim..origin[1] + BLOCK as isize + rim {
                sum += (now.at(y, x) - before.at(y + vector[0], x + vector[1])).abs();
            }
        }
        // A pixel's movement must be worth something: in a blank area nothing moves.
        sum + 2.0 * ((vector[0] - guess[0]).abs() + (vector[1] - guess[1]).abs()) as f32
    };
    let mut best = (cost(guess), guess);
    for centre in [guess, [0, 0]] {
        for dy in -REACH..=REACH {
            for dx in -REACH..=REACH {
                let vector = [centre[0] + dy, centre[1] + dx];
                let cost = cost(vector);
                if cost < best.0 {
                    best = (cost, vector);
                }
            }
        }
        if guess == [0, 0] {
            break;
        }
    }
    Match { vector: best.1 }
}

/// Vectors of pixels from those of blocks, which belong to their centres.
fn interpolate(size: [usize; 2], blocks: [usize; 2], matches: &[Match], (now, before): &(Plane, Plane)) -> Flow {
    let [height, width] = size;
    let (mut vectors, mut trust) = (Vec::with_capacity(height * width), Vec::with_capacity(height * width));
    let place = |at: usize, count: usize| {
        let along = ((at as f32 + 0.5) / BLOCK as f32 - 0.5).clamp(0.0, count as f32 - 1.0);
        (along as usize, (along as usize + 1).min(count - 1), along.fract())
    };
    for y in 0..height {
        let (top, below, fy) = place(y, blocks[0]);
        for x in 0..width {
            let (left, right, fx) = place(x, blocks[1]);
            let vector = [0, 1].map(|axis: usize| {
                let get = |y: usize, x: usize| matches[y * blocks[1] + x].vector[axis] as f32;
                let upper = get(top, left) + fx * (get(top, right) - get(top, left));
                let lower = get(below, left) + fx * (get(below, right) - get(below, left));
                upper + fy * (lower - upper)
            });
            vectors.push(vector);
            let mut apart = 0.0;
            for dy in -1..=1 {
                for dx in -1..=1 {
                    let (y, x) = (y as isize + dy, x as isize + dx);
                    apart += (now.at(y, x) - before.at(y + vector[0].round() as isize, x + vector[1].round() as isize))
                        .abs();
                }
            }
            let outside = |at: f32, len: usize| at < 0.0 || at > len as f32 - 1.0;
            let gone = outside(y as f32 + vector[0], height) || outside(x as f32 + vector[1], width);
            trust.push(if gone { 0.0 } else { 1.0 / (1.0 + (apart / 9.0 / HALF_TRUST).powi(2)) });
        }
    }
    Flow { size, vectors, trust }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blobs that are nowhere alike, moved by some pixels.
    fn frame(size: [usize; 2], by: [f32; 2]) -> Canvas {
        let value = |at: usize| {
            let (y, x) = ((at / size[1]) as f32 + by[0], (at % size[1]) as f32 + by[1]);
            let v = 120.0 + 50.0 * (y * 0.21 + (x * 0.05).sin() * 3.0).sin() + 50.0 * (x * 0.17 + y * y * 0.002).cos();
            [v, 0.7 * v, 255.0 - v]
        };
        Canvas { size, values: (0..size[0] * size[1]).flat_map(value).collect() }
    }

    #[test]
    fn movement_is_found_and_undone() {
        let (before, now) = (frame([96, 128], [0.0, 0.0]), frame([96, 128], [3.0, -7.0]));
        let flow = Flow::between(&now, &before, Cpu::detect());
        let error = |canvas: &Canvas| {
            let mut sum = 0.0;
            for y in 16..80 {
                for x in 16..112 {
                    let at = 3 * (y * 128 + x);
                    sum += (canvas.values[at] - now.values[at]).abs();
                }
            }
            sum / (64.0 * 96.0)
        };
        let warped = flow.warp(&before).unwrap();
        assert!(error(&warped) < 0.05 * error(&before), "{} of {}", error(&warped), error(&before));
        assert!(flow.trust[48 * 128 + 64] > 0.9);
    }

    #[test]
    fn what_appears_is_not_trusted() {
        let before = frame([96, 128], [0.0, 0.0]);
        let mut now = before.clone();
        for y in 40..60 {
            for x in 50..80 {
                for c in 0..3 {
                    now.values[3 * (y * 128 + x) + c] = if (x + y) % 2 == 0 { 255.0 } else { 0.0 };
                }
            }
        }
        let flow = Flow::between(&now, &before, Cpu::detect());
        assert!(flow.trust[50 * 128 + 65] < 0.2 && flow.trust[10 * 128 + 10] > 0.9);
        let still = Flow::between(&before, &before, Cpu::detect());
        assert_eq!(still.warp(&before).unwrap(), before);
    }
}
