//! Operators with several computed inputs, choices, and indices, compared with ONNX Runtime.

use std::f32::consts::E;

use super::graphs::{Graph, float, int, ints};
use super::*;
use crate::core::Array;

/// A tensor of integers (type 7) or booleans (type 9).
pub(super) fn whole(name: &str, data_type: i32, dims: &[i64], values: &[i64]) -> TensorProto {
    let (int64_data, int32_data) = match data_type {
        7 => (values.to_vec(), Vec::new()),
        _ => (Vec::new(), values.iter().map(|&value| value as i32).collect()),
    };
    TensorProto { name: name.into(), dims: dims.to_vec(), data_type, int64_data, int32_data, ..Default::default() }
}

/// Compares the graph's tensor `z` with the result of ONNX Runtime.
pub(super) fn check(what: &str, graph: Graph, shape: &[usize], output: &[usize], expected: &[f32]) {
    let (_folder, path) = graph.ends_in("z").write();
    let values = (0..shape.iter().product()).map(|i: usize| ((i * 37 % 19) as f32 - 9.0) / 8.0).collect();
    let model = load_model(&path).unwrap_or_else(|problem| panic!("{what}: {problem}"));
    let got = model.run(&[Array::new(shape, values).unwrap()]).unwrap().remove(0);
    assert_eq!(got.shape(), output, "{what}");
    for (index, (got, expected)) in got.values().iter().zip(expected).enumerate() {
        assert!((got - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{what}: {got} at {index}, not {expected}");
    }
}

#[test]
fn products_each_with_itself() {
    let graph = Graph::new(&[0, 3, 4]);
    let graph =
        graph.node("Transpose", &["x"], "y", vec![ints("perm", &[0, 2, 1])]).node("MatMul", &["x", "y"], "z", vec![]);
    check(
        "each with itself",
        graph,
        &[2, 3, 4],
        &[2, 3, 3],
        &[
            4.29688, 0.6875, -0.25, 0.6875, 1.34375, 0.21875, -0.25, 0.21875, 0.09375, 0.84375, 1.71875, -1.5625,
            1.71875, 3.59375, -3.4375, -1.5625, -3.4375, 3.59375,
        ],
    );
}

#[test]
fn products_the_other_way_round() {
    let graph = Graph::new(&[0, 3, 4]);
    let graph =
        graph.node("Transpose", &["x"], "y", vec![ints("perm", &[0, 2, 1])]).node("MatMul", &["y", "x"], "z", vec![]);
    check(
        "the other way round",
        graph,
        &[2, 3, 4],
        &[2, 4, 4],
        &[
            1.89062, -0.76562, -0.75, -0.73438, -0.76562, 1.67188, 1.4375, 1.20312, -0.75, 1.4375, 1.25, 1.0625,
            -0.73438, 1.20312, 1.0625, 0.92188, 1.89062, 1.875, 1.85938, 1.84375, 1.875, 1.90625, 1.9375, 1.96875,
            1.85938, 1.9375, 2.01562, 2.09375, 1.84375, 1.96875, 2.09375, 2.21875,
        ],
    );
}

#[test]
fn products_lists_of_matrices() {
    let graph = Graph::new(&[0, 2, 3, 2]);
    let graph = graph.node("Transpose", &["x"], "y", vec![ints("perm", &[0, 1, 3, 2])]).node(
        "MatMul",
        &["x", "y"],
        "z",
        vec![],
    );
    check(
        "lists of matrices",
        graph,
        &[2, 2, 3, 2],
        &[2, 2, 3, 3],
        &[
            2.53125, -0.14062, -0.14062, -0.14062, 1.76562, 1.29688, -0.14062, 1.29688, 0.95312, 0.39062, 0.17188,
            -0.04688, 0.17188, 0.07812, -0.01562, -0.04688, -0.01562, 0.01562, 0.20312, 0.35938, 0.51562, 0.35938,
            0.64062, 0.92188, 0.51562, 0.92188, 1.32812, 2.26562, -2.25, -1.71875, -2.25, 2.26562, 1.73438, -1.71875,
            1.73438, 1.32812,
        ],
    );
}

#[test]
fn products_a_constant_on_the_left() {
    let graph = Graph::new(&[0, 3, 4]).floats("w", &[2, 3]);
    let graph = graph.node("MatMul", &["w", "x"], "z", vec![]);
    check(
        "a constant on the left",
        graph,
        &[2, 3, 4],
        &[2, 2, 4],
        &[
            1.17969, -0.21875, -0.28125, -0.34375, -0.13281, 0.76562, 0.625, 0.48438, 0.28125, 0.21875, 0.15625,
            0.09375, -0.03906, -0.17969, -0.32031, -0.46094,
        ],
    );
}

#[test]
fn products_a_constant_on_the_left_of_each() {
    let graph = Graph::new(&[0, 2, 3, 2]).floats("w", &[2, 3]);
    let graph = graph.node("MatMul", &["w", "x"], "z", vec![]);
    check(
        "a constant on the left of each",
        graph,
        &[2, 2, 3, 2],
        &[2, 2, 2, 2],
        &[
            1.57031, 0.17188, 0.11719, 1.01562, -0.14062, -0.20312, 0.3125, 0.17188, -0.51562, -0.57812, -0.53125,
            -0.67188, 1.63281, 1.57031, 0.25781, 0.11719,
        ],
    );
}

#[test]
fn gemm_both_computed() {
    let graph = Graph::new(&[2, 3]).floats("c", &[2]);
    let graph =
        graph.node("Gemm", &["x", "x", "c"], "z", vec![int("transB", 1), float("alpha", 0.5), float("beta", 2.0)]);
    check("both computed", graph, &[2, 3], &[2, 2], &[0.64062, 1.36719, -0.88281, 1.98438]);
}

#[test]
fn gemm_transposed() {
    let graph = Graph::new(&[2, 3]);
    let graph = graph.node("Gemm", &["x", "x"], "z", vec![int("transA", 1)]);
    check(
        "transposed",
        graph,
        &[2, 3],
        &[3, 3],
        &[2.03125, -0.60938, -0.57812, -0.60938, 1.82812, 1.59375, -0.57812, 1.59375, 1.39062],
    );
}

#[test]
fn gemm_a_constant_on_the_left() {
    let graph = Graph::new(&[2, 3]).floats("w", &[4, 2]).floats("c", &[4, 1]);
    let graph = graph.node("Gemm", &["w", "x", "c"], "z", vec![]);
    check(
        "a constant on the left",
        graph,
        &[2, 3],
        &[4, 3],
        &[0.5625, -0.77344, -0.77344, 0.38281, 1.45312, 1.33594, 0.35156, 1.15625, 1.07031, 0.32031, 0.85938, 0.80469],
    );
}

#[test]
fn gemm_a_constant_on_the_right() {
    let graph = Graph::new(&[2, 3]).floats("w", &[4, 2]).floats("c", &[4]);
    let graph = graph.node("Gemm", &["x", "w", "c"], "z", vec![int("transA", 1), int("transB", 1), float("beta", 0.5)]);
    check(
        "a constant on the right",
        graph,
        &[2, 3],
        &[3, 4],
        &[0.84375, 0.10156, 0.10156, 0.10156, -0.49219, 1.17188, 0.90625, 0.64062, -0.49219, 1.05469, 0.82031, 0.58594],
    );
}

#[test]
fn positions_of_a_sequence() {
    let graph = Graph::new(&[0, 3, 4]).ints("i", &[2, 0, 1, 1]);
    let graph = graph.node("Gather", &["x", "i"], "z", vec![int("axis", 1)]);
    check(
        "of a sequence",
        graph,
        &[2, 3, 4],
        &[2, 4, 4],
        &[
            0.25, 0.125, 0.0, -0.125, -1.125, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.75, 0.625, 0.5, 0.375,
            1.125, 1.0, 0.875, 0.75, -0.25, -0.375, -0.5, -0.625, -0.75, -0.875, -1.0, -1.125, -0.75, -0.875, -1.0,
            -1.125,
        ],
    );
}

#[test]
fn positions_of_the_width() {
    let graph = Graph::new(&[0, 3, 2, 4]).ints("i", &[3, 0, 0]);
    let graph = graph.node("Gather", &["x", "i"], "z", vec![int("axis", 3)]);
    check(
        "of the width",
        graph,
        &[2, 3, 2, 4],
        &[2, 3, 2, 3],
        &[
            0.875, -1.125, -1.125, 0.375, 0.75, 0.75, -0.125, 0.25, 0.25, -0.625, -0.25, -0.25, -1.125, -0.75, -0.75,
            0.75, 1.125, 1.125, 0.25, 0.625, 0.625, -0.25, 0.125, 0.125, -0.75, -0.375, -0.375, 1.125, -0.875, -0.875,
            0.625, 1.0, 1.0, 0.125, 0.5, 0.5,
        ],
    );
}

#[test]
fn positions_of_the_channels() {
    let graph = Graph::new(&[0, 3, 2, 4]).ints("i", &[-1, 0, 0]);
    let graph = graph.node("Gather", &["x", "i"], "z", vec![int("axis", 1)]);
    check(
        "of the channels",
        graph,
        &[2, 3, 2, 4],
        &[2, 3, 2, 4],
        &[
            -0.75, -0.875, -1.0, -1.125, 1.125, 1.0, 0.875, 0.75, -1.125, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375,
            -1.125, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125,
            0.625, 0.5, 0.375, 0.25, 0.125, 0.0, -0.125, -0.25, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0, -0.125, -0.25,
        ],
    );
}

#[test]
fn positions_in_two_axes() {
    let graph = Graph::new(&[0, 3, 2]).tensor(whole("i", 7, &[2, 2], &[0, 2, 1, 1]));
    let graph = graph.node("Gather", &["x", "i"], "z", vec![int("axis", 1)]);
    check(
        "in two axes",
        graph,
        &[2, 3, 2],
        &[2, 2, 2, 2],
        &[-1.125, 1.125, 0.75, 0.625, 1.0, 0.875, 1.0, 0.875, 0.5, 0.375, 0.0, -0.125, 0.25, 0.125, 0.25, 0.125],
    );
}

#[test]
fn choices_known_for_each_value() {
    let graph = Graph::new(&[0, 3, 4]).tensor(whole("m", 9, &[3, 4], &[1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 0, 0]));
    let graph = graph.node("Relu", &["x"], "y", vec![]).node("Where", &["m", "y", "x"], "z", vec![]);
    check(
        "known for each value",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            0.0, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0, -0.125, 0.0, -0.375, -0.5, 0.0, -0.75,
            0.0, 0.0, -1.125, 1.125, 1.0, 0.875, 0.75,
        ],
    );
}

#[test]
fn choices_known_values_elsewhere() {
    let graph = Graph::new(&[0, 3, 4]).tensor(whole("m", 9, &[3, 4], &[1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 0, 0])).values(
        "c",
        &[],
        vec![7.5],
    );
    let graph = graph.node("Where", &["m", "x", "c"], "z", vec![]);
    check(
        "known values elsewhere",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            -1.125, 7.5, 7.5, 0.875, 7.5, 0.625, 0.5, 7.5, 0.25, 0.125, 7.5, 7.5, -0.25, 7.5, 7.5, -0.625, 7.5, -0.875,
            -1.0, 7.5, 1.125, 1.0, 7.5, 7.5,
        ],
    );
}

