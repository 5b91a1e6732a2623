//! Optical flow between two frames, by block matching.
//!
//! From coarse to fine, each block of 8x8 pixels is matched in the other frame, near the match of the corresponding coarser
//! block. The vector of a pixel is interpolated from the blocks around it, or is that of one of them if it matches better,
//! which happens at the edges of objects. A pixel was hidden in the other frame if it has no match, if the backward flow
//! does not return to it (N. Sundaram, T. Brox, K. Keutzer, 2010), or if it is at a motion boundary.

use crate::style::Canvas;
use crate::style::pipeline::colors::gray;
use crate::{Cpu, Result};

/// Side of a block in pixels.
const BLOCK: usize = 8;
/// Search radius at each level, in pixels.
const REACH: isize = 3;
/// Mean difference of gray levels at which a match is trusted by half.
const HALF_TRUST: f32 = 10.0;
/// Share of its difference that a block must gain for each pixel of distance from its initial guess. Without it, camera
/// noise would move blank areas.
const GAIN: f32 = 0.03;
/// Factor by which the difference must be lower for a single block's vector to replace the interpolated one.
const BETTER: f32 = 0.7;
/// Neighbors whose vectors differ by more than this many pixels are at a motion boundary.
const JUMP: f32 = 1.5;
/// A pixel counts as hidden only if more than this share of its neighborhood is: isolated pixels are noise.
const CROWD: f32 = 1.0 / 3.0;
/// Radius of the dilation of the hidden area, and of the smoothing of its edge, in pixels.
const WIDEN: usize = 3;
const SOFTEN: usize = 3;

/// Optical flow: the position of each pixel in the other frame, and its reliability.
#[derive(Debug, Clone)]
pub(in crate::style) struct Flow {
    size: [usize; 2],
    /// Displacement in rows and columns.
    vectors: Vec<[f32; 2]>,
    /// Reliability, from 0 (hidden) to 1 (unchanged).
    pub(in crate::style) reliability: Vec<f32>,
    /// How much the pixel was hidden in the other frame, from 0 to 1.
    pub(in crate::style) hidden: Vec<f32>,
}

/// Image pyramids of both frames, from fine to coarse.
type Levels<'a> = Vec<(&'a Plane, &'a Plane)>;

struct Plane {
    size: [usize; 2],
    values: Vec<f32>,
}

impl Plane {
    fn at(&self, y: isize, x: isize) -> f32 {
        let [height, width] = self.size;
        self.values[y.clamp(0, height as isize - 1) as usize * width + x.clamp(0, width as isize - 1) as usize]
    }

    /// Downsamples by averaging 2x2 pixels.
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
    /// Computes the flow from `now` to `before`, a frame of the same size.
    pub(in crate::style) fn between(now: &Canvas, before: &Canvas, cpu: Cpu) -> Self {
        let plane = |canvas: &Canvas| Plane { size: canvas.size, values: gray(canvas) };
        let mut levels = vec![(plane(now), plane(before))];
        while levels.len() < 5 {
            let Some((now, before)) = levels.last().filter(|(now, _)| now.size[0].min(now.size[1]) >= 4 * BLOCK) else {
                break;
            };
            levels.push((now.halved(), before.halved()));
        }
        let forth = levels.iter().map(|(now, before)| (now, before)).collect();
        let back = levels.iter().map(|(now, before)| (before, now)).collect();
        let [vectors, returns] = [forth, back].map(|levels| vectors(&levels, cpu));
        let matched = matched(&vectors, &levels[0]);
        let hidden = hidden(now.size, &vectors, &returns, &matched);
        let smooth = box_mean(&matched, now.size, 2);
        let reliability = smooth.iter().zip(&hidden).map(|(matched, hidden)| matched * (1.0 - hidden)).collect();
        Self { size: now.size, vectors, reliability, hidden }
    }

