//! Hand-written graphs: each supported form of the operators, and those that are refused.

use super::*;
use crate::nn::Layer;
use crate::nn::layers::Softmax;

/// A graph with one input and one output.
pub(super) struct Graph {
    pub(super) model: ModelProto,
    last: String,
}

impl Graph {
    /// A graph with an input `x` of this shape; 0 is open.
    pub(super) fn new(dims: &[i64]) -> Self {
        let dim =
            dims.iter().map(|&size| Dimension { dim_value: (size != 0).then_some(size), dim_param: None }).collect();
        let tensor_type = Some(TensorType { elem_type: 1, shape: Some(TensorShapeProto { dim }) });
        let graph = GraphProto {
            name: "graph".into(),
            input: vec![ValueInfoProto { name: "x".into(), r#type: Some(TypeProto { tensor_type }) }],
            ..Default::default()
        };
        let opset = OperatorSetIdProto { domain: String::new(), version: 17 };
        let model = ModelProto { ir_version: 8, graph: Some(graph), opset_import: vec![opset], ..Default::default() };
        Self { model, last: "x".into() }
    }

    pub(super) fn opset(mut self, version: i64) -> Self {
        self.model.opset_import[0].version = version;
        self
    }

    pub(super) fn graph(&mut self) -> &mut GraphProto {
        self.model.graph.as_mut().unwrap()
    }

    /// Adds an operator on the last tensor and these constants.
    pub(super) fn then(mut self, op: &str, constants: &[&str], attributes: Vec<AttributeProto>) -> Self {
        let output = format!("t{}", self.graph().node.len());
        let input = std::iter::once(self.last.clone()).chain(constants.iter().map(|&name| name.to_owned())).collect();
        let name = format!("the_{}", op.to_lowercase());
        let node = NodeProto {
            input,
            output: vec![output.clone()],
            name,
            op_type: op.into(),
            attribute: attributes,
            domain: String::new(),
        };
        self.graph().node.push(node);
        self.last = output;
        self
    }

    /// Adds an operator on named tensors.
    pub(super) fn node(mut self, op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> Self {
        let input = inputs.iter().map(|&name| name.to_owned()).collect();
        let (name, op_type) = (format!("the_{}", op.to_lowercase()), op.into());
        let node = NodeProto { input, output: vec![output.into()], name, op_type, attribute, ..Default::default() };
        self.graph().node.push(node);
        self
    }

    /// Sets the output.
    pub(super) fn ends_in(mut self, tensor: &str) -> Self {
        self.last = tensor.into();
        self
    }

    pub(super) fn tensor(mut self, tensor: TensorProto) -> Self {
        self.graph().initializer.push(tensor);
        self
    }

    /// Adds a tensor of distinct numbers.
    pub(super) fn floats(self, name: &str, dims: &[i64]) -> Self {
        let len = dims.iter().product::<i64>();
        let values = (0..len).map(|i| ((i * 37 % 19) as f32 - 9.0) / 16.0).collect();
        self.values(name, dims, values)
    }

    pub(super) fn values(self, name: &str, dims: &[i64], float_data: Vec<f32>) -> Self {
        self.tensor(TensorProto {
            name: name.into(),
            dims: dims.to_vec(),
            data_type: 1,
            float_data,
            ..Default::default()
        })
    }

    pub(super) fn ints(self, name: &str, values: &[i64]) -> Self {
        let (dims, int64_data) = (vec![values.len() as i64], values.to_vec());
        self.tensor(TensorProto { name: name.into(), dims, data_type: 7, int64_data, ..Default::default() })
    }

    pub(super) fn write(mut self) -> (TempDir, PathBuf) {
        let output = ValueInfoProto { name: self.last.clone(), r#type: None };
        self.graph().output.push(output);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        fs::write(&path, self.model.encode_to_vec()).unwrap();
        (folder, path)
    }

    pub(super) fn network(self) -> Network {
        let (_folder, path) = self.write();
        load_model(&path).unwrap_or_else(|problem| panic!("{problem}")).network
    }

    pub(super) fn refused(self, parts: &[&str]) -> Error {
        let (_folder, path) = self.write();
        let start = Instant::now();
        let problem = load_model(&path).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        let message = problem.to_string();
        for part in parts {
            assert!(message.contains(part), "{message:?} does not say {part:?}");
        }
        assert!(message.contains("model.onnx") && !message.contains('\n') && message.len() < 1500, "{message}");
        problem
    }
}

pub(super) fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), ints: ints.to_vec(), r#type: 7, ..Default::default() }
}

pub(super) fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i, r#type: 2, ..Default::default() }
}

pub(super) fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), f, r#type: 1, ..Default::default() }
}