#[test]
fn choices_known_values_for_some() {
    let graph = Graph::new(&[0, 3, 4]).tensor(whole("m", 9, &[3, 1], &[1, 0, 1])).floats("c", &[4]);
    let graph = graph.node("Where", &["m", "c", "x"], "z", vec![]);
    check(
        "known values for some",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            -0.5625, 0.5625, 0.5, 0.4375, 0.75, 0.625, 0.5, 0.375, -0.5625, 0.5625, 0.5, 0.4375, -0.5625, 0.5625, 0.5,
            0.4375, -0.75, -0.875, -1.0, -1.125, -0.5625, 0.5625, 0.5, 0.4375,
        ],
    );
}

#[test]
fn choices_greater_than_a_number() {
    let graph = Graph::new(&[0, 3, 4]).values("c", &[], vec![0.25]);
    let graph = graph.node("Neg", &["x"], "y", vec![]).node("Greater", &["x", "c"], "q", vec![]).node(
        "Where",
        &["q", "x", "y"],
        "z",
        vec![],
    );
    check(
        "Greater than a number",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            1.125, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, -0.25, -0.125, -0.0, 0.125, 0.25, 0.375, 0.5, 0.625,
            0.75, 0.875, 1.0, 1.125, 1.125, 1.0, 0.875, 0.75,
        ],
    );
}

