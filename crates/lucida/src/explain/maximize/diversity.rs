//! Several diverse images for one objective.
//!
//! For layers with spatial extent, the similarity of two images is the cosine similarity of their Gram matrices, as for
//! styles (Olah, Mordvintsev and Schubert, 2017, appendix). For a flat layer, it is that of the images themselves.

use super::objective::ObjectiveTensor;

/// Adds to each sample's gradient a term that reduces the similarity to the other samples of its group, scaled to `weight`
/// times the norm of the gradient. Every `variants` successive samples form a group.
pub(super) fn push_apart(
    seen: &ObjectiveTensor,
    activations: &[f32],
    gradients: &mut [f32],
    variants: usize,
    weight: f32,
) {
    let (len, channels) = (seen.shape().len(), seen.shape().channels());
    let groups = activations.chunks_exact(len * variants).zip(gradients.chunks_exact_mut(len * variants));
    for (activations, gradients) in groups {
        let outputs: Vec<f32> = activations.iter().map(|&value| seen.output(value)).collect();
        let grams: Vec<Vec<f32>> = outputs.chunks_exact(len).map(|output| gram(output, channels)).collect();
        for (own, gradient) in gradients.chunks_exact_mut(len).enumerate() {
            let towards_others = towards_others(&grams, own);
            // The derivative of A^T A in the direction D is 2 A D for a symmetric D.
            let mut push = vec![0.0; len];
            let positions = outputs[own * len..][..len].chunks_exact(channels).zip(push.chunks_exact_mut(channels));
            for (output, push) in positions {
                for (value, row) in output.iter().zip(towards_others.chunks_exact(channels)) {
                    push.iter_mut().zip(row).for_each(|(push, row)| *push -= value * row);
                }
            }
            add_scaled(gradient, &push, weight);
        }
    }
}

/// As [`push_apart`], comparing the images themselves, of `len` values each.
pub(super) fn push_images_apart(images: &[f32], gradients: &mut [f32], variants: usize, len: usize, weight: f32) {
    let groups = images.chunks_exact(len * variants).zip(gradients.chunks_exact_mut(len * variants));
    for (images, gradients) in groups {
        let centered: Vec<Vec<f32>> = images
            .chunks_exact(len)
            .map(|image| {
                let mean = image.iter().sum::<f32>() / len as f32;
                image.iter().map(|value| value - mean).collect()
            })
            .collect();
        for (own, gradient) in gradients.chunks_exact_mut(len).enumerate() {
            let push: Vec<f32> = towards_others(&centered, own).iter().map(|value| -value).collect();
            add_scaled(gradient, &push, weight);
        }
    }
}

/// The gradient of the sum of cosine similarities with the other vectors, with respect to vector `own`.
fn towards_others(vectors: &[Vec<f32>], own: usize) -> Vec<f32> {
    let length = |vector: &[f32]| dot(vector, vector).sqrt().max(1e-20);
    let mine = length(&vectors[own]);
    let mut gradient = vec![0.0; vectors[own].len()];
    for other in vectors.iter().enumerate().filter(|&(index, _)| index != own).map(|(_, vector)| vector) {
        let theirs = length(other);
        let cosine = dot(&vectors[own], other) / (mine * theirs);
        for ((gradient, &a), &b) in gradient.iter_mut().zip(&vectors[own]).zip(other) {
            *gradient += (f64::from(b) / (mine * theirs) - cosine * f64::from(a) / (mine * mine)) as f32;
        }
    }
    gradient
}

/// The Gram matrix: `G[i, j] = sum over positions of A[., i] A[., j]`.
fn gram(output: &[f32], channels: usize) -> Vec<f32> {
    let mut gram = vec![0.0; channels * channels];
    for output in output.chunks_exact(channels) {
        for (row, &value) in gram.chunks_exact_mut(channels).zip(output) {
            if value != 0.0 {
                row.iter_mut().zip(output).for_each(|(sum, other)| *sum += value * other);
            }
        }
    }
    gram
}

fn add_scaled(gradient: &mut [f32], push: &[f32], weight: f32) {
    let (size, length) = (dot(gradient, gradient).sqrt(), dot(push, push).sqrt());
    if length > 0.0 {
        let scale = (f64::from(weight) * size / length) as f32;
        gradient.iter_mut().zip(push).for_each(|(gradient, push)| *gradient += scale * push);
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_of_the_cosines_by_finite_differences() {
        let vectors = vec![vec![1.0, 2.0, -0.5], vec![0.3, -1.0, 2.0], vec![1.5, 0.2, 0.1]];
        let sum = |vectors: &[Vec<f32>]| {
            let cosine = |a: &[f32], b: &[f32]| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
            cosine(&vectors[0], &vectors[1]) + cosine(&vectors[0], &vectors[2])
        };
        for (axis, found) in towards_others(&vectors, 0).into_iter().enumerate() {
            let moved = |by: f32| {
                let mut vectors = vectors.clone();
                vectors[0][axis] += by;
                sum(&vectors)
            };
            let expected = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            assert!((f64::from(found) - expected).abs() < 1e-3, "{axis}: {found}, not {expected}");
        }
    }

    #[test]
    fn images_that_are_pushed_become_less_alike() {
        let mut images = vec![1.0, 0.0, 0.2, 0.0, 0.9, 0.1, 0.3, 0.0];
        let cosine = |p: &[f32]| {
            let center = |p: &[f32]| p.iter().map(|v| v - p.iter().sum::<f32>() / 4.0).collect::<Vec<_>>();
            let (a, b) = (center(&p[..4]), center(&p[4..]));
            dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
        };
        let before = cosine(&images);
        let mut gradients = vec![0.1; 8];
        push_images_apart(&images, &mut gradients, 2, 4, 1.0);
        images.iter_mut().zip(&gradients).for_each(|(p, g)| *p += 0.5 * (g - 0.1));
        assert!(cosine(&images) < before - 0.01, "{before} to {}", cosine(&images));
    }
}
