//! Operators that pad, pool, resize, and move values, compared with the same on plain channels-first arrays.

use super::graphs::{Graph, classes, float, int, ints, text};
use super::*;
use crate::nn::Layer;
use crate::nn::layers::{
    AxisSlice, ChannelShuffle, Coordinates, Cropping2D, DepthOrder, DepthToSpace, Interpolation, Pad2D, PadMode,
    Permute, Reshape, Resize, Resizing, Slice, SpaceToDepth, UpSampling2D,
};

/// An array: its shape and values.
#[derive(Debug, Clone, PartialEq)]
struct Array(Vec<usize>, Vec<f32>);

impl Array {
    fn counting(sizes: &[usize]) -> Self {
        Self(sizes.to_vec(), (0..sizes.iter().product::<usize>()).map(|value| value as f32).collect())
    }

    fn reshape(self, sizes: &[usize]) -> Self {
        assert_eq!(sizes.iter().product::<usize>(), self.1.len());
        Self(sizes.to_vec(), self.1)
    }

    fn transpose(&self, axes: &[usize]) -> Self {
        let strides: Vec<usize> = (0..self.0.len()).map(|axis| self.0[axis + 1..].iter().product()).collect();
        let sizes: Vec<usize> = axes.iter().map(|&axis| self.0[axis]).collect();
        let value = |mut index: usize| {
            let mut at = 0;
            for &axis in axes.iter().rev() {
                at += index % self.0[axis] * strides[axis];
                index /= self.0[axis];
            }
            self.1[at]
        };
        Self(sizes, (0..self.1.len()).map(value).collect())
    }

    /// Converts (channels, height, width) to channels-last; other shapes are unchanged.
    fn as_network(&self) -> Self {
        if self.0.len() == 3 { self.transpose(&[1, 2, 0]) } else { self.clone() }
    }
}

/// The output of a network for an array.
fn run(network: &Network, input: &Array) -> Array {
    let mut plan = Plan::builder(network).build().unwrap();
    plan.input_mut().copy_from_slice(&input.as_network().1);
    plan.forward(network).unwrap();
    Array(network.output().unwrap().shape().sizes().to_vec(), plan.output(0).to_vec())
}

fn image(channels: usize, height: usize, width: usize) -> (Graph, Array) {
    let sizes = [channels, height, width];
    let dims: Vec<i64> = std::iter::once(0).chain(sizes.map(|size| size as i64)).collect();
    (Graph::new(&dims), Array::counting(&sizes))
}

/// Reshapes, transposes and reshapes a batch of images.
fn moved(graph: Graph, split: &[i64], order: &[i64], merged: &[i64]) -> Graph {
    let batched = |sizes: &[i64]| std::iter::once(0).chain(sizes.iter().copied()).collect::<Vec<_>>();
    let order: Vec<i64> = std::iter::once(0).chain(order.iter().map(|axis| axis + 1)).collect();
    let graph = graph.ints("split", &batched(split)).ints("merged", &batched(merged));
    let graph = graph.then("Reshape", &["split"], vec![]).then("Transpose", &[], vec![ints("perm", &order)]);
    graph.then("Reshape", &["merged"], vec![])
}

