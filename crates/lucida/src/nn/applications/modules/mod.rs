//! The networks of torchvision, layer by layer with the names of its modules.
//!
//! A [`ModuleBuilder`] follows torchvision's module tree: a layer is named by the path of its module
//! (`features.1.conv.0.0`), and the output of a block by that of the block (`layer2.0`), so that the tensors of a state
//! dictionary are matched to layers by name. The sizes of convolutions are the published ones, or, if there is a state
//! dictionary, those of its tensors: one function builds the published networks of a family as well as all narrower and
//! deeper ones.

mod convnext;
mod densenet;
mod efficientnet;
mod efficientnet_lite;
mod googlenet;
mod mnasnet;
mod mobilenet;
mod regnet;
mod resnet;
mod shufflenet;
mod table;

use std::collections::HashMap;

use super::Options;
use crate::nn::layers::{
    Activation, ActivationKind, Add, BatchNormalization, Conv2D, Dense, DepthwiseConv2D, Dropout,
    GlobalAveragePooling2D, Input, LayerNormalization, MaxPooling2D, Multiply, Padding, StochasticDepth,
};
use crate::nn::{Layer, Network, NetworkBuilder};
use crate::{Error, Result};

pub(crate) use table::{FAMILIES, Family, FreeParameters, TIMM};
pub(super) use table::{NETWORKS, joined};

/// The library of a state dictionary: detected from module names, it determines what tensors do not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Library {
    #[default]
    Torchvision,
    Timm,
    /// timm's `tf_...` networks, converted from TensorFlow.
    TimmOfTensorFlow,
}

/// The shapes of the tensors of a state dictionary, by name.
#[derive(Debug, Default)]
pub(crate) struct TensorShapes {
    pub(crate) shapes: HashMap<String, Vec<usize>>,
    /// Number of input channels, from the first kernel.
    pub(crate) channels: usize,
    pub(crate) library: Library,
}

impl TensorShapes {
    fn get(&self, name: &str) -> Option<&Vec<usize>> {
        self.shapes.get(name)
    }

    fn contains_key(&self, name: &str) -> bool {
        self.shapes.contains_key(name)
    }
}

/// The minimum height and width of an input: all networks divide both by 32.
const SMALLEST: usize = 32;

/// A convolution as published. A state dictionary overrides all its sizes except the stride.
#[derive(Debug, Clone, Copy)]
struct Conv {
    filters: usize,
    kernel: usize,
    stride: usize,
    groups: usize,
    bias: bool,
}

impl Conv {
    const fn new(filters: usize, kernel: usize) -> Self {
        Self { filters, kernel, stride: 1, groups: 1, bias: false }
    }

    const fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    const fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    const fn with_bias(self) -> Self {
        Self { bias: true, ..self }
    }
}

/// Builds a network module by module. In all methods, `x` is a node.
struct ModuleBuilder<'a> {
    builder: NetworkBuilder,
    options: &'a Options,
    tensors: Option<&'a TensorShapes>,
    /// The configuration of all batch normalizations.
    norm: BatchNormalization,
    /// Whether convolutions use TensorFlow's padding: more at the bottom and right than at the top and left.
    tensorflow: bool,
}

impl<'a> ModuleBuilder<'a> {
    /// Creates a builder and its input, with this height and width by default.
    ///
    /// # Errors
    /// [`Error::Argument`] when the input is smaller than 32x32.
    fn new(name: &str, size: usize, options: &'a Options, tensors: Option<&'a TensorShapes>) -> Result<(Self, usize)> {
        let [height, width] = options.input(name, size, SMALLEST)?;
        let mut builder = Network::builder(name);
        let channels = tensors.map_or(3, |tensors| tensors.channels);
        let input = builder.add(Input::new([height, width, channels]), &[])?;
        let norm = BatchNormalization { momentum: 0.9, epsilon: 1e-5, ..Default::default() };
        let tensorflow = tensors.is_some_and(|tensors| tensors.library == Library::TimmOfTensorFlow);
        Ok((Self { builder, options, tensors, norm, tensorflow }, input))
    }

    /// Sets the configuration of all batch normalizations in torchvision. timm uses different ones: PyTorch's defaults, or
    /// TensorFlow's for converted networks.
    fn set_norm(&mut self, epsilon: f32, momentum: f32) {
        self.norm.momentum = momentum;
        self.norm.epsilon = match self.tensors.map(|tensors| tensors.library).unwrap_or_default() {
            Library::Torchvision => epsilon,
            Library::Timm => 1e-5,
            Library::TimmOfTensorFlow => 1e-3,
        };
    }