#[test]
fn choices_a_number_greater() {
    let graph = Graph::new(&[0, 3, 4]).values("c", &[1], vec![0.25]);
    let graph = graph.node("Neg", &["x"], "y", vec![]).node("Greater", &["c", "x"], "q", vec![]).node(
        "Where",
        &["q", "x", "y"],
        "z",
        vec![],
    );
    check(
        "a number Greater",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            -1.125, -1.125, -1.0, -0.875, -0.75, -0.625, -0.5, -0.375, -0.25, 0.125, 0.0, -0.125, -0.25, -0.375, -0.5,
            -0.625, -0.75, -0.875, -1.0, -1.125, -1.125, -1.0, -0.875, -0.75,
        ],
    );
}

#[test]
fn choices_greater_or_equal_than_a_number() {
    let graph = Graph::new(&[0, 3, 4]).values("c", &[], vec![0.25]);
    let graph = graph.node("Neg", &["x"], "y", vec![]).node("GreaterOrEqual", &["x", "c"], "q", vec![]).node(
        "Where",
        &["q", "x", "y"],
        "z",
        vec![],
    );
    check(
        "GreaterOrEqual than a number",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            1.125, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, -0.125, -0.0, 0.125, 0.25, 0.375, 0.5, 0.625,
            0.75, 0.875, 1.0, 1.125, 1.125, 1.0, 0.875, 0.75,
        ],
    );
}

