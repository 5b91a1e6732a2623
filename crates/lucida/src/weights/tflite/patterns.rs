//! What the converter writes in several operators and is one: dilated convolutions, and layer normalizations.

use std::collections::{HashMap, HashSet};

use super::operators::LAYER_NORMALIZATION;
use super::schema::{Dilation, Operation, Schema};

const ADD: i32 = 0;
const CONV_2D: i32 = 3;
const DEPTHWISE_CONV_2D: i32 = 4;
const MUL: i32 = 18;
const BATCH_TO_SPACE_ND: i32 = 37;
const SPACE_TO_BATCH_ND: i32 = 38;
const MEAN: i32 = 40;
const SUB: i32 = 41;
const NEG: i32 = 59;
const RSQRT: i32 = 76;
const SQUARED_DIFFERENCE: i32 = 99;

/// The operators of a graph, several in place of which one will do replaced by it, without those that no output needs.
pub(super) fn simplified<'a>(schema: &Schema<'a>, file: &[u8]) -> Vec<Operation<'a>> {
    let graph = Graph::new(schema, file);
    let mut replaced: HashMap<usize, Operation> = HashMap::new();
    let mut gone = HashSet::new();
    for place in 0..schema.operators.len() {
        let found = match schema.operators[place].code {
            SPACE_TO_BATCH_ND => graph.dilated(place),
            RSQRT => graph.layer_normalization(place),
            _ => None,
        };
        // Of expressions that overlap the first counts.
        if let Some((last, operation, parts)) = found.filter(|(_, _, parts)| parts.iter().all(|part| gone.insert(*part))) {
            gone.remove(&last);
            gone.extend(parts);
            replaced.insert(last, operation);
        }
    }
    let operators = schema.operators.iter().enumerate().filter_map(|(place, operation)| {
        let new = replaced.remove(&place);
        if gone.contains(&place) && new.is_none() { None } else { Some(new.unwrap_or_else(|| operation.clone())) }
    });
    needed(schema, operators.collect())
}

/// Without operators whose outputs nothing takes.
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

/// A graph with who gives and who takes each tensor.
struct Graph<'a, 's> {
    schema: &'s Schema<'a>,
    file: &'s [u8],
    makers: HashMap<usize, usize>,
    users: HashMap<usize, Vec<usize>>,
}

/// The last of some operators, what to put in its place, and all of them.
type Found<'a> = Option<(usize, Operation<'a>, Vec<usize>)>;

impl<'a, 's> Graph<'a, 's> {
    fn new(schema: &'s Schema<'a>, file: &'s [u8]) -> Self {
        let (mut makers, mut users) = (HashMap::new(), HashMap::<usize, Vec<usize>>::new());
        for (place, operation) in schema.operators.iter().enumerate() {
            makers.extend(operation.outputs.iter().map(|&output| (output, place)));
            operation.inputs.iter().flatten().for_each(|&input| users.entry(input).or_default().push(place));
        }
        Self { schema, file, makers, users }
    }

    fn operation(&self, place: usize) -> &'s Operation<'a> {
        &self.schema.operators[place]
    }

    /// The operators that take what one gives; none of what the graph gives, too.
    fn users(&self, place: usize) -> &[usize] {
        match self.operation(place).outputs[..] {
            [output] if !self.schema.outputs.contains(&output) => self.users.get(&output).map_or(&[], Vec::as_slice),
            _ => &[],
        }
    }

    /// The only operator that takes what one gives.
    fn user(&self, place: usize) -> Option<usize> {
        if let &[user] = self.users(place) { Some(user) } else { None }
    }

    /// The operator of this kind that gives a tensor, and its inputs.
    fn maker(&self, tensor: usize, code: i32) -> Option<(usize, &'s [Option<usize>])> {
        let &place = self.makers.get(&tensor)?;
        let operation = self.operation(place);
        (operation.code == code).then_some((place, operation.inputs.as_slice()))
    }

    fn known(&self, tensor: Option<usize>) -> Option<Vec<i64>> {
        self.schema.known(self.file, tensor?).ok()
    }