pub(super) fn text(name: &str, text: &'static str) -> AttributeProto {
    AttributeProto { name: name.into(), s: text.into(), r#type: 3, ..Default::default() }
}

pub(super) fn classes(network: &Network) -> String {
    network.nodes().iter().map(|node| node.layer().class_name()).collect::<Vec<_>>().join(" ")
}

fn conv(graph: Graph, attributes: Vec<AttributeProto>) -> Graph {
    graph.floats("conv.weight", &[4, 2, 3, 3]).then("Conv", &["conv.weight"], attributes)
}

#[test]
fn borders_are_same_valid_or_explicit() {
    let shape = |attributes: Vec<AttributeProto>| {
        let network = conv(Graph::new(&[0, 2, 8, 7]), attributes).network();
        (classes(&network), network.output().unwrap().shape().to_string())
    };
    let plain = ("Input Conv2D".to_owned(), "(8, 7, 4)".to_owned());
    assert_eq!(shape(vec![ints("pads", &[1, 1, 1, 1])]), plain);
    assert_eq!(shape(vec![text("auto_pad", "SAME_UPPER")]), plain);
    assert_eq!(shape(vec![text("auto_pad", "VALID")]).1, "(6, 5, 4)");
    let strides = || ints("strides", &[2, 2]);
    // With eight rows and a stride of two, `SAME_UPPER` pads at the bottom; `SAME_LOWER` needs explicit padding.
    assert_eq!(shape(vec![text("auto_pad", "SAME_UPPER"), strides()]), (plain.0.clone(), "(4, 4, 4)".into()));
    let padded = "Input ZeroPadding2D Conv2D".to_owned();
    assert_eq!(shape(vec![text("auto_pad", "SAME_LOWER"), strides()]), (padded.clone(), "(4, 4, 4)".into()));
    assert_eq!(shape(vec![ints("pads", &[1, 1, 1, 1]), strides()]), (padded.clone(), "(4, 4, 4)".into()));
    assert_eq!(shape(vec![ints("pads", &[0, 3, 0, 0])]), (padded, "(6, 8, 4)".into()));
}

#[test]
fn pools_round_up_and_count_borders_as_pytorch_does() {
    let pool = |op: &str, dims: &[i64], attributes: Vec<AttributeProto>| {
        let mut attributes = attributes;
        attributes.push(ints("kernel_shape", &[2, 2]));
        attributes.push(ints("strides", &[2, 2]));
        let network = Graph::new(dims).then(op, &[], attributes).network();
        let mut plan = Plan::builder(&network).build().unwrap();
        plan.input_mut().iter_mut().enumerate().for_each(|(i, x)| *x = -1.0 - i as f32);
        plan.forward(&network).unwrap();
        (classes(&network), plan.output(0).to_vec())
    };
    // PyTorch 2.15, for -1, -2, ..., -9 on 3x3.
    let three = [1, 1, 3, 3];
    let up = || int("ceil_mode", 1);
    let border = || ints("pads", &[1, 1, 1, 1]);
    assert_eq!(pool("MaxPool", &three, vec![up()]).1, [-1.0, -3.0, -7.0, -9.0]);
    assert_eq!(pool("MaxPool", &three, vec![border()]).1, [-1.0, -2.0, -4.0, -5.0]);
    assert_eq!(pool("AveragePool", &three, vec![up()]).1, [-3.0, -4.5, -7.5, -9.0]);
    assert_eq!(pool("AveragePool", &three, vec![border()]).1, [-1.0, -2.5, -5.5, -7.0]);
    let counted = pool("AveragePool", &three, vec![border(), int("count_include_pad", 1)]);
    assert_eq!(counted, ("Input AveragePooling2D".into(), vec![-0.25, -1.25, -2.75, -7.0]));
    // A window that would start in the padding at the end is omitted.
    assert_eq!(pool("MaxPool", &[1, 1, 3, 3], vec![up(), border()]).1.len(), 4);
    // `SAME_UPPER` is Keras's padding `same`.
    assert_eq!(pool("MaxPool", &three, vec![text("auto_pad", "SAME_UPPER")]).0, "Input MaxPooling2D");
}

#[test]
fn factors_and_shifts_become_biases_or_one_normalization() {
    let affine = |graph: Graph| graph.floats("a", &[2, 1, 1]).values("b", &[], vec![0.5]);
    let graph = affine(Graph::new(&[0, 2, 5, 5])).then("Sub", &["a"], vec![]).then("Div", &["b"], vec![]);
    let network =
        conv(graph, vec![]).floats("c", &[1, 4, 1, 1]).then("Add", &["c"], vec![]).then("Relu", &[], vec![]).network();
    assert_eq!(classes(&network), "Input BatchNormalization Conv2D");
    assert_eq!(network.output().unwrap().activation(), ActivationKind::Relu);
    assert!(network.weights()[..4].iter().all(|weight| !weight.trainable()));
    // (x - a) / 0.5
    let normalization = Network::sequential("n", [5, 5, 2], [network.nodes()[1].layer().clone()], 0);
    let mut normalization = normalization.unwrap();
    for (to, from) in normalization.weights_mut().iter_mut().zip(network.weights()) {
        to.values_mut().copy_from_slice(from.values());
    }
    let mut plan = Plan::builder(&normalization).build().unwrap();
    plan.input_mut().fill(1.0);
    plan.forward(&normalization).unwrap();
    let a = [-9.0 / 16.0, (37 % 19 - 9) as f32 / 16.0];
    close(&plan.output(0)[..2], &a.map(|a| (1.0 - a) / 0.5));
}

#[test]
fn nodes_may_stand_in_any_order() {
    let graph = || {
        let graph = conv(Graph::new(&[0, 2, 5, 5]), vec![]).then("Relu", &[], vec![]);
        graph.then("GlobalMaxPool", &[], vec![]).then("Flatten", &[], vec![])
    };
    let mut reversed = graph();
    reversed.graph().node.reverse();
    let (sorted, reversed) = (graph().network(), reversed.network());
    assert_eq!(reversed.architecture(), sorted.architecture());
    assert_eq!(outputs(&reversed), outputs(&sorted));
    let mut twice = graph();
    twice.graph().node[1].output = vec!["t0".into()];
    twice.refused(&["the_conv", "the_relu", "both give \"t0\""]);
    let mut nowhere = graph();
    nowhere.graph().node[1].input = vec!["gone".into()];
    nowhere.refused(&["the_relu", "\"gone\"", "nothing gives"]);
}

#[test]
fn batch_normalization_in_training_mode_is_refused() {
    let graph = |opset: i64, outputs: &[&str], attributes| {
        let mut graph = Graph::new(&[0, 2, 5, 5]).opset(opset);
        for name in ["g", "b", "m", "v"] {
            graph = graph.values(name, &[2], vec![1.0, 2.0]);
        }
        let mut graph = graph.then("BatchNormalization", &["g", "b", "m", "v"], attributes);
        let more = outputs.iter().map(|&name| name.to_owned());
        graph.graph().node[0].output.extend(more);
        graph
    };
    // As in ONNX Runtime: before version 14 the number of outputs determines the mode, then an attribute.
    let five = ["mean", "var", "saved_mean", "saved_var"];
    for (opset, outputs, mode) in
        [(7, &five[..], None), (9, &five, None), (13, &five, None), (14, &five[..2], Some(1)), (15, &[], Some(1))]
    {
        let attributes = mode.map(|mode| int("training_mode", mode)).into_iter().collect();
        let problem = graph(opset, outputs, attributes).refused(&["training mode", "model.eval()"]);
        assert!(matches!(problem, Error::Unsupported(_)));
    }
    for (opset, outputs, mode) in [(9, &[][..], None), (9, &[""; 4], None), (15, &[], Some(0)), (15, &[], None)] {
        let attributes = mode.map(|mode| int("training_mode", mode)).into_iter().collect();
        assert_eq!(classes(&graph(opset, outputs, attributes).network()), "Input BatchNormalization");
    }
}

#[test]
fn a_negative_is_a_factor() {
    let network = Graph::new(&[0, 2, 1, 2]).then("Neg", &[], vec![]).network();
    assert_eq!(classes(&network), "Input BatchNormalization");
    let mut plan = Plan::builder(&network).build().unwrap();
    plan.input_mut().copy_from_slice(&[1.0, -2.0, 0.5, 4.0]);
    plan.forward(&network).unwrap();
    assert_eq!(plan.output(0), [-1.0, 2.0, -0.5, -4.0]);
    let two = |op| Graph::new(&[0, 2, 1, 2]).floats("a", &[2, 1, 1]).then(op, &["a"], vec![]);
    two("Max").refused(&["the_max", "one number alone"]);
}

#[test]
fn a_flattened_image_is_sorted_into_a_dense_layer() {
    // The value of unit u is the value at index u of the flattened channels-first image.
    let mut identity = vec![0.0; 36];
    (0..6).for_each(|i| identity[7 * i] = 1.0);
    for moved in ["Flatten", "Reshape", "Relu"] {
        let graph = Graph::new(&[0, 3, 1, 2]).values("w", &[6, 6], identity.clone()).ints("shape", &[0, -1]);
        let graph = match moved {
            "Reshape" => graph.then("Reshape", &["shape"], vec![]),
            "Relu" => graph.then("Flatten", &[], vec![]).then("Relu", &[], vec![]),
            _ => graph.then("Flatten", &[], vec![int("axis", 1)]),
        };
        let network = graph.then("MatMul", &["w"], vec![]).network();
        let mut plan = Plan::builder(&network).build().unwrap();
        // (width 2, channels 3)
        plan.input_mut().copy_from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        plan.forward(&network).unwrap();
        assert_eq!(plan.output(0), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0], "{moved}");
    }
}