#[test]
fn reshapes_and_transpositions_become_the_layer_that_they_are() {
    for (from, split, order, merged, layers) in [
        ([6, 4, 5], &[2, 3, 4, 5][..], &[1, 0, 2, 3][..], [6, 4, 5], "Input ChannelShuffle"),
        ([6, 4, 5], &[3, 2, 20], &[1, 0, 2], [-1, 4, 5], "Input ChannelShuffle"),
        ([12, 2, 5], &[3, 2, 2, 2, 5], &[0, 3, 1, 4, 2], [3, 4, 10], "Input DepthToSpace"),
        ([12, 2, 5], &[2, 2, 3, 2, 5], &[2, 3, 0, 4, 1], [3, 4, 10], "Input DepthToSpace"),
        ([3, 4, 6], &[3, 2, 2, 3, 2], &[0, 2, 4, 1, 3], [12, 2, 3], "Input SpaceToDepth"),
        ([3, 4, 6], &[3, 2, 2, 3, 2], &[2, 4, 0, 1, 3], [12, 2, 3], "Input SpaceToDepth"),
        ([3, 4, 6], &[3, 4, 6], &[0, 2, 1], [3, 6, 4], "Input Permute"),
        ([2, 8, 6], &[2, 8, 6], &[0, 1, 2], [4, 4, 6], "Input Reshape Permute Reshape"),
        ([2, 3, 5], &[2, 3, 5], &[1, 2, 0], [5, 2, 3], "Input Flatten Reshape Permute"),
        ([2, 9, 2], &[2, 9, 2], &[1, 0, 2], [4, 3, 3], "Input Permute Flatten Reshape Permute"),
        // A round trip.
        ([6, 4, 5], &[2, 3, 4, 5], &[0, 1, 2, 3], [6, 4, 5], "Input"),
    ] {
        let (graph, x) = image(from[0], from[1], from[2]);
        let network = moved(graph, split, order, &merged).network();
        let known = |sizes: &[i64]| -> Vec<usize> {
            let product: i64 = sizes.iter().filter(|&&size| size > 0).product();
            let open = x.1.len() as i64 / product;
            sizes.iter().map(|&size| if size < 0 { open } else { size } as usize).collect()
        };
        let axes: Vec<usize> = order.iter().map(|&axis| axis as usize).collect();
        let expected = x.clone().reshape(&known(split)).transpose(&axes).reshape(&known(&merged)).as_network();
        assert_eq!(run(&network, &x), expected, "{from:?} {split:?} {order:?}");
        assert_eq!(classes(&network), layers, "{from:?} {split:?} {order:?}");
    }
}

#[test]
fn what_was_moved_is_an_image_for_what_takes_images() {
    let (graph, x) = image(4, 4, 6);
    let shuffled = moved(graph, &[2, 2, 4, 6], &[1, 0, 2, 3], &[4, 4, 6]);
    let pool = vec![ints("kernel_shape", &[1, 1]), ints("strides", &[2, 2])];
    let network = shuffled.then("Relu", &[], vec![]).then("MaxPool", &[], pool).network();
    assert_eq!(classes(&network), "Input Activation ChannelShuffle MaxPooling2D");
    let channel = |output: &Array, index: usize| output.1[index];
    // The second channel is the third of the input.
    assert_eq!(channel(&run(&network, &x), 1), 48.0);
    // A dense layer reshaped to an image, as at the start of generators.
    let graph = Graph::new(&[0, 5]).floats("w", &[5, 24]).then("MatMul", &["w"], vec![]).ints("s", &[-1, 2, 3, 4]);
    let network = graph.then("Reshape", &["s"], vec![]).then("GlobalMaxPool", &[], vec![]).network();
    assert_eq!(classes(&network), "Input Dense Reshape Permute GlobalMaxPooling2D");
}

#[test]
fn a_flattened_image_can_be_an_output() {
    let (graph, x) = image(3, 2, 2);
    let network = graph.then("Flatten", &[], vec![]).network();
    assert_eq!(run(&network, &x), x.reshape(&[12]));
}

#[test]
fn parts_of_tensors() {
    let (graph, x) = image(4, 5, 6);
    let graph =
        graph.ints("starts", &[1, -1]).ints("ends", &[4, i64::MIN]).ints("axes", &[1, 2]).ints("steps", &[2, -2]);
    let network = graph.then("Slice", &["starts", "ends", "axes", "steps"], vec![]).network();
    assert_eq!(classes(&network), "Input Slice");
    let picked: Vec<f32> = [1, 3]
        .into_iter()
        .flat_map(|c| [4, 2, 0].map(move |y| 30 * c + 6 * y))
        .flat_map(|start| (start..start + 6).map(|value| value as f32))
        .collect();
    assert_eq!(run(&network, &x), Array(vec![2, 3, 6], picked).as_network());

    let gather = |indices: TensorProto, axis: i64| {
        let (graph, _) = image(4, 5, 6);
        graph.tensor(indices).then("Gather", &["i"], vec![int("axis", axis)]).network()
    };
    let index = |dims: Vec<i64>, values: Vec<i64>| TensorProto {
        name: "i".into(),
        dims,
        data_type: 7,
        int64_data: values,
        ..Default::default()
    };
    let network = gather(index(vec![], vec![-1]), 1);
    assert_eq!(run(&network, &x), Array(vec![5, 6], (90..120).map(|value| value as f32).collect()));
    let network = gather(index(vec![2], vec![3, 1]), 1);
    let picked: Vec<f32> = (90..120).chain(30..60).map(|value| value as f32).collect();
    assert_eq!(run(&network, &x), Array(vec![2, 5, 6], picked).as_network());

    // Swaps the halves of the channels.
    let (mut graph, _) = image(4, 5, 6);
    graph.graph().node.push(NodeProto {
        input: vec!["x".into()],
        output: vec!["a".into(), "b".into()],
        op_type: "Split".into(),
        attribute: vec![int("axis", 1)],
        ..Default::default()
    });
    graph.graph().node.push(NodeProto {
        input: vec!["b".into(), "a".into()],
        output: vec!["t1".into()],
        op_type: "Concat".into(),
        attribute: vec![int("axis", 1)],
        ..Default::default()
    });
    let network = graph.ends_in("t1").network();
    assert_eq!(classes(&network), "Input Slice Slice Concatenate");
    let exchanged: Vec<f32> = (60..120).chain(0..60).map(|value| value as f32).collect();
    assert_eq!(run(&network, &x), Array(vec![4, 5, 6], exchanged).as_network());
}

