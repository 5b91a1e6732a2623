//! Fuses layers into neighboring operations, so that values stay in registers.
//!
//! A layer declares what it can fuse ([`Fusible`]). The value between two fused operations never exists, so they are not
//! fused if it is requested or another operation reads it.

use super::lower::{LoweredOps, OpDraft, RequiredValues};
use crate::nn::Network;
use crate::nn::layers::{ActivationKind, Layer, Padding};
use crate::nn::op::Fusible;

/// The kinds of layers that may be fused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fusions {
    pub(super) max_pooling: bool,
    /// Fuse kinds that have no backward pass when fused, too.
    pub(super) inference: bool,
}

/// Rewrites the list of operations, fusing in the order of the layers: zero padding before an operation, then, after it,
/// scale and shift, a residual, an activation, max pooling.
pub(super) fn fuse(network: &Network, wanted: &RequiredValues, fusions: Fusions, lowered: &mut LoweredOps) {
    let mut fusion = Fusion { network, wanted, lowered };
    fusion.take_borders();
    if fusions.inference {
        fusion.each_pair(|fusion, first, second| {
            let able = fusion.fusible(first).affine && fusion.is_affine_of(first, second);
            able.then(|| fusion.lowered.drafts[first].affine = Some(fusion.lowered.drafts[second].node))
        });
        fusion.each_pair(|fusion, first, second| {
            let residual = fusion.residual_of(first, second).filter(|_| fusion.fusible(first).residual)?;
            let node = fusion.lowered.drafts[second].node;
            let draft = &mut fusion.lowered.drafts[first];
            draft.inputs.push(residual);
            draft.residual = Some(node);
            Some(())
        });
    }
    fusion.each_pair(|fusion, first, second| {
        let kind = fusion.lowered.drafts[second].activation?;
        let able = fusion.fusible(first);
        let any = able.activation && fusions.inference && kind.pointwise().is_some();
        let able = any || able.relu && kind == ActivationKind::Relu;
        able.then(|| fusion.lowered.drafts[first].fused_activation = Some(kind))
    });
    if fusions.max_pooling {
        fusion.each_pair(|fusion, first, second| {
            let able = fusion.fusible(first).max_pooling && fusion.is_pairing(second);
            able.then(|| fusion.lowered.drafts[first].max_pooling = true)
        });
    }
}

/// The layers that the operation of a draft can fuse.
pub(super) fn fusible(network: &Network, draft: &OpDraft) -> Fusible {
    let fusing = network.nodes()[draft.node].layer().spec().fusing();
    fusing.filter(|_| draft.activation.is_none()).map(|layer| layer.fusible()).unwrap_or_default()
}

struct Fusion<'a> {
    network: &'a Network,
    wanted: &'a RequiredValues,
    lowered: &'a mut LoweredOps,
}

impl Fusion<'_> {
    /// Calls `fuse` for each operation and the only reader of its output, and removes the latter if it is fused.
    fn each_pair(&mut self, fuse: impl Fn(&mut Self, usize, usize) -> Option<()>) {
        let mut first = 0;
        while first < self.lowered.drafts.len() {
            let value = self.lowered.drafts[first].output;
            match self.only_reader(value) {
                Some(second) if fuse(self, first, second).is_some() => self.remove(second, value, first),
                _ => first += 1,
            }
        }
    }

    /// The only operation that reads a value, if the value is not requested.
    fn only_reader(&self, value: usize) -> Option<usize> {
        let drafts = self.lowered.drafts.iter().enumerate();
        let mut readers = drafts.filter(|(_, draft)| draft.inputs.contains(&value)).map(|(index, _)| index);
        let (reader, None) = (readers.next()?, readers.next()) else { return None };
        let wanted = self.wanted.iter().any(|&point| self.lowered.at(point) == value);
        (!wanted).then_some(reader)
    }

    /// Removes operation `second`, whose output `first` now computes, and the value between them.
    fn remove(&mut self, second: usize, value: usize, first: usize) {
        let removed = self.lowered.drafts.remove(second);
        self.lowered.drafts[first].output = removed.output;
        self.forget(value);
    }

    /// Marks a value as never computed.
    fn forget(&mut self, value: usize) {
        for at in self.lowered.outputs.iter_mut().chain(&mut self.lowered.before) {
            at.take_if(|at| *at == value);
        }
    }

    /// The layers that operation `first` can fuse in addition to those already fused.
    fn fusible(&self, first: usize) -> Fusible {
        let draft = &self.lowered.drafts[first];
        let able = fusible(self.network, draft);
        Fusible {
            relu: able.relu && draft.fused_activation.is_none(),
            activation: able.activation && draft.fused_activation.is_none(),
            max_pooling: able.max_pooling
                && !draft.max_pooling
                && draft.residual.is_none()
                && draft.fused_activation.is_none_or(|kind| kind == ActivationKind::Relu),
            affine: able.affine && draft.affine.is_none(),
            residual: able.residual && draft.residual.is_none(),
            padding: able.padding && draft.padding.is_none(),
            ..able
        }
    }

    /// Fuses zero padding into the operations after it.
    fn take_borders(&mut self) {
        let mut first = 0;
        while first < self.lowered.drafts.len() {
            let OpDraft { node, activation, output: value, .. } = self.lowered.drafts[first];
            let border = self.network.nodes()[node].layer().spec().zero_padding().filter(|_| activation.is_none());
            let reader = border.and_then(|_| self.only_reader(value)).filter(|&second| self.fusible(second).padding);
            match reader {
                Some(second) => {
                    self.lowered.drafts[second].padding = Some(node);
                    self.lowered.drafts[second].inputs[0] = self.lowered.drafts[first].inputs[0];
                    self.lowered.drafts.remove(first);
                    self.forget(value);
                }
                None => first += 1,
            }
        }
    }

    /// The value that operation `second` adds to that of `first`, if it is computed before `first`.
    fn residual_of(&self, first: usize, second: usize) -> Option<usize> {
        let (draft, value) = (&self.lowered.drafts[second], self.lowered.drafts[first].output);
        let node = &self.network.nodes()[draft.node];
        let same = |input: &usize| self.network.nodes()[*input].shape() == node.shape();
        let is_sum =
            draft.activation.is_none() && matches!(node.layer(), Layer::Add(_)) && node.inputs().iter().all(same);
        let &[a, b] = &draft.inputs[..] else { return None };
        let other = if a == value { b } else { a };
        let earlier = self.lowered.drafts[first..].iter().all(|later| later.output != other);
        (is_sum && earlier).then_some(other)
    }

    /// Whether operation `second` scales and shifts each channel, with weights that directly follow those of `first`.
    fn is_affine_of(&self, first: usize, second: usize) -> bool {
        let [first, second] = [first, second].map(|at| &self.lowered.drafts[at]);
        let [before, after] = [first, second].map(|draft| &self.network.nodes()[draft.node]);
        second.activation.is_none()
            && after.layer().spec().channel_affine().is_some()
            && before.weights().end == after.weights().start
    }

    /// Whether an operation is a 2x2 max pooling with stride two that drops incomplete windows.
    fn is_pairing(&self, second: usize) -> bool {
        let draft = &self.lowered.drafts[second];
        let Layer::MaxPooling2D(pooling) = self.network.nodes()[draft.node].layer() else { return false };
        draft.activation.is_none()
            && pooling.pool_size == [2, 2]
            && pooling.strides == [2, 2]
            && pooling.padding == Padding::Valid
            && pooling.dilation == [1, 1]
            && !pooling.ceil_mode
    }
}
