//! Compares networks written as ONNX and run in ONNX Runtime with Lucida's results, to 1e-4 of the largest value.
//!
//! `ONNXRUNTIME_PYTHON` specifies a Python with the packages onnx and onnxruntime; without it, these tests report that they
//! are skipped.

mod common;

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use lucida::data::{ColorMode, Image, Preprocessing};
use lucida::files::write_npy;
use lucida::nn::applications::{self, InitialWeights};
use lucida::nn::layers::{
    Activation, ActivationKind, AdaptiveAveragePooling2D, AdaptiveMaxPooling2D, Add, AveragePooling1D,
    AveragePooling2D, AxisSlice, BatchNormalization, CenterCrop, ChannelShuffle, Concatenate, Conv1D, Conv1DTranspose,
    Conv2D, Conv2DTranspose, Coordinates, Cropping1D, Cropping2D, Dense, DepthOrder, DepthToSpace, DepthwiseConv1D,
    DepthwiseConv2D, Dropout, Flatten, GlobalAveragePooling1D, GlobalAveragePooling2D, GlobalMaxPooling1D,
    GlobalMaxPooling2D, Input, Interpolation, Layer, LayerNormalization, MatMul, MaxPooling1D, MaxPooling2D,
    NearestMode, PReLU, Pad2D, PadMode, Padding, Permute, Power, Reshape, Resize, Resizing, Select, SeparableConv1D,
    SeparableConv2D, Slice, SpaceToDepth, Take, UpSampling1D, UpSampling2D, ZeroPadding1D, ZeroPadding2D,
};
use lucida::nn::{Network, Plan, Sequential};
use lucida::style::{FeedForwardSize, FeedForwardStyle, transformation_network};
use lucida::weights::{Model, onnx};

const BATCH: usize = 2;

fn input(network: &Network) -> Vec<f32> {
    let len = BATCH * network.input_shape().unwrap().len();
    (0..len).map(|i| ((i * 7919 % 101) as f32 - 50.0) / 25.0).collect()
}

/// Computes all outputs of the network.
fn lucida(network: &Network) -> Vec<Vec<f32>> {
    lucida_of(network, &input(network))
}

/// Computes all outputs of the network for a batch.
fn lucida_of(network: &Network, input: &[f32]) -> Vec<Vec<f32>> {
    let mut plan = Plan::builder(network).batch_size(BATCH).build().unwrap();
    plan.input_mut().copy_from_slice(input);
    plan.forward(network).unwrap();
    (0..network.outputs().len()).map(|index| plan.output(index).to_vec()).collect()
}

/// Computes all outputs of the file, concatenated.
fn onnx_runtime(python: &Path, model: &Path, network: &Network) -> Vec<f32> {
    onnx_runtime_of(python, model, network, &input(network))
}

