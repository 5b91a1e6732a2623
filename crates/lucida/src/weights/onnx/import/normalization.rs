//! Normalizations by a sample's own statistics, the parametric ReLU, and the forms in which PyTorch exports them.

use std::collections::HashMap;

use super::super::proto::{GraphProto, NodeProto};
use super::super::tensor::{Constant, first};
use super::Importer;
use super::drafts::Source;
use super::operator::{ImportResult, Operator, unsupported};
use super::symbol::Symbol;
use crate::nn::layers::{GroupNormalization, LayerNormalization, LocalResponseNormalization, PReLU, UnitNormalization};

/// The name of the operator created by [`regrouped`].
pub(super) const GROUPED: &str = "InstanceNormalization of groups";

/// Rewrites the nodes of PyTorch's group normalizations: a `Reshape` to (batch, groups, rest) that is only used by an
/// `InstanceNormalization` is removed, and its target shape becomes a fourth input of the latter, because the channels of
/// an image cannot be split here.
pub(super) fn regrouped(graph: &GraphProto) -> HashMap<usize, NodeProto> {
    let mut takers: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, node) in graph.node.iter().enumerate() {
        node.input.iter().for_each(|input| takers.entry(input).or_default().push(place));
    }
    let mut changed = HashMap::new();
    for (place, node) in graph.node.iter().enumerate().filter(|(_, node)| node.op_type == "Reshape") {
        let Some(output) = node.output.first().filter(|name| graph.output.iter().all(|output| output.name != **name))
        else {
            continue;
        };
        let (Some(&[taker]), [data, target]) = (takers.get(output.as_str()).map(Vec::as_slice), node.input.as_slice())
        else {
            continue;
        };
        let norm = &graph.node[taker];
        if norm.op_type == "InstanceNormalization" && norm.input.len() == 3 && norm.input[0] == *output {
            let input = vec![data.clone()];
            changed
                .insert(place, NodeProto { op_type: "Identity".into(), input, attribute: Vec::new(), ..node.clone() });
            let input = norm.input.iter().chain([target]).cloned().collect();
            changed.insert(taker, NodeProto { op_type: GROUPED.into(), input, ..norm.clone() });
        }
    }
    changed
}

/// The scales and offsets of a group normalization for each channel.
fn spread(op: &Operator, groups: usize) -> ImportResult<[Vec<f32>; 2]> {
    let symbol = op.symbol(0)?;
    let channels = if symbol.axes.is_empty() { 0 } else { symbol.size(0) };
    let part = |index: usize| -> ImportResult<Vec<f32>> {
        let values = op.needed(index)?.check_floats()?.floats();
        match values.len() {
            len if len == channels => Ok(values),
            len if len == groups && channels.is_multiple_of(groups) => {
                let each = |value: f32| std::iter::repeat_n(value, channels / groups);
                Ok(values.into_iter().flat_map(each).collect())
            }
            len => Err(format!("{len} factors for {channels} channels").into()),
        }
    };
    Ok([part(1)?, part(2)?])
}

impl Importer {
    /// `InstanceNormalization`: of each channel of an image.
    pub(super) fn instance_normalization(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let [gamma, beta] = [op.needed(1)?.check_floats()?, op.needed(2)?.check_floats()?];
        self.normalize_groups(op, None, gamma.floats(), beta.floats())
    }

    /// `GroupNormalization`: before version 21 with a scale for each group.
    pub(super) fn group_normalization(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let groups = usize::try_from(op.int("num_groups", 0)).ok().filter(|&groups| groups > 0);
        let Some(groups) = groups else { return Err("num_groups is not a number of groups".into()) };
        let [gamma, beta] = spread(op, groups)?;
        self.normalize_groups(op, Some(groups), gamma, beta)
    }

