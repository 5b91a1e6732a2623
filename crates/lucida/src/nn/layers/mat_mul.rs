//! Matrix products of two computed inputs, as in attention.

use lucida_kernels::MatMul as Product;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Layer;
use super::built_in::BuiltInLayer;
use super::spec::{Extent, LayerSpec};
use crate::nn::Shape;
use crate::nn::backward_rule::BackwardRule;
use crate::nn::keras_config::{KerasConfig, short};
use crate::nn::onnx_graph::{OnnxAttribute, OnnxLayer};
use crate::nn::op::{Backward, BackwardNeeds, Forward, Op, OpConfig};

/// The matrix product of two inputs: `[rows, depth]` by `[depth, columns]` to `[rows, columns]`, for each sample. Leading
/// axes form a batch of matrices, and are broadcast as in NumPy; for two vectors it is their dot product, `[1]`.
///
/// ```
/// use lucida::nn::layers::{Input, MatMul};
/// use lucida::prelude::*;
///
/// let mut builder = Network::builder("attention");
/// let query = builder.add(Input::new([5, 8]), &[])?;
/// let key = builder.add(Input::new([7, 8]), &[])?;
/// let scores = builder.add(MatMul { transpose_b: true, ..MatMul::new() }, &[query, key])?;
/// let network = builder.build(&[scores], 42)?;
/// assert_eq!(network.output()?.shape().sizes(), [5, 7]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MatMul {
    /// Whether to swap the last two axes of the first input before the product.
    pub transpose_a: bool,
    /// Whether to swap the last two axes of the second input before the product.
    pub transpose_b: bool,
}

/// The matrices of an input: the leading axes, and their size.
struct Matrices {
    list: Vec<usize>,
    rows: usize,
    columns: usize,
}

impl MatMul {
    /// The product of the inputs without transposition.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Both inputs after transposition, with vectors as a row or a column.
    fn matrices(self, inputs: &[Shape]) -> Result<[Matrices; 2], String> {
        let [a, b] = inputs else { return Err(format!("takes two inputs, got {}", inputs.len())) };
        let matrices = |shape: &Shape, transpose: bool, row: bool| match *shape.sizes() {
            [len] if row => Ok(Matrices { list: Vec::new(), rows: 1, columns: len }),
            [len] => Ok(Matrices { list: Vec::new(), rows: len, columns: 1 }),
            [ref list @ .., rows, columns] => {
                let (rows, columns) = if transpose { (columns, rows) } else { (rows, columns) };
                Ok(Matrices { list: list.to_vec(), rows, columns })
            }
            [] => Err(format!("takes matrices, got {shape}")),
        };
        if (a.as_flat().is_some()) != (b.as_flat().is_some()) {
            return Err(format!("takes matrices, or two vectors, got {a} and {b}"));
        }
        Ok([matrices(a, self.transpose_a, true)?, matrices(b, self.transpose_b, false)?])
    }

    /// The leading axes that both inputs are broadcast to.
    fn list(a: &Matrices, b: &Matrices) -> Option<Vec<usize>> {
        let rank = a.list.len().max(b.list.len());
        let size = |list: &[usize], axis: usize| (axis + list.len()).checked_sub(rank).map_or(1, |axis| list[axis]);
        let both = |axis: usize| match (size(&a.list, axis), size(&b.list, axis)) {
            (a, b) if a == b || b == 1 => Some(a),
            (1, b) => Some(b),
            _ => None,
        };
        (0..rank).map(both).collect()
    }
}