/// Computes all outputs of the file for a batch, concatenated.
fn onnx_runtime_of(python: &Path, model: &Path, network: &Network, input: &[f32]) -> Vec<f32> {
    let shape: Vec<usize> = [&[BATCH], network.input_shape().unwrap().sizes()].concat();
    let [values, outputs] = ["input.npy", "outputs.bin"].map(|name| model.with_file_name(name));
    write_npy(&values, &shape, input).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx_runtime.py");
    let run = Command::new(python).args([script.as_path(), model, &values, &outputs]).output().unwrap();
    assert!(run.status.success(), "{}: {}", network.name(), String::from_utf8_lossy(&run.stderr));
    let bytes = fs::read(outputs).unwrap();
    bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

fn agrees(mut network: Network) {
    for weight in network.weights_mut().iter_mut().filter(|weight| !weight.name().ends_with("kernel")) {
        let start = if weight.name().ends_with("variance") { 0.5 } else { -0.3 };
        weight.values_mut().iter_mut().enumerate().for_each(|(i, value)| *value = start + (i % 5) as f32 * 0.2);
    }
    agrees_as_it_is(&network);
}

fn agrees_as_it_is(network: &Network) {
    let Some(python) = env::var_os("ONNXRUNTIME_PYTHON") else {
        eprintln!("skipped: ONNXRUNTIME_PYTHON does not name a Python with onnxruntime");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    onnx::save_model(&Model::new(network.clone()), &path).unwrap();
    let (ours, theirs) = (lucida(network), onnx_runtime(Path::new(&python), &path, network));
    assert_eq!(ours.iter().map(Vec::len).sum::<usize>(), theirs.len());
    let mut rest = theirs.as_slice();
    for ours in &ours {
        let (theirs, others) = rest.split_at(ours.len());
        rest = others;
        let largest = theirs.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        let worst = ours.iter().zip(theirs).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
        let (first, second) = ours.split_at(ours.len() / BATCH);
        let moved = first.iter().zip(second).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
        eprintln!(
            "{}: differs by {:.1e} of the largest value, {:.1e} of what the samples differ by",
            network.name(),
            worst / largest,
            worst / moved
        );
        assert!(largest > 0.0 && worst <= 1e-4 * largest, "{}: {worst:e} of {largest:e}", network.name());
        // Also compare with the differences between samples: where biases dominate the output, the first bound is weak.
        assert!(moved > 0.0 && worst <= 1e-2 * moved, "{}: {worst:e}, samples {moved:e} apart", network.name());
    }
}

fn known(name: &str, size: Option<[usize; 2]>, top: bool) {
    let options = applications::Options { size, top, initial_weights: InitialWeights::Random(3), ..Default::default() };
    agrees(applications::find(name).unwrap().build(&options).unwrap());
}

#[test]
fn graphs_of_other_programs_written_again() {
    let Some(folder) = common::shared("golden/models") else { return };
    let mut count = 0;
    for model in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        for file in ["classic.onnx", "dynamo.onnx", "tf2onnx.onnx"].map(|name| model.join(name)) {
            if file.is_file() {
                agrees_as_it_is(&onnx::load_model(&file).unwrap().network);
                count += 1;
            }
        }
    }
    assert_eq!(count, 24, "the golden ONNX files that are read");
}

/// Runs the program that docs/models.md shows for a converted model, on a network whose single sigmoid is 0.2 for any image.
#[test]
fn the_program_of_the_documentation_gives_the_second_of_two_classes() {
    let Some(python) = env::var_os("ONNXRUNTIME_PYTHON") else {
        eprintln!("skipped: ONNXRUNTIME_PYTHON does not name a Python with onnxruntime");
        return;
    };
    let guide = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/models.md")).unwrap();
    let program = guide.split("```python\n").find(|part| part.contains("InferenceSession")).unwrap();
    let program = program.split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sigmoid = Dense::new(1).activation(ActivationKind::Sigmoid);
    let mut network = Network::sequential("pets", [4, 4, 3], [Flatten::new().into(), Layer::from(sigmoid)], 1).unwrap();
    network.weights_mut()[0].values_mut().fill(0.0);
    network.weights_mut()[1].values_mut().fill((0.2_f32 / 0.8).ln());
    let class_names = vec!["cats".to_owned(), "dogs".to_owned()];
    let preprocessing = Some(Preprocessing::unit(4, 4, ColorMode::Rgb));
    let model = Model { class_names, preprocessing, ..Model::new(network) };
    onnx::save_model(&model, folder.path().join("mine.onnx")).unwrap();
    Image::filled(4, 4, &[90, 60, 30]).save(folder.path().join("photo.png")).unwrap();
    let run = Command::new(python).args(["-c", program]).current_dir(folder.path()).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let printed = String::from_utf8(run.stdout).unwrap();
    let of = |class: &str| -> f32 {
        let value = printed.split(&format!("'{class}': np.float32(")).nth(1).unwrap();
        value.split(')').next().unwrap().parse().unwrap()
    };
    assert!((of("cats") - 0.8).abs() < 1e-6 && (of("dogs") - 0.2).abs() < 1e-6, "{printed}");
}

#[test]
fn mnist_cnn() {
    known("mnist-cnn", None, true);
}

#[test]
fn lenet5() {
    known("lenet5", None, true);
}

#[test]
fn vgg16() {
    known("vgg16", Some([64, 64]), false);
}

#[test]
fn inception_v3() {
    known("inception-v3", Some([75, 75]), false);
}

#[test]
fn every_kind_of_layer() {
    let mut b = Network::builder("every_layer");
    let input = b.add(Input::new([12, 11, 3]), &[]).unwrap();
    let padded = b.add(ZeroPadding2D { padding: [[1, 2], [0, 3]] }, &[input]).unwrap();
    let stem = Conv2D::new(6, [3, 2]).strides([2, 1]).padding(Padding::Same).activation(ActivationKind::Tanh);
    let stem = b.add(stem, &[padded]).unwrap();
    let norm = b.add(BatchNormalization { scale: false, ..Default::default() }, &[stem]).unwrap();
    let left = b.add(Activation::new(ActivationKind::LeakyRelu { negative_slope: 0.2 }), &[norm]).unwrap();
    let right = b.add(Conv2D::new(6, [1, 1]).without_bias().activation(ActivationKind::Relu6), &[stem]).unwrap();
    let sum = b.add(Add {}, &[left, right, stem]).unwrap();
    let two = b.add(Add {}, &[left, sum]).unwrap();
    let valid = b.add(Conv2D::new(5, [3, 3]).strides([2, 2]).activation(ActivationKind::Relu), &[two]).unwrap();
    let max = b.add(MaxPooling2D::new([3, 3]).strides([2, 2]).padding(Padding::Same), &[norm]).unwrap();
    let wide = MaxPooling2D::new([3, 3]).strides([2, 2]).padding(Padding::Explicit([[1, 1], [2, 1]]));
    let wide = b.add(wide, &[norm]).unwrap();
    let mean = b.add(AveragePooling2D::new([3, 2]).strides([1, 2]).padding(Padding::Same), &[sum]).unwrap();
    let clip = b.add(Activation::new(ActivationKind::Clip { min: -0.5, max: 0.75 }), &[mean]).unwrap();
    let flat = b.add(Flatten {}, &[clip]).unwrap();
    let pooled = [max, valid].map(|x| b.add(GlobalAveragePooling2D::new(), &[x]).unwrap());
    let most = b.add(GlobalMaxPooling2D::new(), &[wide]).unwrap();
    let all = b.add(Concatenate::new(), &[pooled[0], pooled[1], most, flat]).unwrap();
    let dropped = b.add(Dropout::new(0.25), &[all]).unwrap();
    let hidden = b.add(Dense::new(7).activation(ActivationKind::Sigmoid), &[dropped]).unwrap();
    let linear = b.add(Activation::new(ActivationKind::Linear), &[hidden]).unwrap();
    let norm = b.add(BatchNormalization { center: false, ..Default::default() }, &[linear]).unwrap();
    let out = b.add(Dense::new(4).activation(ActivationKind::Softmax), &[norm]).unwrap();
    agrees(b.build(&[out, left, wide], 9).unwrap());
}

#[test]
fn convolutions_of_all_kinds() {
    let border = Padding::Explicit([[1, 2], [0, 3]]);
    let layers = [
        Conv2D::new(6, [3, 3]).dilation_rate([2, 1]).groups(2).padding(Padding::Same).into(),
        DepthwiseConv2D::new([3, 2]).strides([2, 2]).depth_multiplier(2).padding(Padding::Same).into(),
        DepthwiseConv2D::new([3, 3]).dilation_rate([2, 2]).padding(border).without_bias().into(),
        SeparableConv2D::new(6, [3, 3]).depth_multiplier(2).padding(border).into(),
        Conv2DTranspose::new(4, [3, 3]).strides([2, 2]).groups(2).padding(Padding::Same).into(),
        Conv2DTranspose::new(3, [3, 2]).strides([2, 3]).padding(border).output_padding([1, 0]).into(),
        Conv2DTranspose::new(2, [2, 2]).strides([3, 1]).dilation_rate([1, 2]).without_bias().into(),
    ];
    agrees(Network::sequential("convolutions", [12, 10, 4], layers, 9).unwrap());
}

#[test]
fn adaptive_pooling() {
    // Windows of equal size, and of two different sizes along each axis.
    for windows in [[4, 3], [5, 4], [3, 7], [1, 1]] {
        let layers = [Conv2D::new(4, [3, 3]).into(), AdaptiveAveragePooling2D::new(windows).into()];
        agrees(Network::sequential("adaptive", [10, 11, 3], layers, 5).unwrap());
    }
}

#[test]
fn layers_that_pad_pool_resize_and_move() {
    let backward = AxisSlice::Range { start: None, stop: None, step: -2 };
    let channels = AxisSlice::Range { start: Some(2), stop: Some(-1), step: 3 };
    let pooling = || AveragePooling2D::new([3, 2]).strides([2, 2]).padding(Padding::Explicit([[1, 0], [1, 1]]));
    let pad = |mode| Pad2D { padding: [[1, 2], [0, 3]], mode };
    let nearest = Resize { interpolation: Interpolation::Nearest, ..Resize::to_size([5, 9]) };
    let bicubic = Resize { interpolation: Interpolation::Bicubic, ..Resize::to_size([5, 9]) };
    let layers: Vec<Layer> = vec![
        pad(PadMode::Constant(0.5)).into(),
        pad(PadMode::Reflect).into(),
        pad(PadMode::Symmetric).into(),
        pad(PadMode::Replicate).into(),
        pad(PadMode::Circular).into(),
        Cropping2D::new([[1, 2], [0, 3]]).into(),
        CenterCrop::new(3, 2).into(),
        CenterCrop::new(9, 2).into(),
        UpSampling2D::new([2, 3]).into(),
        UpSampling2D::new([2, 3]).interpolation(Interpolation::Bilinear).into(),
        UpSampling2D::new([2, 1]).interpolation(Interpolation::Bicubic).into(),
        Resizing::new(5, 7).into(),
        Resizing { interpolation: Interpolation::Nearest, ..Resizing::new(5, 7) }.into(),
        Resizing { antialias: true, ..Resizing::new(5, 3) }.into(),
        Resize { coordinates: Coordinates::AlignCorners, ..Resize::to_size([5, 9]) }.into(),
        Resize { coordinates: Coordinates::Asymmetric, nearest: NearestMode::Floor, ..nearest }.into(),
        Resize { nearest: NearestMode::Ceil, ..nearest }.into(),
        bicubic.into(),
        Resize { exclude_outside: true, cubic_coefficient: -0.5, ..bicubic }.into(),
        Resize::by([1.7, 0.6]).into(),
        ChannelShuffle::new(4).into(),
        DepthToSpace::new(2).into(),
        DepthToSpace::new(2).order(DepthOrder::ColumnFirst).into(),
        SpaceToDepth::new(2).into(),
        SpaceToDepth::new(2).order(DepthOrder::ColumnFirst).into(),
        Permute::new([2, 1, 3]).into(),
        Permute::new([3, 1, 2]).into(),
        Reshape::new([-1, 3, 8]).into(),
        Reshape::new([6, -1]).into(),
        Slice::new([AxisSlice::all(), AxisSlice::At(1)]).into(),
        Slice::new([backward, AxisSlice::all(), channels]).into(),
        GlobalAveragePooling2D::keeping_dims().into(),
        GlobalMaxPooling2D::keeping_dims().into(),
        AdaptiveMaxPooling2D::new([5, 3]).into(),
        AdaptiveMaxPooling2D::new([3, 2]).into(),
        AveragePooling2D { count_include_pad: true, ..pooling() }.into(),
        AveragePooling2D { count_include_pad: true, ceil_mode: true, ..pooling() }.into(),
        AveragePooling2D { count_include_pad: true, ..pooling().padding(Padding::Same) }.into(),
        AveragePooling2D { ceil_mode: true, ..pooling() }.into(),
        AveragePooling2D { divisor_override: Some(5), dilation: [2, 1], ..pooling() }.into(),
        MaxPooling2D { dilation: [2, 1], ceil_mode: true, ..MaxPooling2D::new([2, 3]) }.into(),
    ];
    for layer in layers {
        eprintln!("{layer:?}");
        agrees(Network::sequential(layer.default_name(), [6, 4, 8], [layer], 5).unwrap());
    }
}

#[test]
fn layers_of_sequences() {
    let mut b = Network::builder("sequences");
    let input = b.add(Input::new([16, 3]), &[]).unwrap();
    let causal = Conv2D::new(6, [1, 3]).padding(Padding::Explicit([[0, 0], [2, 0]])).activation(ActivationKind::Tanh);
    let stem = b.add(Conv1D::new(causal), &[input]).unwrap();
    let norm = b.add(BatchNormalization::default(), &[stem]).unwrap();
    let same = Conv2D::new(6, [1, 4]).padding(Padding::Same).groups(2).dilation_rate([1, 2]);
    let same = b.add(Conv1D::new(same), &[norm]).unwrap();
    let sum = b.add(Add::new(), &[norm, same]).unwrap();
    let slopes = b.add(PReLU::shared(vec![0]), &[sum]).unwrap();
    let pooled =
        b.add(MaxPooling1D::new(MaxPooling2D::new([1, 3]).strides([1, 2]).padding(Padding::Same)), &[slopes]).unwrap();
    let depthwise = DepthwiseConv2D::new([1, 3]).depth_multiplier(2).padding(Padding::Same);
    let depthwise = b.add(DepthwiseConv1D::new(depthwise), &[pooled]).unwrap();
    let separable = SeparableConv2D::new(6, [1, 2]).activation(ActivationKind::Softmax);
    let separable = b.add(SeparableConv1D::new(separable), &[depthwise]).unwrap();
    let wide = b.add(ZeroPadding1D::new(ZeroPadding2D { padding: [[0, 0], [1, 2]] }), &[separable]).unwrap();
    let cut = b.add(Cropping1D::new(Cropping2D::new([[0, 0], [0, 2]])), &[wide]).unwrap();
    let joined = b.add(Concatenate::along(1), &[cut, pooled]).unwrap();
    let mean = b.add(AveragePooling1D::new(AveragePooling2D::new([1, 2])), &[joined]).unwrap();
    let up = b.add(UpSampling1D::new(UpSampling2D::new([1, 2])), &[mean]).unwrap();
    let up = b.add(Conv1DTranspose::new(Conv2DTranspose::new(4, [1, 3]).strides([1, 2])), &[up]).unwrap();
    let normed = b.add(LayerNormalization::default(), &[up]).unwrap();
    let dense = b.add(Dense::new(5).activation(ActivationKind::Silu), &[normed]).unwrap();
    let turned = b.add(Permute::new([2, 1]), &[dense]).unwrap();
    let attention = b.add(MatMul { transpose_b: true, ..MatMul::new() }, &[turned, turned]).unwrap();
    let weights = b.add(Activation::new(ActivationKind::Softmax), &[attention]).unwrap();
    let mixed = b.add(MatMul::new(), &[weights, turned]).unwrap();
    let taken = b.add(Take::new(0, [4, 0, 0, 2]), &[mixed]).unwrap();
    let best = b.add(GlobalMaxPooling1D::new(GlobalMaxPooling2D::keeping_dims()), &[dense]).unwrap();
    let best = b.add(Flatten::new(), &[best]).unwrap();
    let all = b.add(GlobalAveragePooling1D::new(GlobalAveragePooling2D::new()), &[dense]).unwrap();
    let all = b.add_named("both", Concatenate::new(), &[best, all]).unwrap();
    agrees(b.build(&[all, dense, taken, pooled], 5).unwrap());
}

#[test]
fn powers_choices_and_lists_of_matrices() {
    let mut b = Network::builder("computed");
    let input = b.add(Input::new([4, 3, 6]), &[]).unwrap();
    let positive = b.add(Activation::new(ActivationKind::Exponential), &[input]).unwrap();
    let power = b.add(Power::new(), &[positive, input]).unwrap();
    let root = b.add(Activation::new(ActivationKind::Power { exponent: 0.5 }), &[positive]).unwrap();
    let inverse = b.add(Activation::new(ActivationKind::Power { exponent: -1.0 }), &[positive]).unwrap();
    let cube = b.add(Activation::new(ActivationKind::Power { exponent: 1.5 }), &[positive]).unwrap();
    let chosen = b.add(Select { threshold: 0.1 }, &[input, root, inverse]).unwrap();
    let product = b.add(MatMul { transpose_a: true, ..MatMul::new() }, &[input, chosen]).unwrap();
    let taken = b.add(Take::new(2, [5, 0, 0, 2]), &[cube]).unwrap();
    let flat = b.add(Flatten::new(), &[input]).unwrap();
    let dot = b.add(MatMul { transpose_a: true, ..MatMul::new() }, &[flat, flat]).unwrap();
    agrees(b.build(&[power, chosen, product, taken, dot], 5).unwrap());
}

/// One file for images of several sizes.
#[test]
fn feed_forward_styles() {
    let Some(python) = env::var_os("ONNXRUNTIME_PYTHON") else {
        eprintln!("skipped: ONNXRUNTIME_PYTHON does not name a Python with onnxruntime");
        return;
    };
    let network = transformation_network(FeedForwardSize::Small, [64, 64], 3).unwrap();
    let style = FeedForwardStyle::new(network, ["a", "b"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    style.save_onnx(&[0.3, 0.7], &path).unwrap();
    for [height, width] in [[64, 64], [32, 48], [44, 100]] {
        let network = style.model(&[0.3, 0.7]).unwrap().network.with_input_size(height, width).unwrap();
        // Pixels from 0 to 255: the normalization of a nearly constant image would amplify rounding errors.
        let image: Vec<f32> = input(&network).iter().map(|value| 127.5 + 60.0 * value).collect();
        let ours = lucida_of(&network, &image);
        let theirs = onnx_runtime_of(Path::new(&python), &path, &network, &image);
        assert_eq!(ours[0].len(), theirs.len());
        let worst = ours[0].iter().zip(&theirs).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
        eprintln!("{height}x{width}: {worst:.2e} of levels from 0 to 255");
        assert!(worst < 0.02, "{height}x{width}: {worst}");
    }
    // A layer whose graph depends on the image size is rejected.
    let fixed = Sequential::new("fixed", [8, 8, 3]).add(Resizing::new(16, 16)).build(1).unwrap();
    let refused = onnx::save_model_any_size(&Model::new(fixed), &path).unwrap_err().to_string();
    assert!(refused.contains("depends on the size"), "{refused}");
}