    /// An instance normalization of grouped channels; see [`regrouped`].
    pub(super) fn instance_normalization_of_groups(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let groups = op.needed(1)?.len();
        let target = op.needed(3)?.ints()?;
        let per_group = op.symbol(0)?.len() / groups.max(1);
        let fits = match target {
            [_, second, rest] => {
                let rest = rest.known().map(|rest| rest == -1 || usize::try_from(rest) == Ok(per_group));
                second.known() == Some(groups as i64) && rest == Some(true)
            }
            _ => false,
        };
        if !fits {
            return unsupported(format!("of an input reshaped to {} axes is not supported", target.len()));
        }
        let [gamma, beta] = spread(op, groups)?;
        self.normalize_groups(op, Some(groups), gamma, beta)
    }

    /// Adds a group normalization, omitting scales and offsets that have no effect.
    fn normalize_groups(
        &mut self,
        op: &Operator,
        groups: Option<usize>,
        gamma: Vec<f32>,
        beta: Vec<f32>,
    ) -> ImportResult<Symbol> {
        let symbol = op.symbol(0)?.clone();
        let channels = self.image(&symbol)?[2];
        let scale = gamma.iter().any(|&factor| factor != 1.0);
        let center = beta.iter().any(|&shift| shift != 0.0);
        let epsilon = op.float("epsilon", 1e-5);
        let layer = GroupNormalization { groups: groups.filter(|&groups| groups != channels), epsilon, center, scale };
        let parts: Vec<Vec<f32>> =
            [(scale, gamma), (center, beta)].into_iter().filter_map(|(used, part)| used.then_some(part)).collect();
        if let Some(part) = parts.iter().find(|part| part.len() != channels) {
            return Err(format!("{} factors for {channels} channels", part.len()).into());
        }
        let weight = op.needed(1)?.name.clone();
        let draft = self.add((op.node, &weight), layer, &[symbol.draft], Source::Weights(parts))?;
        Ok(Symbol { draft, ..symbol })
    }

    /// `LayerNormalization`, over the last axes in memory.
    pub(super) fn layer_normalization(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let mut symbol = op.symbol(0)?.clone();
        let axis = symbol.axis(op.int("axis", -1))?;
        if !self.is_trailing(&symbol, axis) {
            symbol = self.plain(&symbol)?;
        }
        let atoms: Vec<usize> = symbol.axes[axis..].iter().flatten().copied().collect();
        let rank = self.drafts[symbol.draft].shape.sizes().len();
        let flat = rank != symbol.atoms.len();
        let first = atoms.iter().copied().min().unwrap_or(symbol.atoms.len() - 1);
        let axes = if flat { 1 } else { rank - first };
        // The position in memory of each of the operator's scales.
        let stride = |atom: usize| symbol.atoms[atom + 1..].iter().product::<usize>();
        let places = atoms.iter().fold(vec![0], |places, &atom| {
            let steps = |place: usize| (0..symbol.atoms[atom]).map(move |index| place + index * stride(atom));
            places.into_iter().flat_map(steps).collect::<Vec<usize>>()
        });
        let part = |constant: &Constant| -> ImportResult<Vec<f32>> {
            let values = constant.check_floats()?.floats();
            if values.len() != places.len() {
                return Err(format!("{} factors for {} values", values.len(), places.len()).into());
            }
            let mut sorted = vec![0.0; values.len()];
            places.iter().zip(values).for_each(|(&place, value)| sorted[place] = value);
            Ok(sorted)
        };
        let gamma = part(op.needed(1)?)?;
        let beta = op.constant(2)?.map(part).transpose()?;
        let (epsilon, center) = (op.float("epsilon", 1e-5), beta.is_some());
        let layer = LayerNormalization { axes, epsilon, center, scale: true };
        let source = Source::Weights(std::iter::once(gamma).chain(beta).collect());
        let weight = op.needed(1)?.name.clone();
        let draft = self.add((op.node, &weight), layer, &[symbol.draft], source)?;
        Ok(Symbol { draft, ..symbol })
    }

