//! Graphs of various exporters: constant folding, old forms, quantization, layouts.

use super::graphs::{Graph, float, int, ints, text};
use super::*;
use crate::core::Array;

/// The kernel of a dense layer with the weights `w`.
fn kernel(graph: Graph) -> Vec<f32> {
    graph.then("MatMul", &["w"], vec![]).network().weights()[0].values().to_vec()
}

fn values() -> Graph {
    Graph::new(&[0, 2]).values("c", &[2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
}

#[test]
fn weights_that_are_moved_about_are_known() {
    let moved = |op: &str, inputs: &[&str], attributes: Vec<AttributeProto>, graph: Graph| {
        kernel(graph.node(op, &[&["c"], inputs].concat(), "w", attributes))
    };
    let rows = values().ints("i", &[1, -2]);
    assert_eq!(moved("Gather", &["i"], vec![], rows), [4.0, 5.0, 6.0, 1.0, 2.0, 3.0]);
    let columns = values().ints("i", &[2, 0]);
    assert_eq!(moved("Gather", &["i"], vec![int("axis", 1)], columns), [3.0, 1.0, 6.0, 4.0]);
    let inner = values().ints("s", &[0, 2]).ints("e", &[2, i64::MIN]).ints("a", &[0, 1]).ints("t", &[1, -2]);
    assert_eq!(moved("Slice", &["s", "e", "a", "t"], vec![], inner), [3.0, 1.0, 6.0, 4.0]);
    let old = vec![ints("starts", &[1]), ints("ends", &[3]), ints("axes", &[-1])];
    assert_eq!(moved("Slice", &[], old, values().opset(9)), [2.0, 3.0, 5.0, 6.0]);
    let wide = moved("Concat", &["c"], vec![int("axis", 1)], values());
    assert_eq!(wide, [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 4.0, 5.0, 6.0]);
    let tiled = moved("Tile", &["r"], vec![], values().ints("r", &[1, 2]));
    assert_eq!(tiled, wide);
    let column = Graph::new(&[0, 2]).values("c", &[2, 1], vec![7.0, 8.0]).ints("s", &[1, 2]);
    assert_eq!(moved("Expand", &["s"], vec![], column), [7.0, 7.0, 8.0, 8.0]);
}

#[test]
fn weights_that_are_computed_are_known() {
    let with = |op: &str, dims: &[i64], other: Vec<f32>| {
        kernel(values().values("d", dims, other).node(op, &["c", "d"], "w", vec![]))
    };
    assert_eq!(with("Add", &[2, 1], vec![10.0, 20.0]), [11.0, 12.0, 13.0, 24.0, 25.0, 26.0]);
    assert_eq!(with("Mul", &[3], vec![1.0, 0.0, -1.0]), [1.0, 0.0, -3.0, 4.0, 0.0, -6.0]);
    assert_eq!(with("Div", &[], vec![2.0]), [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]);
    assert_eq!(with("Pow", &[], vec![2.0]), [1.0, 4.0, 9.0, 16.0, 25.0, 36.0]);
    assert_eq!(kernel(values().node("Neg", &["c"], "w", vec![])), [-1.0, -2.0, -3.0, -4.0, -5.0, -6.0]);
    let roots = kernel(values().node("Mul", &["c", "c"], "q", vec![]).node("Sqrt", &["q"], "w", vec![]));
    assert_eq!(roots, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
}

#[test]
fn weights_of_one_number_are_made() {
    let fill = |value: f32| TensorProto { dims: vec![1], data_type: 1, float_data: vec![value], ..Default::default() };
    let value = |value: f32| vec![AttributeProto { name: "value".into(), t: Some(fill(value)), ..Default::default() }];
    let shape = || Graph::new(&[0, 2]).ints("s", &[2, 3]);
    assert_eq!(kernel(shape().node("ConstantOfShape", &["s"], "w", value(0.5))), [0.5; 6]);
    assert_eq!(kernel(shape().node("ConstantOfShape", &["s"], "w", vec![])), [0.0; 6]);
    let doubled = shape().node("ConstantOfShape", &["s"], "a", value(0.5)).node("Add", &["a", "a"], "b", vec![]);
    assert_eq!(
        kernel(doubled.node("Transpose", &["b"], "c", vec![]).ints("t", &[2, 3]).node(
            "Reshape",
            &["c", "t"],
            "w",
            vec![]
        )),
        [1.0; 6]
    );
    let old = vec![float("value", 0.25), int("input_as_shape", 1)];
    assert_eq!(kernel(shape().node("ConstantFill", &["s"], "w", old)), [0.25; 6]);
    let old = vec![float("value", 0.25), ints("shape", &[2, 1])];
    assert_eq!(kernel(shape().node("ConstantFill", &[], "w", old)), [0.25; 2]);
    // More values than the file could hold, as in the light models of the onnx package.
    let large = Graph::new(&[0, 2000]).ints("s", &[2000, 1000]).node("ConstantOfShape", &["s"], "w", value(0.5));
    assert_eq!(kernel(large).len(), 2_000_000);
}

#[test]
fn shapes_are_computed_with() {
    // Reshapes (batch, 2, 4, 6) to (batch, 48), by computing with the shape.
    let image = || Graph::new(&[0, 2, 4, 6]).node("Shape", &["x"], "shape", vec![]);
    let flat = |graph: Graph| {
        let network = graph.then("Reshape", &["target"], vec![]).network();
        assert_eq!(network.output().unwrap().shape().len(), 48);
    };
    let batch = |graph: Graph| graph.ints("zero", &[0]).node("Gather", &["shape", "zero"], "batch", vec![]);
    let rest = batch(image())
        .ints("one", &[1])
        .ints("end", &[i64::MAX])
        .node("Slice", &["shape", "one", "end"], "sizes", vec![])
        .node("ReduceProd", &["sizes"], "product", vec![int("keepdims", 1)])
        .node("Concat", &["batch", "product"], "target", vec![int("axis", 0)]);
    flat(rest);
    // PyTorch's form of expand: `Where` with a comparison to -1, and an expanded list of ones.
    let chosen = batch(image())
        .ints("open", &[-1])
        .node("Concat", &["batch", "open"], "both", vec![int("axis", 0)])
        .node("Equal", &["both", "open"], "is_open", vec![])
        .ints("all", &[48])
        .node("Where", &["is_open", "all", "both"], "target", vec![]);
    flat(chosen);
    let counted = image()
        .ints("start", &[0])
        .ints("limit", &[96])
        .ints("step", &[48])
        .node("Squeeze", &["start"], "a", vec![])
        .node("Range", &["a", "limit", "step"], "target", vec![]);
    flat(counted);
}

fn bytes(name: &str, kind: i32, dims: &[i64], raw: &[u8]) -> TensorProto {
    let (dims, raw_data) = (dims.to_vec(), raw.to_vec().into());
    TensorProto { name: name.into(), dims, data_type: kind, raw_data, ..Default::default() }
}

#[test]
fn quantized_weights_are_dequantized_and_noted() {
    let int8 = |values: &[i8]| values.iter().map(|value| value.to_le_bytes()[0]).collect::<Vec<u8>>();
    let weights = || Graph::new(&[0, 2]).tensor(bytes("q", 3, &[2, 3], &int8(&[1, 2, 3, -4, 5, -128])));
    // One scale per column.
    let columns = weights().values("s", &[3], vec![1.0, 0.5, 2.0]).tensor(bytes("z", 3, &[3], &int8(&[0, 1, -1])));
    let columns = columns.node("DequantizeLinear", &["q", "s", "z"], "w", vec![int("axis", 1)]);
    assert_eq!(kernel(columns), [1.0, 0.5, 8.0, -4.0, 2.0, -254.0]);
    let one = weights().values("s", &[], vec![0.5]).node("DequantizeLinear", &["q", "s"], "w", vec![]);
    assert_eq!(kernel(one), [0.5, 1.0, 1.5, -2.0, 2.5, -64.0]);
    // Blocks of two rows.
    let blocks = weights().values("s", &[1, 3], vec![1.0, 2.0, 3.0]);
    let blocks = blocks.node("DequantizeLinear", &["q", "s"], "w", vec![int("axis", 0), int("block_size", 2)]);
    assert_eq!(kernel(blocks), [1.0, 4.0, 9.0, -4.0, 10.0, -384.0]);
    let bad = weights().values("s", &[2], vec![1.0, 2.0]).node("DequantizeLinear", &["q", "s"], "w", vec![]);
    bad.then("MatMul", &["w"], vec![]).refused(&["a scale of shape [2]"]);

    // An activation is clipped to the range of its type: here that of a ReLU up to 25.5.
    let image = Graph::new(&[0, 2]).values("s", &[], vec![0.1]).tensor(bytes("z", 2, &[], &[0]));
    let (_folder, path) =
        image.then("QuantizeLinear", &["s", "z"], vec![]).then("DequantizeLinear", &["s", "z"], vec![]).write();
    let model = load_model(&path).unwrap();
    assert!(model.notes[0].to_string().contains("quantized"), "{:?}", model.notes);
    let run = model.run(&[Array::new([1, 2], vec![-1.0, 30.0]).unwrap()]).unwrap();
    assert_eq!(run[0].values()[0], 0.0);
    assert!((run[0].values()[1] - 25.5).abs() < 1e-5);
}

#[test]
fn old_forms_are_read() {
    let image = || Graph::new(&[0, 3, 2, 2]).opset(6).values("c", &[3], vec![1.0, 2.0, 3.0]);
    let added = image().then("Add", &["c"], vec![int("broadcast", 1), int("axis", 1)]).network();
    assert_eq!(added.weights()[1].values(), [1.0, 2.0, 3.0]);
    image().then("Add", &["c"], vec![int("broadcast", 1), int("axis", 7)]).refused(&["not there"]);
    let shaped = Graph::new(&[0, 3, 2, 2]).opset(4).then("Reshape", &[], vec![ints("shape", &[0, -1])]);
    let network = shaped.floats("w", &[12, 2]).then("MatMul", &["w"], vec![]).network();
    assert_eq!(network.output().unwrap().shape(), &[2].into());
    image().then("Cast", &[], vec![text("to", "FLOAT")]).opset(5).network();
    image().then("Cast", &[], vec![text("to", "STRING")]).opset(5).refused(&["type number 8"]);
    let norm = |attributes| {
        let parts = ["a", "b", "c", "d"];
        let graph = Graph::new(&[0, 3, 2, 2]).opset(6);
        let graph = parts.iter().fold(graph, |graph, name| graph.values(name, &[3], vec![1.0; 3]));
        let mut graph = graph.then("BatchNormalization", &parts, attributes);
        graph.graph().node[0].output.push("mean".into());
        graph
    };
    norm(vec![int("is_test", 1), ints("consumed_inputs", &[0, 0, 0, 1, 1])]).network();
    norm(vec![]).refused(&["training mode"]);
    norm(vec![int("is_test", 1), int("spatial", 0)]).refused(&["spatial"]);
    // Weights listed as inputs, and the mask output of a dropout.
    let mut graph = Graph::new(&[0, 2]).opset(6).floats("w", &[2, 2]).then("Dropout", &[], vec![float("ratio", 0.25)]);
    graph.graph().node[0].output.push("mask".into());
    let weight = ValueInfoProto { name: "w".into(), r#type: None };
    graph.graph().input.push(weight);
    assert_eq!(graph.then("MatMul", &["w"], vec![]).network().inputs().count(), 1);
}

/// The output for an input of this shape.
fn run(graph: Graph, shape: &[usize]) -> Array {
    let (_folder, path) = graph.write();
    let len = shape.iter().product::<usize>();
    let input = Array::new(shape, (0..len).map(|value| value as f32 - 3.0).collect()).unwrap();
    load_model(&path).unwrap_or_else(|problem| panic!("{problem}")).run(&[input]).unwrap().remove(0)
}

#[test]
fn arrays_have_the_axes_of_the_file() {
    let relu = |value: usize| (value as f32 - 3.0).max(0.0);
    // Any number of axes, channels-first or -last, flattened or not.
    for dims in [&[0_i64][..], &[0, 5], &[0, 3, 4], &[0, 3, 2, 2], &[0, 2, 2, 3], &[0, 2, 3, 2, 2], &[0, 1, 2, 1, 2, 2]]
    {
        let shape: Vec<usize> = dims.iter().map(|&dim| if dim == 0 { 2 } else { dim as usize }).collect();
        let output = run(Graph::new(dims).then("Relu", &[], vec![]), &shape);
        assert_eq!(output.shape(), shape);
        assert!(output.values().iter().enumerate().all(|(index, &value)| value == relu(index)), "{dims:?}");
    }
    let pool = vec![ints("kernel_shape", &[1, 1])];
    let flat = run(Graph::new(&[0, 3, 2, 2]).then("MaxPool", &[], pool).then("Flatten", &[], vec![]), &[2, 3, 2, 2]);
    assert_eq!(flat.shape(), [2, 12]);
    assert!(flat.values().iter().enumerate().all(|(index, &value)| value == index as f32 - 3.0));
}

#[test]
fn channels_along_a_length_are_normalized() {
    let parts = ["a", "b", "c", "d"];
    let graph = Graph::new(&[0, 3, 4]).values("a", &[3], vec![1.0, 2.0, 3.0]).values("b", &[3], vec![0.0, 1.0, 2.0]);
    let graph = graph.values("c", &[3], vec![0.0; 3]).values("d", &[3], vec![1.0; 3]);
    let output = run(graph.then("BatchNormalization", &parts, vec![float("epsilon", 1e-4)]), &[2, 3, 4]);
    let expected = |index: usize| {
        let channel = (index / 4 % 3) as f32;
        (index as f32 - 3.0) * (channel + 1.0) + channel
    };
    let close = |(index, &value): (usize, &f32)| (value - expected(index)).abs() < 0.01;
    assert!(output.values().iter().enumerate().all(close), "{output:?}");
    let softmax = run(Graph::new(&[0, 3, 4]).then("Softmax", &[], vec![int("axis", -1)]), &[2, 3, 4]);
    assert!(softmax.values().chunks(4).all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-5), "{softmax:?}");
}

#[test]
fn a_graph_without_a_batch_takes_one_sample() {
    // Along the first axis, whose size is fixed.
    let softmax = Graph::new(&[4]).then("Softmax", &[], vec![int("axis", 0)]);
    let output = run(softmax, &[4]);
    assert_eq!(output.shape(), [4]);
    assert!((output.values().iter().sum::<f32>() - 1.0).abs() < 1e-6);
    Graph::new(&[0, 4]).then("Softmax", &[], vec![int("axis", 0)]).refused(&["along the batch"]);
}
