//! Norms, expanded tensors, and computed weights, compared with ONNX Runtime.

use super::computed::check;
use super::graphs::{Graph, classes, float, int, ints};

#[test]
fn norms_over_axes() {
    let graph = |kind: &str, axes: &[i64], keepdims: i64| {
        Graph::new(&[0, 3, 2, 2]).node(kind, &["x"], "z", vec![ints("axes", axes), int("keepdims", keepdims)])
    };
    let l2 = [1.375, 1.29301, 1.11803, 0.96014, 1.375, 1.38067, 1.41973, 1.48955];
    check("the root of squares", graph("ReduceL2", &[1], 1), &[2, 3, 2, 2], &[2, 1, 2, 2], &l2);
    let squares = l2.map(|norm: f32| norm * norm);
    check("squares", graph("ReduceSumSquare", &[1], 1), &[2, 3, 2, 2], &[2, 1, 2, 2], &squares);
    let l1 = [4.125, 2.25, 0.5, 1.75, 3.75, 3.75];
    check("absolute values", graph("ReduceL1", &[2, 3], 0), &[2, 3, 2, 2], &[2, 3], &l1);
}

#[test]
fn a_pixel_is_expanded_to_an_image() {
    let pooled = |graph: Graph| {
        graph.node("ReduceMean", &["x"], "m", vec![ints("axes", &[2, 3])]).node("Shape", &["x"], "s", vec![]).node(
            "Expand",
            &["m", "s"],
            "e",
            vec![],
        )
    };
    let graph = pooled(Graph::new(&[0, 2, 2, 2])).node("Concat", &["x", "e"], "z", vec![int("axis", 1)]);
    check(
        "next to the image",
        graph,
        &[1, 2, 2, 2],
        &[1, 4, 2, 2],
        &[
            -1.125, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.46875, 0.46875, 0.46875, 0.46875, 0.5625, 0.5625,
            0.5625, 0.5625,
        ],
    );
    // The product broadcasts by itself.
    let graph = pooled(Graph::new(&[0, 2, 2, 2])).node("Mul", &["x", "e"], "z", vec![]).ends_in("z");
    let found = classes(&graph.network());
    assert!(found.contains("Multiply") && !found.contains("Take"), "{found}");
    let batch = Graph::new(&[0, 2, 2, 2]).ints("t", &[5, 2, 2, 2]).node("Expand", &["x", "t"], "z", vec![]);
    batch.ends_in("z").refused(&["the_expand", "repeats the batch"]);
}

#[test]
fn two_tensors_broadcast_each_other() {
    let graph = Graph::new(&[0, 3, 2, 2])
        .node("ReduceMean", &["x"], "m", vec![ints("axes", &[1])])
        .node("ReduceMean", &["x"], "p", vec![ints("axes", &[2, 3])])
        .node("Mul", &["m", "p"], "z", vec![]);
    let expected =
        [-0.01953, 0.29297, 0.23438, 0.17578, -0.02344, 0.35156, 0.28125, 0.21094, -0.0026, 0.03906, 0.03125, 0.02344];
    check("a map and a pixel", graph, &[1, 3, 2, 2], &[1, 3, 2, 2], &expected);
    let graph = Graph::new(&[0, 3, 4])
        .ints("t", &[-1, 3, 4])
        .node("Transpose", &["x"], "y", vec![ints("perm", &[0, 2, 1])])
        .node("Reshape", &["y", "t"], "r", vec![])
        .node("Add", &["x", "r"], "z", vec![]);
    let expected = [-2.25, 1.875, 1.25, 2.0, 1.375, 0.75, 1.5, 0.875, 0.25, 1.0, 0.375, -0.25];
    check("in another order in memory", graph, &[1, 3, 4], &[1, 3, 4], &expected);
}

#[test]
fn a_softmax_over_branches() {
    let graph = Graph::new(&[0, 6, 2, 2])
        .ints("t", &[-1, 2, 3, 1, 1])
        .node("ReduceMean", &["x"], "m", vec![ints("axes", &[2, 3])])
        .node("Reshape", &["m", "t"], "r", vec![])
        .node("Softmax", &["r"], "z", vec![int("axis", 1)]);
    let expected = [0.71223, 0.81757, 0.29421, 0.28777, 0.18243, 0.70579];
    check("of two", graph, &[1, 6, 2, 2], &[1, 2, 3, 1, 1], &expected);
}

#[test]
fn coordinates_are_put_next_to_an_image() {
    let graph = Graph::new(&[0, 2, 2, 2])
        .values("grid", &[1, 1, 2, 2], vec![-2.25, 2.25, 2.0, 1.75])
        .ints("rest", &[1, 2, 2])
        .node("Shape", &["x"], "s", vec![int("start", 0), int("end", 1)])
        .node("Concat", &["s", "rest"], "t", vec![int("axis", 0)])
        .node("Expand", &["grid", "t"], "g", vec![])
        .node("Concat", &["x", "g"], "z", vec![int("axis", 1)]);
    check(
        "for any batch",
        graph,
        &[2, 2, 2, 2],
        &[2, 3, 2, 2],
        &[
            -1.125, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, -2.25, 2.25, 2.0, 1.75, 0.25, 0.125, 0.0, -0.125,
            -0.25, -0.375, -0.5, -0.625, -2.25, 2.25, 2.0, 1.75,
        ],
    );
}

