//! Recognizing layers that the converter writes as several operators: dilated convolutions, layer normalizations, and
//! Keras's upsampling by repetition.

use std::collections::{HashMap, HashSet};

use super::schema::{Operation, Pattern, Schema};

const ADD: i32 = 0;
const CONV_2D: i32 = 3;
const DEPTHWISE_CONV_2D: i32 = 4;
const DEQUANTIZE: i32 = 6;
const MUL: i32 = 18;
const RESHAPE: i32 = 22;
const BATCH_TO_SPACE_ND: i32 = 37;
const SPACE_TO_BATCH_ND: i32 = 38;
const MEAN: i32 = 40;
const SUB: i32 = 41;
const NEG: i32 = 59;
const TILE: i32 = 69;
const EXPAND_DIMS: i32 = 70;
const RSQRT: i32 = 76;
const SHAPE: i32 = 77;
const SQUARED_DIFFERENCE: i32 = 99;

/// The operators of a graph, with recognized patterns replaced, and without those that no output depends on.
pub(super) fn simplified<'a>(schema: &Schema<'a>, file: &[u8]) -> Vec<Operation<'a>> {
    let graph = Graph::new(schema, file);
    let mut replaced: HashMap<usize, Operation> = HashMap::new();
    let mut replaced_parts = HashSet::new();
    for index in 0..schema.operators.len() {
        let found = match schema.operators[index].code {
            SPACE_TO_BATCH_ND => graph.dilated(index),
            RSQRT => graph.layer_normalization(index),
            EXPAND_DIMS => graph.repeated(index),
            _ => None,
        };
        // Of overlapping patterns, the first one counts.
        if let Some((last, operation, parts)) = found
            && !parts.iter().any(|part| replaced_parts.contains(part))
        {
            replaced_parts.extend(parts);
            replaced.insert(last, operation);
        }
    }
    let operators = schema.operators.iter().enumerate().filter_map(|(index, operation)| {
        let new = replaced.remove(&index);
        if replaced_parts.contains(&index) && new.is_none() {
            None
        } else {
            Some(new.unwrap_or_else(|| operation.clone()))
        }
    });
    needed(schema, operators.collect())
}

/// Removes operators whose outputs are unused.
fn needed<'a>(schema: &Schema, operators: Vec<Operation<'a>>) -> Vec<Operation<'a>> {
    let mut used: HashSet<usize> = schema.outputs.iter().copied().collect();
    let mut kept: Vec<Operation> = Vec::with_capacity(operators.len());
    for operation in operators.into_iter().rev() {
        if operation.outputs.iter().any(|output| used.contains(output)) {
            used.extend(operation.inputs.iter().flatten());
            kept.push(operation);
        }
    }
    kept.reverse();
    kept
}

/// A graph with the producer and consumers of each tensor.
struct Graph<'a, 's> {
    schema: &'s Schema<'a>,
    file: &'s [u8],
    producers: HashMap<usize, usize>,
    consumers: HashMap<usize, Vec<usize>>,
}

/// The last operator of a pattern, its replacement, and all operators of the pattern.
type Found<'a> = Option<(usize, Operation<'a>, Vec<usize>)>;

impl<'a, 's> Graph<'a, 's> {
    fn new(schema: &'s Schema<'a>, file: &'s [u8]) -> Self {
        let (mut producers, mut consumers) = (HashMap::new(), HashMap::<usize, Vec<usize>>::new());
        for (index, operation) in schema.operators.iter().enumerate() {
            producers.extend(operation.outputs.iter().map(|&output| (output, index)));
            operation.inputs.iter().flatten().for_each(|&input| consumers.entry(input).or_default().push(index));
        }
        Self { schema, file, producers, consumers }
    }

    fn operation(&self, index: usize) -> &'s Operation<'a> {
        &self.schema.operators[index]
    }

    /// The consumers of an operator's output; none if it is also an output of the graph.
    fn consumers(&self, index: usize) -> &[usize] {
        match self.operation(index).outputs[..] {
            [output] if !self.schema.outputs.contains(&output) => {
                self.consumers.get(&output).map_or(&[], Vec::as_slice)
            }
            _ => &[],
        }
    }

    /// The only consumer of an operator's output.
    fn only_consumer(&self, index: usize) -> Option<usize> {
        if let &[only_consumer] = self.consumers(index) { Some(only_consumer) } else { None }
    }

    /// The operator of this kind that produces a tensor, and its inputs.
    fn producer(&self, tensor: usize, code: i32) -> Option<(usize, &'s [Option<usize>])> {
        let &index = self.producers.get(&tensor)?;
        let operation = self.operation(index);
        (operation.code == code).then_some((index, operation.inputs.as_slice()))
    }

