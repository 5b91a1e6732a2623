//! The layers of a network before it is built: the sources of their weights, and how to simplify them.

use std::collections::HashMap;

use super::super::tensor::Constant;
use super::patterns;
use crate::nn::layers::{ActivationKind, BatchNormalization};
use crate::nn::{Layer, Network, Shape};
use crate::{Error, Result};

/// The source of a layer's weights.
#[derive(Debug)]
pub(super) enum Source {
    Nothing,
    /// (filter, channel of a group, row, column); for a transposed convolution (channel, filter of a group, row, column).
    Conv {
        kernel: Constant,
        bias: Option<Vec<f32>>,
    },
    /// For a dense layer, or a 1x1 convolution.
    Dense(DenseSource),
    /// gamma, beta, mean, variance
    Norm([Vec<f32>; 4]),
    /// The values of the layer's weights, in order.
    Weights(Vec<Vec<f32>>),
    /// `scale x + offset` for each channel; for a [`LayerScale`](Layer::LayerScale) without the offset.
    Affine {
        scale: Vec<f32>,
        offset: Vec<f32>,
    },
}

/// The weights of a dense layer.
#[derive(Debug)]
pub(super) struct DenseSource {
    /// (input, unit), or (unit, input).
    pub(super) kernel: Constant,
    pub(super) units_first: bool,
    /// For each row of the kernel, the corresponding input of the layer.
    pub(super) order: Option<Vec<usize>>,
    /// A factor of the kernel.
    pub(super) factor: f32,
    pub(super) bias: Option<Vec<f32>>,
}

/// A layer.
#[derive(Debug)]
pub(super) struct LayerDraft {
    pub(super) name: String,
    pub(super) layer: Layer,
    pub(super) inputs: Vec<usize>,
    pub(super) shape: Shape,
    pub(super) source: Source,
}

/// A scale and offset for each channel, as a batch normalization: with a variance of `1 - epsilon` the square root is 1,
/// without rounding error because `epsilon` is a power of two.
pub(super) fn affine() -> BatchNormalization {
    BatchNormalization { epsilon: EPSILON, ..Default::default() }
}

const EPSILON: f32 = 1.0 / 1024.0;

/// Simplifies the layers: merges successive scales and offsets, an offset after a convolution or dense layer without a
/// bias, and a following activation; and removes layers that no output depends on. Returns the new index of each draft;
/// `usize::MAX` for a removed one.
pub(super) fn simplify(drafts: &mut Vec<LayerDraft>, outputs: &mut [usize]) -> Vec<usize> {
    without_repetition(drafts);
    patterns::recognize(drafts);
    let mut uses = vec![0_usize; drafts.len()];
    outputs.iter().for_each(|&output| uses[output] += 1);
    for index in (0..drafts.len()).rev() {
        if uses[index] > 0 {
            drafts[index].inputs.iter().for_each(|&input| uses[input] += 1);
        }
    }
    // The index of each draft's replacement among those that are kept.
    let mut places: Vec<usize> = Vec::with_capacity(drafts.len());
    let mut kept: Vec<LayerDraft> = Vec::new();
    let mut kept_uses: Vec<usize> = Vec::new();
    for (index, mut draft) in std::mem::take(drafts).into_iter().enumerate() {
        if uses[index] == 0 {
            places.push(usize::MAX);
            continue;
        }
        draft.inputs.iter_mut().for_each(|input| *input = places[*input]);
        let before = draft.inputs.first().copied().filter(|&input| kept_uses[input] == 1);
        if let Some(before) = before
            && absorb(&mut kept[before], &draft)
        {
            kept_uses[before] = uses[index];
            places.push(before);
            continue;
        }
        places.push(kept.len());
        kept_uses.push(uses[index]);
        kept.push(draft);
    }
    outputs.iter_mut().for_each(|output| *output = places[*output]);
    *drafts = kept;
    places
}

