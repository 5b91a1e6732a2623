//! Receptive fields compared with the support of the gradient.

use super::*;
use crate::core::{Purpose, Rng};
use crate::nn::applications::{self, Options};
use crate::nn::layers::{
    Activation, ActivationKind, AdaptiveAveragePooling2D, AdaptiveMaxPooling2D, Add, AveragePooling2D, AxisSlice,
    BatchNormalization, ChannelShuffle, Concatenate, Conv2D, Conv2DTranspose, Cropping2D, Dense, DepthToSpace,
    DepthwiseConv2D, Flatten, GlobalMaxPooling2D, Input, Interpolation, MaxPooling2D, Pad2D, PadMode, Padding, Reshape,
    Resize, SeparableConv2D, Slice, SpaceToDepth, UpSampling2D, ZeroPadding2D,
};
use crate::nn::{Layer, Plan, TensorRef};

const BATCH: usize = 96;

fn noise(seed: u64) -> Rng {
    Rng::keyed(seed, Purpose::Noise, 0)
}

/// The bounding box of the pixels with a nonzero gradient at `position`, over many random images.
fn support(network: &Network, layer: &str, layout: [usize; 3], position: [usize; 2]) -> Option<Field> {
    let shape = network.input_shape().unwrap().as_image().unwrap();
    let mut plan = Plan::builder(network)
        .batch_size(BATCH)
        .output(TensorRef::before_activation(layer))
        .grad_output_at(TensorRef::before_activation(layer))
        .input_gradient()
        .build()
        .unwrap();
    let mut noise = noise(7);
    plan.input_mut().fill_with(|| 2.0 * noise.uniform_f32() - 1.0);
    plan.forward(network).unwrap();
    let seed = plan.grad_output_mut(0);
    seed.fill(0.0);
    for sample in seed.chunks_exact_mut(layout.iter().product()) {
        let place = (position[0] * layout[1] + position[1]) * layout[2];
        sample[place..place + layout[2]].fill_with(|| 2.0 * noise.uniform_f32() - 1.0);
    }
    plan.backward(network);
    let mut found: Option<Field> = None;
    for sample in plan.input_gradient().unwrap().chunks_exact(shape.iter().product()) {
        for (index, _) in sample.iter().enumerate().filter(|(_, value)| **value != 0.0) {
            let (row, column) = (index / shape[2] / shape[1], index / shape[2] % shape[1]);
            let at = |index: usize| Span { start: index as i64, end: index as i64 + 1 };
            let pixel = Field { rows: at(row), columns: at(column) };
            found = Some(found.map_or(pixel, |field| Field {
                rows: field.rows.union(pixel.rows),
                columns: field.columns.union(pixel.columns),
            }));
        }
    }
    found
}

/// Compares the fields of some units of each layer with the support of their gradients.
fn check(network: &Network, noise: &mut Rng) {
    for field in receptive_fields(network).unwrap() {
        let [height, width, _] = field.layout();
        let mut positions = vec![[0, 0], [height - 1, width - 1], [height / 2, width / 2]];
        positions.push([noise.below(height), noise.below(width)]);
        for position in positions {
            if field.class_name() == "Input" {
                assert_eq!(field.at(position).unwrap().rows.len(), 1);
                continue;
            }
            let seen = support(network, field.layer(), field.layout(), position);
            let what =
                format!("{} at {position:?} of {:?} in {}", field.layer(), field.layout(), network.architecture());
            assert_eq!(field.at(position), seen, "{what}");
            // Apart from padding, the padded field equals it.
            if let (Some(counted), Some(seen)) = (field.with_padding(position), seen) {
                let [height, width, _] = network.input_shape().unwrap().as_image().unwrap();
                let clipped = |span: Span, size: usize| (span.start.max(0), span.end.min(size as i64));
                let within = |(a, b): (i64, i64), span: Span| a <= span.start && span.end <= b;
                assert!(within(clipped(counted.rows, height), seen.rows), "{what}");
                assert!(within(clipped(counted.columns, width), seen.columns), "{what}");
            }
        }
    }
}

/// A slice of an axis, forward or reversed.
fn one_of(noise: &mut Rng, size: usize) -> AxisSlice {
    let (start, step) = (noise.below(size), 1 + noise.below(2) as i64);
    let step = if noise.below(2) == 0 { step } else { -step };
    AxisSlice::Range { start: Some(start as i64), stop: None, step }
}

