//! Writes networks in Keras's formats, with an input and Lucida's output for it.
//!
//! `cargo run -p lucida-programs --bin export_keras -- DIR [WEIGHTS]`; WEIGHTS is a folder with Keras's weight files, which
//! are used for VGG16 and InceptionV3. `tests/keras/exports.py` loads the written files in Keras, and compares.

use std::path::Path;

use lucida::nn::applications::{self, Options};
use lucida::nn::layers::{
    Activation, ActivationKind, AdaptiveAveragePooling2D, AdaptiveMaxPooling2D, Add, AspectRatio, AveragePooling2D,
    AxisSlice, BatchNormalization, CenterCrop, Concatenate, Conv2D, Cropping2D, Dense, DepthToSpace, Dropout, Flatten,
    GlobalAveragePooling2D, GlobalMaxPooling2D, Input, Interpolation, Layer, MatMul, MaxPooling2D, Pad2D, PadMode,
    Padding, Permute, Power, Reshape, Resizing, Slice, SpaceToDepth, StochasticDepth, Take, UpSampling2D,
    ZeroPadding2D,
};
use lucida::nn::{Network, Plan};
use lucida::weights::{self, Model, keras_h5, keras_zip};
use lucida::{Error, Result};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or_else(|| Error::argument("give the folder to write to"))?;
    let folder = Path::new(&folder);
    let published = arguments.next();
    lucida::files::create_folder(folder)?;
    let seeded = |options: Options| options.size(96, 80).seed(7);
    for mut network in [
        every_layer()?,
        moved()?,
        attention()?,
        applications::mnist_cnn(7)?,
        applications::lenet5(&Options::default().seed(7))?,
        applications::basic_cnn(&seeded(Options::default()))?,
        applications::vgg16(&seeded(Options::without_top()))?,
        applications::inception_v3(&seeded(Options::default().classes(5)))?,
        applications::squeezenet1_1(&seeded(Options::default().classes(5)))?,
        applications::resnet18(&seeded(Options::default().classes(5)))?,
        applications::find("efficientnet-b0")?.build(&seeded(Options::default().classes(5)))?,
    ] {
        // Sets trained-looking weights: biases and statistics that are neither zero nor one.
        for weight in network.weights_mut() {
            if weight.shape().len() == 1 {
                let values = weight.values_mut();
                values.iter_mut().enumerate().for_each(|(i, value)| *value += 0.01 * (i % 7) as f32);
            }
        }
        export(folder, network.name().to_owned(), network)?;
    }
    for (name, file) in [("vgg16", "vgg16"), ("inception-v3", "inception_v3")] {
        let Some(published) = &published else { break };
        let mut network = applications::find(name)?.build(&Options::without_top().size(96, 80))?;
        let file = format!("{file}_weights_tf_dim_ordering_tf_kernels_notop.h5");
        weights::load_weights(Path::new(published).join(file), &mut network)?;
        export(folder, format!("{}_published", network.name()), network)?;
    }
    Ok(())
}

