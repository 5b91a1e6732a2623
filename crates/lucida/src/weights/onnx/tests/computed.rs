//! Operators of several computed inputs, choices, and places, against what ONNX Runtime computes.

use super::graphs::{Graph, float, int, ints};
use super::*;
use crate::core::Array;

/// A tensor of whole numbers (type 7) or booleans (type 9).
fn whole(name: &str, data_type: i32, dims: &[i64], values: &[i64]) -> TensorProto {
    let (int64_data, int32_data) = match data_type {
        7 => (values.to_vec(), Vec::new()),
        _ => (Vec::new(), values.iter().map(|&value| value as i32).collect()),
    };
    TensorProto { name: name.into(), dims: dims.to_vec(), data_type, int64_data, int32_data, ..Default::default() }
}

/// Compares the graph's tensor `z` with what ONNX Runtime computes.
fn check(what: &str, graph: Graph, shape: &[usize], output: &[usize], expected: &[f32]) {
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
fn products() {
    let graph = Graph::new(&[0, 3, 4]);
    let graph =
        graph.node("Transpose", &["x"], "y", vec![ints("perm", &[0, 2, 1])]).node("MatMul", &["x", "y"], "z", vec![]);
    check(
        "each with itself",
        graph,
        &[2, 3, 4],
        &[2, 3, 3],
        &[
            4.296875, 0.6875, -0.25, 0.6875, 1.34375, 0.21875, -0.25, 0.21875, 0.09375, 0.84375, 1.71875, -1.5625,
            1.71875, 3.59375, -3.4375, -1.5625, -3.4375, 3.59375,
        ],
    );
    let graph = Graph::new(&[0, 3, 4]);
    let graph =
        graph.node("Transpose", &["x"], "y", vec![ints("perm", &[0, 2, 1])]).node("MatMul", &["y", "x"], "z", vec![]);
    check(
        "the other way round",
        graph,
        &[2, 3, 4],
        &[2, 4, 4],
        &[
            1.890625, -0.765625, -0.75, -0.734375, -0.765625, 1.671875, 1.4375, 1.203125, -0.75, 1.4375, 1.25, 1.0625,
            -0.734375, 1.203125, 1.0625, 0.921875, 1.890625, 1.875, 1.859375, 1.84375, 1.875, 1.90625, 1.9375, 1.96875,
            1.859375, 1.9375, 2.015625, 2.09375, 1.84375, 1.96875, 2.09375, 2.21875,
        ],
    );
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
            2.53125, -0.140625, -0.140625, -0.140625, 1.765625, 1.296875, -0.140625, 1.296875, 0.953125, 0.390625,
            0.171875, -0.046875, 0.171875, 0.078125, -0.015625, -0.046875, -0.015625, 0.015625, 0.203125, 0.359375,
            0.515625, 0.359375, 0.640625, 0.921875, 0.515625, 0.921875, 1.328125, 2.265625, -2.25, -1.71875, -2.25,
            2.265625, 1.734375, -1.71875, 1.734375, 1.328125,
        ],
    );
    let graph = Graph::new(&[0, 3, 4]).floats("w", &[2, 3]);
    let graph = graph.node("MatMul", &["w", "x"], "z", vec![]);
    check(
        "a constant on the left",
        graph,
        &[2, 3, 4],
        &[2, 2, 4],
        &[
            1.1796875, -0.21875, -0.28125, -0.34375, -0.1328125, 0.765625, 0.625, 0.484375, 0.28125, 0.21875, 0.15625,
            0.09375, -0.0390625, -0.1796875, -0.3203125, -0.4609375,
        ],
    );
    let graph = Graph::new(&[0, 2, 3, 2]).floats("w", &[2, 3]);
    let graph = graph.node("MatMul", &["w", "x"], "z", vec![]);
    check(
        "a constant on the left of each",
        graph,
        &[2, 2, 3, 2],
        &[2, 2, 2, 2],
        &[
            1.5703125, 0.171875, 0.1171875, 1.015625, -0.140625, -0.203125, 0.3125, 0.171875, -0.515625, -0.578125,
            -0.53125, -0.671875, 1.6328125, 1.5703125, 0.2578125, 0.1171875,
        ],
    );
}

