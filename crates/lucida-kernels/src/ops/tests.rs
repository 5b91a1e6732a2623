//! Comparisons with the formulas, computed value by value in `f64`.

use super::*;
use crate::{Cpu, Isa};

fn cpus() -> impl Iterator<Item = Cpu> {
    Isa::available().into_iter().flat_map(|isa| [1, 2].map(|n| Cpu::detect().with_isa(isa).with_threads(n)))
}

fn wave(len: usize, step: f32) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * step).sin() * 2.0).collect()
}

fn close(actual: &[f32], expected: impl IntoIterator<Item = f64>, what: &str) {
    let mut count = 0;
    for (index, (&a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((f64::from(a) - e).abs() <= 2e-6 * (1.0 + e.abs()), "{what}: {a} instead of {e} at {index}");
        count += 1;
    }
    assert_eq!(count, actual.len(), "{what}");
}

/// Enough for two threads, and not a multiple of anything.
const LEN: usize = 20_011;

#[test]
fn pointwise_activations_and_their_derivatives() {
    for cpu in cpus() {
        let x = wave(LEN, 0.37);
        type Function = fn(f64) -> f64;
        let cases: [(Pointwise, Function, Function); 5] = [
            (Pointwise::Relu, |x| x.max(0.0), |x| f64::from(x > 0.0)),
            (
                Pointwise::Sigmoid,
                |x| 1.0 / (1.0 + (-x).exp()),
                |x| {
                    let y = 1.0 / (1.0 + (-x).exp());
                    y * (1.0 - y)
                },
            ),
            (Pointwise::Tanh, f64::tanh, |x| 1.0 - x.tanh().powi(2)),
            (
                Pointwise::LeakyRelu { slope: 0.25 },
                |x| if x > 0.0 { x } else { 0.25 * x },
                |x| if x > 0.0 { 1.0 } else { 0.25 },
            ),
            (Pointwise::Clip { min: -0.5, max: 1.25 }, |x| x.clamp(-0.5, 1.25), |x| f64::from(x > -0.5 && x < 1.25)),
        ];
        for (kind, f, derivative) in cases {
            let mut y = vec![f32::NAN; LEN];
            pointwise(cpu, kind, &x, &mut y);
            close(&y, x.iter().map(|&x| f(x.into())), &format!("{kind:?}"));
            let mut grad = wave(LEN, 0.11);
            let expected: Vec<f64> = grad.iter().zip(&x).map(|(&g, &x)| f64::from(g) * derivative(x.into())).collect();
            pointwise_backward(cpu, kind, &y, &mut grad);
            close(&grad, expected, &format!("{kind:?} backward"));
        }
    }
    assert_eq!(sigmoid(-1e30), 0.0);
    assert_eq!(sigmoid(1e30), 1.0);
}

#[test]
fn softmax_and_its_derivative() {
    for cpu in cpus() {
        for classes in [1, 2, 10, 1000] {
            let rows = 7;
            let mut x = wave(rows * classes, 0.61);
            x[0] = 1000.0; // must not overflow
            let mut y = vec![f32::NAN; x.len()];
            softmax(cpu, classes, &x, &mut y);
            let exact: Vec<f64> = x
                .chunks(classes)
                .flat_map(|row| {
                    let top = row.iter().copied().fold(f32::MIN, f32::max);
                    let e: Vec<f64> = row.iter().map(|&x| f64::from(x - top).exp()).collect();
                    let sum: f64 = e.iter().sum();
                    e.into_iter().map(move |e| e / sum)
                })
                .collect();
            close(&y, exact.iter().copied(), "softmax");
            let mut grad = wave(x.len(), 0.23);
            let expected: Vec<f64> = grad
                .chunks(classes)
                .zip(exact.chunks(classes))
                .flat_map(|(g, y)| {
                    let dot: f64 = g.iter().zip(y).map(|(&g, y)| f64::from(g) * y).sum();
                    g.iter().zip(y).map(move |(&g, y)| y * (f64::from(g) - dot)).collect::<Vec<_>>()
                })
                .collect();
            softmax_backward(cpu, classes, &y, &mut grad);
            close(&grad, expected, "softmax backward");
        }
    }
}

#[test]
fn log_softmax_and_its_derivative() {
    for cpu in cpus() {
        for classes in [1, 2, 10, 1000] {
            let mut x = wave(7 * classes, 0.61);
            x[0] = 1000.0; // must not overflow
            let mut y = vec![f32::NAN; x.len()];
            log_softmax(cpu, classes, &x, &mut y);
            let exact: Vec<f64> = x
                .chunks(classes)
                .flat_map(|row| {
                    let top = row.iter().copied().fold(f32::MIN, f32::max);
                    let sum: f64 = row.iter().map(|&x| f64::from(x - top).exp()).sum();
                    row.iter().map(move |&x| f64::from(x - top) - sum.ln())
                })
                .collect();
            close(&y, exact.iter().copied(), "log softmax");
            let mut grad = wave(x.len(), 0.23);
            let expected: Vec<f64> = grad
                .chunks(classes)
                .zip(exact.chunks(classes))
                .flat_map(|(g, y)| {
                    let sum: f64 = g.iter().map(|&g| f64::from(g)).sum();
                    g.iter().zip(y).map(move |(&g, y)| f64::from(g) - y.exp() * sum).collect::<Vec<_>>()
                })
                .collect();
            log_softmax_backward(cpu, classes, &y, &mut grad);
            close(&grad, expected, "log softmax backward");
        }
    }
}

#[test]
fn copies_sums_and_products() {
    for cpu in cpus() {
        let (a, b) = (wave(LEN, 0.3), wave(LEN, 0.7));
        let mut out = b.clone();
        transfer(cpu, &a, &mut out, false);
        assert_eq!(out, a);
        transfer(cpu, &b, &mut out, true);
        assert!(out.iter().zip(&a).zip(&b).all(|((y, a), b)| *y == a + b));
        multiply(cpu, &a, &b, &mut out, false);
        assert!(out.iter().zip(&a).zip(&b).all(|((y, a), b)| *y == a * b));
        multiply(cpu, &a, &b, &mut out, true);
        close(&out, a.iter().zip(&b).map(|(&a, &b)| 2.0 * f64::from(a) * f64::from(b)), "product added");
    }
}

#[test]
fn column_blocks_go_where_they_belong() {
    for cpu in cpus() {
        let (rows, from_columns, to_columns, width) = (3001, 7, 11, 4);
        let from = wave(rows * from_columns, 0.3);
        let before = wave(rows * to_columns, 0.9);
        let source = Columns { start: 2, stride: from_columns };
        let target = Columns { start: 6, stride: to_columns };
        for accumulate in [false, true] {
            let mut to = before.clone();
            transfer_columns(cpu, (rows, width), (&from, source), (&mut to, target), accumulate);
            for row in 0..rows {
                for column in 0..to_columns {
                    let at = row * to_columns + column;
                    let expected = match column.checked_sub(6) {
                        Some(c) if c < width => {
                            from[row * from_columns + 2 + c] + if accumulate { before[at] } else { 0.0 }
                        }
                        _ => before[at],
                    };
                    assert_eq!(to[at], expected);
                }
            }
        }
    }
}

#[test]
fn moments_survive_a_large_mean() {
    for cpu in cpus() {
        let (rows, channels) = (5000, 5);
        let x: Vec<f32> =
            (0..rows * channels).map(|i| 1000.0 * (i % channels) as f32 + (i as f32 * 0.7).sin()).collect();
        let column = |c: usize| x.iter().skip(c).step_by(channels).map(|&x| f64::from(x));
        let mut mean = vec![0.0; channels];
        let mut variance = vec![0.0; channels];
        let mut workspace = vec![f32::NAN; block_workspace(cpu, channels)];
        for of in [moments, block_moments] {
            of(cpu, &x, &mut mean, &mut variance, &mut workspace);
            for c in 0..channels {
                let exact_mean = column(c).sum::<f64>() / rows as f64;
                let exact = column(c).map(|x| (x - exact_mean).powi(2)).sum::<f64>() / rows as f64;
                let off = f64::from(variance[c]) - exact;
                assert!((f64::from(mean[c]) - exact_mean).abs() < 1e-6 * (1.0 + exact_mean), "mean {c}");
                assert!(off.abs() < 1e-4 * exact, "variance {c}: {} for {exact}", variance[c]);
            }
        }
    }
}

#[test]
fn the_update_rules_follow_their_formulas() {
    for cpu in cpus() {
        let (grad, w0) = (wave(LEN, 0.3), wave(LEN, 0.7));
        let mut w = w0.clone();
        let (mut m, mut v) = (vec![0.1; LEN], vec![0.2; LEN]);
        let step = AdamStep { rate: 0.01, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, keep: 0.99 };
        adam(cpu, step, &mut w, &grad, &mut m, &mut v);
        let expected = grad.iter().zip(&w0).map(|(&g, &w)| {
            let (g, w) = (f64::from(g), f64::from(w));
            let m = 0.9 * 0.1 + 0.1 * g;
            let v: f64 = 0.999 * 0.2 + 0.001 * g * g;
            0.99 * w - 0.01 * m / (v.sqrt() + 1e-7)
        });
        close(&w, expected, "adam");
        for nesterov in [false, true] {
            let mut w = w0.clone();
            let mut v = vec![0.5; LEN];
            let step = SgdStep { rate: 0.1, momentum: 0.9, nesterov };
            Update::Sgd { step, velocity: &mut v }.apply(cpu, &mut w, &grad);
            let expected = grad.iter().zip(&w0).map(|(&g, &w)| {
                let v = 0.9 * 0.5 - 0.1 * f64::from(g);
                f64::from(w) + if nesterov { 0.9 * v - 0.1 * f64::from(g) } else { v }
            });
            close(&w, expected, "momentum");
        }
        let mut w = w0.clone();
        let step = SgdStep { rate: 0.1, momentum: 0.0, nesterov: false };
        Update::Sgd { step, velocity: &mut [] }.apply(cpu, &mut w, &grad);
        close(&w, grad.iter().zip(&w0).map(|(&g, &w)| f64::from(w) - 0.1 * f64::from(g)), "descent");
        let mut w = w0.clone();
        let mut v = vec![0.3; LEN];
        let step = RmspropStep { rate: 0.01, rho: 0.9, epsilon: 1e-7 };
        Update::Rmsprop { step, mean_square: &mut v }.apply(cpu, &mut w, &grad);
        let expected = grad.iter().zip(&w0).map(|(&g, &w)| {
            let g = f64::from(g);
            f64::from(w) - 0.01 * g / (0.9 * 0.3 + 0.1 * g * g + 1e-7).sqrt()
        });
        close(&w, expected, "rmsprop");
    }
}

/// Activations whose backward pass reads the input, compared with finite differences of the formulas in `f64`.
#[test]
fn activations_of_the_input_and_their_derivatives() {
    type Function = fn(f64) -> f64;
    let softplus: Function = |x| x.max(0.0) + (-x.abs()).exp().ln_1p();
    let cases: [(Pointwise, Function); 17] = [
        (Pointwise::GeneralRelu { slope: 0.1, threshold: 0.5, max: 1.5 }, |x| {
            if x >= 1.5 {
                1.5
            } else if x >= 0.5 {
                x
            } else {
                0.1 * (x - 0.5)
            }
        }),
        (Pointwise::Elu { factor: 1.0, scale: 0.7, rate: 1.0 }, |x| if x > 0.0 { x } else { 0.7 * x.exp_m1() }),
        (Pointwise::Elu { factor: 1.05, scale: 1.67, rate: 1.0 }, |x| {
            1.05_f32 as f64 * if x > 0.0 { x } else { 1.67_f32 as f64 * x.exp_m1() }
        }),
        (Pointwise::Elu { factor: 1.0, scale: 2.0, rate: 0.5 }, |x| if x > 0.0 { x } else { 2.0 * (x / 2.0).exp_m1() }),
        (Pointwise::GeluTanh, |x| {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
        }),
        (Pointwise::Silu, |x| x / (1.0 + (-x).exp())),
        (Pointwise::HardSilu, |x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0),
        (Pointwise::HardSigmoid { slope: 0.5, offset: 0.25 }, |x| (0.5 * x + 0.25).clamp(0.0, 1.0)),
        (Pointwise::Softplus { beta: 1.0, threshold: 20.0 }, softplus),
        (Pointwise::Softplus { beta: 2.0, threshold: 20.0 }, |x| 0.5 * (2.0 * x).exp().ln_1p()),
        (Pointwise::Softsign, |x| x / (1.0 + x.abs())),
        (Pointwise::Mish, |x| x * x.exp().ln_1p().tanh()),
        (Pointwise::Exponential, f64::exp),
        (Pointwise::LogSigmoid, |x| -(-x).exp().ln_1p()),
        (Pointwise::TanhShrink, |x| x - x.tanh()),
        (Pointwise::HardShrink { threshold: 0.5 }, |x| if x.abs() > 0.5 { x } else { 0.0 }),
        (Pointwise::SoftShrink { threshold: 0.5 }, |x| if x.abs() > 0.5 { x - 0.5 * x.signum() } else { 0.0 }),
    ];
    let kinks = [0.0, 0.5, -0.5, 1.5, -3.0, 3.0];
    let x: Vec<f32> = wave(LEN, 0.37)
        .into_iter()
        .map(|x| 2.0 * x)
        .map(|x| if kinks.iter().any(|kink| (x - kink).abs() < 1e-3) { x + 0.01 } else { x })
        .collect();
    for cpu in cpus() {
        for (kind, f) in &cases {
            let mut y = vec![f32::NAN; LEN];
            pointwise(cpu, *kind, &x, &mut y);
            close(&y, x.iter().map(|&x| f(x.into())), &format!("{kind:?}"));
            let mut grad = wave(LEN, 0.11);
            let slope = |x: f64| (f(x + 1e-6) - f(x - 1e-6)) / 2e-6;
            let expected: Vec<f64> = grad.iter().zip(&x).map(|(&g, &x)| f64::from(g) * slope(x.into())).collect();
            pointwise_backward(cpu, *kind, &x, &mut grad);
            close(&grad, expected, &format!("{kind:?} backward"));
        }
    }
}

#[test]
fn powers_and_their_derivatives() {
    let x: Vec<f32> = wave(LEN, 0.37).into_iter().map(|x| 2.5 + x).collect();
    for (cpu, exponent) in cpus().flat_map(|cpu| [0.5, -1.0, 1.7, 3.0].map(|exponent| (cpu, exponent))) {
        let (kind, mut y, mut grad) = (Pointwise::Power { exponent }, vec![f32::NAN; LEN], vec![3.0; LEN]);
        let exact = f64::from(exponent);
        pointwise(cpu, kind, &x, &mut y);
        close(&y, x.iter().map(|&x| f64::from(x).powf(exact)), &format!("{kind:?}"));
        pointwise_backward(cpu, kind, &x, &mut grad);
        let slopes = x.iter().map(|&x| 3.0 * exact * f64::from(x).powf(exact - 1.0));
        close(&grad, slopes, &format!("{kind:?} backward"));
    }
    for cpu in cpus() {
        let (kind, mut y, mut grad) = (Pointwise::Logarithm, vec![f32::NAN; LEN], vec![3.0; LEN]);
        pointwise(cpu, kind, &x, &mut y);
        close(&y, x.iter().map(|&x| f64::from(x).ln()), "logarithm");
        pointwise_backward(cpu, kind, &x, &mut grad);
        close(&grad, x.iter().map(|&x| 3.0 / f64::from(x)), "logarithm backward");
    }
}

#[test]
fn all_instruction_sets_give_the_same_bits_of_smooth_activations() {
    let x: Vec<f32> = wave(LEN, 0.37).into_iter().map(|x| 5.0 * x).collect();
    let kinds = [Pointwise::Gelu, Pointwise::GeluTanh, Pointwise::Silu, Pointwise::Mish, Pointwise::Erf];
    for kind in kinds {
        let run = |cpu: Cpu| {
            let (mut y, mut grad) = (vec![0.0; LEN], vec![1.0; LEN]);
            pointwise(cpu, kind, &x, &mut y);
            pointwise_backward(cpu, kind, &x, &mut grad);
            [y, grad].concat().into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        let first = run(Cpu::detect());
        cpus().for_each(|cpu| assert!(run(cpu) == first, "{kind:?}"));
    }
}
