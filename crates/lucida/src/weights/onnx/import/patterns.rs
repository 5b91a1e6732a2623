//! Recognizing activations that are exported as several operators: GELU by its error function, SiLU as `x sigmoid(x)`, and
//! the hard variants by a clip.

use super::drafts::{LayerDraft, Source};
use crate::nn::Layer;
use crate::nn::layers::{Activation, ActivationKind};

/// The tolerance for constants, which exporters round in different ways.
const TOLERANCE: f32 = 1e-5;

/// Replaces the last layer of each such expression with the activation; its other layers are then unused.
pub(super) fn recognize(drafts: &mut [LayerDraft]) {
    for index in 0..drafts.len() {
        if let Some((kind, input)) = (Patterns { drafts }).at(index) {
            let draft = &mut drafts[index];
            draft.layer = Activation::new(kind).into();
            draft.inputs = vec![input];
            draft.source = Source::Nothing;
        }
    }
}

struct Patterns<'a> {
    drafts: &'a [LayerDraft],
}

impl Patterns<'_> {
    /// The activation computed by a layer together with previous ones, and its input.
    fn at(&self, index: usize) -> Option<(ActivationKind, usize)> {
        // relu6(x + 3) / 6: the hard sigmoid, unless it is part of a larger expression.
        let sixth = |index: usize| self.scaled(index, 1.0 / 6.0);
        if let Some(x) = sixth(index).and_then(|clip| self.relu6_of_three_more(clip)) {
            return Some((ActivationKind::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 }, x));
        }
        if let Some((a, b)) = sixth(index).and_then(|product| self.product(product)) {
            let of = |x: usize, gate: usize| (self.relu6_of_three_more(gate) == Some(x)).then_some(x);
            return of(a, b).or_else(|| of(b, a)).map(|x| (ActivationKind::HardSilu, x));
        }
        if let Some((a, b)) = self.scaled(index, 0.5).and_then(|product| self.product(product)) {
            let of = |x: usize, gate: usize| self.one_more_erf(gate).filter(|&found| found == x);
            return of(a, b).or_else(|| of(b, a)).map(|x| (ActivationKind::Gelu, x));
        }
        if let Some(found) = self.logarithm(index).or_else(|| self.choice(index)) {
            return Some(found);
        }
        let (a, b) = self.product(index)?;
        self.gated(a, b).or_else(|| self.gated(b, a))
    }

    /// The activation given by the product of `x` and another layer.
    fn gated(&self, x: usize, gate: usize) -> Option<(ActivationKind, usize)> {
        match self.activation(gate) {
            Some((ActivationKind::Sigmoid, of)) if of == x => return Some((ActivationKind::Silu, x)),
            Some((ActivationKind::HardSigmoid { slope, offset: 0.5 }, of)) if of == x && near(slope, 1.0 / 6.0) => {
                return Some((ActivationKind::HardSilu, x));
            }
            Some((ActivationKind::Tanh, soft)) if self.activation(soft) == Some((SOFTPLUS, x)) => {
                return Some((ActivationKind::Mish, x));
            }
            _ => {}
        }
        // (x / 2) (1 + erf), or x ((1 + erf) / 2).
        if let Some(whole) = self.scaled(x, 0.5)
            && self.one_more_erf(gate) == Some(whole)
        {
            return Some((ActivationKind::Gelu, whole));
        }
        let half = self.affine(gate).filter(|&(_, scale, offset)| near(scale, 0.5) && near(offset, 0.5));
        let erf = half
            .and_then(|(erf, _, _)| self.erf(erf))
            .or_else(|| self.scaled(gate, 0.5).and_then(|more| self.one_more_erf(more)));
        (erf == Some(x)).then_some((ActivationKind::Gelu, x))
    }

    /// `ln(1 + exp x)`, which overflows for large `x` in this form, and `ln sigmoid x`.
    fn logarithm(&self, index: usize) -> Option<(ActivationKind, usize)> {
        let (ActivationKind::Logarithm, inner) = self.activation(index)? else { return None };
        if let Some((ActivationKind::Sigmoid, x)) = self.activation(inner) {
            return Some((ActivationKind::LogSigmoid, x));
        }
        let (exponential, ..) = self.affine(inner).filter(|&(_, scale, offset)| scale == 1.0 && offset == 1.0)?;
        match self.activation(exponential)? {
            (ActivationKind::Exponential, x) => Some((SOFTPLUS, x)),
            _ => None,
        }
    }

    /// ELU and SELU: `f x` for positive `x`, `a (exp x - 1)` otherwise.
    fn choice(&self, index: usize) -> Option<(ActivationKind, usize)> {
        let draft = &self.drafts[index];
        let (Layer::Select(select), &[x, above, below]) = (&draft.layer, draft.inputs.as_slice()) else { return None };
        let (exponential, alpha, offset) = self.affines(below);
        let factor = match self.affines(above) {
            (of, factor, 0.0) if of == x => factor,
            _ => return None,
        };
        let exponent = matches!(self.activation(exponential)?, (ActivationKind::Exponential, of) if of == x);
        if select.threshold != 0.0 || !exponent || !near(-offset, alpha) {
            return None;
        }
        if factor == 1.0 {
            return Some((ActivationKind::Elu { alpha }, x));
        }
        (near(factor, 1.050_701) && near(alpha, 1.758_099_3)).then_some((ActivationKind::Selu, x))
    }

    /// The input of successive scales and offsets, with their composition: 1 and 0 for none.
    fn affines(&self, mut index: usize) -> (usize, f32, f32) {
        let (mut scale, mut offset) = (1.0, 0.0);
        while let Some((input, factor, shift)) = self.affine(index) {
            (scale, offset) = (scale * factor, scale * shift + offset);
            index = input;
        }
        (index, scale, offset)
    }

    /// The two factors of a layer that multiplies two others of the same shape.
    fn product(&self, index: usize) -> Option<(usize, usize)> {
        match (&self.drafts[index].layer, self.drafts[index].inputs.as_slice()) {
            (Layer::Multiply(_), &[a, b]) => Some((a, b)),
            _ => None,
        }
    }

    /// The activation of a layer and its input, if it is one.
    fn activation(&self, index: usize) -> Option<(ActivationKind, usize)> {
        match (&self.drafts[index].layer, self.drafts[index].inputs.as_slice()) {
            (Layer::Activation(layer), &[input]) => Some((layer.activation, input)),
            _ => None,
        }
    }

    /// The input, scale and offset of a layer, if they are the same for all channels.
    fn affine(&self, index: usize) -> Option<(usize, f32, f32)> {
        let draft = &self.drafts[index];
        let Source::Affine { scale, offset } = &draft.source else { return None };
        let same = |values: &[f32]| values.first().copied().filter(|first| values.iter().all(|value| value == first));
        Some((*draft.inputs.first()?, same(scale)?, same(offset)?))
    }

    /// The input of a layer that multiplies by this factor.
    fn scaled(&self, index: usize, factor: f32) -> Option<usize> {
        self.affine(index).filter(|&(_, scale, offset)| offset == 0.0 && near(scale, factor)).map(|(input, ..)| input)
    }

    /// `x` of `relu6(x + 3)`.
    fn relu6_of_three_more(&self, index: usize) -> Option<usize> {
        let (ActivationKind::Relu6, sum) = self.activation(index)? else { return None };
        self.affine(sum).filter(|&(_, scale, offset)| scale == 1.0 && offset == 3.0).map(|(input, ..)| input)
    }

    /// `x` of `erf(x / sqrt 2)`.
    fn erf(&self, index: usize) -> Option<usize> {
        let (ActivationKind::Erf, scaled) = self.activation(index)? else { return None };
        self.scaled(scaled, std::f32::consts::FRAC_1_SQRT_2)
    }

    /// `x` of `1 + erf(x / sqrt 2)`.
    fn one_more_erf(&self, index: usize) -> Option<usize> {
        let more = self.affine(index).filter(|&(_, scale, offset)| scale == 1.0 && offset == 1.0);
        more.and_then(|(erf, ..)| self.erf(erf))
    }
}

const SOFTPLUS: ActivationKind = ActivationKind::Softplus { beta: 1.0, threshold: 20.0 };

fn near(value: f32, meant: f32) -> bool {
    (value - meant).abs() <= TOLERANCE * meant.abs()
}
