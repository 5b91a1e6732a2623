//! Activations, forward and backward. The backward pass reads the output, or the input where the output is not sufficient.

use crate::cpu::{Cpu, SharedMut};
use crate::simd::multiversion;

use super::MIN_PART;
use super::functions::{erf, exp, exp_m1, logistic, normal, softplus, tanh, tanh_shrink, tanh_softplus};

/// An elementwise activation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pointwise {
    /// `max(x, 0)`
    Relu,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `x` where it is positive, `slope x` elsewhere; the slope is not negative.
    LeakyRelu {
        /// The slope.
        slope: f32,
    },
    /// `min(max(x, min), max)`
    Clip {
        /// The lower bound.
        min: f32,
        /// The upper bound.
        max: f32,
    },
    /// As Keras's layer `ReLU`: `max` where `x >= max`, `x` between the threshold and there, `slope (x - threshold)` below.
    GeneralRelu {
        /// The slope below the threshold.
        slope: f32,
        /// The threshold from which the function is the identity.
        threshold: f32,
        /// The upper bound.
        max: f32,
    },
    /// `x` where it is positive, `scale (exp(rate x) - 1)` elsewhere, all times `factor`: ELU, SELU, CELU.
    Elu {
        /// The factor of the whole function.
        factor: f32,
        /// The factor of the exponential part.
        scale: f32,
        /// The factor in the exponent.
        rate: f32,
    },
    /// `x P(X <= x)` for a standard normal `X`.
    Gelu,
    /// [`Gelu`](Self::Gelu) with the tanh approximation.
    GeluTanh,
    /// `x / (1 + exp(-x))`
    Silu,
    /// `x min(max(x + 3, 0), 6) / 6`
    HardSilu,
    /// `min(max(slope x + offset, 0), 1)`
    HardSigmoid {
        /// The slope.
        slope: f32,
        /// The value at zero.
        offset: f32,
    },
    /// `ln(1 + exp(beta x)) / beta`, and `x` where `beta x` is above the threshold.
    Softplus {
        /// The sharpness of the bend.
        beta: f32,
        /// The value of `beta x` above which the function is linear.
        threshold: f32,
    },
    /// `x / (1 + |x|)`
    Softsign,
    /// `x tanh(ln(1 + exp(x)))`
    Mish,
    /// `exp(x)`
    Exponential,
    /// `-ln(1 + exp(-x))`
    LogSigmoid,
    /// `x - tanh(x)`
    TanhShrink,
    /// `x` where `|x|` is above the threshold, zero elsewhere.
    HardShrink {
        /// The threshold.
        threshold: f32,
    },
    /// `x` moved toward zero by the threshold, zero where `|x|` is not above it.
    SoftShrink {
        /// The threshold.
        threshold: f32,
    },
    /// The error function.
    Erf,
    /// `ln(x)`
    Logarithm,
    /// `x^exponent`
    Power {
        /// The exponent.
        exponent: f32,
    },
}

impl Pointwise {
    /// The bounds of an activation that is the identity between them.
    pub(crate) fn bounds(self) -> Option<[f32; 2]> {
        match self {
            Self::Relu => Some([0.0, f32::INFINITY]),
            Self::Clip { min, max } => Some([min, max]),
            _ => None,
        }
    }

    /// Whether the backward pass reads the input instead of the output.
    pub fn backward_reads_input(self) -> bool {
        use Pointwise::{Clip, LeakyRelu, Relu, Sigmoid, Tanh};
        !matches!(self, Relu | Sigmoid | Tanh | LeakyRelu { .. } | Clip { .. })
    }
}

/// `2 sqrt(2 / pi)`: the factor `0.5 (1 + tanh(u))` of the tanh approximation of GELU, with
/// `u = sqrt(2 / pi) (x + 0.044715 x^3)`, is the logistic function of `2 u`.
const GELU_RATE: f32 = 1.595_769_2;
const GELU_CUBE: f32 = 0.044_715;

/// Maps each value, in a separate loop per kind so that the compiler vectorizes it.
macro_rules! map {
    ($values:expr, |$x:ident| $value:expr) => {
        for value in $values.iter_mut() {
            let $x = *value;
            *value = $value;
        }
    };
}

/// Multiplies each gradient by a derivative.
macro_rules! scale {
    ($grad:expr, $input:expr, |$x:ident| $value:expr) => {
        for (g, &$x) in $grad.iter_mut().zip($input) {
            *g *= $value;
        }
    };
}

/// Floats copied at a time.
const BLOCK: usize = 1 << 11;

