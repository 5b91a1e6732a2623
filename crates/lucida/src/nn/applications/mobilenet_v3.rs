//! MobileNetV3.
//!
//! A. Howard, M. Sandler, G. Chu, L.-C. Chen, B. Chen, M. Tan, W. Wang, Y. Zhu, R. Pang, V. Vasudevan, Q. V. Le, H. Adam,
//! *Searching for MobileNetV3*, 2019, <https://arxiv.org/abs/1905.02244>: the blocks of MobileNetV2, some of them with
//! squeeze-and-excitation, some with hard swish. The network takes raw pixels. Layers have Keras's names:
//! `expanded_conv_1_expand`; activations (`re_lu`, `activation`) and arithmetic (`add`, `multiply`) are numbered.

use super::Options;
use super::keras::{Chain, divisible_by_8};
use crate::Result;
use crate::nn::Network;
use crate::nn::layers::{
    Activation, ActivationKind, Add, BatchNormalization, Conv2D, Dropout, Flatten, GlobalAveragePooling2D, Input,
    Multiply, Padding, Rescaling,
};

/// A block: expansion, filters, kernel size, stride, whether it has squeeze-and-excitation, whether its activation is hard
/// swish.
type Block = (f64, usize, usize, usize, bool, bool);

const SMALL: [Block; 11] = [
    (1.0, 16, 3, 2, true, false),
    (72.0 / 16.0, 24, 3, 2, false, false),
    (88.0 / 24.0, 24, 3, 1, false, false),
    (4.0, 40, 5, 2, true, true),
    (6.0, 40, 5, 1, true, true),
    (6.0, 40, 5, 1, true, true),
    (3.0, 48, 5, 1, true, true),
    (3.0, 48, 5, 1, true, true),
    (6.0, 96, 5, 2, true, true),
    (6.0, 96, 5, 1, true, true),
    (6.0, 96, 5, 1, true, true),
];

const LARGE: [Block; 15] = [
    (1.0, 16, 3, 1, false, false),
    (4.0, 24, 3, 2, false, false),
    (3.0, 24, 3, 1, false, false),
    (3.0, 40, 5, 2, true, false),
    (3.0, 40, 5, 1, true, false),
    (3.0, 40, 5, 1, true, false),
    (6.0, 80, 3, 2, false, true),
    (2.5, 80, 3, 1, false, true),
    (2.3, 80, 3, 1, false, true),
    (2.3, 80, 3, 1, false, true),
    (6.0, 112, 3, 1, true, true),
    (6.0, 112, 3, 1, true, true),
    (6.0, 160, 5, 2, true, true),
    (6.0, 160, 5, 1, true, true),
    (6.0, 160, 5, 1, true, true),
];

/// MobileNetV3 Small of full width. 2,554,968 parameters for 1000 classes, 939,120 without the classifier, including moving
/// averages.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 32x32.
pub fn mobilenet_v3_small(options: &Options) -> Result<Network> {
    mobilenet_v3(["mobilenet-v3-small", "MobileNetV3Small"], &SMALL, 1024, options)
}

/// MobileNetV3 Large of full width. 5,507,432 parameters for 1000 classes, 2,996,352 without the classifier, including
/// moving averages.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the input is smaller than 32x32.
pub fn mobilenet_v3_large(options: &Options) -> Result<Network> {
    mobilenet_v3(["mobilenet-v3-large", "MobileNetV3Large"], &LARGE, 1280, options)
}

fn mobilenet_v3([name, model]: [&str; 2], blocks: &[Block], last: usize, options: &Options) -> Result<Network> {
    let [height, width] = options.input(name, 224, 32)?;
    let norm = BatchNormalization { momentum: 0.999, epsilon: 1e-3, ..Default::default() };
    let mut net = MobileNetV3 { chain: Chain::new(model, norm), relus: 0, gates: 0 };
    let mut x = net.chain.builder.add(Input::new([height, width, 3]), &[])?;
    x = net.chain.builder.add(Rescaling::new(1.0 / 127.5, -1.0), &[x])?;
    let first = Conv2D::new(16, [3, 3]).strides([2, 2]).padding(Padding::Same).without_bias();
    x = net.chain.builder.add_named("conv", first, &[x])?;
    x = net.chain.norm("conv_bn", x)?;
    x = net.activation(true, x)?;
    for (number, block) in blocks.iter().enumerate() {
        x = net.block(number, block, x)?;
    }
    let filters = divisible_by_8(6.0 * net.chain.builder.shape(x).channels() as f64);
    x = net.chain.pointwise("conv_1", filters, x)?;
    x = net.chain.norm("conv_1_bn", x)?;
    x = net.activation(true, x)?;
    if options.top {
        x = net.top(last, options, x)?;
    }
    options.build(net.chain.builder, x)
}