impl LayerSpec for MatMul {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [a, b] = self.matrices(inputs)?;
        let list = Self::list(&a, &b).filter(|_| a.columns == b.rows && a.columns > 0);
        let Some(mut sizes) = list else {
            let (first, second) = (&inputs[0], &inputs[1]);
            let of = |flag: bool| if flag { ", transposed," } else { "" };
            return Err(format!(
                "{first}{} and {second}{} do not fit as matrices: the columns of the first are the rows of the second",
                of(self.transpose_a),
                of(self.transpose_b)
            ));
        };
        if inputs[0].as_flat().is_some() {
            return Ok(Shape::flat(1));
        }
        sizes.extend([a.rows, b.columns]);
        Ok(sizes.as_slice().into())
    }

    fn extent(&self, _inputs: &[Shape]) -> Extent {
        Extent::Whole
    }

    /// Sums of products preserve the sign.
    fn keeps_sign(&self) -> bool {
        true
    }

    fn prepare(&self, config: &OpConfig) -> Box<dyn Op> {
        let [a, b] = self.matrices(config.inputs).expect("the shape rule has accepted the inputs");
        let list = Self::list(&a, &b).expect("the shape rule has accepted the inputs");
        let (rows, depth, columns) = (a.rows, a.columns, b.columns);
        let vectors = config.inputs[0].as_flat().is_some();
        let [swapped_a, swapped_b] = [self.transpose_a && !vectors, self.transpose_b && !vectors];
        let product = |sizes, transposed| Product::new(config.cpu, sizes, transposed);
        // dA = dC B^T and dB = A^T dC, transposed like the inputs.
        let backward_a = match swapped_a {
            false => product([rows, columns, depth], [false, !swapped_b]),
            true => product([depth, columns, rows], [swapped_b, true]),
        };
        let backward_b = match swapped_b {
            false => product([depth, rows, columns], [!swapped_a, false]),
            true => product([columns, rows, depth], [true, swapped_a]),
        };
        Box::new(Products {
            forward: product([rows, depth, columns], [swapped_a, swapped_b]),
            backward: [(backward_a, swapped_a), (backward_b, swapped_b)],
            places: [places(&a.list, &list), places(&b.list, &list)],
            sizes: [rows * depth, depth * columns, rows * columns],
            relevance: matches!(config.rule, BackwardRule::Relevance { .. }),
        })
    }
}

/// For each matrix of a broadcast batch, the index of the corresponding matrix in the original batch.
fn places(from: &[usize], to: &[usize]) -> Vec<usize> {
    let place = |mut index: usize| {
        let (mut at, mut stride) = (0, 1);
        for (axis, &size) in to.iter().enumerate().rev() {
            let own = (axis + from.len()).checked_sub(to.len()).map_or(1, |axis| from[axis]);
            at += if own == 1 { 0 } else { index % size * stride };
            index /= size;
            stride *= own;
        }
        at
    };
    (0..to.iter().product()).map(place).collect()
}

/// A matrix product prepared to compute.
struct Products {
    forward: Product,
    /// For each input: the product that computes its gradient, and whether the output gradient is its right side.
    backward: [(Product, bool); 2],
    /// For each matrix of the output, the index of the matrix of each input.
    places: [Vec<usize>; 2],
    /// Number of values in a matrix of either input and of the output.
    sizes: [usize; 3],
    /// Relevance propagation: both factors get an equal share of the relevance of their product.
    relevance: bool,
}

impl Products {
    /// Number of matrices per sample of an input.
    fn count(&self, input: usize) -> usize {
        self.places[input].iter().max().map_or(1, |most| most + 1)
    }
}

