//! Comparisons with straightforward loops.

use super::*;
use crate::simd::Isa;

fn shapes() -> Vec<Pool2dShape> {
    let shape = |height, width, channels, pool, strides, padding, output| Pool2dShape {
        height,
        width,
        channels,
        pool,
        strides,
        padding,
        output,
    };
    let all = [
        Pool2dShape::global(5, 6, 3),
        shape(4, 5, 3, [3, 3], [2, 2], [1, 1], [2, 3]),
        shape(14, 14, 24, [2, 2], [2, 2], [0, 0], [7, 7]),
        shape(7, 9, 48, [2, 2], [2, 2], [0, 0], [3, 4]), // not covering the last row and column
        shape(7, 7, 5, [3, 3], [2, 2], [0, 0], [3, 3]),  // overlapping
        shape(6, 7, 67, [3, 3], [1, 1], [1, 1], [6, 7]), // padded on all sides
        shape(8, 8, 3, [3, 3], [2, 2], [0, 0], [4, 4]),  // padded at the bottom and right only
        shape(4, 4, 130, [1, 1], [3, 3], [0, 0], [2, 2]),
        Pool2dShape::global(5, 6, 17),
    ];
    crate::cases(all, 2).collect()
}

/// Values with many ties.
fn values(len: usize, modulus: usize) -> Vec<f32> {
    (0..len).map(|i| (i * 7919 % modulus) as f32 - 3.0).collect()
}

#[test]
fn forward_and_backward_follow_the_definition() {
    for isa in Isa::available() {
        for shape in shapes() {
            for (batch, threads) in [(1, 2), (3, 1), (5, 2)] {
                let cpu = Cpu::detect().with_isa(isa).with_threads(threads);
                let input = values(batch * shape.input_len(), 11);
                let grad_output = values(batch * shape.output_len(), 13);
                let mut largest = vec![f32::NEG_INFINITY; grad_output.len()];
                let mut mean = vec![0.0; grad_output.len()];
                let mut grad_max = vec![0.5; input.len()];
                let mut grad_relu = vec![0.0; input.len()];
                let mut grad_mean = vec![0.5; input.len()];
                for n in 0..batch {
                    for y in 0..shape.output[0] {
                        for x in 0..shape.output[1] {
                            for c in 0..shape.channels {
                                let mut inside = Vec::new();
                                for i in 0..shape.pool[0] {
                                    for j in 0..shape.pool[1] {
                                        let row = (y * shape.strides[0] + i) as isize - shape.padding[0] as isize;
                                        let column = (x * shape.strides[1] + j) as isize - shape.padding[1] as isize;
                                        if (0..shape.height as isize).contains(&row)
                                            && (0..shape.width as isize).contains(&column)
                                        {
                                            let pixel =
                                                (n * shape.height + row as usize) * shape.width + column as usize;
                                            inside.push(pixel * shape.channels + c);
                                        }
                                    }
                                }
                                let out = ((n * shape.output[0] + y) * shape.output[1] + x) * shape.channels + c;
                                let mut best = inside[0];
                                for &at in &inside {
                                    if input[at] > input[best] {
                                        best = at;
                                    }
                                    mean[out] += input[at] / inside.len() as f32;
                                    grad_mean[at] += grad_output[out] / inside.len() as f32;
                                }
                                largest[out] = input[best];
                                grad_max[best] += grad_output[out];
                                if input[best] > 0.0 {
                                    grad_relu[best] += grad_output[out];
                                }
                            }
                        }
                    }
                }
                let what = format!("{} batch {batch}, {shape:?}", isa.name());
                let close = |a: &[f32], b: &[f32], name: &str| {
                    for (a, b) in a.iter().zip(b) {
                        assert!((a - b).abs() < 1e-5 * (1.0 + b.abs()), "{name}: {a} instead of {b}, {what}");
                    }
                };
                let mut output = vec![f32::NAN; grad_output.len()];
                pool2d(cpu, Pooling::Max, &shape, batch, &input, &mut output);
                assert_eq!(output, largest, "{what}");
                let mut grad = vec![0.5; input.len()];
                let accumulate = PoolBackward { accumulate: true, through_relu: false };
                max_pool2d_backward(cpu, &shape, batch, &input, &output, &grad_output, &mut grad, accumulate);
                close(&grad, &grad_max, "maximum");
                grad.fill(f32::NAN);
                let relu = PoolBackward { accumulate: false, through_relu: true };
                max_pool2d_backward(cpu, &shape, batch, &input, &output, &grad_output, &mut grad, relu);
                close(&grad, &grad_relu, "maximum after ReLU");
                pool2d(cpu, Pooling::Average, &shape, batch, &input, &mut output);
                close(&output, &mean, "average");
                grad.fill(0.5);
                average_pool2d_backward(cpu, &shape, batch, &grad_output, &mut grad, true);
                close(&grad, &grad_mean, "average gradient");
                grad.fill(f32::NAN);
                average_pool2d_backward(cpu, &shape, batch, &grad_output, &mut grad, false);
                grad_mean.iter_mut().for_each(|x| *x -= 0.5);
                close(&grad, &grad_mean, "average gradient, overwritten");
            }
        }
    }
}