    fn channels(&self, x: usize) -> usize {
        self.builder.shape(x).channels()
    }

    /// Whether the network has a module with a weight: according to the state dictionary if there is one, otherwise as
    /// published.
    fn has(&self, module: &str, published: bool) -> bool {
        self.tensors.map_or(published, |tensors| tensors.contains_key(&format!("{module}.weight")))
    }

    /// Number of modules with consecutive names from `first` on.
    fn count(&self, first: usize, module: impl Fn(usize) -> String, published: usize) -> usize {
        match self.tensors {
            Some(_) => (first..).take_while(|&index| self.has(&module(index), false)).count(),
            None => published,
        }
    }

    /// The shape of a module's weight in the state dictionary, if there is one.
    fn weight(&self, module: &str) -> Result<Option<&'a [usize]>> {
        let Some(tensors) = self.tensors else { return Ok(None) };
        let shape = tensors.get(&format!("{module}.weight"));
        shape.map(|shape| Some(&shape[..])).ok_or_else(|| missing(module))
    }

    /// The kernel size and convolution of a module, with the sizes of the state dictionary.
    fn sizes(&self, module: &str, conv: Conv, channels: usize) -> Result<([usize; 2], Conv)> {
        let kernel = [conv.kernel; 2];
        let (filters, per_group, kernel) = match self.weight(module)? {
            None => return Ok((kernel, conv)),
            Some(&[filters, per_group, height, width]) => (filters, per_group, [height, width]),
            // A linear layer over the channels of each pixel.
            Some(&[filters, channels]) => (filters, channels, [1, 1]),
            Some(shape) => return Err(Error::argument(format!("tensor {module}.weight has the shape {shape:?}"))),
        };
        if per_group == 0 || !channels.is_multiple_of(per_group) {
            let problem = format!("tensor {module}.weight is for {per_group} channels a group, not {channels}");
            return Err(Error::argument(problem));
        }
        let bias = self.tensors.is_some_and(|tensors| tensors.contains_key(&format!("{module}.bias")));
        Ok((kernel, Conv { filters, groups: channels / per_group, bias, ..conv }))
    }

    /// A convolution that keeps the size of the image, or divides it by the stride.
    fn conv(&mut self, module: &str, conv: Conv, x: usize) -> Result<usize> {
        let channels = self.channels(x);
        let (kernel, conv) = self.sizes(module, conv, channels)?;
        let padding = match kernel {
            [1, 1] => Padding::Valid,
            _ if self.tensorflow || conv.stride == 1 => Padding::Same,
            // PyTorch pads equally on all sides.
            [rows, columns] => Padding::Explicit([[rows / 2; 2], [columns / 2; 2]]),
        };
        self.add_conv(module, kernel, conv, padding, x)
    }

    /// A convolution of non-overlapping patches.
    fn patches(&mut self, module: &str, conv: Conv, x: usize) -> Result<usize> {
        let (kernel, conv) = self.sizes(module, conv, self.channels(x))?;
        self.add_conv(module, kernel, Conv { stride: kernel[0], ..conv }, Padding::Valid, x)
    }

    fn add_conv(&mut self, module: &str, kernel: [usize; 2], conv: Conv, padding: Padding, x: usize) -> Result<usize> {
        let strides = [conv.stride; 2];
        let layer: Layer = if conv.groups == self.channels(x) && conv.groups > 1 {
            let multiplier = conv.filters / conv.groups;
            let layer = DepthwiseConv2D { use_bias: conv.bias, ..DepthwiseConv2D::new(kernel) };
            layer.depth_multiplier(multiplier).strides(strides).padding(padding).into()
        } else {
            let layer = Conv2D { use_bias: conv.bias, ..Conv2D::new(conv.filters, kernel) };
            layer.groups(conv.groups).strides(strides).padding(padding).into()
        };
        self.builder.add_named(module, layer, &[x])
    }

    /// A batch normalization.
    fn norm(&mut self, module: &str, x: usize) -> Result<usize> {
        self.builder.add_named(module, self.norm, &[x])
    }

    /// A layer normalization of the channels of each pixel.
    fn layer_norm(&mut self, module: &str, x: usize) -> Result<usize> {
        self.builder.add_named(module, LayerNormalization { epsilon: 1e-6, ..Default::default() }, &[x])
    }

    fn activation(&mut self, module: &str, activation: ActivationKind, x: usize) -> Result<usize> {
        self.builder.add_named(module, Activation::new(activation), &[x])
    }

    fn relu(&mut self, module: &str, x: usize) -> Result<usize> {
        self.activation(module, ActivationKind::Relu, x)
    }

    /// torchvision's `Conv2dNormActivation`: a convolution `.0`, its normalization `.1`, and an activation `.2`.
    fn unit(&mut self, module: &str, conv: Conv, activation: Option<ActivationKind>, x: usize) -> Result<usize> {
        let x = self.conv(&format!("{module}.0"), conv, x)?;
        let x = self.norm(&format!("{module}.1"), x)?;
        match activation {
            Some(activation) => self.activation(&format!("{module}.2"), activation, x),
            None => Ok(x),
        }
    }

    /// Squeeze-and-excitation (Hu et al., 2017): each channel times a gate that two layers compute from the means of all
    /// channels.
    fn squeeze_excite(
        &mut self,
        module: &str,
        squeezed: usize,
        [activation, gate]: [ActivationKind; 2],
        x: usize,
    ) -> Result<usize> {
        let channels = self.channels(x);
        let pooled = GlobalAveragePooling2D::keeping_dims();
        let mut scale = self.builder.add_named(format!("{module}.avgpool"), pooled, &[x])?;
        scale = self.conv(&format!("{module}.fc1"), Conv::new(squeezed, 1).with_bias(), scale)?;
        scale = self.activation(&format!("{module}.activation"), activation, scale)?;
        scale = self.conv(&format!("{module}.fc2"), Conv::new(channels, 1).with_bias(), scale)?;
        scale = self.activation(&format!("{module}.scale_activation"), gate, scale)?;
        self.builder.add_named(module, Multiply::new(), &[x, scale])
    }

    /// The sum of a block's input and its branch, with stochastic depth at this rate.
    fn residual(&mut self, module: &str, dropped: f32, input: usize, mut branch: usize) -> Result<usize> {
        if dropped > 0.0 {
            let layer = StochasticDepth { rate: dropped };
            branch = self.builder.add_named(format!("{module}.stochastic_depth"), layer, &[branch])?;
        }
        self.builder.add_named(module, Add::new(), &[input, branch])
    }

    /// A 3x3 max pooling with stride two.
    fn max_pool(&mut self, module: &str, x: usize) -> Result<usize> {
        let pool = MaxPooling2D::new([3, 3]).strides([2, 2]).padding(Padding::Explicit([[1; 2]; 2]));
        self.builder.add_named(module, pool, &[x])
    }

    /// Whether to include a classifier, whose last layer has this name.
    fn has_classifier(&self, module: &str) -> bool {
        self.has(module, self.options.top)
    }

    /// Global average pooling to a vector.
    fn pooled(&mut self, x: usize) -> Result<usize> {
        self.builder.add_named("avgpool", GlobalAveragePooling2D::new(), &[x])
    }

    /// A dense layer of this number of units.
    fn linear(&mut self, module: &str, units: usize, x: usize) -> Result<usize> {
        let units = self.weight(module)?.map_or(units, |shape| shape[0]);
        self.builder.add_named(module, Dense::new(units), &[x])
    }

    /// The classification layer, after a dropout.
    fn predictions(&mut self, module: &str, dropout: f32, mut x: usize) -> Result<usize> {
        if dropout > 0.0 {
            x = self.builder.add(Dropout::new(dropout), &[x])?;
        }
        let options = match self.weight(module)? {
            Some(shape) => self.options.clone().classes(shape[0]),
            None => self.options.clone(),
        };
        let dense = Dense::new(options.classes.unwrap_or(1000)).activation(options.top_activation());
        self.builder.add_named(module, dense, &[x])
    }

    fn build(self, output: usize) -> Result<Network> {
        self.options.build(self.builder, output)
    }
}

fn missing(module: &str) -> Error {
    Error::argument(format!("tensor \"{module}.weight\" is missing"))
}

/// Rounds a scaled number of channels to a multiple of 8, but not down by more than a tenth.
fn divisible(channels: f64) -> usize {
    let rounded = (((channels + 4.0) / 8.0).floor() * 8.0).max(8.0);
    (if rounded < 0.9 * channels { rounded + 8.0 } else { rounded }) as usize
}