#[test]
fn choices_a_number_greater_or_equal() {
    let graph = Graph::new(&[0, 3, 4]).values("c", &[1], vec![0.25]);
    let graph = graph.node("Neg", &["x"], "y", vec![]).node("GreaterOrEqual", &["c", "x"], "q", vec![]).node(
        "Where",
        &["q", "x", "y"],
        "z",
        vec![],
    );
    check(
        "a number GreaterOrEqual",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            -1.125, -1.125, -1.0, -0.875, -0.75, -0.625, -0.5, -0.375, 0.25, 0.125, 0.0, -0.125, -0.25, -0.375, -0.5,
            -0.625, -0.75, -0.875, -1.0, -1.125, -1.125, -1.0, -0.875, -0.75,
        ],
    );
}

#[test]
fn choices_less_than_a_number() {
    let graph = Graph::new(&[0, 3, 4]).values("c", &[], vec![0.25]);
    let graph = graph.node("Neg", &["x"], "y", vec![]).node("Less", &["x", "c"], "q", vec![]).node(
        "Where",
        &["q", "x", "y"],
        "z",
        vec![],
    );
    check(
        "Less than a number",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            -1.125, -1.125, -1.0, -0.875, -0.75, -0.625, -0.5, -0.375, -0.25, 0.125, 0.0, -0.125, -0.25, -0.375, -0.5,
            -0.625, -0.75, -0.875, -1.0, -1.125, -1.125, -1.0, -0.875, -0.75,
        ],
    );
}

#[test]
fn choices_a_number_less() {
    let graph = Graph::new(&[0, 3, 4]).values("c", &[1], vec![0.25]);
    let graph = graph.node("Neg", &["x"], "y", vec![]).node("Less", &["c", "x"], "q", vec![]).node(
        "Where",
        &["q", "x", "y"],
        "z",
        vec![],
    );
    check(
        "a number Less",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            1.125, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, -0.25, -0.125, -0.0, 0.125, 0.25, 0.375, 0.5, 0.625,
            0.75, 0.875, 1.0, 1.125, 1.125, 1.0, 0.875, 0.75,
        ],
    );
}

#[test]
fn choices_less_or_equal_than_a_number() {
    let graph = Graph::new(&[0, 3, 4]).values("c", &[], vec![0.25]);
    let graph = graph.node("Neg", &["x"], "y", vec![]).node("LessOrEqual", &["x", "c"], "q", vec![]).node(
        "Where",
        &["q", "x", "y"],
        "z",
        vec![],
    );
    check(
        "LessOrEqual than a number",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            -1.125, -1.125, -1.0, -0.875, -0.75, -0.625, -0.5, -0.375, 0.25, 0.125, 0.0, -0.125, -0.25, -0.375, -0.5,
            -0.625, -0.75, -0.875, -1.0, -1.125, -1.125, -1.0, -0.875, -0.75,
        ],
    );
}

#[test]
fn choices_a_number_less_or_equal() {
    let graph = Graph::new(&[0, 3, 4]).values("c", &[1], vec![0.25]);
    let graph = graph.node("Neg", &["x"], "y", vec![]).node("LessOrEqual", &["c", "x"], "q", vec![]).node(
        "Where",
        &["q", "x", "y"],
        "z",
        vec![],
    );
    check(
        "a number LessOrEqual",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            1.125, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, -0.125, -0.0, 0.125, 0.25, 0.375, 0.5, 0.625,
            0.75, 0.875, 1.0, 1.125, 1.125, 1.0, 0.875, 0.75,
        ],
    );
}

#[test]
fn choices_of_two_that_are_compared() {
    let graph = Graph::new(&[0, 3, 4]);
    let graph = graph.node("Neg", &["x"], "y", vec![]).node("Less", &["x", "y"], "q", vec![]).node(
        "Where",
        &["q", "x", "y"],
        "z",
        vec![],
    );
    check(
        "of two that are compared",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            -1.125, -1.125, -1.0, -0.875, -0.75, -0.625, -0.5, -0.375, -0.25, -0.125, -0.0, -0.125, -0.25, -0.375,
            -0.5, -0.625, -0.75, -0.875, -1.0, -1.125, -1.125, -1.0, -0.875, -0.75,
        ],
    );
}