#[test]
fn all_types_of_weights_are_read() {
    let values = [1.0_f32, -2.5, 0.375, 4.0];
    let raw: [(i32, Vec<u8>); 4] = [
        (1, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        (10, values.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect()),
        (16, values.iter().flat_map(|&v| half::bf16::from_f32(v).to_le_bytes()).collect()),
        (11, values.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect()),
    ];
    let base = || TensorProto { name: "w".into(), dims: vec![2, 2], ..Default::default() };
    let mut tensors: Vec<TensorProto> =
        raw.into_iter().map(|(data_type, bytes)| TensorProto { data_type, raw_data: bytes.into(), ..base() }).collect();
    let bits = values.iter().map(|&v| half::f16::from_f32(v).to_bits().into()).collect();
    tensors.push(TensorProto { data_type: 10, int32_data: bits, ..base() });
    tensors.push(TensorProto { data_type: 11, double_data: values.map(f64::from).to_vec(), ..base() });
    tensors.push(TensorProto { data_type: 1, float_data: values.to_vec(), ..base() });
    for tensor in tensors {
        let network = Graph::new(&[0, 2]).tensor(tensor).then("Gemm", &["w"], vec![]).network();
        assert_eq!(network.weights()[0].values(), values);
    }
    let strings = TensorProto { data_type: 8, ..base() };
    Graph::new(&[0, 2]).tensor(strings).then("Gemm", &["w"], vec![]).refused(&["\"w\"", "STRING", "BFLOAT16"]);
}

#[test]
fn gemm_with_all_its_options() {
    let attributes = vec![float("alpha", 2.0), float("beta", 0.5), int("transB", 1)];
    let graph = Graph::new(&[0, 2]).values("w", &[3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).values(
        "b",
        &[1, 3],
        vec![2.0, 4.0, 6.0],
    );
    let network = graph.then("Gemm", &["w", "b"], attributes).network();
    assert_eq!(network.weights()[0].values(), [2.0, 6.0, 10.0, 4.0, 8.0, 12.0]);
    assert_eq!(network.weights()[1].values(), [1.0, 2.0, 3.0]);
}

#[test]
fn activations_keep_their_parameters() {
    let of = |graph: Graph| graph.network().output().unwrap().activation();
    let x = || {
        Graph::new(&[0, 3]).values("six", &[], vec![6.0]).values("zero", &[], vec![0.0]).values("one", &[], vec![1.0])
    };
    assert_eq!(of(x().then("Clip", &["zero", "six"], vec![])), ActivationKind::Relu6);
    assert_eq!(of(x().then("Clip", &["zero"], vec![])), ActivationKind::Relu);
    assert_eq!(of(x().then("Clip", &["zero", "one"], vec![])), ActivationKind::Clip { min: 0.0, max: 1.0 });
    let old = vec![float("min", -1.0), float("max", 1.0)];
    assert_eq!(of(x().opset(10).then("Clip", &[], old)), ActivationKind::Clip { min: -1.0, max: 1.0 });
    // One-sided and two-sided clips.
    assert_eq!(of(x().then("Max", &["zero"], vec![])), ActivationKind::Relu);
    assert_eq!(of(x().then("Min", &["one"], vec![])), ActivationKind::Clip { min: f32::MIN, max: 1.0 });
    assert_eq!(of(x().then("LeakyRelu", &[], vec![])), ActivationKind::LeakyRelu { negative_slope: 0.01 });
    assert_eq!(of(x().then("Softmax", &[], vec![])), ActivationKind::Softmax);
    let image = || Graph::new(&[0, 3, 4, 4]);
    assert_eq!(of(image().then("Softmax", &[], vec![int("axis", 1)])), ActivationKind::Softmax);
    // Before version 13, axis 1 included all following axes.
    let network = image().opset(11).then("Softmax", &[], vec![int("axis", 1)]).network();
    assert_eq!(
        (classes(&network).as_str(), network.output().unwrap().shape()),
        ("Input Flatten Activation Reshape", &[4, 4, 3].into())
    );
    let over_rows = image().then("Softmax", &[], vec![int("axis", 2)]).network();
    assert_eq!(over_rows.nodes()[1].layer(), &Layer::from(Softmax::over(vec![0])));
}

#[test]
fn images_of_any_size_get_the_size_asked_for_or_a_default() {
    let (_folder, path) = conv(Graph::new(&[0, 2, 0, 0]), vec![]).write();
    let at = |path: &Path, size| {
        let model = load_model_at(path, size).unwrap();
        (model.network.output().unwrap().shape().sizes().to_vec(), model.notes.len())
    };
    assert_eq!(at(&path, Some([9, 7])), (vec![7, 5, 4], 0));
    assert_eq!(at(&path, None), (vec![222, 222, 4], 1));
    // A fixed size is kept.
    let (_folder, path) = conv(Graph::new(&[0, 2, 8, 8]), vec![]).write();
    assert_eq!(at(&path, Some([9, 9])), (vec![6, 6, 4], 0));
    let (_folder, path) = saved(&model());
    assert_eq!(load_model_at(&path, Some([9, 9])).unwrap().network.input_shape().unwrap(), &[12, 10, 3].into());
}

#[test]
fn an_index_of_the_largest_value_gives_way_to_the_values() {
    let scores = || Graph::new(&[0, 4]).then("Softmax", &[], vec![]);
    let (_folder, path) = scores().then("ArgMax", &[], vec![int("axis", 1)]).write();
    let model = load_model(&path).unwrap();
    assert_eq!((model.network.output().unwrap().shape(), model.notes.len()), (&[4].into(), 1));
    scores()
        .then("ArgMax", &[], vec![int("axis", 1)])
        .then("Cast", &[], vec![int("to", 1)])
        .then("Relu", &[], vec![])
        .refused(&["largest"]);
    Graph::new(&[0, 2, 8, 8]).then("ArgMax", &[], vec![int("axis", 2)]).refused(&["only the channels"]);
}

#[test]
fn what_has_no_layer_is_named() {
    let x = || Graph::new(&[0, 2, 8, 8]);
    let problem = x().then("Einsum", &[], vec![]).refused(&["Einsum", "the_einsum", "docs/models.md"]);
    assert!(matches!(problem, Error::Unsupported(_)));
    conv(x(), vec![ints("dilations", &[2, 2, 2])]).refused(&["the_conv", "dilations has 3 values"]);
    conv(Graph::new(&[0, 3, 8, 8]), vec![]).refused(&["2 channels", "(batch, 3, 8, 8)"]);
    let pool = vec![ints("kernel_shape", &[2])];
    x().then("MaxPool", &[], pool).refused(&["1 values", "images"]);
    x().ints("p", &[0, 0, 1, 1, 0, 0, 1, 1]).then("Pad", &["p"], vec![text("mode", "mean")]).refused(&["mean"]);
    x().ints("p", &[0, 1, 0, 0, 0, 0, 0, 0]).then("Pad", &["p"], vec![]).refused(&["height and width"]);
    x().ints("i", &[0, 1, 8]).then("Gather", &["i"], vec![int("axis", 2)]).refused(&["[0, 1, 8] of 8"]);
    x().values("s", &[4], vec![1.0, 2.0, 1.0, 1.0]).then("Upsample", &["s"], vec![]).refused(&["height and width"]);
    x().ints("s", &[-1, 8]).then("Reshape", &["s"], vec![]).refused(&["merges the batch"]);
    x().then("Transpose", &[], vec![ints("perm", &[1, 0, 2, 3])]).refused(&["batch"]);
    assert_eq!(classes(&x().then("Mul", &["x"], vec![]).network()), "Input Multiply");
    x().floats("w", &[3, 8, 8]).then("Add", &["w"], vec![]).refused(&["constant of shape [3, 8, 8]"]);
    let mut custom = x().then("Relu", &[], vec![]);
    custom.graph().node[0].domain = "com.example".into();
    custom.refused(&["com.example"]);
    let mut functions = x().then("Relu", &[], vec![]);
    functions.graph().node[0].domain = "pkg.onnxscript.torch_lib".into();
    functions.refused(&["inline_local_functions"]);
    x().opset(26).then("Relu", &[], vec![]).refused(&["version 26", "1 to 25"]);
    Graph::new(&[0, 2, 0]).then("Relu", &[], vec![]).refused(&["(?, 2, ?)", "how large"]);
    for (op, parts) in [("QLinearConv", "QDQ"), ("If", "fixed conditions")] {
        x().then(op, &[], vec![]).refused(&[parts, &format!("the_{}", op.to_lowercase())]);
    }
}

#[test]
fn groups_of_one_channel_are_a_depthwise_convolution() {
    let of = |kernel: &[i64], attributes: Vec<AttributeProto>| {
        let graph = Graph::new(&[0, 4, 8, 7]).floats("w", kernel).floats("b", &kernel[..1]);
        graph.then("Conv", &["w", "b"], attributes)
    };
    let network = of(&[8, 1, 3, 3], vec![int("group", 4), ints("dilations", &[2, 1])]).network();
    assert_eq!(classes(&network), "Input DepthwiseConv2D");
    assert_eq!(network.weights()[0].shape(), [3, 3, 4, 2]);
    assert_eq!(network.output().unwrap().shape().to_string(), "(4, 5, 8)");
    let network = of(&[6, 2, 3, 3], vec![int("group", 2), ints("pads", &[1, 1, 1, 1])]).network();
    assert_eq!(classes(&network), "Input Conv2D");
    assert_eq!(network.weights()[0].shape(), [3, 3, 2, 6]);
    of(&[6, 2, 3, 3], vec![int("group", 3)]).refused(&["2 channels in 3 groups"]);
    of(&[5, 2, 3, 3], vec![int("group", 2)]).refused(&["2 groups", "5 filters"]);
    of(&[4, 4, 3, 3], vec![int("group", 0)]).refused(&["group is 0"]);
    of(&[4, 4, 3, 3], vec![ints("dilations", &[0, 1])]).refused(&["dilation of [0, 1]"]);
    of(&[4, 4, 3, 3], vec![ints("dilations", &[i64::MAX, 1])]).refused(&["does not fit"]);
}

/// Sizes by the formula in the operator's definition.
#[test]
fn transposed_convolutions_cut_off_what_their_attributes_say() {
    let of = |kernel: &[i64], attributes: Vec<AttributeProto>| {
        Graph::new(&[0, 4, 5, 6]).floats("w", kernel).then("ConvTranspose", &["w"], attributes)
    };
    let layer = |attributes: Vec<AttributeProto>| {
        let network = of(&[4, 3, 3, 3], attributes).network();
        let Layer::Conv2DTranspose(conv) = network.output().unwrap().layer().clone() else { panic!() };
        (network.output().unwrap().shape().to_string(), conv.padding, conv.output_padding)
    };
    let two = || ints("strides", &[2, 2]);
    assert_eq!(layer(vec![two()]), ("(11, 13, 3)".into(), Padding::Valid, None));
    assert_eq!(layer(vec![two(), text("auto_pad", "SAME_UPPER")]), ("(10, 12, 3)".into(), Padding::Same, None));
    let lower = Padding::Explicit([[1, 0], [1, 0]]);
    assert_eq!(layer(vec![two(), text("auto_pad", "SAME_LOWER")]), ("(10, 12, 3)".into(), lower, None));
    let added = vec![two(), ints("pads", &[1, 1, 1, 1]), ints("output_padding", &[1, 1])];
    let explicit = Padding::Explicit([[1, 1], [1, 1]]);
    assert_eq!(layer(added), ("(10, 12, 3)".into(), explicit, Some([1, 1])));
    // With an odd number of rows to crop, the larger part comes first unless the padding is SAME_UPPER.
    assert_eq!(layer(vec![two(), ints("output_shape", &[10, 11])]).0, "(10, 11, 3)");
    assert_eq!(layer(vec![two(), ints("output_shape", &[1, 3, 8, 13])]).1, Padding::Explicit([[2, 1], [0, 0]]));
    assert_eq!(layer(vec![two(), ints("output_shape", &[12, 13])]).2, Some([1, 0]), "more than the windows cover");
    let network = of(&[4, 3, 3, 3], vec![int("group", 2)]).network();
    assert_eq!(network.weights()[0].shape(), [3, 3, 3, 4]);
    assert_eq!(network.output().unwrap().shape().to_string(), "(7, 8, 6)");
    of(&[3, 3, 3, 3], vec![]).refused(&["a kernel for 3 channels"]);
    of(&[4, 3, 3, 3], vec![ints("pads", &[9, 9, 9, 9])]).refused(&["leaves nothing"]);
    of(&[4, 3, 3, 3], vec![ints("strides", &[0, 2])]).refused(&["[0, 2]"]);
    of(&[4, 3, 3, 3], vec![text("auto_pad", "FULL")]).refused(&["auto_pad is \"FULL\""]);
}
