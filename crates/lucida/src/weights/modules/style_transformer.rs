//! The image transformation network of PyTorch's examples (`fast_neural_style`), recognized by its tensor names.
//!
//! J. Johnson, A. Alahi, L. Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution" (2016), with
//! instance normalization, reflection padding, and nearest-neighbor upsampling before a convolution. A file determines
//! widths, kernels, and the number of residual blocks; strides and upsampling are always the same.

use super::Tensors;
use super::assign::{Names, match_names, read};
use super::entries::entries;
use super::naming::own;
use crate::nn::applications::PixelFormat;
use crate::nn::layers::{Activation, ActivationKind, Add, Conv2D, GroupNormalization, Pad2D, PadMode, UpSampling2D};
use crate::nn::layers::{Input, Layer};
use crate::nn::{Network, NetworkBuilder};
use crate::weights::{ArrayLayouts, Model};
use crate::{Error, Result};

/// The name of the network.
pub(crate) const NAME: &str = "fast_neural_style";
/// Tensors that every such file has.
const MARKS: [&str; 5] =
    ["conv1.conv2d.weight", "in1.weight", "res1.conv1.conv2d.weight", "deconv1.conv2d.weight", "deconv3.conv2d.weight"];
/// The default image size, as in training.
const SIZE: usize = 256;
/// Maximum number of residual blocks: the published network has five.
const MAX_BLOCKS: usize = 64;
/// The default epsilon of PyTorch's `InstanceNorm2d`.
const EPSILON: f32 = 1e-5;

/// The model, if a file has its tensors under one of the interpretations of its names; for pixel values from 0 to 255.
///
/// # Errors
/// [`Error::File`] when it has the names, and a tensor is missing, left over, or of another shape.
pub(super) fn recognize(file: &mut dyn Tensors, readings: &[Names]) -> Result<Option<Model>> {
    let marked = |names: &&Names| MARKS.iter().all(|mark| names.find(mark).is_some());
    let Some(names) = readings.iter().find(marked) else { return Ok(None) };
    let path = file.path().to_path_buf();
    let unfit = |problem: String| Error::file(&path, format!("has the names of PyTorch's {NAME}, but {problem}"));
    let network = build(file, names).map_err(|problem| unfit(problem.to_string()))?;
    let wanted = entries(&network, &own(&network)).map_err(&unfit)?;
    // PyTorch before 0.4 stored running statistics, which an instance normalization does not use.
    let norms = network.nodes().iter().filter(|node| matches!(node.layer(), Layer::GroupNormalization(_)));
    let stale: Vec<String> = norms.map(|norm| format!("{}.running_", norm.name())).collect();
    let stale: Vec<&str> = stale.iter().map(String::as_str).collect();
    let places = match_names(file, names, wanted, &network, &stale).map_err(unfit)?;
    let mut model = Model::new(network);
    model.preprocessing = Some(PixelFormat::Raw.preprocessing([SIZE, SIZE, 3])?);
    model.layouts = ArrayLayouts::channels_first(&model.network);
    read(file, &places, &mut model.network)?;
    Ok(Some(model))
}

fn build(file: &dyn Tensors, names: &Names) -> Result<Network> {
    let mut layers = Layers { file, names, builder: Network::builder(NAME), last: 0 };
    layers.last = layers.builder.add_named("input", Input::new([SIZE, SIZE, 3]), &[])?;
    for (number, stride) in [(1, 1), (2, 2), (3, 2)] {
        layers.block(&format!("conv{number}"), &format!("in{number}"), stride)?;
    }
    for number in (1..=MAX_BLOCKS).take_while(|number| names.find(&format!("res{number}.in1.weight")).is_some()) {
        layers.residual(&format!("res{number}"))?;
    }
    for number in [1, 2] {
        let name = format!("deconv{number}");
        layers.add(&format!("{name}.upsample"), UpSampling2D::new([2, 2]))?;
        layers.block(&name, &format!("in{}", number + 3), 1)?;
    }
    layers.convolution("deconv3", 1)?;
    let Layers { builder, last, .. } = layers;
    builder.build_zeroed(&[last])
}

/// Builds the network layer by layer.
struct Layers<'a> {
    file: &'a dyn Tensors,
    names: &'a Names,
    builder: NetworkBuilder,
    last: usize,
}

impl Layers<'_> {
    fn add(&mut self, name: &str, layer: impl Into<Layer>) -> Result<()> {
        self.last = self.builder.add_named(name, layer, &[self.last])?;
        Ok(())
    }

    /// A convolution with the file's filters and kernel size, and reflection padding that keeps the size.
    fn convolution(&mut self, name: &str, stride: usize) -> Result<()> {
        let tensor = format!("{name}.conv2d.weight");
        let shape = self.names.find(&tensor).map(|index| self.file.infos()[index].shape.as_slice());
        let &[filters, _, height, width] = shape.unwrap_or_default() else {
            return Err(Error::argument(format!("tensor {tensor:?} is missing, or not a kernel")));
        };
        let [rows, columns] = [height, width].map(|side| [(side / 2) as i64; 2]);
        self.add(&format!("{name}.reflection_pad"), Pad2D { padding: [rows, columns], mode: PadMode::Reflect })?;
        self.add(&format!("{name}.conv2d"), Conv2D::new(filters, [height, width]).strides([stride; 2]))
    }

    fn norm(&mut self, name: &str) -> Result<()> {
        self.add(name, GroupNormalization { epsilon: EPSILON, ..GroupNormalization::per_channel() })
    }

    fn block(&mut self, name: &str, norm: &str, stride: usize) -> Result<()> {
        self.convolution(name, stride)?;
        self.norm(norm)?;
        self.add(&format!("{name}.relu"), Activation::new(ActivationKind::Relu))
    }

    fn residual(&mut self, name: &str) -> Result<()> {
        let shortcut = self.last;
        self.block(&format!("{name}.conv1"), &format!("{name}.in1"), 1)?;
        self.convolution(&format!("{name}.conv2"), 1)?;
        self.norm(&format!("{name}.in2"))?;
        self.last = self.builder.add_named(format!("{name}.add"), Add::new(), &[self.last, shortcut])?;
        Ok(())
    }
}