#[test]
fn gemm_of_a_graph_without_a_batch() {
    let graph = Graph::new(&[2, 3]).floats("c", &[2]);
    let graph =
        graph.node("Gemm", &["x", "x", "c"], "z", vec![int("transB", 1), float("alpha", 0.5), float("beta", 2.0)]);
    check("both computed", graph, &[2, 3], &[2, 2], &[0.640625, 1.3671875, -0.8828125, 1.984375]);
    let graph = Graph::new(&[2, 3]);
    let graph = graph.node("Gemm", &["x", "x"], "z", vec![int("transA", 1)]);
    check(
        "transposed",
        graph,
        &[2, 3],
        &[3, 3],
        &[2.03125, -0.609375, -0.578125, -0.609375, 1.828125, 1.59375, -0.578125, 1.59375, 1.390625],
    );
    let graph = Graph::new(&[2, 3]).floats("w", &[4, 2]).floats("c", &[4, 1]);
    let graph = graph.node("Gemm", &["w", "x", "c"], "z", vec![]);
    check(
        "a constant on the left",
        graph,
        &[2, 3],
        &[4, 3],
        &[
            0.5625, -0.7734375, -0.7734375, 0.3828125, 1.453125, 1.3359375, 0.3515625, 1.15625, 1.0703125, 0.3203125,
            0.859375, 0.8046875,
        ],
    );
    let graph = Graph::new(&[2, 3]).floats("w", &[4, 2]).floats("c", &[4]);
    let graph = graph.node("Gemm", &["x", "w", "c"], "z", vec![int("transA", 1), int("transB", 1), float("beta", 0.5)]);
    check(
        "a constant on the right",
        graph,
        &[2, 3],
        &[3, 4],
        &[
            0.84375, 0.1015625, 0.1015625, 0.1015625, -0.4921875, 1.171875, 0.90625, 0.640625, -0.4921875, 1.0546875,
            0.8203125, 0.5859375,
        ],
    );
}