/// A random windowed layer for an image of this size; `None` if it does not fit.
fn random_layer(noise: &mut Rng, [height, width, channels]: [usize; 3]) -> Option<Layer> {
    let window = [1 + noise.below(4), 1 + noise.below(4)];
    let strides = [1 + noise.below(2), 1 + noise.below(2)];
    let padding = if noise.below(2) == 0 { Padding::Valid } else { Padding::Same };
    if window[0] > height || window[1] > width {
        return None;
    }
    let border = [[noise.below(3), noise.below(2)], [noise.below(2), noise.below(3)]];
    let pads = border.map(|pads| pads.map(|pad| pad as i64 - 1));
    let mode = [PadMode::Constant(0.0), PadMode::Reflect, PadMode::Symmetric, PadMode::Replicate, PadMode::Circular];
    let interpolation = [Interpolation::Nearest, Interpolation::Bilinear][noise.below(2)];
    Some(match noise.below(18) {
        0 => MaxPooling2D::new([window[0].min(2), window[1].min(2)]).strides(strides).padding(padding).into(),
        1 => AveragePooling2D::new(window).strides(strides).padding(padding).into(),
        2 => ZeroPadding2D { padding: [[noise.below(3), noise.below(2)], [noise.below(2), noise.below(3)]] }.into(),
        3 => BatchNormalization::default().into(),
        4 => AdaptiveAveragePooling2D::new([1 + noise.below(6), 1 + noise.below(6)]).into(),
        5 => Pad2D { padding: pads, mode: mode[noise.below(5)] }.into(),
        6 => UpSampling2D::new([1 + noise.below(2), 1 + noise.below(2)]).interpolation(interpolation).into(),
        7 => Resize { interpolation, ..Resize::to_size([3 + noise.below(9), 3 + noise.below(9)]) }.into(),
        8 => AveragePooling2D { ceil_mode: true, ..AveragePooling2D::new(window).strides([2, 2]) }.into(),
        9 => Slice::new([one_of(noise, height), one_of(noise, width)]).into(),
        10 if height > 3 && width > 3 => Cropping2D::new(border).into(),
        11 if [height % 2, width % 2] == [0, 0] => SpaceToDepth::new(2).into(),
        12 if channels % 4 == 0 => DepthToSpace::new(2).into(),
        13 => AdaptiveMaxPooling2D::new([1 + height / 2, 1 + width / 2]).into(),
        14 => ChannelShuffle::new(channels).into(),
        _ => Conv2D::new(3, window).strides(strides).padding(padding).into(),
    })
}

#[test]
fn chains_of_random_layers_against_the_support_of_the_gradient() {
    let mut noise = noise(1);
    for seed in 0..40 {
        let mut builder = Network::builder("chain");
        let mut last = builder.add(Input::new([9 + noise.below(6), 8 + noise.below(8), 2]), &[]).unwrap();
        for _ in 0..2 + noise.below(4) {
            let shape = builder.shape(last).as_image().unwrap();
            if let Some(layer) = random_layer(&mut noise, shape)
                && layer.spec().output_shape(&[shape.into()]).is_ok()
            {
                last = builder.add(layer, &[last]).unwrap();
            }
        }
        last = builder.add(Flatten::new(), &[last]).unwrap();
        last = builder.add(Dense::new(2), &[last]).unwrap();
        check(&builder.build(&[last], seed).unwrap(), &mut noise);
    }
}

/// A random dilated, grouped, depthwise or transposed convolution; `None` if it does not fit.
fn random_convolution(noise: &mut Rng, [height, width, channels]: [usize; 3]) -> Option<Layer> {
    let window = [1 + noise.below(3), 1 + noise.below(3)];
    let (strides, dilation) = ([1 + noise.below(2), 1 + noise.below(2)], [1 + noise.below(3), 1 + noise.below(3)]);
    let padding = match noise.below(3) {
        0 => Padding::Valid,
        1 => Padding::Same,
        _ => Padding::Explicit([[noise.below(3), noise.below(2)], [noise.below(2), noise.below(3)]]),
    };
    if (window[0] - 1) * dilation[0] >= height || (window[1] - 1) * dilation[1] >= width || height * width > 900 {
        return None;
    }
    let transposed = Conv2DTranspose::new(2 * channels, window).strides(strides).groups(channels);
    let layer: Layer = match noise.below(5) {
        0 => Conv2D::new(2, window).strides(strides).padding(padding).dilation_rate(dilation).into(),
        1 => DepthwiseConv2D::new(window).strides(strides).padding(padding).dilation_rate(dilation).into(),
        2 => SeparableConv2D::new(3, window).strides(strides).padding(padding).dilation_rate(dilation).into(),
        3 => transposed.padding(padding).output_padding([noise.below(2), noise.below(2)]).into(),
        _ => Conv2DTranspose::new(2, window).padding(padding).dilation_rate(dilation).into(),
    };
    layer.spec().output_shape(&[[height, width, channels].into()]).is_ok().then_some(layer)
}