impl Op for Products {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        let [a_len, b_len, len] = self.sizes;
        let (a, b) = (pass.inputs.get(0), pass.inputs.get(1));
        let [a_count, b_count] = [self.count(0), self.count(1)];
        let matrices = self.places[0].len();
        for (index, to) in output.chunks_exact_mut(len).enumerate() {
            let (sample, matrix) = (index / matrices, index % matrices);
            let a = &a[(sample * a_count + self.places[0][matrix]) * a_len..][..a_len];
            let b = &b[(sample * b_count + self.places[1][matrix]) * b_len..][..b_len];
            self.forward.run(a, b, to, false);
        }
    }

    fn backward_needs(&self) -> BackwardNeeds {
        BackwardNeeds { inputs: true, output: false }
    }

    /// `dA = dC B^T` and `dB = A^T dC`; a broadcast matrix gets the sum over its uses.
    fn backward_input(&mut self, pass: &Backward, index: usize, grad_input: &mut [f32], accumulate: bool) {
        if !accumulate {
            grad_input.fill(0.0);
        }
        let other = 1 - index;
        let [own_count, other_count] = [self.count(index), self.count(other)];
        let (own_len, other_len, len) = (self.sizes[index], self.sizes[other], self.sizes[2]);
        let values = pass.inputs.get(other);
        let matrices = self.places[0].len();
        let mut halved = vec![0.0; if self.relevance { len } else { 0 }];
        for (at, mut gradient) in pass.grad_output.chunks_exact(len).enumerate() {
            let (sample, matrix) = (at / matrices, at % matrices);
            if self.relevance {
                halved.iter_mut().zip(gradient).for_each(|(half, whole)| *half = 0.5 * whole);
                gradient = &halved;
            }
            let to = &mut grad_input[(sample * own_count + self.places[index][matrix]) * own_len..][..own_len];
            let with = &values[(sample * other_count + self.places[other][matrix]) * other_len..][..other_len];
            let (product, swapped) = &mut self.backward[index];
            // The output gradient is the left side for the first input and the right side for the second, and the other way
            // around if the input is transposed.
            match (index == 0) != *swapped {
                true => product.run(gradient, with, to, true),
                false => product.run(with, gradient, to, true),
            }
        }
    }
}