#[test]
fn positions_in_any_order() {
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
fn choices() {
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
fn powers_and_quotients() {
    let graph = Graph::new(&[0, 3, 4]);
    let graph = graph.node("Exp", &["x"], "y", vec![]).node("Pow", &["y", "x"], "z", vec![]);
    check(
        "of two computed",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            3.5453079, 3.5453079, 2.7182817, 2.1503379, 1.7550547, 1.4779042, 1.2840254, 1.150993, 1.0644945,
            1.0157477, 1.0, 1.0157477, 1.0644945, 1.150993, 1.2840254, 1.4779042, 1.7550547, 2.1503379, 2.7182817,
            3.5453079, 3.5453079, 2.7182817, 2.1503379, 1.7550547,
        ],
    );
    let graph = Graph::new(&[0, 3, 4]).floats("c", &[4]);
    let graph = graph.node("Exp", &["x"], "y", vec![]).node("Pow", &["y", "c"], "z", vec![]);
    check(
        "known exponents",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            1.8828988, 1.8828988, 1.6487212, 1.466403, 0.655816, 1.4212866, 1.2840254, 1.178288, 0.8688151, 1.0728434,
            1.0, 0.946781, 1.150993, 0.8098247, 0.7788008, 0.7607599, 1.5248179, 0.6112877, 0.6065307, 0.6112877,
            0.531096, 1.7550546, 1.5488303, 1.3883625,
        ],
    );
    let graph = Graph::new(&[0, 3, 4]).values("c", &[], vec![2.0]);
    let graph = graph.node("Pow", &["c", "x"], "z", vec![]);
    check(
        "a known base",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            0.458502, 2.1810155, 2.0, 1.8340081, 1.6817929, 1.5422108, 1.4142135, 1.2968396, 1.1892071, 1.0905077, 1.0,
            0.917004, 0.8408964, 0.7711054, 0.7071068, 0.6484198, 0.5946035, 0.5452539, 0.5, 0.458502, 2.1810155, 2.0,
            1.8340081, 1.6817929,
        ],
    );
    let graph = Graph::new(&[0, 3, 4]).values("c", &[], vec![-1.5]);
    let graph = graph.node("Exp", &["x"], "y", vec![]).node("Pow", &["y", "c"], "z", vec![]);
    check(
        "one exponent",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            5.4059491, 0.1849814, 0.2231302, 0.2691464, 0.3246524, 0.3916056, 0.4723666, 0.5697828, 0.6872892,
            0.8290291, 1.0, 1.2062303, 1.4549915, 1.7550546, 2.1169999, 2.5535893, 3.0802169, 3.7154508, 4.481689,
            5.4059491, 0.1849814, 0.2231302, 0.2691464, 0.3246524,
        ],
    );
    let graph = Graph::new(&[0, 3, 2, 4]);
    let graph = graph.node("Exp", &["x"], "y", vec![]).node("Sqrt", &["y"], "z", vec![]);
    check(
        "a root",
        graph,
        &[2, 3, 2, 4],
        &[2, 3, 2, 4],
        &[
            0.5697828, 1.7550547, 1.6487212, 1.5488303, 1.4549915, 1.366838, 1.2840254, 1.2062303, 1.1331484,
            1.0644945, 1.0, 0.9394131, 0.8824969, 0.8290291, 0.7788008, 0.7316157, 0.6872893, 0.6456485, 0.6065307,
            0.5697828, 1.7550547, 1.6487212, 1.5488303, 1.4549915, 1.366838, 1.2840254, 1.2062303, 1.1331484,
            1.0644945, 1.0, 0.9394131, 0.8824969, 0.8290291, 0.7788008, 0.7316157, 0.6872893, 0.6456485, 0.6065307,
            0.5697828, 1.7550547, 1.6487212, 1.5488303, 1.4549915, 1.366838, 1.2840254, 1.2062303, 1.1331484,
            1.0644945,
        ],
    );
    let graph = Graph::new(&[0, 3, 2, 4]);
    let graph = graph.node("Exp", &["x"], "y", vec![]).node("Reciprocal", &["y"], "z", vec![]);
    check(
        "a reciprocal",
        graph,
        &[2, 3, 2, 4],
        &[2, 3, 2, 4],
        &[
            3.0802169, 0.3246525, 0.3678795, 0.416862, 0.4723665, 0.5352615, 0.6065307, 0.6872892, 0.7788008,
            0.8824969, 1.0, 1.1331484, 1.2840254, 1.4549913, 1.6487212, 1.8682458, 2.1170001, 2.3988752, 2.7182817,
            3.0802169, 0.3246525, 0.3678795, 0.416862, 0.4723665, 0.5352615, 0.6065307, 0.6872892, 0.7788008,
            0.8824969, 1.0, 1.1331484, 1.2840254, 1.4549913, 1.6487212, 1.8682458, 2.1170001, 2.3988752, 2.7182817,
            3.0802169, 0.3246525, 0.3678795, 0.416862, 0.4723665, 0.5352615, 0.6065307, 0.6872892, 0.7788008,
            0.8824969,
        ],
    );
    let graph = Graph::new(&[0, 3, 4]).values("c", &[], vec![1.0]);
    let graph = graph.node("Exp", &["x"], "y", vec![]).node("Div", &["c", "y"], "z", vec![]);
    check(
        "one by a value",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            3.0802169, 0.3246525, 0.3678795, 0.416862, 0.4723665, 0.5352615, 0.6065307, 0.6872892, 0.7788008,
            0.8824969, 1.0, 1.1331484, 1.2840254, 1.4549913, 1.6487212, 1.8682458, 2.1170001, 2.3988752, 2.7182817,
            3.0802169, 0.3246525, 0.3678795, 0.416862, 0.4723665,
        ],
    );
    let graph = Graph::new(&[0, 3, 4]).floats("c", &[4]);
    let graph = graph.node("Exp", &["x"], "y", vec![]).node("Div", &["c", "y"], "z", vec![]);
    check(
        "numbers by a value",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            -1.732622, 0.182617, 0.1839397, 0.1823771, -0.2657062, 0.3010845, 0.3032653, 0.300689, -0.4380754,
            0.4964045, 0.5, 0.4957525, -0.7222643, 0.8184326, 0.8243606, 0.8173576, -1.1908126, 1.3493674, 1.3591409,
            1.3475949, -0.182617, 0.2069322, 0.208431, 0.2066604,
        ],
    );
}