/// `output = f(input)`.
///
/// # Panics
/// When the lengths differ.
pub fn pointwise(cpu: Cpu, kind: Pointwise, input: &[f32], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "output length");
    let shared = SharedMut::new(output);
    cpu.parallel_ranges(input.len(), MIN_PART, |_, range| {
        // SAFETY: the ranges are disjoint.
        let own = unsafe { shared.slice(range.clone()) };
        // Copied in blocks that are still in the cache when they are changed in place.
        for (own, input) in own.chunks_mut(BLOCK).zip(input[range].chunks(BLOCK)) {
            own.copy_from_slice(input);
            activate(cpu.isa(), kind, own);
        }
    });
}

multiversion! {
    /// Applies `f` to each value in place.
    pub(crate) fn activate[simd: S](kind: Pointwise, values: &mut [f32]) {
        match kind {
            Pointwise::GeneralRelu { slope, threshold, max } => map!(values, |x| if x >= max {
                max
            } else if x >= threshold {
                x
            } else {
                slope * (x - threshold)
            }),
            Pointwise::Elu { factor, scale, rate } => {
                map!(values, |x| factor * if x > 0.0 { x } else { scale * exp_m1(if x > 0.0 { 0.0 } else { rate * x }) });
            }
            Pointwise::Gelu => map!(values, |x| x * normal(x).0),
            Pointwise::GeluTanh => map!(values, |x| x * logistic(GELU_RATE * x * (1.0 + GELU_CUBE * x * x))),
            Pointwise::Silu => map!(values, |x| x * logistic(x)),
            Pointwise::HardSilu => map!(values, |x| x * (x + 3.0).clamp(0.0, 6.0) * (1.0 / 6.0)),
            Pointwise::HardSigmoid { slope, offset } => {
                map!(values, |x| (slope * x + offset).clamp(0.0, 1.0));
            }
            Pointwise::Softplus { beta, threshold } => {
                map!(values, |x| if beta * x > threshold { x } else { softplus(beta * x) / beta });
            }
            Pointwise::Softsign => map!(values, |x| x / (1.0 + x.abs())),
            Pointwise::Mish => map!(values, |x| x * tanh_softplus(x).0),
            Pointwise::Exponential => map!(values, |x| exp(x)),
            Pointwise::LogSigmoid => map!(values, |x| -softplus(-x)),
            Pointwise::TanhShrink => map!(values, |x| tanh_shrink(x)),
            Pointwise::HardShrink { threshold } => map!(values, |x| if x.abs() > threshold { x } else { 0.0 }),
            Pointwise::SoftShrink { threshold } => {
                map!(values, |x| if x.abs() > threshold { x - threshold.copysign(x) } else { 0.0 });
            }
            Pointwise::Erf => map!(values, |x| erf(x)),
            // The square root is exactly rounded, and vectorized.
            Pointwise::Power { exponent: 0.5 } => map!(values, |x| x.sqrt()),
            Pointwise::Power { exponent } => map!(values, |x| x.powf(exponent)),
            Pointwise::Logarithm => map!(values, |x| x.ln()),
            // Keep NaN: a network that has diverged must not look confident.
            Pointwise::Relu => map!(values, |x| if x < 0.0 { 0.0 } else { x }),
            Pointwise::Sigmoid => map!(values, |x| sigmoid(x)),
            Pointwise::Tanh => map!(values, |x| x.tanh()),
            Pointwise::LeakyRelu { slope } => map!(values, |x| if x > 0.0 { x } else { slope * x }),
            Pointwise::Clip { min, max } => map!(values, |x| if x < min {
                min
            } else if x > max {
                max
            } else {
                x
            }),
        }
    }
}