#[test]
fn choices_compared_with_a_number_each() {
    let graph = Graph::new(&[0, 3, 4]).floats("c", &[4]);
    let graph = graph.node("LessOrEqual", &["x", "c"], "q", vec![]).node("Not", &["q"], "p", vec![]).node(
        "Where",
        &["p", "x", "c"],
        "z",
        vec![],
    );
    check(
        "compared with a number each",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            -0.5625, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.4375, 0.25, 0.5625, 0.5, 0.4375, -0.25, 0.5625, 0.5,
            0.4375, -0.5625, 0.5625, 0.5, 0.4375, 1.125, 1.0, 0.875, 0.75,
        ],
    );
}

#[test]
fn choices_as_a_number() {
    let graph = Graph::new(&[0, 3, 4]).values("c", &[], vec![0.25]);
    let graph = graph.node("Greater", &["x", "c"], "q", vec![]).node("Cast", &["q"], "p", vec![int("to", 1)]).node(
        "Mul",
        &["x", "p"],
        "z",
        vec![],
    );
    check(
        "as a number",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            -0.0, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.0, 0.0, 0.0, -0.0, -0.0, -0.0, -0.0, -0.0, -0.0, -0.0,
            -0.0, -0.0, 1.125, 1.0, 0.875, 0.75,
        ],
    );
}

#[test]
fn powers_of_two_computed() {
    let graph = Graph::new(&[0, 3, 4]);
    let graph = graph.node("Exp", &["x"], "y", vec![]).node("Pow", &["y", "x"], "z", vec![]);
    check(
        "of two computed",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            3.54531, 3.54531, E, 2.15034, 1.75505, 1.4779, 1.28403, 1.15099, 1.06449, 1.01575, 1.0, 1.01575, 1.06449,
            1.15099, 1.28403, 1.4779, 1.75505, 2.15034, E, 3.54531, 3.54531, E, 2.15034, 1.75505,
        ],
    );
}

#[test]
fn powers_known_exponents() {
    let graph = Graph::new(&[0, 3, 4]).floats("c", &[4]);
    let graph = graph.node("Exp", &["x"], "y", vec![]).node("Pow", &["y", "c"], "z", vec![]);
    check(
        "known exponents",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            1.8829, 1.8829, 1.64872, 1.4664, 0.65582, 1.42129, 1.28403, 1.17829, 0.86882, 1.07284, 1.0, 0.94678,
            1.15099, 0.80982, 0.7788, 0.76076, 1.52482, 0.61129, 0.60653, 0.61129, 0.5311, 1.75505, 1.54883, 1.38836,
        ],
    );
}

#[test]
fn powers_a_known_base() {
    let graph = Graph::new(&[0, 3, 4]).values("c", &[], vec![3.0]);
    let graph = graph.node("Pow", &["c", "x"], "z", vec![]);
    check(
        "a known base",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            0.29056, 3.44161, 3.0, 2.61506, 2.27951, 1.98701, 1.73205, 1.5098, 1.31607, 1.1472, 1.0, 0.87169, 0.75984,
            0.66234, 0.57735, 0.50327, 0.43869, 0.3824, 0.33333, 0.29056, 3.44161, 3.0, 2.61506, 2.27951,
        ],
    );
}

#[test]
fn powers_one_exponent() {
    let graph = Graph::new(&[0, 3, 4]).values("c", &[], vec![-1.5]);
    let graph = graph.node("Exp", &["x"], "y", vec![]).node("Pow", &["y", "c"], "z", vec![]);
    check(
        "one exponent",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            5.40595, 0.18498, 0.22313, 0.26915, 0.32465, 0.39161, 0.47237, 0.56978, 0.68729, 0.82903, 1.0, 1.20623,
            1.45499, 1.75505, 2.117, 2.55359, 3.08022, 3.71545, 4.48169, 5.40595, 0.18498, 0.22313, 0.26915, 0.32465,
        ],
    );
}

#[test]
fn powers_a_root() {
    let graph = Graph::new(&[0, 3, 2, 4]);
    let graph = graph.node("Exp", &["x"], "y", vec![]).node("Sqrt", &["y"], "z", vec![]);
    check(
        "a root",
        graph,
        &[2, 3, 2, 4],
        &[2, 3, 2, 4],
        &[
            0.56978, 1.75505, 1.64872, 1.54883, 1.45499, 1.36684, 1.28403, 1.20623, 1.13315, 1.06449, 1.0, 0.93941,
            0.8825, 0.82903, 0.7788, 0.73162, 0.68729, 0.64565, 0.60653, 0.56978, 1.75505, 1.64872, 1.54883, 1.45499,
            1.36684, 1.28403, 1.20623, 1.13315, 1.06449, 1.0, 0.93941, 0.8825, 0.82903, 0.7788, 0.73162, 0.68729,
            0.64565, 0.60653, 0.56978, 1.75505, 1.64872, 1.54883, 1.45499, 1.36684, 1.28403, 1.20623, 1.13315, 1.06449,
        ],
    );
}

