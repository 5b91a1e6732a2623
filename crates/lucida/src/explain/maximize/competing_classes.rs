//! The objective of a class minus those of the competing classes.
//!
//! The image of a class maximizes its logit rather than its probability, which can also grow by lowering other classes
//! (Simonyan, Vedaldi and Zisserman, 2014, "Deep Inside Convolutional Networks"). But a softmax depends only on differences
//! of logits: an image that raises one logit may raise another even more, and all that a network associates with a 1 may be
//! strokes that a 7 and a 4 have too. So the objective is the margin to the other classes, dominated by the closest ones:
//!
//! ```text
//! m_c = z_c - t log sum over k != c of exp(z_k / t),    d m_c / d z_k = -softmax over k != c of (z_k / t).
//! ```
//!
//! At a high temperature `t`, all other classes count equally; at a low one, only the strongest does, which changes from
//! step to step.

use super::Objective;

/// Subtracts the gradient of the soft maximum of the other classes, at a `temperature`, from the gradient of each sample's
/// logits. Sample `i` follows objective `i` modulo their number; objectives other than a single class are unchanged.
pub(super) fn subtract_competing_classes(
    objectives: &[Objective],
    classes: usize,
    logits: &[f32],
    gradients: &mut [f32],
    temperature: f32,
) {
    let samples = logits.chunks_exact(classes).zip(gradients.chunks_exact_mut(classes));
    for (index, (logits, gradient)) in samples.enumerate() {
        let Objective::Channel(class) = objectives[index % objectives.len()] else { continue };
        let others = || logits.iter().enumerate().filter(|(k, _)| *k != class);
        let largest = others().map(|(_, logit)| *logit).fold(f32::NEG_INFINITY, f32::max);
        let part = |logit: f32| ((logit - largest) / temperature).exp();
        let sum: f32 = others().map(|(_, logit)| part(*logit)).sum();
        others().for_each(|(k, logit)| gradient[k] -= part(*logit) / sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_gradient_of_the_margin() {
        let (logits, temperature) = ([0.3_f64, -1.2, 0.9], 2.0);
        let margin = |logits: &[f64; 3], class: usize| {
            let others = (0..3).filter(|k| *k != class).map(|k| (logits[k] / temperature).exp());
            logits[class] - temperature * others.sum::<f64>().ln()
        };
        let objectives = [Objective::Channel(1), Objective::Channel(2), Objective::Layer];
        let seen: Vec<f32> = objectives.iter().flat_map(|_| logits.map(|logit| logit as f32)).collect();
        // The gradients of the logits alone.
        let mut gradients = vec![0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 10.0, 10.0, 10.0];
        subtract_competing_classes(&objectives, 3, &seen, &mut gradients, temperature as f32);
        for (sample, class) in [(0, 1), (1, 2)] {
            for k in 0..3 {
                let moved = |by: f64| {
                    let mut logits = logits;
                    logits[k] += by;
                    margin(&logits, class)
                };
                let expected = (moved(1e-4) - moved(-1e-4)) / 2e-4;
                let found = f64::from(gradients[3 * sample + k]);
                assert!((found - expected).abs() < 1e-5, "sample {sample}, logit {k}: {found}, not {expected}");
            }
        }
        assert_eq!(gradients[6..], [10.0; 3]);
    }

    #[test]
    fn a_single_class_has_no_competition_and_large_logits_are_no_danger() {
        let mut gradients = vec![1.0];
        subtract_competing_classes(&[Objective::Channel(0)], 1, &[3.0], &mut gradients, 1.0);
        assert_eq!(gradients, [1.0]);
        let mut gradients = vec![1.0, 0.0, 0.0];
        subtract_competing_classes(&[Objective::Channel(0)], 3, &[9e4, 8e4, -9e4], &mut gradients, 1.0);
        assert_eq!(gradients, [1.0, -1.0, 0.0]);
    }
}