/// `1 / (1 + exp(-x))`, without overflow for any `x`.
pub fn sigmoid(x: f32) -> f32 {
    let e = (-x.abs()).exp();
    if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

/// Turns the gradient of the output into that of the input, in place. `values` is the output, or the input if
/// [`Pointwise::backward_reads_input`].
///
/// # Panics
/// When the lengths differ.
pub fn pointwise_backward(cpu: Cpu, kind: Pointwise, values: &[f32], grad: &mut [f32]) {
    assert_eq!(values.len(), grad.len(), "gradient length");
    let shared = SharedMut::new(grad);
    let part = if kind.backward_reads_input() { derivative } else { backward };
    cpu.parallel_ranges(values.len(), MIN_PART, |_, range| {
        // SAFETY: the ranges are disjoint.
        let own = unsafe { shared.slice(range.clone()) };
        part(cpu.isa(), kind, &values[range], own);
    });
}

multiversion! {
    fn backward[simd: S](kind: Pointwise, output: &[f32], grad: &mut [f32]) {
        let pairs = grad.iter_mut().zip(output);
        match kind {
            Pointwise::Relu => pairs.for_each(|(g, &y)| *g = if y > 0.0 { *g } else { 0.0 }),
            Pointwise::Sigmoid => pairs.for_each(|(g, &y)| *g *= y * (1.0 - y)),
            Pointwise::Tanh => pairs.for_each(|(g, &y)| *g *= 1.0 - y * y),
            Pointwise::LeakyRelu { slope } => pairs.for_each(|(g, &y)| *g = if y > 0.0 { *g } else { slope * *g }),
            Pointwise::Clip { min, max } => pairs.for_each(|(g, &y)| *g = if y > min && y < max { *g } else { 0.0 }),
            _ => unreachable!("its derivative is one of the input"),
        }
    }
}

multiversion! {
    fn derivative[simd: S](kind: Pointwise, input: &[f32], grad: &mut [f32]) {
        match kind {
            Pointwise::GeneralRelu { slope, threshold, max } => scale!(grad, input, |x| if x >= max {
                0.0
            } else if x >= threshold {
                1.0
            } else {
                slope
            }),
            Pointwise::Elu { factor, scale, rate } => {
                scale!(grad, input, |x| factor * if x > 0.0 { 1.0 } else { scale * rate * exp(if x > 0.0 { 0.0 } else { rate * x }) });
            }
            Pointwise::Gelu => scale!(grad, input, |x| {
                let (part, density) = normal(x);
                part + x * density
            }),
            Pointwise::GeluTanh => scale!(grad, input, |x| {
                let part = logistic(GELU_RATE * x * (1.0 + GELU_CUBE * x * x));
                part + part * (1.0 - part) * (GELU_RATE * x * (1.0 + 3.0 * GELU_CUBE * x * x))
            }),
            Pointwise::Silu => scale!(grad, input, |x| {
                let part = logistic(x);
                part * (1.0 + x * (1.0 - part))
            }),
            Pointwise::HardSilu => scale!(grad, input, |x| if x > 3.0 {
                1.0
            } else if x > -3.0 {
                (2.0 * x + 3.0) * (1.0 / 6.0)
            } else {
                0.0
            }),
            Pointwise::HardSigmoid { slope, offset } => scale!(grad, input, |x| {
                let y = slope * x + offset;
                if y > 0.0 && y < 1.0 { slope } else { 0.0 }
            }),
            Pointwise::Softplus { beta, threshold } => {
                scale!(grad, input, |x| if beta * x > threshold { 1.0 } else { logistic(beta * x) });
            }
            Pointwise::Softsign => scale!(grad, input, |x| {
                let part = 1.0 / (1.0 + x.abs());
                part * part
            }),
            Pointwise::Mish => scale!(grad, input, |x| {
                let (part, slope) = tanh_softplus(x);
                part + x * slope
            }),
            Pointwise::Exponential => scale!(grad, input, |x| exp(x)),
            Pointwise::LogSigmoid => scale!(grad, input, |x| logistic(-x)),
            Pointwise::TanhShrink => scale!(grad, input, |x| {
                let y = tanh(x);
                y * y
            }),
            Pointwise::HardShrink { threshold } | Pointwise::SoftShrink { threshold } => {
                scale!(grad, input, |x| if x.abs() > threshold { 1.0 } else { 0.0 });
            }
            Pointwise::Erf => scale!(grad, input, |x| std::f32::consts::FRAC_2_SQRT_PI * exp(-x * x)),
            Pointwise::Power { exponent: 0.5 } => scale!(grad, input, |x| 0.5 / x.sqrt()),
            Pointwise::Power { exponent } => scale!(grad, input, |x| exponent * x.powf(exponent - 1.0)),
            Pointwise::Logarithm => scale!(grad, input, |x| 1.0 / x),
            _ => unreachable!("its derivative is one of the output"),
        }
    }
}

multiversion! {
    fn sloped_rows[simd: S](slopes: &[f32], from: &[f32], signs: &[f32], to: &mut [f32]) {
        let rows = to.chunks_exact_mut(slopes.len()).zip(from.chunks_exact(slopes.len())).zip(signs.chunks_exact(slopes.len()));
        for ((to, from), signs) in rows {
            for (((to, from), sign), slope) in to.iter_mut().zip(from).zip(signs).zip(slopes) {
                *to = if *sign > 0.0 { *from } else { slope * from };
            }
        }
    }
}

/// `to = from` where `signs` is positive, `slope from` elsewhere, with one slope per value of a row. In the forward pass of
/// a parametric ReLU `signs` is `from`; in the backward pass it is the input. `to` may not be `signs`.
///
/// # Panics
/// When a length does not fit.
pub fn sloped(cpu: Cpu, slopes: &[f32], from: &[f32], signs: &[f32], to: &mut [f32]) {
    let width = slopes.len();
    assert!(width > 0 && from.len().is_multiple_of(width), "slopes");
    assert!(from.len() == to.len() && signs.len() == to.len(), "length");
    let shared = SharedMut::new(to);
    cpu.parallel_ranges(from.len() / width, MIN_PART.div_ceil(width), |_, rows| {
        let range = rows.start * width..rows.end * width;
        // SAFETY: the ranges are disjoint.
        let own = unsafe { shared.slice(range.clone()) };
        sloped_rows(cpu.isa(), slopes, &from[range.clone()], &signs[range], own);
    });
}

/// `output = softmax(input)` over rows of `classes` values: `exp(x) / sum exp(x)`.
///
/// # Panics
/// When the lengths differ or are not a multiple of `classes`.
pub fn softmax(cpu: Cpu, classes: usize, input: &[f32], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "output length");
    assert!(classes > 0 && input.len().is_multiple_of(classes), "rows of {classes} classes");
    let shared = SharedMut::new(output);
    cpu.parallel_ranges(input.len() / classes, MIN_PART.div_ceil(8 * classes), |_, rows| {
        let range = rows.start * classes..rows.end * classes;
        // SAFETY: the ranges are disjoint.
        let own = unsafe { shared.slice(range.clone()) };
        for (y, x) in own.chunks_exact_mut(classes).zip(input[range].chunks_exact(classes)) {
            // Subtract the maximum, so that no exponential overflows; the quotient is the same.
            let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut sum = 0.0;
            for (y, x) in y.iter_mut().zip(x) {
                *y = (x - largest).exp();
                sum += *y;
            }
            y.iter_mut().for_each(|y| *y /= sum);
        }
    });
}