#[test]
fn powers_a_reciprocal() {
    let graph = Graph::new(&[0, 3, 2, 4]);
    let graph = graph.node("Exp", &["x"], "y", vec![]).node("Reciprocal", &["y"], "z", vec![]);
    check(
        "a reciprocal",
        graph,
        &[2, 3, 2, 4],
        &[2, 3, 2, 4],
        &[
            3.08022, 0.32465, 0.36788, 0.41686, 0.47237, 0.53526, 0.60653, 0.68729, 0.7788, 0.8825, 1.0, 1.13315,
            1.28403, 1.45499, 1.64872, 1.86825, 2.117, 2.39888, E, 3.08022, 0.32465, 0.36788, 0.41686, 0.47237,
            0.53526, 0.60653, 0.68729, 0.7788, 0.8825, 1.0, 1.13315, 1.28403, 1.45499, 1.64872, 1.86825, 2.117,
            2.39888, E, 3.08022, 0.32465, 0.36788, 0.41686, 0.47237, 0.53526, 0.60653, 0.68729, 0.7788, 0.8825,
        ],
    );
}

#[test]
fn powers_one_by_a_value() {
    let graph = Graph::new(&[0, 3, 4]).values("c", &[], vec![1.0]);
    let graph = graph.node("Exp", &["x"], "y", vec![]).node("Div", &["c", "y"], "z", vec![]);
    check(
        "one by a value",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            3.08022, 0.32465, 0.36788, 0.41686, 0.47237, 0.53526, 0.60653, 0.68729, 0.7788, 0.8825, 1.0, 1.13315,
            1.28403, 1.45499, 1.64872, 1.86825, 2.117, 2.39888, E, 3.08022, 0.32465, 0.36788, 0.41686, 0.47237,
        ],
    );
}

#[test]
fn powers_numbers_by_a_value() {
    let graph = Graph::new(&[0, 3, 4]).floats("c", &[4]);
    let graph = graph.node("Exp", &["x"], "y", vec![]).node("Div", &["c", "y"], "z", vec![]);
    check(
        "numbers by a value",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            -1.73262, 0.18262, 0.18394, 0.18238, -0.26571, 0.30108, 0.30327, 0.30069, -0.43808, 0.4964, 0.5, 0.49575,
            -0.72226, 0.81843, 0.82436, 0.81736, -1.19081, 1.34937, 1.35914, 1.34759, -0.18262, 0.20693, 0.20843,
            0.20666,
        ],
    );
}

#[test]
fn slopes_of_the_first() {
    let graph = Graph::new(&[0, 3, 4]).floats("s", &[3, 1]);
    let graph = graph.node("PRelu", &["x", "s"], "z", vec![]);
    check(
        "of the first",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            0.63281, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0, -0.0625, 0.14062, 0.21094, 0.28125,
            0.35156, -0.42188, -0.49219, -0.5625, -0.63281, 1.125, 1.0, 0.875, 0.75,
        ],
    );
}

#[test]
fn slopes_of_the_last() {
    let graph = Graph::new(&[0, 3, 4]).floats("s", &[4]);
    let graph = graph.node("PRelu", &["x", "s"], "z", vec![]);
    check(
        "of the last",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            0.63281, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0, -0.05469, 0.14062, -0.21094, -0.25,
            -0.27344, 0.42188, -0.49219, -0.5, -0.49219, 1.125, 1.0, 0.875, 0.75,
        ],
    );
}

#[test]
fn slopes_of_both() {
    let graph = Graph::new(&[0, 3, 4]).floats("s", &[3, 4]);
    let graph = graph.node("PRelu", &["x", "s"], "z", vec![]);
    check(
        "of both",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            0.63281, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0, 0.00781, 0.14062, -0.21094, -0.25,
            -0.27344, -0.28125, -0.27344, -0.25, -0.21094, 1.125, 1.0, 0.875, 0.75,
        ],
    );
}

#[test]
fn slopes_of_the_height() {
    let graph = Graph::new(&[0, 3, 2, 4]).floats("s", &[2, 1]);
    let graph = graph.node("PRelu", &["x", "s"], "z", vec![]);
    check(
        "of the height",
        graph,
        &[2, 3, 2, 4],
        &[2, 3, 2, 4],
        &[
            0.63281, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0, 0.07031, -0.14062, -0.21094,
            -0.28125, -0.35156, 0.42188, 0.49219, 0.5625, 0.63281, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25,
            0.125, 0.0, -0.07031, -0.14062, 0.21094, 0.28125, 0.35156, 0.42188, -0.49219, -0.5625, -0.63281, 1.125,
            1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125,
        ],
    );
}