#[test]
fn chains_of_other_convolutions_against_the_support_of_the_gradient() {
    let mut noise = noise(3);
    let mut kinds = std::collections::BTreeMap::new();
    for seed in 0..40 {
        let mut builder = Network::builder("chain");
        let mut last = builder.add(Input::new([7 + noise.below(5), 6 + noise.below(7), 2]), &[]).unwrap();
        for _ in 0..2 + noise.below(2) {
            let shape = builder.shape(last).as_image().unwrap();
            if let Some(layer) = random_convolution(&mut noise, shape) {
                *kinds.entry(layer.class_name()).or_insert(0) += 1;
                last = builder.add(layer, &[last]).unwrap();
            }
        }
        last = builder.add(Flatten::new(), &[last]).unwrap();
        last = builder.add(Dense::new(2), &[last]).unwrap();
        check(&builder.build(&[last], seed).unwrap(), &mut noise);
    }
    assert!(kinds.len() == 4 && kinds.values().all(|&count| count >= 5), "{kinds:?}");
}

#[test]
fn fields_of_other_convolutions() {
    let layers: [Layer; 4] = [
        Conv2D::new(2, [3, 3]).padding(Padding::Same).dilation_rate([2, 3]).into(),
        DepthwiseConv2D::new([3, 3]).padding(Padding::Same).strides([2, 2]).into(),
        Conv2DTranspose::new(2, [2, 2]).strides([2, 2]).into(),
        Conv2DTranspose::new(2, [3, 3]).padding(Padding::Same).into(),
    ];
    let network = Network::sequential("fields", [16, 16, 1], layers, 1).unwrap();
    let fields = receptive_fields(&network).unwrap();
    assert_eq!((fields[1].size(), fields[1].stride(), fields[1].padding()), (Some([5, 7]), Some([1, 1]), Some([2, 3])));
    assert_eq!((fields[2].size(), fields[2].stride()), (Some([7, 9]), Some([2, 2])));
    // Two adjacent units come from one: their fields are not shifted copies of each other.
    assert_eq!(fields[3].size(), None);
    assert_eq!(fields[3].at([6, 6]), fields[2].at([3, 3]));
    assert_eq!(fields[3].at([7, 6]), fields[2].at([3, 3]));
    assert_ne!(fields[4].at([6, 6]), fields[3].at([6, 6]));
}

#[test]
fn branches_against_the_support_of_the_gradient() {
    let mut noise = noise(2);
    for seed in 0..10 {
        let mut builder = Network::builder("branches");
        let input = builder.add(Input::new([16, 14, 2]), &[]).unwrap();
        let wide = builder.add(Conv2D::new(3, [5, 3]).padding(Padding::Same), &[input]).unwrap();
        let narrow = builder.add(Conv2D::new(3, [1, 1]), &[input]).unwrap();
        let sum = builder.add(Add::new(), &[wide, narrow]).unwrap();
        let pooled = builder.add(MaxPooling2D::default(), &[sum]).unwrap();
        let strided = builder.add(Conv2D::new(2, [3, 2]).strides([2, 2]).padding(Padding::Same), &[sum]).unwrap();
        let joined = builder.add(Concatenate::new(), &[pooled, strided]).unwrap();
        // 8x7 again, but from windows with another stride: the fields are no longer shifted copies of each other.
        let steep = builder.add(Conv2D::new(2, [9, 8]), &[input]).unwrap();
        let mixed = builder.add(Concatenate::new(), &[joined, steep]).unwrap();
        let last = builder.add(Conv2D::new(2, [3, 3]).padding(Padding::Same), &[mixed]).unwrap();
        let last = builder.add(GlobalMaxPooling2D::new(), &[last]).unwrap();
        let network = builder.build(&[last], seed).unwrap();
        check(&network, &mut noise);
        let fields = receptive_fields(&network).unwrap();
        assert_eq!(fields[mixed].size(), None);
        assert_eq!(fields[mixed].with_padding([0, 0]), None);
        assert_eq!((fields[joined].size(), fields[joined].stride()), (Some([7, 4]), Some([2, 2])));
    }
}

