//! Configuration of the attribution methods.

use std::str::FromStr;

use crate::{Cpu, Error, Result};

/// The reference image: the start of integrated gradients, and the replacement of masked pixels (occlusion, RISE,
/// Score-CAM, deletion).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Baseline {
    /// A black image, preprocessed.
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

/// Configuration of the attribution methods. The defaults of [`ExplainConfig::default`] follow the papers.
#[derive(Debug, Clone, PartialEq)]
pub struct ExplainConfig {
    /// Instruction set and threads.
    pub cpu: Cpu,
    /// Seed of all random numbers.
    pub seed: u64,
    /// The layer of class activation maps; `None` for [`default_layer`](super::default_layer).
    pub layer: Option<String>,
    /// The reference image.
    pub baseline: Baseline,
    /// SmoothGrad: the standard deviation of the noise, relative to the image's value range. Default 0.15; the paper finds
    /// 0.1 to 0.2 best.
    pub noise: f32,
    /// SmoothGrad: the number of noisy copies. Default 50; the paper sees little change beyond that.
    pub samples: usize,
    /// RISE: the number of random masks. Default 2000; the paper uses 4000 to 8000 for images of 224 pixels.
    pub masks: usize,
    /// RISE: the cells of a mask along each side. Default 7.
    pub cells: usize,
    /// Occlusion: the side of a patch in pixels; `None` for one seventh of the image's shorter side.
    pub patch: Option<usize>,
    /// Occlusion: the stride of the patches in pixels, at most a patch size; `None` for a quarter of a patch.
    pub stride: Option<usize>,
    /// LRP: stabilizes divisions by small sums. Default 1e-4.
    pub epsilon: f32,
    /// Deletion and insertion: the number of points of each curve after the first. Default 28; the authors' code uses one
    /// for each image row.
    pub curve_steps: usize,
    /// The maximum number of stages of the sanity check; larger networks are randomized several layers at a time. Default
    /// 12.
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
    /// [`Error::Argument`] names the first invalid value.
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