#[test]
fn slopes_of_four_axes() {
    let graph = Graph::new(&[0, 3, 2, 2, 2]).floats("s", &[3, 1, 1, 2]);
    let graph = graph.node("PRelu", &["x", "s"], "z", vec![]);
    check(
        "of four axes",
        graph,
        &[2, 3, 2, 2, 2],
        &[2, 3, 2, 2, 2],
        &[
            0.63281, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0, -0.05469, -0.125, -0.16406, -0.25,
            -0.27344, -0.28125, -0.27344, -0.375, -0.35156, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125,
            0.0, 0.07031, -0.14062, -0.1875, -0.21875, -0.3125, -0.32812, -0.4375, -0.4375, -0.5625, 1.125, 1.0, 0.875,
            0.75, 0.625, 0.5, 0.375, 0.25, 0.125,
        ],
    );
}

#[test]
fn slopes_one_for_all() {
    let graph = Graph::new(&[0, 3, 4]).floats("s", &[1]);
    let graph = graph.node("PRelu", &["x", "s"], "z", vec![]);
    check(
        "one for all",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            0.63281, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0, 0.07031, 0.14062, 0.21094, 0.28125,
            0.35156, 0.42188, 0.49219, 0.5625, 0.63281, 1.125, 1.0, 0.875, 0.75,
        ],
    );
}

#[test]
fn as_strided_axes_in_another_order() {
    let graph = Graph::new(&[0, 3, 4])
        .ints("flat", &[-1])
        .tensor(whole("zero", 7, &[], &[0]))
        .tensor(whole("one", 7, &[], &[1]))
        .tensor(whole("size", 7, &[], &[12]))
        .ints("axes", &[1, 2])
        .tensor(whole("places", 7, &[1, 4, 3], &[0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]));
    let graph = graph
        .node("Reshape", &["x", "flat"], "m", vec![])
        .node("Shape", &["x"], "n", vec![int("start", 0), int("end", 1)])
        .node("Squeeze", &["n"], "count", vec![])
        .node("Range", &["zero", "count", "one"], "r", vec![])
        .node("Mul", &["r", "size"], "t", vec![])
        .node("Unsqueeze", &["t", "axes"], "u", vec![])
        .node("Add", &["u", "places"], "i", vec![])
        .node("Gather", &["m", "i"], "z", vec![int("axis", 0)]);
    check(
        "axes in another order",
        graph,
        &[2, 3, 4],
        &[2, 4, 3],
        &[
            -1.125, 0.75, 0.25, 1.125, 0.625, 0.125, 1.0, 0.5, 0.0, 0.875, 0.375, -0.125, -0.25, -0.75, 1.125, -0.375,
            -0.875, 1.0, -0.5, -1.0, 0.875, -0.625, -1.125, 0.75,
        ],
    );
}

#[test]
fn as_strided_windows_that_overlap() {
    let graph = Graph::new(&[0, 3, 4])
        .ints("flat", &[-1])
        .tensor(whole("zero", 7, &[], &[0]))
        .tensor(whole("one", 7, &[], &[1]))
        .tensor(whole("size", 7, &[], &[12]))
        .ints("axes", &[1, 2])
        .tensor(whole("places", 7, &[1, 4, 5], &[0, 1, 2, 3, 4, 2, 3, 4, 5, 6, 4, 5, 6, 7, 8, 6, 7, 8, 9, 10]));
    let graph = graph
        .node("Reshape", &["x", "flat"], "m", vec![])
        .node("Shape", &["x"], "n", vec![int("start", 0), int("end", 1)])
        .node("Squeeze", &["n"], "count", vec![])
        .node("Range", &["zero", "count", "one"], "r", vec![])
        .node("Mul", &["r", "size"], "t", vec![])
        .node("Unsqueeze", &["t", "axes"], "u", vec![])
        .node("Add", &["u", "places"], "i", vec![])
        .node("Gather", &["m", "i"], "z", vec![int("axis", 0)]);
    check(
        "windows that overlap",
        graph,
        &[2, 3, 4],
        &[2, 4, 5],
        &[
            -1.125, 1.125, 1.0, 0.875, 0.75, 1.0, 0.875, 0.75, 0.625, 0.5, 0.75, 0.625, 0.5, 0.375, 0.25, 0.5, 0.375,
            0.25, 0.125, 0.0, -0.25, -0.375, -0.5, -0.625, -0.75, -0.5, -0.625, -0.75, -0.875, -1.0, -0.75, -0.875,
            -1.0, -1.125, 1.125, -1.0, -1.125, 1.125, 1.0, 0.875,
        ],
    );
}

