//! The result of an attribution: a value for each pixel.

use super::Method;

/// The attribution of a class score to the pixels of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    /// How it was computed.
    pub method: Method,
    /// The class.
    pub class: usize,
    /// The score of the class for the image: see [`ClassScore`](crate::explain::ClassScore).
    pub score: f32,
    /// Height and width of the network's input.
    pub size: [usize; 2],
    /// One value per pixel, in row-major order: the higher, the stronger the evidence for the class. For methods with a
    /// value per channel, the sum over the channels, or the largest magnitude for methods that show magnitudes.
    pub values: Vec<f32>,
    /// The shape of `raw`: `[height, width, channels]` of the image, or of a layer.
    pub raw_shape: [usize; 3],
    /// The values as defined by the method: for each channel of the input, or for each position of a layer.
    pub raw: Vec<f32>,
    /// The completeness of the attribution.
    pub completeness: CompletenessCheck,
}

/// How an attribution adds up, by method.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum CompletenessCheck {
    /// Not applicable.
    None,
    /// Integrated gradients: their sum should be the difference between the scores of the image and the baseline.
    Completeness {
        /// The sum of all values.
        sum: f64,
        /// The score of the image minus that of the baseline.
        difference: f64,
        /// The number of intervals of the integral.
        steps: usize,
    },
    /// Relevance propagation: where the score went. The remainder is absorbed by epsilon.
    Conservation {
        /// The propagated score.
        score: f64,
        /// The relevance of the pixels.
        inputs: f64,
        /// The relevance of biases, of the shifts of batch normalizations, and of the value 1/2 of sigmoids at zero.
        biases: f64,
    },
    /// The layer of a class activation map.
    Layer(String),
}

/// The fraction of relevance that may be lost or added before the rules count as not applicable.
const LOST: f64 = 0.25;

/// Relative difference below which values differ only by rounding.
const SAME: f32 = 1e-6;

impl HeatMap {
    /// Why a map is empty: it is zero everywhere, or constant. `None` for any other map.
    pub fn flat_reason(&self) -> Option<&'static str> {
        let (least, most) = self.values.iter().fold((f32::MAX, f32::MIN), |(l, m), &v| (l.min(v), m.max(v)));
        if least == 0.0 && most == 0.0 {
            // Worded for each method: another method's map for the same score need not be zero.
            return Some(match self.method {
                Method::Gradient | Method::SmoothGrad => {
                    "the map is zero everywhere: the gradient of the class's score is zero at every pixel"
                }
                method if method.is_of_layer() => {
                    "the map is zero everywhere: no position of the layer raises the class's score"
                }
                _ => "the map is zero everywhere: the method attributes none of the class's score to any pixel",
            });
        }
        let same = most - least <= SAME * least.abs().max(most.abs());
        (same && self.values.len() > 1).then_some("the map is constant: all pixels have the same attribution")
    }
}

impl CompletenessCheck {
    /// The relative error of a sum that should be conserved; `None` where not applicable.
    pub fn error(&self) -> Option<f64> {
        let relative_error =
            |got: f64, expected: f64| if got == expected { 0.0 } else { (got - expected).abs() / expected.abs() };
        match *self {
            Self::Completeness { sum, difference, .. } => Some(relative_error(sum, difference)),
            Self::Conservation { score, inputs, biases } => Some(relative_error(inputs + biases, score)),
            _ => None,
        }
    }

    /// Why a relevance propagation is unreliable: a large part of the score was lost or added.
    pub fn warning(&self) -> Option<String> {
        let Self::Conservation { score, inputs, biases } = *self else { return None };
        let largest = score.abs().max(inputs.abs()).max(biases.abs());
        let lost = (inputs + biases - score).abs() / largest;
        (lost > LOST || lost.is_nan() && largest != 0.0).then(|| {
            format!(
                "relevance is not conserved: {inputs:.4} on pixels and {biases:.4} on biases, of {score:.4}; the rules of LRP \
                 do not cover products of computed values (attention), powers and exponentials: take another method"
            )
        })
    }
}

/// The result of a method, before it becomes a [`HeatMap`].
pub(super) struct RawAttribution {
    pub(super) score: f32,
    pub(super) raw_shape: [usize; 3],
    pub(super) raw: Vec<f32>,
    pub(super) values: Vec<f32>,
    pub(super) completeness: CompletenessCheck,
}

impl RawAttribution {
    /// From a value for each channel of each pixel, reduced by the largest magnitude.
    pub(super) fn magnitudes(score: f32, raw_shape: [usize; 3], raw: Vec<f32>) -> Self {
        let largest = |pixel: &[f32]| pixel.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        let values = raw.chunks_exact(raw_shape[2]).map(largest).collect();
        Self { score, raw_shape, raw, values, completeness: CompletenessCheck::None }
    }

    /// From a value for each channel of each pixel, reduced by the sum.
    pub(super) fn sums(score: f32, raw_shape: [usize; 3], raw: Vec<f32>, completeness: CompletenessCheck) -> Self {
        let values = raw.chunks_exact(raw_shape[2]).map(|pixel| pixel.iter().sum()).collect();
        Self { score, raw_shape, raw, values, completeness }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_relevance_is_a_warning() {
        let check = |score, inputs, biases| CompletenessCheck::Conservation { score, inputs, biases }.warning();
        assert_eq!(check(10.0, 9.0, 0.9), None);
        // A small score that is the difference of large parts is not lost.
        assert_eq!(check(0.1, -4.9, 5.05), None);
        assert_eq!(check(0.0, 0.0, 0.0), None);
        assert!(check(10.0, 3.0, 0.5).unwrap().contains("not conserved: 3.0000 on pixels"));
        assert!(check(10.0, f64::NAN, 0.0).is_some());
        assert_eq!(CompletenessCheck::None.warning(), None);
    }
}
