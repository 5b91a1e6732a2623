//! The table of known networks.

use super::modules::{NETWORKS, joined};
use super::options::{InitialWeights, Options};
use super::{
    alexnet, basic_cnn, densenet121, inception_v3, inception_v3_torch, lenet5, mnist_cnn, resnet18, resnet34, resnet50,
    resnet101, resnet152, squeezenet1_0, squeezenet1_1, vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19,
    vgg19_bn,
};
use super::{
    densenet121_keras, densenet169_keras, densenet201_keras, efficientnet_b0, efficientnet_b1, efficientnet_b2,
    efficientnet_b3, efficientnet_b4, efficientnet_b5, efficientnet_b6, efficientnet_b7, efficientnet_v2_b0,
    efficientnet_v2_b1, efficientnet_v2_b2, efficientnet_v2_b3, efficientnet_v2_l, efficientnet_v2_m,
    efficientnet_v2_s, inception_resnet_v2, mobilenet, mobilenet_v2, mobilenet_v3_large, mobilenet_v3_small,
    nasnet_large, nasnet_mobile, resnet50_keras, resnet50v2, resnet101_keras, resnet101v2, resnet152_keras,
    resnet152v2, unet, xception,
};
use crate::nn::Network;
use crate::similar::expected_one_of;
use crate::{Error, Result};

/// What a network takes of pixel values from 0 to 255. The names are those of Keras's
/// `imagenet_utils.preprocess_input`, which are common for other networks too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelFormat {
    /// From 0 to 1.
    Unit,
    /// From -1 to 1.
    Tf,
    /// Blue, green, and red minus the mean color of ImageNet.
    Caffe,
    /// Standardized with the means and standard deviations of ImageNet, as torchvision does.
    Torch,
    /// From -1 to 1, as the lite EfficientNets have it: minus 127, divided by 128.
    Lite,
    /// From 0 to 255: the network scales them itself.
    Raw,
    /// From 0 to 1; the image is first normalized to look like a digit of MNIST.
    Digit,
}

/// A network of the table.
#[derive(Debug, Clone, Copy)]
pub struct Architecture {
    /// Its name on the command line: `inception-v3`.
    pub name: &'static str,
    /// What it is, in a line.
    pub description: &'static str,
    /// Its input by default: height, width, channels.
    pub input: [usize; 3],
    /// The least height and width of its input.
    pub smallest: usize,
    /// The pixels of its input.
    pub pixels: PixelFormat,
    /// Its classes by default. One stands for two, classified with one sigmoid.
    pub classes: usize,
    /// Its parameters by default.
    pub parameters: usize,
    /// Its parameters without the classifier, if it is known without.
    pub parameters_without_top: Option<usize>,
    pub(super) build: fn(&Options) -> Result<Network>,
}

impl Architecture {
    /// Whether it was trained on the middle of images, rather than on images that were stretched.
    pub(crate) fn crops(&self) -> bool {
        NETWORKS.iter().any(|network| network.name == self.name)
    }

    /// Builds the network.
    ///
    /// # Errors
    /// [`Error::Argument`] when the input is too small, or the network cannot be built so; [`Error::Limit`] when it would
    /// be too large.
    pub fn build(&self, options: &Options) -> Result<Network> {
        if !options.top && self.parameters_without_top.is_none() {
            return Err(Error::argument(format!("{} cannot be built without its classifier", self.name)));
        }
        let network = (self.build)(options)?;
        // Published weights are for the channels of the publication: those networks do not read the option.
        match (options.channels, network.input_shape()?.as_image()) {
            (Some(wanted), Some([.., channels])) if wanted != channels => Err(Error::argument(format!(
                "{} takes images of {channels} channels, not {wanted}; basic-cnn takes any number",
                self.name
            ))),
            _ => Ok(network),
        }
    }
}

/// All known networks.
pub const ALL: &[Architecture] = &joined::<{ OWN.len() + NETWORKS.len() }>(OWN);