    /// Whether the axes of a tensor from `axis` on are the last ones in memory, or all.
    fn is_trailing(&self, symbol: &Symbol, axis: usize) -> bool {
        let atoms: Vec<usize> = symbol.axes[axis..].iter().flatten().copied().collect();
        let flat = self.drafts[symbol.draft].shape.sizes().len() != symbol.atoms.len();
        let lasting = (0..symbol.atoms.len()).filter(|&atom| symbol.atoms[atom] != 1);
        let first = atoms.iter().copied().min().unwrap_or(symbol.atoms.len() - 1);
        let everything = symbol.atoms[..first].iter().all(|&size| size == 1);
        lasting.filter(|&atom| atom >= first).count() == atoms.len() && (!flat || everything)
    }

    /// `LRN`
    pub(super) fn local_response(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let symbol = op.symbol(0)?.clone();
        self.image(&symbol)?;
        let size = usize::try_from(op.int("size", 0)).unwrap_or(0);
        let (alpha, beta, bias) = (op.float("alpha", 1e-4), op.float("beta", 0.75), op.float("bias", 1.0));
        self.add_alike(op, &symbol, LocalResponseNormalization { size, alpha, beta, bias })
    }

    /// `LpNormalization` of the channels to unit Euclidean norm.
    pub(super) fn unit(&mut self, op: &Operator) -> ImportResult<Symbol> {
        op.must_be("p", 2)?;
        let symbol = op.symbol(0)?.clone();
        let axis = symbol.axis(op.int("axis", -1))?;
        let (symbol, _) = self.channels(&symbol, axis)?;
        self.add_alike(op, &symbol, UnitNormalization::new())
    }

    /// `PRelu` with slopes that are broadcast over any of the axes.
    pub(super) fn prelu(&mut self, op: &Operator) -> ImportResult<Symbol> {
        let slope = op.needed(1)?.check_floats()?;
        let mut symbol = op.symbol(0)?.clone();
        let rank = symbol.axes.len() + 1;
        let lacking = rank.checked_sub(slope.dims.len());
        let wide: Vec<usize> = (0..slope.dims.len()).filter(|&place| slope.dims[place] != 1).collect();
        // Axes are counted without the batch, which has no slopes.
        let axis = |place: usize| (place + lacking?).checked_sub(1);
        let fits = |&place: &usize| axis(place).is_some_and(|axis| symbol.size(axis) == slope.dims[place]);
        if lacking.is_none() || !wide.iter().all(fits) {
            return unsupported(format!(
                "slopes of shape {:?} for an input of {}: from the last axis on, each size must be 1 or that of the axis",
                first(&slope.dims),
                symbol.shape()
            ));
        }
        let sizes = self.drafts[symbol.draft].shape.sizes().to_vec();
        let own: Vec<usize> = wide.iter().filter_map(|&place| axis(place)).collect();
        let (shared, values) = if own.is_empty() {
            ((0..sizes.len()).collect(), slope.floats())
        } else if sizes.len() == 1 {
            // A flat layer has a slope for each value.
            (Vec::new(), super::pointwise::broadcast_to(&symbol, slope)?)
        } else {
            if *symbol.atoms != *sizes {
                symbol = self.plain(&symbol)?;
            }
            let own: Vec<usize> = own.iter().flat_map(|&axis| symbol.axes[axis].iter().copied()).collect();
            let shared: Vec<usize> = (0..symbol.atoms.len()).filter(|atom| !own.contains(atom)).collect();
            let one = |atom: usize| if shared.contains(&atom) { 1 } else { symbol.atoms[atom] };
            let atoms = (0..symbol.atoms.len()).map(one).collect();
            let values = super::pointwise::broadcast_to(&Symbol { atoms, ..symbol.clone() }, slope)?;
            (shared, values)
        };
        let source = Source::Weights(vec![values]);
        let draft = self.add((op.node, &slope.name), PReLU::shared(shared), &[symbol.draft], source)?;
        Ok(Symbol { draft, ..symbol })
    }

    /// A layer whose axes are those of the tensor.
    pub(super) fn plain(&mut self, symbol: &Symbol) -> ImportResult<Symbol> {
        let order: Vec<usize> = (0..symbol.axes.len()).collect();
        let draft = self.in_memory(symbol, &order, false)?;
        Ok(Symbol::in_order(draft, self.drafts[draft].shape.sizes()))
    }
}