/// Removes repetitions before layers that broadcast themselves, such as that of a one-pixel gate expanded to an image.
fn without_repetition(drafts: &mut [LayerDraft]) {
    for index in 0..drafts.len() {
        let joins = matches!(
            drafts[index].layer,
            Layer::Add(_)
                | Layer::Subtract(_)
                | Layer::Multiply(_)
                | Layer::Divide(_)
                | Layer::Maximum(_)
                | Layer::Minimum(_)
        );
        for place in 0..if joins { drafts[index].inputs.len() } else { 0 } {
            while let Some(before) = repeated(drafts, drafts[index].inputs[place]) {
                let mut inputs = drafts[index].inputs.clone();
                inputs[place] = before;
                let shapes: Vec<Shape> = inputs.iter().map(|&input| drafts[input].shape.clone()).collect();
                if drafts[index].layer.spec().output_shape(&shapes).as_ref() != Ok(&drafts[index].shape) {
                    break;
                }
                drafts[index].inputs = inputs;
            }
        }
    }
}

/// The input of a layer that repeats the single position of an axis.
fn repeated(drafts: &[LayerDraft], index: usize) -> Option<usize> {
    let Layer::Take(take) = &drafts[index].layer else { return None };
    let &[input] = drafts[index].inputs.as_slice() else { return None };
    (drafts[input].shape.sizes()[take.axis] == 1).then_some(input)
}

/// Merges the next layer into a layer, if possible.
fn absorb(layer: &mut LayerDraft, next: &LayerDraft) -> bool {
    let linear = layer.layer.spec().activation() == ActivationKind::Linear;
    if let (Source::Affine { .. }, Source::Affine { .. }) = (&layer.source, &next.source) {
        layer.layer = affine().into();
    }
    match (&mut layer.layer, &mut layer.source, &next.layer, &next.source) {
        (_, Source::Affine { scale, offset }, _, Source::Affine { scale: s, offset: o }) => {
            for (((scale, offset), s), o) in scale.iter_mut().zip(offset).zip(s).zip(o) {
                *scale *= s;
                *offset = *offset * s + o;
            }
            true
        }
        (layer, source, _, Source::Affine { scale, offset }) if linear && scale.iter().all(|&s| s == 1.0) => {
            let (use_bias, bias) = match (layer, source) {
                (Layer::Conv2D(conv), Source::Conv { bias, .. }) => (&mut conv.use_bias, bias),
                (Layer::Conv2DTranspose(conv), Source::Conv { bias, .. }) => (&mut conv.use_bias, bias),
                (Layer::DepthwiseConv2D(conv), Source::Conv { bias, .. }) => (&mut conv.use_bias, bias),
                (Layer::Conv2D(conv), Source::Dense(source)) => (&mut conv.use_bias, &mut source.bias),
                (Layer::Dense(dense), Source::Dense(source)) => (&mut dense.use_bias, &mut source.bias),
                _ => return false,
            };
            if bias.is_some() {
                return false;
            }
            *use_bias = true;
            *bias = Some(offset.clone());
            true
        }
        // PyTorch normalizes groups first, then scales channels.
        (Layer::GroupNormalization(norm), source @ Source::Weights(_), _, Source::Affine { scale, offset })
            if !norm.scale && !norm.center =>
        {
            (norm.scale, norm.center) = (true, true);
            *source = Source::Weights(vec![scale.clone(), offset.clone()]);
            true
        }
        // Compose two successive scales and offsets of the channels.
        (Layer::GroupNormalization(norm), Source::Weights(parts), _, Source::Affine { scale, offset })
            if norm.scale && norm.center =>
        {
            for index in 0..scale.len() {
                parts[0][index] *= scale[index];
                parts[1][index] = parts[1][index] * scale[index] + offset[index];
            }
            true
        }
        // Two activations remain two layers.
        (Layer::Activation(_), ..) => false,
        (layer, _, Layer::Activation(next), _) if linear => match layer.activation_mut() {
            Some(activation) => {
                *activation = next.activation;
                true
            }
            None => false,
        },
        _ => false,
    }
}