    /// Warps an image of the previous frame to the current one (bilinear).
    pub(in crate::style) fn warp(&self, before: &Canvas) -> Result<Canvas> {
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

/// Vectors of each pixel of the first frames to the second ones.
fn vectors(levels: &Levels, cpu: Cpu) -> Vec<[f32; 2]> {
    let mut found: Option<([usize; 2], Vec<BlockMatch>)> = None;
    for (now, before) in levels.iter().rev() {
        let blocks = now.size.map(|side| side.div_ceil(BLOCK));
        let mut matches = vec![BlockMatch::default(); blocks[0] * blocks[1]];
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
    let (blocks, matches) = found.unwrap_or(([1, 1], vec![BlockMatch::default()]));
    interpolate(blocks, &matches, levels[0])
}

/// The match of a block.
#[derive(Debug, Clone, Copy, Default)]
struct BlockMatch {
    vector: [isize; 2],
}

/// Finds the best match of a block near the guess, and near zero motion. The first of equal ones wins: the guess itself,
/// then the others in scan order.
fn search(now: &Plane, before: &Plane, [row, column]: [usize; 2], guess: [isize; 2]) -> BlockMatch {
    let origin = [(row * BLOCK) as isize, (column * BLOCK) as isize];
    let mut best = (cost(now, before, origin, (guess, 0.0), f32::INFINITY), guess);
    let price = 2.0 + GAIN * best.0;
    for center in [guess, [0, 0]] {
        for dy in -REACH..=REACH {
            for dx in -REACH..=REACH {
                let vector = [center[0] + dy, center[1] + dx];
                let away = (vector[0] - guess[0]).abs() + (vector[1] - guess[1]).abs();
                let cost = cost(now, before, origin, (vector, price * away as f32), best.0);
                if cost < best.0 {
                    best = (cost, vector);
                }
            }
        }
        if guess == [0, 0] {
            break;
        }
    }
    BlockMatch { vector: best.1 }
}

/// Sum of absolute differences between a block at `origin` and one displaced by `vector`, plus the price of the vector.
/// Stops early once the sum reaches `most`, since it only grows.
fn cost(now: &Plane, before: &Plane, origin: [isize; 2], (vector, price): ([isize; 2], f32), most: f32) -> f32 {
    // Comparing a margin around the block as well makes the vectors smoother.
    let rim = BLOCK as isize / 2;
    let [rows, columns] = origin.map(|from| from - rim..from + BLOCK as isize + rim);
    let inside = |plane: &Plane, [dy, dx]: [isize; 2]| {
        let [height, width] = plane.size.map(|side| side as isize);
        rows.start + dy >= 0 && columns.start + dx >= 0 && rows.end + dy <= height && columns.end + dx <= width
    };
    let whole = inside(now, [0, 0]) && inside(before, vector);
    let mut sum = 0.0;
    for y in rows {
        if whole {
            let row = |plane: &Plane, [dy, dx]: [isize; 2]| {
                let start = (y + dy) as usize * plane.size[1] + (columns.start + dx) as usize;
                start..start + columns.len()
            };
            let pairs = now.values[row(now, [0, 0])].iter().zip(&before.values[row(before, vector)]);
            pairs.for_each(|(a, b)| sum += (a - b).abs());
        } else {
            for x in columns.clone() {
                sum += (now.at(y, x) - before.at(y + vector[0], x + vector[1])).abs();
            }
        }
        if sum + price >= most {
            break;
        }
    }
    sum + price
}

/// Interpolates vectors of pixels from those of the blocks, which are located at the block centers.
fn interpolate(blocks: [usize; 2], matches: &[BlockMatch], frames: (&Plane, &Plane)) -> Vec<[f32; 2]> {
    let [height, width] = frames.0.size;
    let mut vectors = Vec::with_capacity(height * width);
    let place = |at: usize, count: usize| {
        let along = ((at as f32 + 0.5) / BLOCK as f32 - 0.5).clamp(0.0, count as f32 - 1.0);
        (along as usize, (along as usize + 1).min(count - 1), along.fract())
    };
    for y in 0..height {
        let (top, below, fy) = place(y, blocks[0]);
        for x in 0..width {
            let (left, right, fx) = place(x, blocks[1]);
            let of = |y: usize, x: usize| matches[y * blocks[1] + x].vector.map(|v| v as f32);
            let around = [of(top, left), of(top, right), of(below, left), of(below, right)];
            let mixed = [0, 1].map(|axis: usize| {
                let [a, b, c, d] = around.map(|vector| vector[axis]);
                let (upper, lower) = (a + fx * (b - a), c + fx * (d - c));
                upper + fy * (lower - upper)
            });
            if around.iter().all(|vector| *vector == around[0]) {
                vectors.push(mixed);
                continue;
            }
            let mut best = (BETTER * difference(frames, [y, x], mixed), mixed);
            for vector in around {
                let difference = difference(frames, [y, x], vector);
                if difference < best.0 {
                    best = (difference, vector);
                }
            }
            vectors.push(best.1);
        }
    }
    vectors
}

/// Mean difference of gray levels over 3x3 pixels.
fn difference((now, before): (&Plane, &Plane), [y, x]: [usize; 2], vector: [f32; 2]) -> f32 {
    let [dy, dx] = vector.map(|v| v.round() as isize);
    let mut sum = 0.0;
    for y in y as isize - 1..=y as isize + 1 {
        for x in x as isize - 1..=x as isize + 1 {
            sum += (now.at(y, x) - before.at(y + dy, x + dx)).abs();
        }
    }
    sum / 9.0
}

/// Similarity of each pixel to its match, from 0 to 1; 0 if the match is outside of the frame.
fn matched(vectors: &[[f32; 2]], (now, before): &(Plane, Plane)) -> Vec<f32> {
    let [height, width] = now.size;
    let of = |(at, vector): (usize, &[f32; 2])| {
        let (y, x) = (at / width, at % width);
        let outside = |at: usize, by: f32, len: usize| at as f32 + by < 0.0 || at as f32 + by > len as f32 - 1.0;
        if outside(y, vector[0], height) || outside(x, vector[1], width) {
            return 0.0;
        }
        1.0 / (1.0 + (difference((now, before), [y, x], *vector) / HALF_TRUST).powi(2))
    };
    vectors.iter().enumerate().map(of).collect()
}

/// How much each pixel was hidden in the other frame, with a smooth edge.
fn hidden(size: [usize; 2], vectors: &[[f32; 2]], returns: &[[f32; 2]], matched: &[f32]) -> Vec<f32> {
    let [height, width] = size;
    let squared = |[y, x]: [f32; 2]| y * y + x * x;
    let is_hidden = |at: usize| {
        let (y, x, own) = (at / width, at % width, vectors[at]);
        let target = [(y, own[0], height), (x, own[1], width)]
            .map(|(at, by, side)| (at as f32 + by).round().clamp(0.0, side as f32 - 1.0) as usize);
        let back = returns[target[0] * width + target[1]];
        let lost = squared([own[0] + back[0], own[1] + back[1]]) > 0.01 * (squared(own) + squared(back)) + 1.0;
        let jump = |other: [f32; 2]| squared([own[0] - other[0], own[1] - other[1]]) > JUMP * JUMP;
        let boundary = (x + 1 < width && jump(vectors[at + 1])) || (y + 1 < height && jump(vectors[at + width]));
        matched[at] < 0.5 || lost || boundary
    };
    let plane: Vec<f32> = (0..vectors.len()).map(|at| f32::from(u8::from(is_hidden(at)))).collect();
    let above = |plane: Vec<f32>, least: f32| plane.iter().map(|&v| f32::from(u8::from(v > least))).collect::<Vec<_>>();
    let crowded = above(box_mean(&plane, size, 2), CROWD);
    let wide = above(box_mean(&crowded, size, WIDEN), 0.0);
    // Two box filters approximate a smooth one.
    box_mean(&box_mean(&wide, size, SOFTEN), size, SOFTEN)
}

/// Box filter: mean of the pixels up to `radius` rows and columns away, clipped to the plane.
pub(in crate::style) fn box_mean(plane: &[f32], [height, width]: [usize; 2], radius: usize) -> Vec<f32> {
    let range = |at: usize, side: usize| at.saturating_sub(radius)..(at + radius + 1).min(side);
    let mean = |count: usize, sum: f32| sum / count.max(1) as f32;
    let across = (0..height * width).map(|at| {
        let columns = range(at % width, width);
        let row = at / width * width;
        mean(columns.len(), plane[row + columns.start..row + columns.end].iter().sum())
    });
    let across: Vec<f32> = across.collect();
    let down = (0..height * width).map(|at| {
        let rows = range(at / width, height);
        mean(rows.len(), rows.map(|y| across[y * width + at % width]).sum())
    });
    down.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An aperiodic pattern of blobs, shifted by some pixels.
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
        assert!(flow.reliability[48 * 128 + 64] > 0.9);
    }

    /// An object moves to the right over a static background.
    #[test]
    fn what_an_object_uncovers_was_hidden_and_has_a_soft_rim() {
        let background = frame([96, 128], [0.0, 0.0]);
        let object = frame([96, 128], [31.0, 57.0]);
        let at = |left: usize| {
            let mut now = background.clone();
            for y in 20..76 {
                for x in left..left + 60 {
                    let from = 3 * (y * 128 + x - left);
                    (0..3).for_each(|c| now.values[3 * (y * 128 + x) + c] = 255.0 - object.values[from + c]);
                }
            }
            now
        };
        let (before, now) = (at(30), at(36));
        let flow = Flow::between(&now, &before, Cpu::detect());
        let row = |y: usize| &flow.hidden[y * 128..(y + 1) * 128];
        // Columns 30 to 35 were behind the object; its interior and distant pixels were visible.
        assert!(row(48)[31..35].iter().all(|&hidden| hidden > 0.8), "{:?}", row(48));
        assert!(row(48)[56..80].iter().chain(&row(48)[..16]).all(|&hidden| hidden < 0.1), "{:?}", row(48));
        for y in 0..96 {
            assert!(row(y).windows(2).all(|pair| (pair[0] - pair[1]).abs() < 0.2), "{:?}", row(y));
        }
        let warped = flow.warp(&before).unwrap();
        let off = (56..80).map(|x| (warped.values[3 * (48 * 128 + x)] - now.values[3 * (48 * 128 + x)]).abs());
        assert!(off.sum::<f32>() < 24.0);
    }

    #[test]
    fn the_mean_of_a_box() {
        let plane: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let means = box_mean(&plane, [3, 4], 1);
        assert_eq!((means[0], means[5], means[11]), (2.5, 5.0, 8.5));
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
        assert!(flow.reliability[50 * 128 + 65] < 0.2 && flow.reliability[10 * 128 + 10] > 0.9);
        let still = Flow::between(&before, &before, Cpu::detect());
        assert_eq!(still.warp(&before).unwrap(), before);
    }
}