impl BuiltInLayer for MatMul {
    /// The operation `keras.ops.matmul`, and the layer `Dot` for tensors with two axes after the batch.
    const KERAS_CLASSES: &'static [&'static str] = &["Matmul", "Dot"];

    fn from_keras(class: &str, config: &mut KerasConfig) -> Result<Layer, String> {
        if class == "Matmul" {
            return Ok(Self::new().into());
        }
        config.must_be("normalize", &[false.into()])?;
        let axes = config.required("axes")?;
        let pair = match axes.as_i64() {
            Some(axis) => Some([axis, axis]),
            None => serde_json::from_value(axes.clone()).ok(),
        };
        // The contracted axis of a matrix: 1 or -2 are its rows, 2 or -1 its columns.
        let place = |axis: i64| match axis {
            1 | -2 => Some(0),
            2 | -1 => Some(1),
            _ => None,
        };
        match pair.map(|pair: [i64; 2]| pair.map(place)) {
            Some([Some(a), Some(b)]) => Ok(Self { transpose_a: a == 0, transpose_b: b == 1 }.into()),
            _ => Err(format!("axes {} are not supported", short(axes))),
        }
    }

    fn keras_class(&self) -> &'static str {
        if *self == Self::new() { "Matmul" } else { "Dot" }
    }

    fn to_keras(&self) -> Result<Value, String> {
        Ok(match (self.transpose_a, self.transpose_b) {
            (false, false) => json!({}),
            (true, false) => json!({ "axes": 1, "normalize": false }),
            (false, true) => json!({ "axes": -1, "normalize": false }),
            (true, true) => json!({ "axes": [1, 2], "normalize": false }),
        })
    }

    fn to_onnx(&self, layer: &mut OnnxLayer) {
        if layer.shapes[0].as_flat().is_some() {
            let product = layer.intermediate("product", "Mul", layer.inputs.clone(), vec![]);
            let axes = layer.constant("axes", &[1], crate::nn::onnx_graph::OnnxValues::Ints(vec![1]));
            return layer.result("ReduceSum", vec![product, axes], vec![]);
        }
        let mut inputs = Vec::new();
        for (index, transpose) in [self.transpose_a, self.transpose_b].into_iter().enumerate() {
            let rank = layer.shapes[index].sizes().len() as i64;
            // The axes of the network's tensor in the graph, where the channels of an image come first.
            let mut order: Vec<i64> = if rank == 3 { vec![0, 2, 3, 1] } else { (0..=rank).collect() };
            if transpose {
                order.swap(rank as usize - 1, rank as usize);
            }
            let input = layer.inputs[index].clone();
            let moved = order.windows(2).any(|pair| pair[0] > pair[1]);
            let perm = vec![("perm", OnnxAttribute::Ints(order))];
            inputs.push(match moved {
                true => layer.intermediate(&format!("matrices_{index}"), "Transpose", vec![input], perm),
                false => input,
            });
        }
        if layer.shapes.iter().any(|shape| shape.as_image().is_some()) {
            let product = layer.intermediate("product", "MatMul", inputs, vec![]);
            layer.result("Transpose", vec![product], vec![("perm", OnnxAttribute::ints([0, 3, 1, 2]))]);
        } else {
            layer.result("MatMul", inputs, vec![]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_layer, merged_of, refuses};

    fn with(transpose_a: bool, transpose_b: bool) -> MatMul {
        MatMul { transpose_a, transpose_b }
    }

    #[test]
    fn gradients() {
        check_layer(with(false, false), &[[3, 4].into(), [4, 5].into()]);
        check_layer(with(true, false), &[[4, 3].into(), [4, 5].into()]);
        check_layer(with(false, true), &[[3, 4].into(), [5, 4].into()]);
        check_layer(with(true, true), &[[4, 3].into(), [5, 4].into()]);
        check_layer(with(false, false), &[[2, 3, 4].into(), [2, 4, 2].into()]);
        // Batches of matrices that are broadcast in both directions at once.
        check_layer(with(false, false), &[[2, 1, 2, 3].into(), [3, 3, 2].into()]);
        check_layer(with(true, false), &[[7].into(), [7].into()]);
    }

    #[test]
    fn products_of_vectors_and_matrices() {
        let product = |layer, a: &[usize], b: &[usize], x: &[f32], y: &[f32]| merged_of(layer, [a, b], [x, y]);
        assert_eq!(product(with(false, true), &[3], &[3], &[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]), [32.0]);
        let (a, b) = ([1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 1.0, 0.0]);
        assert_eq!(product(with(false, false), &[2, 2], &[2, 2], &a, &b), [2.0, 1.0, 4.0, 3.0]);
        assert_eq!(product(with(true, false), &[2, 2], &[2, 2], &a, &b), [3.0, 1.0, 4.0, 2.0]);
    }

    #[test]
    fn refusals_state_the_shapes() {
        refuses(with(false, false), &[[3, 4].into(), [5, 4].into()], &["(3, 4)", "(5, 4)", "rows of the second"]);
        refuses(with(true, false), &[[3, 4].into(), [4, 5].into()], &["(3, 4), transposed"]);
        refuses(with(false, false), &[[2, 3, 4].into(), [3, 4, 5].into()], &["(2, 3, 4)"]);
        refuses(with(false, false), &[[4].into(), [4, 5].into()], &["two vectors", "(4)"]);
        refuses(with(false, false), &[[4].into()], &["two inputs", "got 1"]);
    }

    #[test]
    fn the_axes_of_keras_say_what_is_transposed() {
        let input = Shape::from([3, 4]);
        let read = |axes: Value| {
            let (options, mut notes) = (json!({ "axes": axes, "normalize": false }), Vec::new());
            let mut config = KerasConfig::new(options.as_object().unwrap(), &input, &mut notes);
            MatMul::from_keras("Dot", &mut config)
        };
        for layer in [with(true, false), with(false, true), with(true, true)] {
            assert_eq!(read(layer.to_keras().unwrap()["axes"].clone()), Ok(layer.into()));
        }
        assert_eq!(read(json!([2, 1])), Ok(MatMul::new().into()));
        assert!(read(json!([0, 1])).unwrap_err().contains("[0,1]"));
    }
}