#[test]
fn borders_of_all_kinds() {
    let pad = |opset: i64, pads: &[i64], mode: &'static str, axes: Option<&[i64]>| {
        let (graph, x) = image(1, 1, 3);
        let graph = graph.opset(opset);
        let network = match axes {
            _ if opset < 11 => {
                graph.then("Pad", &[], vec![ints("pads", pads), text("mode", mode), float("value", 7.0)]).network()
            }
            axes => {
                let graph = graph.ints("p", pads).values("v", &[], vec![7.0]).ints("a", axes.unwrap_or_default());
                let inputs: &[&str] = if axes.is_some() { &["p", "v", "a"] } else { &["p", "v"] };
                graph.then("Pad", inputs, vec![text("mode", mode)]).network()
            }
        };
        (classes(&network), run(&network, &x).1)
    };
    let wide = [0, 0, 0, 2, 0, 0, 0, 1];
    let two = "Input Pad2D".to_owned();
    for opset in [10, 13] {
        assert_eq!(pad(opset, &wide, "constant", None), (two.clone(), vec![7.0, 7.0, 0.0, 1.0, 2.0, 7.0]));
        assert_eq!(pad(opset, &wide, "edge", None), (two.clone(), vec![0.0, 0.0, 0.0, 1.0, 2.0, 2.0]));
        assert_eq!(pad(opset, &wide, "reflect", None), (two.clone(), vec![2.0, 1.0, 0.0, 1.0, 2.0, 1.0]));
    }
    assert_eq!(pad(19, &[2, 1], "wrap", Some(&[-1])), (two.clone(), vec![1.0, 2.0, 0.0, 1.0, 2.0, 0.0]));
    assert_eq!(pad(18, &[0, -1, 1, 0], "constant", Some(&[2, 3])), (two, vec![1.0, 2.0, 7.0, 7.0]));
}

#[test]
fn every_version_of_resizing() {
    let resized = |opset: i64, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>| {
        let (graph, x) = image(1, 1, 2);
        let graph = graph.opset(opset).values("none", &[0], vec![]).values("twice", &[4], vec![1.0, 1.0, 1.0, 2.0]);
        let graph = graph.ints("four", &[1, 1, 1, 4]).ints("columns", &[4]);
        let network = graph.then(op, inputs, attributes).network();
        (network.nodes()[1].layer().class_name(), run(&network, &x).1)
    };
    let repeated = ("UpSampling2D", vec![0.0, 0.0, 1.0, 1.0]);
    let scales = AttributeProto { floats: vec![1.0, 1.0, 1.0, 2.0], ..float("scales", 0.0) };
    assert_eq!(resized(7, "Upsample", &[], vec![scales]), repeated);
    assert_eq!(resized(9, "Upsample", &["twice"], vec![]), repeated);
    assert_eq!(resized(10, "Resize", &["twice"], vec![]), repeated);
    let linear = || vec![text("mode", "linear")];
    assert_eq!(resized(10, "Resize", &["twice"], linear()), ("Resize", vec![0.0, 0.5, 1.0, 1.0]));
    for (opset, inputs) in
        [(11, &["none", "twice"][..]), (13, &["none", "none", "four"]), (13, &["", "twice"]), (19, &["", "", "four"])]
    {
        let (class, values) = resized(opset, "Resize", inputs, linear());
        assert_eq!((class, values), ("UpSampling2D", vec![0.0, 0.25, 0.75, 1.0]), "{opset}");
    }
    let corners = vec![text("mode", "linear"), text("coordinate_transformation_mode", "align_corners")];
    let (class, values) = resized(18, "Resize", &["", "", "columns"], [corners, vec![ints("axes", &[3])]].concat());
    assert_eq!(class, "Resize");
    close(&values, &[0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0]);
}

