//! Occlusion: a patch of the baseline slides over the image, and the score drops where it covers important pixels.
//!
//! The patches are `stride` pixels apart, at most a patch size, and a final one is aligned with the border, so that every
//! pixel is covered. A pixel's value is the mean drop over the patches that cover it.

use super::CompletenessCheck;
use super::explainer::Explainer;
use super::heat_map::RawAttribution;
use super::passes::Readout;
use crate::Result;

impl Explainer<'_> {
    pub(super) fn occlusion(&mut self, input: &[f32], readout: &Readout) -> Result<RawAttribution> {
        let baseline = self.baseline(input);
        let Self { settings, scorer, passes, shape, .. } = self;
        let [height, width, channels] = *shape;
        let patch = settings.patch.unwrap_or((height.min(width) / 7).max(1));
        let stride = settings.stride.unwrap_or((patch / 4).max(1)).min(patch);
        let (tall, wide) = (patch.min(height), patch.min(width));
        let (tops, lefts) = (patch_starts(height, tall, stride), patch_starts(width, wide, stride));
        let corners: Vec<(usize, usize)> =
            tops.iter().flat_map(|&top| lefts.iter().map(move |&left| (top, left))).collect();
        let fill = |i: usize, to: &mut [f32]| {
            to.copy_from_slice(input);
            let Some(&(top, left)) = corners.get(i) else { return };
            for row in top..top + tall {
                let (from, end) = ((row * width + left) * channels, (row * width + left + wide) * channels);
                to[from..end].copy_from_slice(&baseline[from..end]);
            }
        };
        // The last image is not occluded.
        let mut scores = vec![0.0; corners.len() + 1];
        scorer.run(scores.len(), passes, fill, |i, row| scores[i] = readout.score(row))?;
        let whole = scores.pop().unwrap_or(f32::NAN);
        let mut drops = vec![0.0_f64; height * width];
        let mut covers = vec![0_u32; height * width];
        for (&(top, left), score) in corners.iter().zip(&scores) {
            for row in top..top + tall {
                for at in row * width + left..row * width + left + wide {
                    drops[at] += f64::from(whole - score);
                    covers[at] += 1;
                }
            }
        }
        let values: Vec<f32> =
            drops.iter().zip(&covers).map(|(drop, &covers)| (drop / f64::from(covers)) as f32).collect();
        let raw_shape = [height, width, 1];
        Ok(RawAttribution {
            score: whole,
            raw_shape,
            raw: values.clone(),
            values,
            completeness: CompletenessCheck::None,
        })
    }
}

/// The start positions of patches of `patch` pixels along `size` pixels.
fn patch_starts(size: usize, patch: usize, stride: usize) -> Vec<usize> {
    let last = size - patch;
    (0..last).step_by(stride).chain([last]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_cover_all_pixels() {
        assert_eq!(patch_starts(10, 4, 3), [0, 3, 6]);
        assert_eq!(patch_starts(10, 4, 4), [0, 4, 6]);
        assert_eq!(patch_starts(4, 4, 1), [0]);
        assert_eq!(patch_starts(5, 1, usize::MAX), [0, 4]);
    }
}