/// Turns the gradient of a softmax's output into that of its input, in place: `g <- y (g - sum(g y))`.
///
/// # Panics
/// When the lengths differ or are not a multiple of `classes`.
pub fn softmax_backward(cpu: Cpu, classes: usize, output: &[f32], grad: &mut [f32]) {
    assert_eq!(output.len(), grad.len(), "gradient length");
    assert!(classes > 0 && output.len().is_multiple_of(classes), "rows of {classes} classes");
    let shared = SharedMut::new(grad);
    cpu.parallel_ranges(output.len() / classes, MIN_PART.div_ceil(classes), |_, rows| {
        let range = rows.start * classes..rows.end * classes;
        // SAFETY: the ranges are disjoint.
        let own = unsafe { shared.slice(range.clone()) };
        for (g, y) in own.chunks_exact_mut(classes).zip(output[range].chunks_exact(classes)) {
            let dot: f32 = g.iter().zip(y).map(|(g, y)| g * y).sum();
            for (g, y) in g.iter_mut().zip(y) {
                *g = y * (*g - dot);
            }
        }
    });
}

/// `output = log softmax(input)` over rows of `classes` values: `x - log sum exp(x)`.
///
/// # Panics
/// When the lengths differ or are not a multiple of `classes`.
pub fn log_softmax(cpu: Cpu, classes: usize, input: &[f32], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "output length");
    assert!(classes > 0 && input.len().is_multiple_of(classes), "rows of {classes} classes");
    let shared = SharedMut::new(output);
    cpu.parallel_ranges(input.len() / classes, MIN_PART.div_ceil(8 * classes), |_, rows| {
        let range = rows.start * classes..rows.end * classes;
        // SAFETY: the ranges are disjoint.
        let own = unsafe { shared.slice(range.clone()) };
        for (y, x) in own.chunks_exact_mut(classes).zip(input[range].chunks_exact(classes)) {
            // Subtract the maximum, so that no exponential overflows.
            let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = x.iter().map(|x| (x - largest).exp()).sum();
            let log_sum = sum.ln();
            y.iter_mut().zip(x).for_each(|(y, x)| *y = x - largest - log_sum);
        }
    });
}

/// Turns the gradient of a log-softmax's output into that of its input, in place: `g <- g - exp(y) sum(g)`.
///
/// # Panics
/// When the lengths differ or are not a multiple of `classes`.
pub fn log_softmax_backward(cpu: Cpu, classes: usize, output: &[f32], grad: &mut [f32]) {
    assert_eq!(output.len(), grad.len(), "gradient length");
    assert!(classes > 0 && output.len().is_multiple_of(classes), "rows of {classes} classes");
    let shared = SharedMut::new(grad);
    cpu.parallel_ranges(output.len() / classes, MIN_PART.div_ceil(classes), |_, rows| {
        let range = rows.start * classes..rows.end * classes;
        // SAFETY: the ranges are disjoint.
        let own = unsafe { shared.slice(range.clone()) };
        for (g, y) in own.chunks_exact_mut(classes).zip(output[range].chunks_exact(classes)) {
            let sum: f32 = g.iter().sum();
            g.iter_mut().zip(y).for_each(|(g, y)| *g -= y.exp() * sum);
        }
    });
}