#[test]
fn pools_with_dilations() {
    let (graph, x) = image(1, 1, 5);
    let dilated = vec![ints("kernel_shape", &[1, 2]), ints("dilations", &[1, 3])];
    assert_eq!(run(&graph.then("MaxPool", &[], dilated).network(), &x).1, [3.0, 4.0]);
    let (graph, x) = image(1, 1, 5);
    let counted = vec![
        ints("kernel_shape", &[1, 2]),
        ints("strides", &[1, 3]),
        ints("pads", &[0, 1, 0, 0]),
        int("count_include_pad", 1),
        int("ceil_mode", 1),
    ];
    assert_eq!(run(&graph.then("AveragePool", &[], counted).network(), &x).1, [0.0, 2.5]);
}

#[test]
fn layers_survive_a_round_as_a_graph() {
    let all = AxisSlice::all();
    let backward = AxisSlice::Range { start: None, stop: None, step: -2 };
    let layers: Vec<Layer> = vec![
        Pad2D { padding: [[1, 2], [0, 3]], mode: PadMode::Constant(0.5) }.into(),
        Pad2D { padding: [[1, -1], [2, 0]], mode: PadMode::Reflect }.into(),
        Pad2D { padding: [[1, 0], [2, 0]], mode: PadMode::Replicate }.into(),
        Cropping2D::new([[1, 2], [0, 3]]).into(),
        UpSampling2D::new([2, 3]).into(),
        Resizing::new(5, 7).into(),
        Resizing { interpolation: Interpolation::Nearest, ..Resizing::new(5, 7) }.into(),
        Resize { coordinates: Coordinates::AlignCorners, ..Resize::to_size([5, 9]) }.into(),
        Resize { interpolation: Interpolation::Bicubic, ..Resize::to_size([7, 9]) }.into(),
        ChannelShuffle::new(4).into(),
        DepthToSpace::new(2).into(),
        DepthToSpace::new(2).order(DepthOrder::ColumnFirst).into(),
        SpaceToDepth::new(2).into(),
        SpaceToDepth::new(2).order(DepthOrder::ColumnFirst).into(),
        Permute::new([2, 1, 3]).into(),
        Reshape::new([-1, 3, 8]).into(),
        Reshape::new([6, -1]).into(),
        Slice::new([all, AxisSlice::At(1)]).into(),
        Slice::new([backward, all, AxisSlice::Range { start: Some(2), stop: Some(-1), step: 3 }]).into(),
        GlobalAveragePooling2D::keeping_dims().into(),
        AveragePooling2D { count_include_pad: true, ..padded() }.into(),
        AveragePooling2D { count_include_pad: true, ceil_mode: true, ..padded() }.into(),
        AveragePooling2D { ceil_mode: true, ..padded() }.into(),
        MaxPooling2D { dilation: [2, 1], ceil_mode: true, ..MaxPooling2D::new([2, 3]) }.into(),
    ];
    for layer in layers {
        let network = Network::sequential("one", [6, 4, 8], [layer.clone()], 1).unwrap();
        let (_folder, path) = saved(&Model::new(network.clone()));
        let mut graph = decode(&path);
        graph.metadata_props.clear();
        fs::write(&path, graph.encode_to_vec()).unwrap();
        let again = load_model(&path).unwrap_or_else(|problem| panic!("{layer:?}: {problem}")).network;
        // A vector and an image of one pixel are equivalent.
        let (a, b) = (&outputs(&again)[0], &outputs(&network)[0]);
        let worst = a.iter().zip(b).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
        assert!(a.len() == b.len() && worst < 2e-6, "{layer:?}: {worst:e}");
    }
}

fn padded() -> AveragePooling2D {
    AveragePooling2D::new([3, 2]).strides([2, 2]).padding(Padding::Explicit([[1, 0], [1, 1]]))
}
