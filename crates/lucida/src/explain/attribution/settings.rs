//! How attributions are computed, where there is a choice.

use std::str::FromStr;

use crate::{Cpu, Error, Result};

/// What an image is compared with: the start of integrated gradients, and what takes the place of pixels that are
/// replaced (occlusion, RISE, Score-CAM, deletion).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Baseline {
    /// A black image, as the network takes it.
    #[default]
    Black,
    /// The mean color of the image itself.
    Mean,
}

impl FromStr for Baseline {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "black" => Ok(Self::Black),
            "mean" => Ok(Self::Mean),
            _ => Err(Error::argument(format!("unknown baseline {name:?}; expected black or mean"))),
        }
    }
}

/// How attributions are computed. [`ExplainConfig::default`] has what the papers recommend.
#[derive(Debug, Clone, PartialEq)]
pub struct ExplainConfig {
    /// What to run on.
    pub cpu: Cpu,
    /// Seed of all random numbers.
    pub seed: u64,
    /// The layer of the methods that are computed from one; `None` for [`default_layer`](super::default_layer).
    pub layer: Option<String>,
    /// What the image is compared with.
    pub baseline: Baseline,
    /// SmoothGrad: the deviation of the noise, as a part of the range of the image's values. 0.15: the paper finds 0.1 to
    /// 0.2 best.
    pub noise: f32,
    /// SmoothGrad: noisy copies. 50: the paper sees little change from there on.
    pub samples: usize,
    /// RISE: random masks. 2000; the paper takes 4000 to 8000 for images of 224 pixels.
    pub masks: usize,
    /// RISE: the cells of a mask along each side. 7.
    pub cells: usize,
    /// Occlusion: the side of a patch in pixels; `None` for a seventh of the image's shorter side.
    pub patch: Option<usize>,
    /// Occlusion: the pixels from one patch to the next, at most a patch; `None` for a quarter of a patch.
    pub stride: Option<usize>,
    /// Relevance propagation: what keeps small sums from blowing up. 1e-4.
    pub epsilon: f32,
    /// Deletion and insertion: points of each curve after the first. 28; the authors' programs take one for each row of
    /// an image.
    pub curve_steps: usize,
    /// The most stages of the sanity check: a network of more layers is randomized several at a time. 12.
    pub stages: usize,
}

impl Default for ExplainConfig {
    fn default() -> Self {
        Self {
            cpu: Cpu::detect(),
            seed: 42,
            layer: None,
            baseline: Baseline::Black,
            noise: 0.15,
            samples: 50,
            masks: 2000,
            cells: 7,
            patch: None,
            stride: None,
            epsilon: 1e-4,
            curve_steps: 28,
            stages: 12,
        }
    }
}

impl ExplainConfig {
    /// # Errors
    /// [`Error::Argument`] names the first value that cannot be used.
    pub(super) fn check(&self) -> Result<()> {
        let counts = [
            ("samples", self.samples, 1 << 20),
            ("masks", self.masks, 1 << 24),
            ("cells of a mask", self.cells, 256),
            ("pixels of a patch", self.patch.unwrap_or(1), usize::MAX),
            ("pixels of stride", self.stride.unwrap_or(1), usize::MAX),
            ("points of a curve", self.curve_steps, 1 << 20),
            ("stages of the check", self.stages, 1 << 20),
        ];
        for (what, count, most) in counts {
            if count == 0 || count > most {
                let range = if most == usize::MAX { "at least 1".to_owned() } else { format!("1 to {most}") };
                return Err(Error::argument(format!("{count} {what}: it must be {range}")));
            }
        }
        if !(self.noise.is_finite() && self.noise >= 0.0) {
            return Err(Error::argument(format!("noise of {}: it must be a number of at least 0", self.noise)));
        }
        if !(self.epsilon.is_finite() && self.epsilon > 0.0) {
            return Err(Error::argument(format!("an epsilon of {}: it must be a number above 0", self.epsilon)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        ExplainConfig::default().check().unwrap();
        let refused = |change: fn(&mut ExplainConfig), expected: &str| {
            let mut settings = ExplainConfig::default();
            change(&mut settings);
            let message = settings.check().unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        refused(|s| s.samples = 0, "0 samples: it must be 1 to 1048576");
        refused(|s| s.cells = 257, "257 cells");
        refused(|s| s.stride = Some(0), "0 pixels of stride: it must be at least 1");
        refused(|s| s.noise = -0.1, "noise");
        refused(|s| s.noise = f32::NAN, "noise");
        refused(|s| s.epsilon = 0.0, "epsilon");
        assert!("white".parse::<Baseline>().is_err());
        assert_eq!("mean".parse::<Baseline>().unwrap(), Baseline::Mean);
    }
}