/// The networks that have files of their own.
const OWN: &[Architecture] = &[
    Architecture {
        name: "mnist-cnn",
        description: "three convolutions and two dense layers, for digits",
        input: [28, 28, 1],
        smallest: 28,
        pixels: PixelFormat::Digit,
        classes: 10,
        parameters: 113_514,
        parameters_without_top: None,
        build: |options| {
            let fixed = options.size.unwrap_or([28, 28]) == [28, 28] && options.classes.unwrap_or(10) == 10;
            if !fixed {
                return Err(Error::argument("mnist-cnn takes digits of 28x28 pixels in 10 classes, nothing else"));
            }
            match options.initial_weights {
                InitialWeights::Random(seed) => mnist_cnn(seed),
                InitialWeights::Zeros => Network::from_architecture(&mnist_cnn(0)?.architecture()),
            }
        },
    },
    Architecture {
        name: "lenet5",
        description: "LeNet-5 (LeCun et al., 1998): the first convolutional network in wide use, for digits",
        input: [28, 28, 1],
        smallest: 16,
        pixels: PixelFormat::Digit,
        classes: 10,
        parameters: 61_706,
        parameters_without_top: None,
        build: lenet5,
    },
    Architecture {
        name: "basic-cnn",
        description: "three convolutions and three dense layers, to classify photos",
        input: [150, 150, 3],
        smallest: 22,
        pixels: PixelFormat::Unit,
        classes: 1,
        parameters: 4_894_913,
        parameters_without_top: None,
        build: basic_cnn,
    },
    Architecture {
        name: "vgg16",
        description: "VGG16 (Simonyan and Zisserman, 2014): 13 convolutions of 3x3; ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Caffe,
        classes: 1000,
        parameters: 138_357_544,
        parameters_without_top: Some(14_714_688),
        build: vgg16,
    },
    Architecture {
        name: "vgg19",
        description: "VGG19 (Simonyan and Zisserman, 2014): 16 convolutions of 3x3; ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Caffe,
        classes: 1000,
        parameters: 143_667_240,
        parameters_without_top: Some(20_024_384),
        build: vgg19,
    },
    Architecture {
        name: "inception-v3",
        description: "InceptionV3 (Szegedy et al., 2016): eleven blocks of parallel convolutions; ImageNet",
        input: [299, 299, 3],
        smallest: 75,
        pixels: PixelFormat::Tf,
        classes: 1000,
        parameters: 23_851_784,
        parameters_without_top: Some(21_802_784),
        build: inception_v3,
    },
    Architecture {
        name: "vgg11",
        description: "VGG11 (Simonyan and Zisserman, 2014; torchvision): 8 convolutions; ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Torch,
        classes: 1000,
        parameters: 132_863_336,
        parameters_without_top: Some(9_220_480),
        build: vgg11,
    },
    Architecture {
        name: "vgg13",
        description: "VGG13 (Simonyan and Zisserman, 2014; torchvision): 10 convolutions; ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Torch,
        classes: 1000,
        parameters: 133_047_848,
        parameters_without_top: Some(9_404_992),
        build: vgg13,
    },
    Architecture {
        name: "vgg11-bn",
        description: "VGG11 with batch normalization (torchvision); ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Torch,
        classes: 1000,
        parameters: 132_874_344,
        parameters_without_top: Some(9_231_488),
        build: vgg11_bn,
    },
    Architecture {
        name: "vgg13-bn",
        description: "VGG13 with batch normalization (torchvision); ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Torch,
        classes: 1000,
        parameters: 133_059_624,
        parameters_without_top: Some(9_416_768),
        build: vgg13_bn,
    },
    Architecture {
        name: "vgg16-bn",
        description: "VGG16 with batch normalization (torchvision); ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Torch,
        classes: 1000,
        parameters: 138_374_440,
        parameters_without_top: Some(14_731_584),
        build: vgg16_bn,
    },
    Architecture {
        name: "vgg19-bn",
        description: "VGG19 with batch normalization (torchvision); ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Torch,
        classes: 1000,
        parameters: 143_689_256,
        parameters_without_top: Some(20_046_400),
        build: vgg19_bn,
    },
    Architecture {
        name: "alexnet",
        description: "AlexNet (Krizhevsky, 2014; torchvision): 5 convolutions, 3 dense layers; ImageNet",
        input: [224, 224, 3],
        smallest: 63,
        pixels: PixelFormat::Torch,
        classes: 1000,
        parameters: 61_100_840,
        parameters_without_top: Some(2_469_696),
        build: alexnet,
    },
    Architecture {
        name: "squeezenet1-0",
        description: "SqueezeNet 1.0 (Iandola et al., 2016; torchvision): 8 fire modules; ImageNet",
        input: [224, 224, 3],
        smallest: 21,
        pixels: PixelFormat::Torch,
        classes: 1000,
        parameters: 1_248_424,
        parameters_without_top: Some(735_424),
        build: squeezenet1_0,
    },
    Architecture {
        name: "squeezenet1-1",
        description: "SqueezeNet 1.1 (torchvision): as 1.0 with 2.4 times less work; ImageNet",
        input: [224, 224, 3],
        smallest: 17,
        pixels: PixelFormat::Torch,
        classes: 1000,
        parameters: 1_235_496,
        parameters_without_top: Some(722_496),
        build: squeezenet1_1,
    },
    Architecture {
        name: "resnet18",
        description: "ResNet18 (He et al., 2015; torchvision): 8 blocks of two convolutions; ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Torch,
        classes: 1000,
        parameters: 11_699_112,
        parameters_without_top: Some(11_186_112),
        build: resnet18,
    },
    Architecture {
        name: "resnet34",
        description: "ResNet34 (He et al., 2015; torchvision): 16 blocks of two convolutions; ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Torch,
        classes: 1000,
        parameters: 21_814_696,
        parameters_without_top: Some(21_301_696),
        build: resnet34,
    },
    Architecture {
        name: "resnet50",
        description: "ResNet50 (He et al., 2015; torchvision): 16 blocks of three convolutions; ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Torch,
        classes: 1000,
        parameters: 25_610_152,
        parameters_without_top: Some(23_561_152),
        build: resnet50,
    },
    Architecture {
        name: "resnet101",
        description: "ResNet101 (He et al., 2015; torchvision): 33 blocks of three convolutions; ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Torch,
        classes: 1000,
        parameters: 44_654_504,
        parameters_without_top: Some(42_605_504),
        build: resnet101,
    },
    Architecture {
        name: "resnet152",
        description: "ResNet152 (He et al., 2015; torchvision): 50 blocks of three convolutions; ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Torch,
        classes: 1000,
        parameters: 60_344_232,
        parameters_without_top: Some(58_295_232),
        build: resnet152,
    },
    Architecture {
        name: "densenet121",
        description: "DenseNet121 (Huang et al., 2016; torchvision): 58 layers in dense blocks; ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Torch,
        classes: 1000,
        parameters: 8_062_504,
        parameters_without_top: Some(7_037_504),
        build: densenet121,
    },
    Architecture {
        name: "inception-v3-torch",
        description: "InceptionV3 (Szegedy et al., 2016; torchvision); ImageNet",
        input: [299, 299, 3],
        smallest: 75,
        pixels: PixelFormat::Tf,
        classes: 1000,
        parameters: 23_869_000,
        parameters_without_top: Some(21_820_000),
        build: inception_v3_torch,
    },
    Architecture {
        name: "mobilenet",
        description: "MobileNet (Howard et al., 2017; Keras): 13 depthwise and 1x1 convolutions; ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Tf,
        classes: 1000,
        parameters: 4_253_864,
        parameters_without_top: Some(3_228_864),
        build: mobilenet,
    },
    Architecture {
        name: "mobilenet-v2",
        description: "MobileNetV2 (Sandler et al., 2018; Keras): 17 inverted residual blocks; ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Tf,
        classes: 1000,
        parameters: 3_538_984,
        parameters_without_top: Some(2_257_984),
        build: mobilenet_v2,
    },
    Architecture {
        name: "mobilenet-v3-small",
        description: "MobileNetV3 Small (Howard et al., 2019; Keras): 11 blocks, hard swish; ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Raw,
        classes: 1000,
        parameters: 2_554_968,
        parameters_without_top: Some(939_120),
        build: mobilenet_v3_small,
    },
    Architecture {
        name: "mobilenet-v3-large",
        description: "MobileNetV3 Large (Howard et al., 2019; Keras): 15 blocks, hard swish; ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Raw,
        classes: 1000,
        parameters: 5_507_432,
        parameters_without_top: Some(2_996_352),
        build: mobilenet_v3_large,
    },
    Architecture {
        name: "efficientnet-b0",
        description: "EfficientNet B0 (Tan and Le, 2019; Keras): 16 inverted residual blocks; ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Raw,
        classes: 1000,
        parameters: 5_330_570,
        parameters_without_top: Some(4_049_570),
        build: efficientnet_b0,
    },
    Architecture {
        name: "efficientnet-b1",
        description: "EfficientNet B1 (Tan and Le, 2019; Keras): 23 inverted residual blocks; ImageNet",
        input: [240, 240, 3],
        smallest: 32,
        pixels: PixelFormat::Raw,
        classes: 1000,
        parameters: 7_856_238,
        parameters_without_top: Some(6_575_238),
        build: efficientnet_b1,
    },
    Architecture {
        name: "efficientnet-b2",
        description: "EfficientNet B2 (Tan and Le, 2019; Keras): 23 inverted residual blocks; ImageNet",
        input: [260, 260, 3],
        smallest: 32,
        pixels: PixelFormat::Raw,
        classes: 1000,
        parameters: 9_177_568,
        parameters_without_top: Some(7_768_568),
        build: efficientnet_b2,
    },
    Architecture {
        name: "efficientnet-b3",
        description: "EfficientNet B3 (Tan and Le, 2019; Keras): 26 inverted residual blocks; ImageNet",
        input: [300, 300, 3],
        smallest: 32,
        pixels: PixelFormat::Raw,
        classes: 1000,
        parameters: 12_320_534,
        parameters_without_top: Some(10_783_534),
        build: efficientnet_b3,
    },
    Architecture {
        name: "efficientnet-b4",
        description: "EfficientNet B4 (Tan and Le, 2019; Keras): 32 inverted residual blocks; ImageNet",
        input: [380, 380, 3],
        smallest: 32,
        pixels: PixelFormat::Raw,
        classes: 1000,
        parameters: 19_466_822,
        parameters_without_top: Some(17_673_822),
        build: efficientnet_b4,
    },
    Architecture {
        name: "efficientnet-b5",
        description: "EfficientNet B5 (Tan and Le, 2019; Keras): 39 inverted residual blocks; ImageNet",
        input: [456, 456, 3],
        smallest: 32,
        pixels: PixelFormat::Raw,
        classes: 1000,
        parameters: 30_562_526,
        parameters_without_top: Some(28_513_526),
        build: efficientnet_b5,
    },
    Architecture {
        name: "efficientnet-b6",
        description: "EfficientNet B6 (Tan and Le, 2019; Keras): 45 inverted residual blocks; ImageNet",
        input: [528, 528, 3],
        smallest: 32,
        pixels: PixelFormat::Raw,
        classes: 1000,
        parameters: 43_265_142,
        parameters_without_top: Some(40_960_142),
        build: efficientnet_b6,
    },
    Architecture {
        name: "efficientnet-b7",
        description: "EfficientNet B7 (Tan and Le, 2019; Keras): 55 inverted residual blocks; ImageNet",
        input: [600, 600, 3],
        smallest: 32,
        pixels: PixelFormat::Raw,
        classes: 1000,
        parameters: 66_658_686,
        parameters_without_top: Some(64_097_686),
        build: efficientnet_b7,
    },
    Architecture {
        name: "efficientnet-v2-b0",
        description: "EfficientNetV2 B0 (Tan and Le, 2021; Keras): fused blocks at first; ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Raw,
        classes: 1000,
        parameters: 7_200_312,
        parameters_without_top: Some(5_919_312),
        build: efficientnet_v2_b0,
    },
    Architecture {
        name: "efficientnet-v2-b1",
        description: "EfficientNetV2 B1 (Tan and Le, 2021; Keras): fused blocks at first; ImageNet",
        input: [240, 240, 3],
        smallest: 32,
        pixels: PixelFormat::Raw,
        classes: 1000,
        parameters: 8_212_124,
        parameters_without_top: Some(6_931_124),
        build: efficientnet_v2_b1,
    },
    Architecture {
        name: "efficientnet-v2-b2",
        description: "EfficientNetV2 B2 (Tan and Le, 2021; Keras): fused blocks at first; ImageNet",
        input: [260, 260, 3],
        smallest: 32,
        pixels: PixelFormat::Raw,
        classes: 1000,
        parameters: 10_178_374,
        parameters_without_top: Some(8_769_374),
        build: efficientnet_v2_b2,
    },
    Architecture {
        name: "efficientnet-v2-b3",
        description: "EfficientNetV2 B3 (Tan and Le, 2021; Keras): fused blocks at first; ImageNet",
        input: [300, 300, 3],
        smallest: 32,
        pixels: PixelFormat::Raw,
        classes: 1000,
        parameters: 14_467_622,
        parameters_without_top: Some(12_930_622),
        build: efficientnet_v2_b3,
    },
    Architecture {
        name: "efficientnet-v2-s",
        description: "EfficientNetV2 S (Tan and Le, 2021; Keras): fused blocks at first; ImageNet",
        input: [384, 384, 3],
        smallest: 32,
        pixels: PixelFormat::Raw,
        classes: 1000,
        parameters: 21_612_360,
        parameters_without_top: Some(20_331_360),
        build: efficientnet_v2_s,
    },
    Architecture {
        name: "efficientnet-v2-m",
        description: "EfficientNetV2 M (Tan and Le, 2021; Keras): fused blocks at first; ImageNet",
        input: [480, 480, 3],
        smallest: 32,
        pixels: PixelFormat::Raw,
        classes: 1000,
        parameters: 54_431_388,
        parameters_without_top: Some(53_150_388),
        build: efficientnet_v2_m,
    },
    Architecture {
        name: "efficientnet-v2-l",
        description: "EfficientNetV2 L (Tan and Le, 2021; Keras): fused blocks at first; ImageNet",
        input: [480, 480, 3],
        smallest: 32,
        pixels: PixelFormat::Raw,
        classes: 1000,
        parameters: 119_027_848,
        parameters_without_top: Some(117_746_848),
        build: efficientnet_v2_l,
    },
    Architecture {
        name: "densenet121-keras",
        description: "DenseNet121 (Huang et al., 2016; Keras): 58 layers in dense blocks; ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Torch,
        classes: 1000,
        parameters: 8_062_504,
        parameters_without_top: Some(7_037_504),
        build: densenet121_keras,
    },
    Architecture {
        name: "densenet169-keras",
        description: "DenseNet169 (Huang et al., 2016; Keras): 82 layers in dense blocks; ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Torch,
        classes: 1000,
        parameters: 14_307_880,
        parameters_without_top: Some(12_642_880),
        build: densenet169_keras,
    },
    Architecture {
        name: "densenet201-keras",
        description: "DenseNet201 (Huang et al., 2016; Keras): 98 layers in dense blocks; ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Torch,
        classes: 1000,
        parameters: 20_242_984,
        parameters_without_top: Some(18_321_984),
        build: densenet201_keras,
    },
    Architecture {
        name: "resnet50-keras",
        description: "ResNet50 (He et al., 2015; Keras): 16 blocks, halving in their first convolution; ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Caffe,
        classes: 1000,
        parameters: 25_636_712,
        parameters_without_top: Some(23_587_712),
        build: resnet50_keras,
    },
    Architecture {
        name: "resnet101-keras",
        description: "ResNet101 (He et al., 2015; Keras): 33 blocks, halving in their first convolution; ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Caffe,
        classes: 1000,
        parameters: 44_707_176,
        parameters_without_top: Some(42_658_176),
        build: resnet101_keras,
    },
    Architecture {
        name: "resnet152-keras",
        description: "ResNet152 (He et al., 2015; Keras): 50 blocks, halving in their first convolution; ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Caffe,
        classes: 1000,
        parameters: 60_419_944,
        parameters_without_top: Some(58_370_944),
        build: resnet152_keras,
    },
    Architecture {
        name: "resnet50v2",
        description: "ResNet50V2 (He et al., 2016; Keras): 16 blocks, normalized before convolutions; ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Tf,
        classes: 1000,
        parameters: 25_613_800,
        parameters_without_top: Some(23_564_800),
        build: resnet50v2,
    },
    Architecture {
        name: "resnet101v2",
        description: "ResNet101V2 (He et al., 2016; Keras): 33 blocks, normalized before convolutions; ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Tf,
        classes: 1000,
        parameters: 44_675_560,
        parameters_without_top: Some(42_626_560),
        build: resnet101v2,
    },
    Architecture {
        name: "resnet152v2",
        description: "ResNet152V2 (He et al., 2016; Keras): 50 blocks, normalized before convolutions; ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Tf,
        classes: 1000,
        parameters: 60_380_648,
        parameters_without_top: Some(58_331_648),
        build: resnet152v2,
    },
    Architecture {
        name: "xception",
        description: "Xception (Chollet, 2016; Keras): 34 separable convolutions; ImageNet",
        input: [299, 299, 3],
        smallest: 71,
        pixels: PixelFormat::Tf,
        classes: 1000,
        parameters: 22_910_480,
        parameters_without_top: Some(20_861_480),
        build: xception,
    },
    Architecture {
        name: "inception-resnet-v2",
        description: "InceptionResNetV2 (Szegedy et al., 2016; Keras): 40 residual blocks of parallel convolutions; ImageNet",
        input: [299, 299, 3],
        smallest: 75,
        pixels: PixelFormat::Tf,
        classes: 1000,
        parameters: 55_873_736,
        parameters_without_top: Some(54_336_736),
        build: inception_resnet_v2,
    },
    Architecture {
        name: "nasnet-mobile",
        description: "NASNet Mobile (Zoph et al., 2017; Keras): 16 cells found by a search; ImageNet",
        input: [224, 224, 3],
        smallest: 32,
        pixels: PixelFormat::Tf,
        classes: 1000,
        parameters: 5_326_716,
        parameters_without_top: Some(4_269_716),
        build: nasnet_mobile,
    },
    Architecture {
        name: "nasnet-large",
        description: "NASNet Large (Zoph et al., 2017; Keras): 22 cells found by a search; ImageNet",
        input: [331, 331, 3],
        smallest: 32,
        pixels: PixelFormat::Tf,
        classes: 1000,
        parameters: 88_949_818,
        parameters_without_top: Some(84_916_818),
        build: nasnet_large,
    },
    Architecture {
        name: "unet",
        description: "U-Net (Ronneberger et al., 2015): segmentation, a class for each pixel",
        input: [256, 256, 3],
        smallest: 16,
        pixels: PixelFormat::Unit,
        classes: 1,
        parameters: 31_031_745,
        parameters_without_top: None,
        build: unet,
    },
];

/// The network of this name; `_` may stand for `-`, and capitals for small letters.
///
/// ```
/// use lucida::prelude::*;
///
/// let resnet = applications::find("ResNet50")?;
/// assert_eq!((resnet.input, resnet.classes), ([224, 224, 3], 1000));
/// assert!(applications::find("resnet5").is_err());
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] suggests the nearest name and lists all.
pub fn find(name: &str) -> Result<&'static Architecture> {
    let plain = name.to_lowercase().replace('_', "-");
    if let Some(found) = ALL.iter().find(|known| known.name == plain) {
        return Ok(found);
    }
    let names: Vec<_> = ALL.iter().map(|known| known.name).collect();
    Err(Error::argument(format!("unknown network {name:?}{}", expected_one_of(&plain, &names.join(", ")))))
}