/// The table of Araujo et al. (2019) lists 212 pixels for VGG16 and 1,311 for InceptionV3 (there after its last
/// convolutions); the first block is computed by hand with the arithmetic of Dumoulin and Visin.
#[test]
fn known_networks() {
    let vgg = applications::find("vgg16").unwrap().build(&Options::without_top()).unwrap();
    let of = |layer: &str| {
        let field = receptive_field(&vgg, layer).unwrap();
        (field.size().unwrap()[0], field.stride().unwrap()[0], field.padding().unwrap()[0])
    };
    assert_eq!(of("block1_conv1"), (3, 1, 1));
    assert_eq!(of("block1_conv2"), (5, 1, 2));
    assert_eq!(of("block1_pool"), (6, 2, 2));
    assert_eq!(of("block3_conv3"), (40, 4, 18));
    assert_eq!(of("block5_conv3"), (196, 16, 90));
    assert_eq!(of("block5_pool"), (212, 32, 90));
    let field = receptive_field(&vgg, "block3_conv3").unwrap();
    assert_eq!(field.center(), Some([1.5, 1.5]));
    assert_eq!(field.at([0, 28]).unwrap().rows, Span { start: 0, end: 22 });
    assert_eq!(field.at([0, 28]).unwrap().columns, Span { start: 94, end: 134 });
    assert_eq!(field.with_padding([0, 28]).unwrap().rows, Span { start: -18, end: 22 });

    let inception = applications::find("inception-v3").unwrap().build(&Options::without_top()).unwrap();
    let last = receptive_field(&inception, "mixed10").unwrap();
    assert_eq!((last.size(), last.stride()), (Some([1311, 1311]), Some([32, 32])));

    let mnist = applications::mnist_cnn(1).unwrap();
    let fields = receptive_fields(&mnist).unwrap();
    let dense = fields.last().unwrap();
    assert_eq!((dense.layout(), dense.is_map()), ([1, 1, 10], false));
    let field = dense.at([0, 0]).unwrap();
    assert_eq!((field.rows.start, field.rows.end), (0, 28));
}

#[test]
fn a_softmax_over_a_flattened_image_sees_all_of_it() {
    let layers = [Flatten::new().into(), Activation::new(ActivationKind::Softmax).into()];
    let network = Network::sequential("flat", [4, 5, 1], layers, 1).unwrap();
    let fields = receptive_fields(&network).unwrap();
    assert_eq!(fields[1].layout(), [4, 5, 1]);
    assert_eq!(fields[1].at([2, 3]).unwrap().columns, Span { start: 3, end: 4 });
    assert_eq!(fields[2].at([0, 0]).unwrap().columns, Span { start: 0, end: 5 });
}

#[test]
fn windows_with_a_dilation_against_the_support_of_the_gradient() {
    let layers = [
        Conv2D::new(2, [3, 2]).padding(Padding::Same).into(),
        AveragePooling2D { dilation: [2, 3], ..AveragePooling2D::new([2, 2]).strides([1, 2]) }.into(),
        Layer::from(MaxPooling2D { dilation: [1, 2], ..MaxPooling2D::new([1, 2]).strides([1, 1]) }),
    ];
    check(&Network::sequential("dilated", [9, 14, 2], layers, 1).unwrap(), &mut noise(3));
}

#[test]
fn a_reshaped_image_is_everywhere() {
    let layers = [Conv2D::new(2, [3, 3]).into(), Reshape::new([4, 3, 2]).into(), Conv2D::new(1, [2, 2]).into()];
    let network = Network::sequential("reshaped", [5, 6, 1], layers, 1).unwrap();
    let fields = receptive_fields(&network).unwrap();
    assert_eq!((fields[2].layout(), fields[2].size()), ([4, 3, 2], None));
    for (layer, place) in [(2, [3, 2]), (3, [2, 1])] {
        let field = fields[layer].at(place).unwrap();
        assert_eq!((field.rows, field.columns), (Span { start: 0, end: 5 }, Span { start: 0, end: 6 }));
    }
}

#[test]
fn flattened_images_side_by_side() {
    let mut builder = Network::builder("flats");
    let input = builder.add(Input::new([4, 4, 1]), &[]).unwrap();
    let flat = builder.add(Flatten::new(), &[input]).unwrap();
    let pooled = builder.add(MaxPooling2D::default(), &[input]).unwrap();
    let small = builder.add(Flatten::new(), &[pooled]).unwrap();
    let sum = builder.add(Add::new(), &[flat, flat]).unwrap();
    let joined = builder.add(Concatenate::new(), &[sum, small]).unwrap();
    let fields = receptive_fields(&builder.build(&[joined], 1).unwrap()).unwrap();
    assert_eq!(fields[sum].layout(), [4, 4, 1]);
    assert_eq!(fields[joined].layout(), [1, 1, 20]);
    assert_eq!(fields[joined].at([0, 0]).unwrap().rows, Span { start: 0, end: 4 });
}

#[test]
fn networks_without_images_are_refused() {
    let network = Network::sequential("vector", [4], [Dense::new(2).into()], 1).unwrap();
    assert!(matches!(receptive_fields(&network), Err(Error::Unsupported(_))));
    let wide = Network::sequential("wide", [1, 20_000, 1], [Layer::from(Flatten::new())], 1).unwrap();
    assert!(matches!(receptive_fields(&wide), Err(Error::Limit { got: 20_000, .. })));
    let small = applications::mnist_cnn(1).unwrap();
    let message = receptive_field(&small, "conv2d_9").unwrap_err().to_string();
    assert!(message.contains("did you mean \"conv2d_"), "{message}");
}
