//! What speaks for a class and against the others.
//!
//! The picture of a class follows its logit, not its probability, which can grow by what the other classes dislike (Simonyan,
//! Vedaldi and Zisserman, 2014, "Deep Inside Convolutional Networks"). But what raises one logit can raise another more: all
//! that a network knows of a 1 may be strokes that a 7 and a 4 have too. So the logarithm of the probability is followed beside
//! the logit. Its gradient by the logits,
//!
//! ```text
//! d log p_c / d z_k = (k == c) - p_k,
//! ```
//!
//! is zero where the class is certain, and there the picture remains that of the logit alone.

use super::Objective;

/// Adds `weight` times the gradient of the logarithm of each sample's probability to the gradients of its `classes` logits.
/// Sample `i` follows objective `i` modulo their number; those that are no single class stay as they are.
pub(super) fn against_rivals(
    objectives: &[Objective],
    classes: usize,
    logits: &[f32],
    gradients: &mut [f32],
    weight: f32,
) {
    let samples = logits.chunks_exact(classes).zip(gradients.chunks_exact_mut(classes));
    for (index, (logits, gradient)) in samples.enumerate() {
        let Objective::Channel(class) = objectives[index % objectives.len()] else { continue };
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = logits.iter().map(|logit| (logit - largest).exp()).sum();
        for (gradient, logit) in gradient.iter_mut().zip(logits) {
            *gradient -= weight * (logit - largest).exp() / sum;
        }
        gradient[class] += weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_gradient_of_the_logarithm_of_the_probability() {
        let log_probability =
            |logits: &[f64; 3], class: usize| logits[class] - logits.iter().map(|logit| logit.exp()).sum::<f64>().ln();
        let (logits, weight) = ([0.3_f64, -1.2, 0.9], 2.0);
        let objectives = [Objective::Channel(1), Objective::Channel(2), Objective::Layer];
        let seen: Vec<f32> = objectives.iter().flat_map(|_| logits.map(|logit| logit as f32)).collect();
        let mut gradients = vec![10.0; 9];
        against_rivals(&objectives, 3, &seen, &mut gradients, weight);
        for (sample, class) in [(0, 1), (1, 2)] {
            for k in 0..3 {
                let moved = |by: f64| {
                    let mut logits = logits;
                    logits[k] += by;
                    log_probability(&logits, class)
                };
                let expected = 10.0 + f64::from(weight) * (moved(1e-4) - moved(-1e-4)) / 2e-4;
                let found = f64::from(gradients[3 * sample + k]);
                assert!((found - expected).abs() < 1e-5, "sample {sample}, logit {k}: {found}, not {expected}");
            }
        }
        assert_eq!(gradients[6..], [10.0; 3]);
    }

    #[test]
    fn a_certain_class_has_no_rivals() {
        let mut gradients = vec![0.0; 2];
        against_rivals(&[Objective::Channel(0)], 2, &[90.0, -90.0], &mut gradients, 3.0);
        assert_eq!(gradients, [0.0; 2]);
    }
}