#[test]
fn logarithms() {
    let graph = Graph::new(&[0, 2, 3])
        .values("one", &[], vec![1.0])
        .node("Abs", &["x"], "a", vec![])
        .node("Add", &["a", "one"], "b", vec![])
        .node("Log", &["b"], "z", vec![]);
    let expected = [0.75377, 0.75377, std::f32::consts::LN_2, 0.62861, 0.55962, 0.48551];
    check("of one more", graph, &[1, 2, 3], &[1, 2, 3], &expected);
}

/// As in networks with weight standardization, with each reduction.
#[test]
fn weights_that_are_computed_are_known() {
    let training = vec![int("training_mode", 1), float("epsilon", 1e-5)];
    let weights: Vec<f32> = (0..8).map(|i| ((i * 37 % 19) as f32 - 9.0) / 16.0).collect();
    let graph = Graph::new(&[0, 2, 2, 2])
        .values("w", &[2, 2, 2, 1], weights)
        .values("gain", &[2], vec![1.5, 0.5])
        .values("zero", &[2], vec![0.0; 2])
        .values("one", &[2], vec![1.0; 2])
        .ints("t", &[1, 2, -1])
        .ints("t2", &[2, 2, 2, 1])
        .tensor(super::computed::whole("axes", 7, &[2], &[2, 3]))
        .node("Reshape", &["w", "t"], "r", vec![])
        .node("BatchNormalization", &["r", "gain", "zero", "zero", "one"], "b", training)
        .node("Reshape", &["b", "t2"], "k", vec![])
        .node("ReduceMean", &["k"], "m", vec![ints("axes", &[1, 2, 3])])
        .node("ReduceSum", &["k", "axes"], "q", vec![])
        .node("Add", &["m", "q"], "mq", vec![])
        .node("Sub", &["k", "mq"], "kk", vec![])
        .node("Conv", &["x", "kk"], "z", vec![]);
    check("standardized", graph, &[1, 2, 2, 2], &[1, 2, 1, 2], &[2.85867, 0.3296, 0.19546, -0.33507]);
}

/// Padding that is computed from the size of the input and clipped at zero: `Clip` without its last, optional input.
#[test]
fn known_numbers_are_clipped() {
    let graph = Graph::new(&[0, 2, 8, 8])
        .ints("odd", &[-3, 1])
        .tensor(super::computed::whole("least", 7, &[], &[0]))
        .ints("none", &[0, 0])
        .node("Clip", &["odd", "least", ""], "c", vec![])
        .node("Concat", &["none", "c", "none", "c"], "p", vec![int("axis", 0)])
        .then("Pad", &["p"], vec![]);
    assert_eq!(graph.network().output().unwrap().shape().sizes(), [8, 10, 2]);
    let floats = Graph::new(&[0, 2])
        .values("c", &[2], vec![-3.0, 0.5])
        .values("most", &[], vec![0.25])
        .node("Clip", &["c", "", "most"], "d", vec![])
        .node("Add", &["x", "d"], "z", vec![]);
    check("without its first bound", floats, &[1, 2], &[1, 2], &[-1.125 - 3.0, 1.125 + 0.25]);
}

#[test]
fn the_class_of_each_pixel_is_its_scores() {
    let graph = |axis: i64| {
        Graph::new(&[0, 3, 4, 4]).floats("w", &[5, 3, 1, 1]).then("Conv", &["w"], vec![]).then(
            "ArgMax",
            &[],
            vec![int("axis", axis), int("keepdims", 0)],
        )
    };
    let network = graph(1).then("Cast", &[], vec![int("to", 6)]).network();
    assert_eq!(network.output().unwrap().shape().sizes(), [4, 4, 5]);
    graph(2).refused(&["the_argmax", "over axis 2", "only the channels"]);
}

#[test]
fn what_is_not_convolutional_is_named_first() {
    let lstm = Graph::new(&[0, 3, 4]).floats("w", &[1, 8, 4]).floats("r", &[1, 8, 2]);
    lstm.then("LSTM", &["w", "r"], vec![]).refused(&["model.onnx: has a recurrent layer (LSTM); Lucida takes conv"]);
    let unknown = Graph::new(&[0, 3]).then("Sign", &[], vec![]);
    let message = unknown.refused(&["Sign is not supported; docs/models.md lists"]).to_string();
    assert!(message.len() < 250 && !message.contains("convolutional"), "{message}");
}