#[test]
fn slopes_for_any_axis() {
    let graph = Graph::new(&[0, 3, 4]).floats("s", &[3, 1]);
    let graph = graph.node("PRelu", &["x", "s"], "z", vec![]);
    check(
        "of the first",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            0.6328125, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0, -0.0625, 0.140625, 0.2109375,
            0.28125, 0.3515625, -0.421875, -0.4921875, -0.5625, -0.6328125, 1.125, 1.0, 0.875, 0.75,
        ],
    );
    let graph = Graph::new(&[0, 3, 4]).floats("s", &[4]);
    let graph = graph.node("PRelu", &["x", "s"], "z", vec![]);
    check(
        "of the last",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            0.6328125, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0, -0.0546875, 0.140625, -0.2109375,
            -0.25, -0.2734375, 0.421875, -0.4921875, -0.5, -0.4921875, 1.125, 1.0, 0.875, 0.75,
        ],
    );
    let graph = Graph::new(&[0, 3, 4]).floats("s", &[3, 4]);
    let graph = graph.node("PRelu", &["x", "s"], "z", vec![]);
    check(
        "of both",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            0.6328125, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0, 0.0078125, 0.140625, -0.2109375,
            -0.25, -0.2734375, -0.28125, -0.2734375, -0.25, -0.2109375, 1.125, 1.0, 0.875, 0.75,
        ],
    );
    let graph = Graph::new(&[0, 3, 2, 4]).floats("s", &[2, 1]);
    let graph = graph.node("PRelu", &["x", "s"], "z", vec![]);
    check(
        "of the height",
        graph,
        &[2, 3, 2, 4],
        &[2, 3, 2, 4],
        &[
            0.6328125, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0, 0.0703125, -0.140625, -0.2109375,
            -0.28125, -0.3515625, 0.421875, 0.4921875, 0.5625, 0.6328125, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375,
            0.25, 0.125, 0.0, -0.0703125, -0.140625, 0.2109375, 0.28125, 0.3515625, 0.421875, -0.4921875, -0.5625,
            -0.6328125, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125,
        ],
    );
    let graph = Graph::new(&[0, 3, 2, 2, 2]).floats("s", &[3, 1, 1, 2]);
    let graph = graph.node("PRelu", &["x", "s"], "z", vec![]);
    check(
        "of four axes",
        graph,
        &[2, 3, 2, 2, 2],
        &[2, 3, 2, 2, 2],
        &[
            0.6328125, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0, -0.0546875, -0.125, -0.1640625,
            -0.25, -0.2734375, -0.28125, -0.2734375, -0.375, -0.3515625, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375,
            0.25, 0.125, 0.0, 0.0703125, -0.140625, -0.1875, -0.21875, -0.3125, -0.328125, -0.4375, -0.4375, -0.5625,
            1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125,
        ],
    );
    let graph = Graph::new(&[0, 3, 4]).floats("s", &[1]);
    let graph = graph.node("PRelu", &["x", "s"], "z", vec![]);
    check(
        "one for all",
        graph,
        &[2, 3, 4],
        &[2, 3, 4],
        &[
            0.6328125, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0, 0.0703125, 0.140625, 0.2109375,
            0.28125, 0.3515625, 0.421875, 0.4921875, 0.5625, 0.6328125, 1.125, 1.0, 0.875, 0.75,
        ],
    );
}

#[test]
fn as_strided() {
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