#[test]
fn as_strided_a_batch_of_a_fixed_size() {
    let graph = Graph::new(&[2, 3, 4])
        .ints("flat", &[-1])
        .tensor(whole("zero", 7, &[], &[0]))
        .tensor(whole("one", 7, &[], &[1]))
        .tensor(whole("size", 7, &[], &[12]))
        .ints("axes", &[1, 2])
        .tensor(whole("places", 7, &[1, 4, 5], &[0, 1, 2, 3, 4, 2, 3, 4, 5, 6, 4, 5, 6, 7, 8, 6, 7, 8, 9, 10]));
    let graph = graph
        .node("Reshape", &["x", "flat"], "m", vec![])
        .node("Shape", &["x"], "n", vec![int("start", 0), int("end", 1)])
        .node("Squeeze", &["n"], "count", vec![])
        .node("Range", &["zero", "count", "one"], "r", vec![])
        .node("Mul", &["r", "size"], "t", vec![])
        .node("Unsqueeze", &["t", "axes"], "u", vec![])
        .node("Add", &["u", "places"], "i", vec![])
        .node("Gather", &["m", "i"], "z", vec![int("axis", 0)]);
    check(
        "a batch of a fixed size",
        graph,
        &[2, 3, 4],
        &[2, 4, 5],
        &[
            -1.125, 1.125, 1.0, 0.875, 0.75, 1.0, 0.875, 0.75, 0.625, 0.5, 0.75, 0.625, 0.5, 0.375, 0.25, 0.5, 0.375,
            0.25, 0.125, 0.0, -0.25, -0.375, -0.5, -0.625, -0.75, -0.5, -0.625, -0.75, -0.875, -1.0, -0.75, -0.875,
            -1.0, -1.125, 1.125, -1.0, -1.125, 1.125, 1.0, 0.875,
        ],
    );
}

#[test]
fn slopes_of_old_graphs_are_for_the_channels() {
    for dims in [&[0, 3, 3][..], &[0, 3, 3, 3]] {
        let slopes = || Graph::new(dims).values("s", &[3], vec![0.0, 0.5, 1.0]);
        let of_channels = slopes().opset(6).node("PRelu", &["x", "s"], "z", vec![]);
        let aligned = Graph::new(dims).values("s", &[&[3][..], &vec![1; dims.len() - 2]].concat(), vec![0.0, 0.5, 1.0]);
        let aligned = aligned.node("PRelu", &["x", "s"], "z", vec![]).ends_in("z").network();
        assert_eq!(outputs(&of_channels.ends_in("z").network()), outputs(&aligned));
        let of_the_last = slopes().node("PRelu", &["x", "s"], "z", vec![]).ends_in("z").network();
        assert_ne!(outputs(&of_the_last), outputs(&aligned));
    }
}

#[test]
fn what_mixes_samples_or_is_a_comparison_is_refused() {
    let graph = |dims: &[i64]| Graph::new(dims).values("c", &[], vec![0.0]).ints("flat", &[-1]);
    let memory = || graph(&[0, 3, 4]).node("Reshape", &["x", "flat"], "m", vec![]);
    memory().node("Relu", &["m"], "z", vec![]).ends_in("z").refused(&["the_relu", "keep the batch", "flatten(1)"]);
    let others = whole("i", 7, &[3], &[0, 1, 2]);
    let gathered = memory().tensor(others).node("Gather", &["m", "i"], "z", vec![]).ends_in("z");
    gathered.refused(&["other samples", ".contiguous()", "dynamo=False"]);
    let product = graph(&[0, 3]).node("MatMul", &["x", "x"], "z", vec![]).ends_in("z");
    product.refused(&["the_matmul", "(batch, 3)", "matrix of its own"]);
    let product = graph(&[0, 3]).node("Gemm", &["x", "x"], "z", vec![int("transB", 1)]).ends_in("z");
    product.refused(&["the_gemm", "samples of a batch", "fixed"]);
    let compared = || graph(&[0, 3]).node("Greater", &["x", "c"], "q", vec![]);
    compared().ends_in("q").refused(&["\"q\"", "cast it to a number"]);
    compared().node("Relu", &["q"], "z", vec![]).ends_in("z").refused(&["result of a comparison", "Where"]);
    graph(&[0, 3]).node("Where", &["x", "x", "c"], "z", vec![]).ends_in("z").refused(&["comparisons", "Greater"]);
    let outside = graph(&[0, 3]).ints("i", &[0, 3]).node("Gather", &["x", "i"], "z", vec![int("axis", 1)]);
    outside.ends_in("z").refused(&["positions [0, 3] of 3"]);
}
