//! Several images for one objective, pushed apart.
//!
//! In layers with positions two images are alike when their channels go together in the same way: by the cosine of the
//! angle between their Gram matrices, as styles are compared (Olah, Mordvintsev and Schubert, 2017, appendix). For a flat
//! layer it is the angle between the images themselves.

use super::objective::Seen;

/// Adds to the gradient of each sample what makes it less like the others of its group, with `weight` times the size that
/// the gradient has. Each `variants` samples that follow one another are a group.
pub(super) fn push_apart(seen: &Seen, activations: &[f32], gradients: &mut [f32], variants: usize, weight: f32) {
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

/// The same for images of `len` values, which are compared themselves.
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

/// The gradient, with respect to vector `own`, of the sum of its cosines with the others.
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

/// How often channels are active together: `G[i, j] = sum over positions of A[., i] A[., j]`.
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