    /// A convolution of the pixels that are so many apart, which TensorFlow takes out as images of their own.
    fn dilated(&self, place: usize) -> Found<'a> {
        let before = self.operation(place);
        let middle = self.user(place)?;
        let last = self.user(middle)?;
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
        let dilation = Some(Dilation { rates, pads });
        let operation = Operation { inputs, outputs: after.outputs.clone(), dilation, ..convolution.clone() };
        Some((last, operation, vec![place, middle, last]))
    }

    /// `x gamma / s + (beta - mean gamma / s)`, where `s` is the root of the variance along the last axis and a little.
    fn layer_normalization(&self, root: usize) -> Found<'a> {
        let (variance, epsilon) = self.with_constant(self.operation(root).inputs.first().copied()??, ADD)?;
        let (_, &[Some(squares), axes]) = self.maker(variance, MEAN)? else { return None };
        let (_, &[Some(x), Some(mean)]) = self.maker(squares, SQUARED_DIFFERENCE)? else { return None };
        let (_, &[Some(of), same_axes]) = self.maker(mean, MEAN)? else { return None };
        let last_axis = self.schema.tensors[x].shape.len() as i64 - 1;
        let is_last = |axes: Option<usize>| self.known(axes).is_some_and(|axes| axes == [-1] || axes == [last_axis]);
        if of != x || !is_last(axes) || !is_last(same_axes) {
            return None;
        }
        let factor = self.user(root)?;
        let output = |place: usize| self.operation(place).outputs.first().copied();
        let (_, gamma) = self.with_constant(output(factor)?, MUL)?;
        let &[a, b] = self.users(factor) else { return None };
        let other = |place: usize| self.other(place, MUL, output(factor)?);
        let [scaled, shifting] = if other(a)? == x { [a, b] } else { [b, a] };
        let negated = match other(shifting)? {
            tensor if tensor == mean => false,
            tensor => self.maker(tensor, NEG)?.1 == [Some(mean)],
        };
        let (last, shift) = (self.user(scaled)?, self.user(shifting)?);
        let (beta, sum) = if last == shift { (None, shifting) } else { (Some(self.beta(shift, shifting, negated)?), shift) };
        let inputs = &self.operation(last).inputs;
        let pair = [output(scaled), output(sum)];
        let fits = match self.operation(last).code {
            ADD => (beta.is_some() || negated) && (inputs[..] == pair || inputs[..] == [pair[1], pair[0]]),
            SUB => beta.is_none() && !negated && inputs[..] == pair,
            _ => false,
        };
        let is_new = other(scaled)? == x && scaled != shifting;
        let inputs = vec![Some(x), Some(gamma), beta, Some(epsilon)];
        let operation = Operation { code: LAYER_NORMALIZATION, inputs, ..self.operation(last).clone() };
        let mut parts = vec![root, factor, scaled, shifting, sum, last];
        parts.dedup();
        (fits && is_new).then_some((last, operation, parts))
    }

    /// The constant that a shift has been added to, or that it has been taken from.
    fn beta(&self, place: usize, shifting: usize, negated: bool) -> Option<usize> {
        let (operation, output) = (self.operation(place), self.operation(shifting).outputs.first().copied()?);
        match operation.inputs[..] {
            [Some(beta), Some(b)] if operation.code == SUB && b == output && !negated => Some(beta),
            _ if operation.code == ADD && negated => self.other(place, ADD, output),
            _ => None,
        }
        .filter(|&beta| self.schema.tensors[beta].data.is_some())
    }

    /// The other one of the two inputs of an operator of this kind.
    fn other(&self, place: usize, code: i32, one: usize) -> Option<usize> {
        let operation = self.operation(place);
        match operation.inputs[..] {
            [Some(a), Some(b)] if operation.code == code && b == one => Some(a),
            [Some(a), Some(b)] if operation.code == code && a == one => Some(b),
            _ => None,
        }
    }

    /// A sum or product of something and a constant: both.
    fn with_constant(&self, tensor: usize, code: i32) -> Option<(usize, usize)> {
        let (_, &[Some(a), Some(b)]) = self.maker(tensor, code)? else { return None };
        match [a, b].map(|input| self.schema.tensors[input].data.is_some()) {
            [false, true] => Some((a, b)),
            [true, false] => Some((b, a)),
            _ => None,
        }
    }
}