/// Builds the network. `most` is the maximum number of parameters that the file can hold.
pub(super) fn build(name: &str, drafts: &[LayerDraft], outputs: &[usize], most: u64) -> Result<Network> {
    let mut builder = Network::builder(name);
    let mut names = HashMap::new();
    for draft in drafts {
        builder.add_named(unique(&mut names, &draft.name), draft.layer.clone(), &draft.inputs)?;
    }
    let parameters = builder.parameters();
    if parameters > most {
        return Err(Error::argument(format!(
            "its layers have {parameters} parameters, which the file is too small to hold"
        )));
    }
    let mut network = builder.build_zeroed(outputs)?;
    for (index, draft) in drafts.iter().enumerate() {
        let range = network.nodes()[index].weights();
        let weights = &mut network.weights_mut()[range];
        let mut values = weights.iter_mut().map(|weight| weight.values_mut());
        let mut set = |from: &[f32]| {
            if let Some(values) = values.next() {
                values.copy_from_slice(from);
            }
        };
        match &draft.source {
            Source::Nothing => {}
            Source::Norm(parts) => parts.iter().for_each(|part| set(part)),
            Source::Weights(parts) => parts.iter().for_each(|part| set(part)),
            Source::Affine { scale, .. } if matches!(draft.layer, Layer::LayerScale(_)) => set(scale),
            Source::Affine { scale, offset } => {
                let channels = scale.len();
                [scale, offset].into_iter().for_each(|part| set(part));
                set(&vec![0.0; channels]);
                set(&vec![1.0 - EPSILON; channels]);
                // The variance is not learned, and must not be trained.
                let name = network.nodes()[index].name().to_owned();
                network.set_trainable(&name, false)?;
            }
            Source::Conv { kernel, bias } => {
                if let Some(values) = values.next() {
                    conv_kernel(kernel, values);
                }
                bias.iter().zip(values).for_each(|(bias, values)| values.copy_from_slice(bias));
            }
            Source::Dense(source) => {
                if let Some(values) = values.next() {
                    dense_kernel(source, values);
                }
                source.bias.iter().zip(values).for_each(|(bias, values)| values.copy_from_slice(bias));
            }
        }
    }
    Ok(network)
}

/// Reorders (filter, channel, row, column) to (row, column, channel, filter).
pub(in crate::weights::onnx) fn conv_kernel(kernel: &Constant, values: &mut [f32]) {
    let [filters, channels, rows, columns] = kernel.dims[..] else { return };
    let pixels = rows * columns;
    for (index, values) in values.chunks_exact_mut(filters).enumerate() {
        let (pixel, channel) = (index / channels, index % channels);
        for (filter, value) in values.iter_mut().enumerate() {
            *value = kernel.float((filter * channels + channel) * pixels + pixel);
        }
    }
}

fn dense_kernel(source: &DenseSource, values: &mut [f32]) {
    let [rows, columns] = source.kernel.dims[..] else { return };
    let (inputs, units) = if source.units_first { (columns, rows) } else { (rows, columns) };
    for input in 0..inputs {
        let place = source.order.as_ref().map_or(input, |order| order[input]);
        for (unit, value) in values[units * place..][..units].iter_mut().enumerate() {
            let index = if source.units_first { unit * inputs + input } else { input * units + unit };
            let weight = source.kernel.float(index);
            // Multiplying by 1 preserves all bits except those of a NaN.
            *value = if source.factor == 1.0 { weight } else { source.factor * weight };
        }
    }
}

/// This name, or a similar one if it is already taken.
fn unique(names: &mut HashMap<String, usize>, name: &str) -> String {
    let mut unique = name.to_owned();
    while names.contains_key(&unique) {
        let count = names.entry(name.to_owned()).or_insert(0);
        *count += 1;
        unique = format!("{name}_{count}");
    }
    names.insert(unique.clone(), 0);
    unique
}