struct MobileNetV3 {
    chain: Chain,
    /// Number of ReLUs so far, whose names are numbered.
    relus: usize,
    /// Number of gates so far, whose arithmetic has numbered names.
    gates: usize,
}

impl MobileNetV3 {
    fn activation(&mut self, hard_swish: bool, x: usize) -> Result<usize> {
        if hard_swish {
            return self.chain.builder.add(Activation::new(ActivationKind::HardSilu), &[x]);
        }
        self.counted_relu(ActivationKind::Relu, x)
    }

    fn counted_relu(&mut self, kind: ActivationKind, x: usize) -> Result<usize> {
        let name = counted("re_lu", self.relus);
        self.relus += 1;
        self.chain.act(&name, kind, x)
    }

    fn block(&mut self, number: usize, block: &Block, input: usize) -> Result<usize> {
        let &(expansion, filters, size, stride, gated, hard_swish) = block;
        let channels = self.chain.builder.shape(input).channels();
        let wide = divisible_by_8(expansion * channels as f64);
        let prefix = if number == 0 { "expanded_conv_".to_owned() } else { format!("expanded_conv_{number}_") };
        let name = |part: &str| format!("{prefix}{part}");
        let mut x = input;
        if number > 0 {
            x = self.chain.pointwise(&name("expand"), wide, x)?;
            x = self.chain.norm(&name("expand_bn"), x)?;
            x = self.activation(hard_swish, x)?;
        }
        x = self.chain.depthwise([&name("depthwise_pad"), &name("depthwise")], size, stride, x)?;
        x = self.chain.norm(&name("depthwise_bn"), x)?;
        x = self.activation(hard_swish, x)?;
        if gated {
            x = self.squeeze_excite(&name("squeeze_excite"), x)?;
        }
        x = self.chain.pointwise(&name("project"), filters, x)?;
        x = self.chain.norm(&name("project_bn"), x)?;
        if stride > 1 || channels != filters {
            return Ok(x);
        }
        self.chain.builder.add_named(name("add"), Add::new(), &[input, x])
    }

    /// Squeeze-and-excitation; the hard sigmoid `relu6(x + 3) / 6` consists of separate layers.
    fn squeeze_excite(&mut self, name: &str, input: usize) -> Result<usize> {
        let channels = self.chain.builder.shape(input).channels();
        let squeezed = Conv2D::new(divisible_by_8(0.25 * channels as f64), [1, 1]);
        let mut x = self.chain.builder.add_named(
            format!("{name}_avg_pool"),
            GlobalAveragePooling2D::keeping_dims(),
            &[input],
        )?;
        x = self.chain.builder.add_named(format!("{name}_conv"), squeezed, &[x])?;
        x = self.chain.act(&format!("{name}_relu"), ActivationKind::Relu, x)?;
        x = self.chain.builder.add_named(format!("{name}_conv_1"), Conv2D::new(channels, [1, 1]), &[x])?;
        x = self.chain.builder.add_named(counted("add", self.gates), Rescaling::new(1.0, 3.0), &[x])?;
        x = self.counted_relu(ActivationKind::Relu6, x)?;
        x = self.chain.builder.add_named(counted("multiply", self.gates), Rescaling::new(1.0 / 6.0, 0.0), &[x])?;
        self.gates += 1;
        self.chain.builder.add_named(format!("{name}_mul"), Multiply::new(), &[input, x])
    }

    /// The classifier, two 1x1 convolutions after global average pooling.
    fn top(&mut self, last: usize, options: &Options, x: usize) -> Result<usize> {
        let classes = options.classes.unwrap_or(1000);
        let x = self.chain.builder.add(GlobalAveragePooling2D::keeping_dims(), &[x])?;
        let x = self.chain.builder.add_named("conv_2", Conv2D::new(last, [1, 1]), &[x])?;
        let x = self.activation(true, x)?;
        let x = self.chain.builder.add(Dropout::new(0.2), &[x])?;
        let x = self.chain.builder.add_named("logits", Conv2D::new(classes, [1, 1]), &[x])?;
        let x = self.chain.builder.add(Flatten::new(), &[x])?;
        self.chain.builder.add_named("predictions", Activation::new(options.top_activation()), &[x])
    }
}

/// `add`, `add_1`, `add_2`...
fn counted(name: &str, number: usize) -> String {
    if number == 0 { name.to_owned() } else { format!("{name}_{number}") }
}