fn export(folder: &Path, name: String, network: Network) -> Result<()> {
    let mut plan = Plan::builder(&network).batch_size(2).build()?;
    let input = plan.input_mut();
    input.iter_mut().enumerate().for_each(|(i, value)| *value = (i * 37 % 101) as f32 / 101.0 - 0.3);
    let input = bytes(input);
    plan.forward(&network)?;
    lucida::files::write_bytes(folder.join(format!("{name}.input.f32")), &input)?;
    lucida::files::write_bytes(folder.join(format!("{name}.output.f32")), &bytes(plan.output(0)))?;
    keras_h5::save_weights(&network, folder.join(format!("{name}.weights.h5")))?;
    let model = Model::new(network);
    match keras_h5::save_model(&model, folder.join(format!("{name}.h5"))) {
        // Networks with operations, which Keras can only load from `.keras`.
        Err(Error::Unsupported(_)) => {}
        result => result?,
    }
    keras_zip::save_model(&model, folder.join(format!("{name}.keras")))
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Padding, pooling, resizing, and layers that rearrange values.
fn moved() -> Result<Network> {
    let all = AxisSlice::all();
    let layers: Vec<Layer> = vec![
        Pad2D { padding: [[1, 2], [0, 3]], mode: PadMode::Constant(0.5) }.into(),
        Pad2D { padding: [[1, 0], [2, 0]], mode: PadMode::Reflect }.into(),
        Cropping2D::new([[1, 2], [0, 3]]).into(),
        UpSampling2D::new([2, 3]).interpolation(Interpolation::Bilinear).into(),
        Resizing { interpolation: Interpolation::Bicubic, ..Resizing::new(23, 17) }.into(),
        Resizing { antialias: true, aspect_ratio: AspectRatio::Crop, ..Resizing::new(12, 8) }.into(),
        Resizing { aspect_ratio: AspectRatio::Pad, ..Resizing::new(12, 20) }.into(),
        CenterCrop::new(8, 6).into(),
        CenterCrop::new(9, 7).into(),
        UpSampling2D::new([2, 2]).into(),
        AdaptiveMaxPooling2D::new([8, 6]).into(),
        SpaceToDepth::new(2).into(),
        Conv2D::new(8, [1, 1]).into(),
        DepthToSpace::new(2).into(),
        Slice::new([AxisSlice::Range { start: Some(1), stop: None, step: 2 }, all, all]).into(),
        Permute::new([2, 1, 3]).into(),
        Reshape::new([-1, 2, 6]).into(),
        GlobalAveragePooling2D::keeping_dims().into(),
    ];
    Network::sequential("moved", [12, 10, 3], layers, 5)
}

/// Products, powers, and stochastic depth.
fn attention() -> Result<Network> {
    let mut b = Network::builder("attention");
    let input = b.add(Input::new([6, 5, 8]), &[])?;
    let depth = b.add(StochasticDepth::new(0.25), &[input])?;
    let rows = b.add(Reshape::new([6, 40]), &[depth])?;
    let scores = b.add(MatMul { transpose_b: true, ..MatMul::new() }, &[rows, rows])?;
    let weights = b.add(Activation::new(ActivationKind::Softmax), &[scores])?;
    let mixed = b.add(MatMul::new(), &[weights, rows])?;
    let positive = b.add(Activation::new(ActivationKind::Exponential), &[mixed])?;
    let power = b.add(Power::new(), &[positive, mixed])?;
    let root = b.add(Activation::new(ActivationKind::Power { exponent: 0.5 }), &[positive])?;
    let inverse = b.add(Activation::new(ActivationKind::Power { exponent: -1.0 }), &[positive])?;
    let other = b.add(Activation::new(ActivationKind::Power { exponent: 1.5 }), &[positive])?;
    let all = b.add_named("all", Concatenate::new(), &[power, root, inverse, other])?;
    let taken = b.add(Take::new(1, [0, 5, 5, 2]), &[all])?;
    let out = b.add(Flatten::new(), &[taken])?;
    b.build(&[out], 9)
}

/// A network with a layer of each kind.
fn every_layer() -> Result<Network> {
    let mut b = Network::builder("every_layer");
    let input = b.add(Input::new([12, 10, 3]), &[])?;
    let padded = b.add(ZeroPadding2D { padding: [[1, 2], [0, 3]] }, &[input])?;
    let stem = Conv2D::new(6, [3, 2]).strides([2, 1]).padding(Padding::Same).activation(ActivationKind::Tanh);
    let stem = b.add(stem, &[padded])?;
    let norm = b.add(BatchNormalization { momentum: 0.9, scale: false, ..Default::default() }, &[stem])?;
    let left = b.add(Activation::new(ActivationKind::Relu), &[norm])?;
    let right = b.add(Conv2D::new(6, [1, 1]).without_bias(), &[stem])?;
    let sum = b.add(Add::new(), &[left, right])?;
    let max = b.add(MaxPooling2D::new([3, 3]).strides([2, 2]), &[sum])?;
    let mean = b.add(AveragePooling2D::default(), &[sum])?;
    let adapted = b.add(AdaptiveAveragePooling2D::new([3, 4]), &[mean])?;
    let flat = b.add(Flatten::new(), &[adapted])?;
    let a = b.add(GlobalAveragePooling2D::new(), &[max])?;
    let m = b.add(GlobalMaxPooling2D::new(), &[max])?;
    let all = b.add_named("mixed", Concatenate::new(), &[a, m, flat])?;
    let dropped = b.add(Dropout::new(0.25), &[all])?;
    let out = b.add(Dense::new(4).activation(ActivationKind::Softmax), &[dropped])?;
    b.build(&[out], 9)
}