    fn known(&self, tensor: Option<usize>) -> Option<Vec<i64>> {
        self.schema.known(self.file, tensor?).ok()
    }

    /// The constant behind a tensor, possibly after a cast.
    fn constant(&self, tensor: usize) -> Option<usize> {
        let is_constant = |&tensor: &usize| self.schema.tensors[tensor].data.is_some();
        let stored = || self.producer(tensor, DEQUANTIZE).and_then(|(_, inputs)| inputs.first().copied().flatten());
        Some(tensor).filter(is_constant).or_else(|| stored().filter(is_constant))
    }

    fn is_zero(&self, tensor: usize) -> bool {
        let tensor = &self.schema.tensors[tensor];
        let zeros = tensor.data.clone().is_some_and(|index| self.file[index].iter().all(|&byte| byte == 0));
        zeros && tensor.quantization.as_ref().is_none_or(|found| found.zeros.iter().all(|&zero| zero == 0))
    }

    /// Repetition of the rows or columns of an image, or of both in succession: repetition along a new axis, which a
    /// reshape merges with the previous one.
    fn repeated(&self, index: usize) -> Found<'a> {
        let (mut last, times, mut parts) = self.repeated_axis(index)?;
        let mut both = times;
        let (expansions, others): (Vec<usize>, Vec<usize>) =
            self.consumers(last).iter().partition(|&&only_consumer| self.operation(only_consumer).code == EXPAND_DIMS);
        if let [next] = expansions[..]
            && others.iter().all(|&other| self.operation(other).code == SHAPE)
            && let Some((end, more, rest)) = self.repeated_axis(next)
        {
            both = [times[0] * more[0], times[1] * more[1]];
            last = end;
            parts.extend(rest);
        }
        let inputs = self.operation(index).inputs[..1].to_vec();
        Some((
            last,
            Operation { inputs, pattern: Some(Pattern::Repeated(both)), ..self.operation(last).clone() },
            parts,
        ))
    }

    /// The last operator of a repetition of rows or columns, the number of repetitions, and all operators.
    fn repeated_axis(&self, index: usize) -> Option<(usize, [i64; 2], Vec<usize>)> {
        let tile = self.only_consumer(index)?;
        let reshape = self.only_consumer(tile)?;
        let (expand, tiling) = (self.operation(index), self.operation(tile));
        let [Some(image), axis] = expand.inputs[..] else { return None };
        let from = &self.schema.tensors[image].shape;
        let to = &self.schema.tensors[*self.operation(reshape).outputs.first()?].shape;
        let &[axis] = self.known(axis)?.as_slice() else { return None };
        let axis = usize::try_from(if axis < 0 { axis + 5 } else { axis }).ok()?;
        let &[_, times] = tiling.inputs.as_slice() else { return None };
        let times = self.known(times)?;
        let count = *times.get(axis)?;
        let kinds = tiling.code == TILE && self.operation(reshape).code == RESHAPE;
        let alone = times.len() == 5 && times.iter().enumerate().all(|(at, &times)| at == axis || times == 1);
        let fits = (0..4).all(|at| match (from.get(at), to.get(at)) {
            (Some(&from), Some(&to)) if at + 1 == axis => {
                from > 0 && i64::from(from).checked_mul(count) == Some(to.into())
            }
            // A size that the file leaves open is unchanged here.
            (Some(&from), Some(&to)) => from == to || to < 0,
            _ => false,
        });
        let ranks = [from.len(), to.len()] == [4; 2] && (2..=3).contains(&axis) && (2..1 << 12).contains(&count);
        let times = if axis == 2 { [count, 1] } else { [1, count] };
        (kinds && alone && fits && ranks).then(|| (reshape, times, vec![index, tile, reshape]))
    }

    /// A dilated convolution, which TensorFlow computes on subsampled images in the batch.
    fn dilated(&self, index: usize) -> Found<'a> {
        let before = self.operation(index);
        let middle = self.only_consumer(index)?;
        let last = self.only_consumer(middle)?;
        let (convolution, after) = (self.operation(middle), self.operation(last));
        let is_valid = convolution.options.is_some_and(|options| options.byte(0) == Ok(1));
        let kinds = [CONV_2D, DEPTHWISE_CONV_2D].contains(&convolution.code) && after.code == BATCH_TO_SPACE_ND;
        let [image, rates, border] = before.inputs[..] else { return None };
        let [_, same_rates, crops] = after.inputs[..] else { return None };
        let rates: [i64; 2] = self.known(rates)?.try_into().ok()?;
        let fits = kinds && is_valid && self.known(same_rates)? == rates;
        if !fits || convolution.inputs.first() != Some(&before.outputs.first().copied()) {
            return None;
        }
        let (border, crops): ([i64; 4], [i64; 4]) =
            (self.known(border)?.try_into().ok()?, self.known(crops)?.try_into().ok()?);
        let pad = |index: usize| border[index].checked_sub(crops[index]);
        let pads = [[pad(0)?, pad(1)?], [pad(2)?, pad(3)?]];
        let mut inputs = convolution.inputs.clone();
        inputs[0] = image;
        // The bias is added separately.
        if inputs.get(2).copied().flatten().is_some_and(|bias| self.is_zero(bias)) {
            inputs[2] = None;
        }
        let pattern = Some(Pattern::Dilated { rates, pads });
        let operation = Operation { inputs, outputs: after.outputs.clone(), pattern, ..convolution.clone() };
        Some((last, operation, vec![index, middle, last]))
    }

    /// `x gamma / s + (beta - mean gamma / s)`, where `s` is the square root of the variance along the last axis plus
    /// epsilon.
    fn layer_normalization(&self, root: usize) -> Found<'a> {
        let (variance, epsilon) = self.with_constant(self.operation(root).inputs.first().copied()??, ADD)?;
        let (_, &[Some(squares), axes]) = self.producer(variance, MEAN)? else { return None };
        let (_, &[Some(x), Some(mean)]) = self.producer(squares, SQUARED_DIFFERENCE)? else { return None };
        let (_, &[Some(of), same_axes]) = self.producer(mean, MEAN)? else { return None };
        let last_axis = self.schema.tensors[x].shape.len() as i64 - 1;
        let is_last = |axes: Option<usize>| self.known(axes).is_some_and(|axes| axes == [-1] || axes == [last_axis]);
        if of != x || !is_last(axes) || !is_last(same_axes) {
            return None;
        }
        let factor = self.only_consumer(root)?;
        let output = |index: usize| self.operation(index).outputs.first().copied();
        let (_, gamma) = self.with_constant(output(factor)?, MUL)?;
        let &[a, b] = self.consumers(factor) else { return None };
        let other = |index: usize| self.other(index, MUL, output(factor)?);
        let [scaled, shifting] = if other(a)? == x { [a, b] } else { [b, a] };
        let negated = match other(shifting)? {
            tensor if tensor == mean => false,
            tensor => self.producer(tensor, NEG)?.1 == [Some(mean)],
        };
        let (last, shift) = (self.only_consumer(scaled)?, self.only_consumer(shifting)?);
        let (beta, sum) =
            if last == shift { (None, shifting) } else { (Some(self.beta(shift, shifting, negated)?), shift) };
        let inputs = &self.operation(last).inputs;
        let pair = [output(scaled), output(sum)];
        let fits = match self.operation(last).code {
            ADD => (beta.is_some() || negated) && (inputs[..] == pair || inputs[..] == [pair[1], pair[0]]),
            SUB => beta.is_none() && !negated && inputs[..] == pair,
            _ => false,
        };
        let is_new = other(scaled)? == x && scaled != shifting;
        let inputs = vec![Some(x), Some(gamma), beta, self.constant(epsilon)];
        let pattern = Some(Pattern::LayerNormalization);
        let operation = Operation { inputs, pattern, ..self.operation(last).clone() };
        let mut parts = vec![root, factor, scaled, shifting, sum, last];
        parts.dedup();
        (fits && is_new).then_some((last, operation, parts))
    }

    /// The constant in an addition or subtraction.
    fn beta(&self, index: usize, shifting: usize, negated: bool) -> Option<usize> {
        let (operation, output) = (self.operation(index), self.operation(shifting).outputs.first().copied()?);
        match operation.inputs[..] {
            [Some(beta), Some(b)] if operation.code == SUB && b == output && !negated => Some(beta),
            _ if operation.code == ADD && negated => self.other(index, ADD, output),
            _ => None,
        }
        .filter(|&beta| self.constant(beta).is_some())
    }

    /// The other input of an operator of this kind with two inputs.
    fn other(&self, index: usize, code: i32, one: usize) -> Option<usize> {
        let operation = self.operation(index);
        match operation.inputs[..] {
            [Some(a), Some(b)] if operation.code == code && b == one => Some(a),
            [Some(a), Some(b)] if operation.code == code && a == one => Some(b),
            _ => None,
        }
    }

    /// The operands of a sum or product of a tensor and a constant.
    fn with_constant(&self, tensor: usize, code: i32) -> Option<(usize, usize)> {
        let (_, &[Some(a), Some(b)]) = self.producer(tensor, code)? else { return None };
        match [a, b].map(|input| self.constant(input).is_some()) {
            [false, true] => Some((a, b)),
            [true, false] => Some((b, a)),
            _ => None,
        }
    }
}
