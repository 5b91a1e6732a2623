//! The table of torchvision's networks, and their families.

use super::googlenet::googlenet;
use super::mnasnet::mnasnet;
use super::mobilenet::mobilenet_v2;
use super::shufflenet::shufflenet_v2;
use super::{SMALLEST, TensorShapes, convnext, densenet, efficientnet, efficientnet_lite, mobilenet, regnet, resnet};
use crate::Result;
use crate::nn::Network;
use crate::nn::applications::{Architecture, Options, PixelFormat, Publisher};

const fn known(
    name: &'static str,
    description: &'static str,
    (size, pixels): (usize, PixelFormat),
    [parameters, without_top]: [usize; 2],
    build: fn(&Options) -> Result<Network>,
) -> Architecture {
    Architecture {
        name,
        description,
        publisher: if matches!(pixels, PixelFormat::Lite) { Publisher::TensorFlow } else { Publisher::Torchvision },
        input: [size, size, 3],
        smallest: SMALLEST,
        pixels,
        classes: 1000,
        parameters,
        parameters_without_top: Some(without_top),
        build,
    }
}

/// The networks. torchvision's GoogLeNet rescales its input to -1 to 1 itself; here that is part of preprocessing.
pub(in crate::nn::applications) const NETWORKS: [Architecture; 51] = [
    known(
        "mobilenet-v2-torch",
        "MobileNetV2 (Sandler et al., 2018; torchvision): 17 inverted residual blocks; ImageNet",
        (224, PixelFormat::Torch),
        [3_538_984, 2_257_984],
        |options| mobilenet_v2("mobilenet-v2-torch", options, None),
    ),
    known(
        "mobilenet-v3-large-torch",
        "MobileNetV3 Large (Howard et al., 2019; torchvision); ImageNet",
        (224, PixelFormat::Torch),
        [5_507_432, 2_996_352],
        |options| mobilenet::V3_LARGE.published(options),
    ),
    known(
        "mobilenet-v3-small-torch",
        "MobileNetV3 Small (Howard et al., 2019; torchvision); ImageNet",
        (224, PixelFormat::Torch),
        [2_554_968, 939_120],
        |options| mobilenet::V3_SMALL.published(options),
    ),
    known(
        "efficientnet-b0-torch",
        "EfficientNet-B0 (Tan and Le, 2019; torchvision); ImageNet",
        (224, PixelFormat::Torch),
        [5_330_564, 4_049_564],
        |options| efficientnet::ALL[0].published(options),
    ),
    known(
        "efficientnet-b1-torch",
        "EfficientNet-B1 (Tan and Le, 2019; torchvision); ImageNet",
        (240, PixelFormat::Torch),
        [7_856_232, 6_575_232],
        |options| efficientnet::ALL[1].published(options),
    ),
    known(
        "efficientnet-b2-torch",
        "EfficientNet-B2 (Tan and Le, 2019; torchvision); ImageNet",
        (288, PixelFormat::Torch),
        [9_177_562, 7_768_562],
        |options| efficientnet::ALL[2].published(options),
    ),
    known(
        "efficientnet-b3-torch",
        "EfficientNet-B3 (Tan and Le, 2019; torchvision); ImageNet",
        (300, PixelFormat::Torch),
        [12_320_528, 10_783_528],
        |options| efficientnet::ALL[3].published(options),
    ),
    known(
        "efficientnet-b4-torch",
        "EfficientNet-B4 (Tan and Le, 2019; torchvision); ImageNet",
        (380, PixelFormat::Torch),
        [19_466_816, 17_673_816],
        |options| efficientnet::ALL[4].published(options),
    ),
    known(
        "efficientnet-b5-torch",
        "EfficientNet-B5 (Tan and Le, 2019; torchvision); ImageNet",
        (456, PixelFormat::Torch),
        [30_562_520, 28_513_520],
        |options| efficientnet::ALL[5].published(options),
    ),
    known(
        "efficientnet-b6-torch",
        "EfficientNet-B6 (Tan and Le, 2019; torchvision); ImageNet",
        (528, PixelFormat::Torch),
        [43_265_136, 40_960_136],
        |options| efficientnet::ALL[6].published(options),
    ),
    known(
        "efficientnet-b7-torch",
        "EfficientNet-B7 (Tan and Le, 2019; torchvision); ImageNet",
        (600, PixelFormat::Torch),
        [66_658_680, 64_097_680],
        |options| efficientnet::ALL[7].published(options),
    ),
    known(
        "efficientnet-v2-s-torch",
        "EfficientNetV2-S (Tan and Le, 2021; torchvision); ImageNet",
        (384, PixelFormat::Torch),
        [21_612_360, 20_331_360],
        |options| efficientnet::ALL[8].published(options),
    ),
    known(
        "efficientnet-v2-m-torch",
        "EfficientNetV2-M (Tan and Le, 2021; torchvision); ImageNet",
        (480, PixelFormat::Torch),
        [54_431_388, 53_150_388],
        |options| efficientnet::ALL[9].published(options),
    ),
    known(
        "efficientnet-v2-l-torch",
        "EfficientNetV2-L (Tan and Le, 2021; torchvision); ImageNet",
        (480, PixelFormat::Tf),
        [119_027_848, 117_746_848],
        |options| efficientnet::ALL[10].published(options),
    ),
    known(
        "mnasnet0-5",
        "MNASNet-B1 0.5 (Tan et al., 2018; torchvision); ImageNet",
        (224, PixelFormat::Torch),
        [2_239_136, 958_136],
        |options| mnasnet("mnasnet0-5", 0.5, options, None),
    ),
    known(
        "mnasnet1-0",
        "MNASNet-B1 1.0 (Tan et al., 2018; torchvision); ImageNet",
        (224, PixelFormat::Torch),
        [4_421_232, 3_140_232],
        |options| mnasnet("mnasnet1-0", 1.0, options, None),
    ),
    known(
        "resnext50-32x4d",
        "ResNeXt50 32x4d (Xie et al., 2016; torchvision): 32 groups; ImageNet",
        (224, PixelFormat::Torch),
        [25_097_128, 23_048_128],
        |options| resnet::ALL[0].published(options),
    ),
    known(
        "resnext101-32x8d",
        "ResNeXt101 32x8d (Xie et al., 2016; torchvision): 32 groups; ImageNet",
        (224, PixelFormat::Torch),
        [88_994_216, 86_945_216],
        |options| resnet::ALL[1].published(options),
    ),
    known(
        "wide-resnet50-2",
        "Wide ResNet50-2 (Zagoruyko and Komodakis, 2016; torchvision); ImageNet",
        (224, PixelFormat::Torch),
        [68_951_464, 66_902_464],
        |options| resnet::ALL[2].published(options),
    ),
    known(
        "wide-resnet101-2",
        "Wide ResNet101-2 (Zagoruyko and Komodakis, 2016; torchvision); ImageNet",
        (224, PixelFormat::Torch),
        [127_024_552, 124_975_552],
        |options| resnet::ALL[3].published(options),
    ),
    known(
        "regnet-y-400mf",
        "RegNetY (Radosavovic et al., 2020; torchvision): 400 million products; ImageNet",
        (224, PixelFormat::Torch),
        [4_371_296, 3_930_296],
        |options| regnet::ALL[0].published(options),
    ),
    known(
        "regnet-y-800mf",
        "RegNetY (Radosavovic et al., 2020; torchvision): 800 million products; ImageNet",
        (224, PixelFormat::Torch),
        [6_462_944, 5_677_944],
        |options| regnet::ALL[1].published(options),
    ),
    known(
        "regnet-y-1-6gf",
        "RegNetY (Radosavovic et al., 2020; torchvision): 1.6 billion products; ImageNet",
        (224, PixelFormat::Torch),
        [11_255_102, 10_366_102],
        |options| regnet::ALL[2].published(options),
    ),
    known(
        "regnet-y-3-2gf",
        "RegNetY (Radosavovic et al., 2020; torchvision): 3.2 billion products; ImageNet",
        (224, PixelFormat::Torch),
        [19_502_498, 17_989_498],
        |options| regnet::ALL[3].published(options),
    ),
    known(
        "regnet-y-8gf",
        "RegNetY (Radosavovic et al., 2020; torchvision): 8 billion products; ImageNet",
        (224, PixelFormat::Torch),
        [39_468_000, 37_451_000],
        |options| regnet::ALL[4].published(options),
    ),
    known(
        "regnet-y-16gf",
        "RegNetY (Radosavovic et al., 2020; torchvision): 16 billion products; ImageNet",
        (224, PixelFormat::Torch),
        [83_712_956, 80_687_956],
        |options| regnet::ALL[5].published(options),
    ),
    known(
        "regnet-y-32gf",
        "RegNetY (Radosavovic et al., 2020; torchvision): 32 billion products; ImageNet",
        (224, PixelFormat::Torch),
        [145_205_058, 141_492_058],
        |options| regnet::ALL[6].published(options),
    ),
    known(
        "regnet-x-400mf",
        "RegNetX (Radosavovic et al., 2020; torchvision): 400 million products; ImageNet",
        (224, PixelFormat::Torch),
        [5_533_832, 5_132_832],
        |options| regnet::ALL[7].published(options),
    ),
    known(
        "regnet-x-800mf",
        "RegNetX (Radosavovic et al., 2020; torchvision): 800 million products; ImageNet",
        (224, PixelFormat::Torch),
        [7_296_968, 6_623_968],
        |options| regnet::ALL[8].published(options),
    ),
    known(
        "regnet-x-1-6gf",
        "RegNetX (Radosavovic et al., 2020; torchvision): 1.6 billion products; ImageNet",
        (224, PixelFormat::Torch),
        [9_233_640, 8_320_640],
        |options| regnet::ALL[9].published(options),
    ),
    known(
        "regnet-x-3-2gf",
        "RegNetX (Radosavovic et al., 2020; torchvision): 3.2 billion products; ImageNet",
        (224, PixelFormat::Torch),
        [15_359_112, 14_350_112],
        |options| regnet::ALL[10].published(options),
    ),
    known(
        "regnet-x-8gf",
        "RegNetX (Radosavovic et al., 2020; torchvision): 8 billion products; ImageNet",
        (224, PixelFormat::Torch),
        [39_663_112, 37_742_112],
        |options| regnet::ALL[11].published(options),
    ),
    known(
        "regnet-x-16gf",
        "RegNetX (Radosavovic et al., 2020; torchvision): 16 billion products; ImageNet",
        (224, PixelFormat::Torch),
        [54_389_704, 52_340_704],
        |options| regnet::ALL[12].published(options),
    ),
    known(
        "regnet-x-32gf",
        "RegNetX (Radosavovic et al., 2020; torchvision): 32 billion products; ImageNet",
        (224, PixelFormat::Torch),
        [107_973_576, 105_452_576],
        |options| regnet::ALL[13].published(options),
    ),
    known(
        "shufflenet-v2-x0-5",
        "ShuffleNetV2 x0.5 (Ma et al., 2018; torchvision); ImageNet",
        (224, PixelFormat::Torch),
        [1_374_744, 349_744],
        |options| shufflenet_v2("shufflenet-v2-x0-5", [48, 96, 192, 1024], options, None),
    ),
    known(
        "shufflenet-v2-x1-0",
        "ShuffleNetV2 x1.0 (Ma et al., 2018; torchvision); ImageNet",
        (224, PixelFormat::Torch),
        [2_294_784, 1_269_784],
        |options| shufflenet_v2("shufflenet-v2-x1-0", [116, 232, 464, 1024], options, None),
    ),
    known(
        "shufflenet-v2-x1-5",
        "ShuffleNetV2 x1.5 (Ma et al., 2018; torchvision); ImageNet",
        (224, PixelFormat::Torch),
        [3_527_064, 2_502_064],
        |options| shufflenet_v2("shufflenet-v2-x1-5", [176, 352, 704, 1024], options, None),
    ),
    known(
        "shufflenet-v2-x2-0",
        "ShuffleNetV2 x2.0 (Ma et al., 2018; torchvision); ImageNet",
        (224, PixelFormat::Torch),
        [7_427_712, 5_378_712],
        |options| shufflenet_v2("shufflenet-v2-x2-0", [244, 488, 976, 2048], options, None),
    ),
    known(
        "densenet161",
        "DenseNet161 (Huang et al., 2016; torchvision); ImageNet",
        (224, PixelFormat::Torch),
        [28_900_936, 26_691_936],
        |options| densenet::ALL[0].published(options),
    ),
    known(
        "densenet169",
        "DenseNet169 (Huang et al., 2016; torchvision); ImageNet",
        (224, PixelFormat::Torch),
        [14_307_880, 12_642_880],
        |options| densenet::ALL[1].published(options),
    ),
    known(
        "densenet201",
        "DenseNet201 (Huang et al., 2016; torchvision); ImageNet",
        (224, PixelFormat::Torch),
        [20_242_984, 18_321_984],
        |options| densenet::ALL[2].published(options),
    ),
    known(
        "googlenet",
        "GoogLeNet (Szegedy et al., 2014; torchvision): nine blocks of parallel convolutions; ImageNet",
        (224, PixelFormat::Tf),
        [6_639_464, 5_614_464],
        |options| googlenet("googlenet", options, None),
    ),
    known(
        "convnext-tiny-torch",
        "ConvNeXt Tiny (Liu et al., 2022; torchvision); ImageNet",
        (224, PixelFormat::Torch),
        [28_589_128, 27_818_592],
        |options| convnext::ALL[0].published(options),
    ),
    known(
        "convnext-small-torch",
        "ConvNeXt Small (Liu et al., 2022; torchvision); ImageNet",
        (224, PixelFormat::Torch),
        [50_223_688, 49_453_152],
        |options| convnext::ALL[1].published(options),
    ),
    known(
        "convnext-base-torch",
        "ConvNeXt Base (Liu et al., 2022; torchvision); ImageNet",
        (224, PixelFormat::Torch),
        [88_591_464, 87_564_416],
        |options| convnext::ALL[2].published(options),
    ),
    known(
        "convnext-large-torch",
        "ConvNeXt Large (Liu et al., 2022; torchvision); ImageNet",
        (224, PixelFormat::Torch),
        [197_767_336, 196_227_264],
        |options| convnext::ALL[3].published(options),
    ),
    known(
        "efficientnet-lite0",
        "EfficientNet-Lite0 (Liu, 2020): for phones, ReLU6 only; ImageNet",
        (224, PixelFormat::Lite),
        [4_694_024, 3_413_024],
        |options| efficientnet_lite::ALL[0].published(options),
    ),
    known(
        "efficientnet-lite1",
        "EfficientNet-Lite1 (Liu, 2020): for phones, ReLU6 only; ImageNet",
        (240, PixelFormat::Lite),
        [5_470_344, 4_189_344],
        |options| efficientnet_lite::ALL[1].published(options),
    ),
    known(
        "efficientnet-lite2",
        "EfficientNet-Lite2 (Liu, 2020): for phones, ReLU6 only; ImageNet",
        (260, PixelFormat::Lite),
        [6_150_168, 4_869_168],
        |options| efficientnet_lite::ALL[2].published(options),
    ),
    known(
        "efficientnet-lite3",
        "EfficientNet-Lite3 (Liu, 2020): for phones, ReLU6 only; ImageNet",
        (280, PixelFormat::Lite),
        [8_273_768, 6_992_768],
        |options| efficientnet_lite::ALL[3].published(options),
    ),
    known(
        "efficientnet-lite4",
        "EfficientNet-Lite4 (Liu, 2020): for phones, ReLU6 only; ImageNet",
        (300, PixelFormat::Lite),
        [13_118_936, 11_837_936],
        |options| efficientnet_lite::ALL[4].published(options),
    ),
];

/// Appends these networks to others.
pub(in crate::nn::applications) const fn joined<const ALL: usize>(others: &[Architecture]) -> [Architecture; ALL] {
    let mut all = [NETWORKS[0]; ALL];
    let mut index = 0;
    while index < ALL {
        all[index] = if index < others.len() { others[index] } else { NETWORKS[index - others.len()] };
        index += 1;
    }
    all
}

/// The parameters of a family that its implementation leaves to the user; all others are fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FreeParameters {
    /// The channels; strides and activations are those of the individual blocks of the published networks.
    Widths,
    /// Also the number of blocks: a stage downsamples in its first block.
    WidthsAndDepth,
}

/// timm's names of networks with a different name in the table. Those prefixed with `tf_` have the same tensors.
pub(crate) const TIMM: [(&str, &str); 13] = [
    ("mobilenetv3_large_100", "mobilenet-v3-large-torch"),
    ("mobilenetv3_small_100", "mobilenet-v3-small-torch"),
    ("efficientnet_b0", "efficientnet-b0-torch"),
    ("efficientnet_b1", "efficientnet-b1-torch"),
    ("efficientnet_b2", "efficientnet-b2-torch"),
    ("efficientnet_b3", "efficientnet-b3-torch"),
    ("efficientnet_b4", "efficientnet-b4-torch"),
    ("efficientnet_b5", "efficientnet-b5-torch"),
    ("efficientnet_b6", "efficientnet-b6-torch"),
    ("efficientnet_b7", "efficientnet-b7-torch"),
    ("efficientnetv2_s", "efficientnet-v2-s-torch"),
    ("efficientnetv2_m", "efficientnet-v2-m-torch"),
    ("efficientnetv2_l", "efficientnet-v2-l-torch"),
];

/// Networks that are built by the same function.
pub(crate) struct Family {
    /// The name of a network whose sizes are not the published ones.
    pub(crate) name: &'static str,
    /// Tensors that all networks of the family, and no others, have.
    pub(crate) marks: &'static [&'static str],
    /// The first kernel, whose shape determines the channels of the input.
    pub(crate) stem: &'static str,
    /// Height and width of that kernel, if they determine a stride and a pooling that no tensor shows.
    pub(crate) stem_kernel: Option<[usize; 2]>,
    /// The parameters in which other networks may differ from the published ones.
    pub(crate) free: FreeParameters,
    /// The name prefix of the classifier's tensors.
    pub(crate) head: &'static str,
    /// The layers of the classifier that have a kernel.
    pub(crate) classifier: &'static [&'static str],
    /// The published networks, by name in the table.
    pub(crate) members: &'static [&'static str],
    build: fn(&str, &Options, &TensorShapes) -> Result<Network>,
}

impl Family {
    /// Builds the network whose tensors have these shapes, with the strides and activations of the published network of
    /// this name, or of the first of the family.
    ///
    /// # Errors
    /// [`Error`](crate::Error) names the tensor that is missing or has a wrong shape.
    pub(crate) fn build(&self, name: &str, options: &Options, tensors: &TensorShapes) -> Result<Network> {
        (self.build)(name, options, tensors)
    }
}

/// The entry with this name, or the first.
macro_rules! build_as {
    ($family:ident) => {
        |name, options, tensors| {
            let published = $family::ALL.iter().find(|entry| entry.name == name).unwrap_or(&$family::ALL[0]);
            published.build(name, options, Some(tensors))
        }
    };
}

/// All families, in the order in which they are tried for detection.
pub(crate) const FAMILIES: [Family; 12] = [
    Family {
        name: "mobilenet-v2",
        marks: &["features.1.conv.0.0.weight"],
        stem: "features.0.0.weight",
        stem_kernel: None,
        free: FreeParameters::Widths,
        head: "classifier.",
        classifier: &["classifier.1"],
        members: &["mobilenet-v2-torch"],
        build: |name, options, tensors| mobilenet_v2(name, options, Some(tensors)),
    },
    Family {
        name: "mobilenet-v3-large",
        marks: &["features.1.block.0.0.weight", "features.16.0.weight"],
        stem: "features.0.0.weight",
        stem_kernel: None,
        free: FreeParameters::Widths,
        head: "classifier.",
        classifier: &["classifier.0", "classifier.3"],
        members: &["mobilenet-v3-large-torch"],
        build: |name, options, tensors| mobilenet::V3_LARGE.build(name, options, Some(tensors)),
    },
    Family {
        name: "mobilenet-v3-small",
        marks: &["features.1.block.0.0.weight", "features.12.0.weight"],
        stem: "features.0.0.weight",
        stem_kernel: None,
        free: FreeParameters::Widths,
        head: "classifier.",
        classifier: &["classifier.0", "classifier.3"],
        members: &["mobilenet-v3-small-torch"],
        build: |name, options, tensors| mobilenet::V3_SMALL.build(name, options, Some(tensors)),
    },
    Family {
        name: "efficientnet",
        marks: &["features.1.0.block.0.0.weight"],
        stem: "features.0.0.weight",
        stem_kernel: None,
        free: FreeParameters::Widths,
        head: "classifier.",
        classifier: &["classifier.1"],
        members: &[
            "efficientnet-b0-torch",
            "efficientnet-b1-torch",
            "efficientnet-b2-torch",
            "efficientnet-b3-torch",
            "efficientnet-b4-torch",
            "efficientnet-b5-torch",
            "efficientnet-b6-torch",
            "efficientnet-b7-torch",
            "efficientnet-v2-s-torch",
            "efficientnet-v2-m-torch",
            "efficientnet-v2-l-torch",
        ],
        build: build_as!(efficientnet),
    },
    Family {
        name: "mnasnet",
        marks: &["layers.8.0.layers.0.weight"],
        stem: "layers.0.weight",
        stem_kernel: None,
        free: FreeParameters::Widths,
        head: "classifier.",
        classifier: &["classifier.1"],
        members: &["mnasnet0-5", "mnasnet1-0"],
        build: |name, options, tensors| mnasnet(name, 1.0, options, Some(tensors)),
    },
    Family {
        name: "resnet",
        marks: &["conv1.weight", "layer1.0.conv2.weight"],
        stem: "conv1.weight",
        stem_kernel: Some([7, 7]),
        free: FreeParameters::WidthsAndDepth,
        head: "fc.",
        classifier: &["fc"],
        members: &[
            "resnet18",
            "resnet34",
            "resnet50",
            "resnet101",
            "resnet152",
            "resnext50-32x4d",
            "resnext101-32x8d",
            "wide-resnet50-2",
            "wide-resnet101-2",
        ],
        build: build_as!(resnet),
    },
    Family {
        name: "regnet",
        marks: &["trunk_output.block1.block1-0.f.a.0.weight"],
        stem: "stem.0.weight",
        stem_kernel: Some([3, 3]),
        free: FreeParameters::WidthsAndDepth,
        head: "fc.",
        classifier: &["fc"],
        members: &[
            "regnet-y-400mf",
            "regnet-y-800mf",
            "regnet-y-1-6gf",
            "regnet-y-3-2gf",
            "regnet-y-8gf",
            "regnet-y-16gf",
            "regnet-y-32gf",
            "regnet-x-400mf",
            "regnet-x-800mf",
            "regnet-x-1-6gf",
            "regnet-x-3-2gf",
            "regnet-x-8gf",
            "regnet-x-16gf",
            "regnet-x-32gf",
        ],
        build: build_as!(regnet),
    },
    Family {
        name: "shufflenet-v2",
        marks: &["stage2.0.branch1.0.weight"],
        stem: "conv1.0.weight",
        stem_kernel: Some([3, 3]),
        free: FreeParameters::WidthsAndDepth,
        head: "fc.",
        classifier: &["fc"],
        members: &["shufflenet-v2-x0-5", "shufflenet-v2-x1-0", "shufflenet-v2-x1-5", "shufflenet-v2-x2-0"],
        build: |name, options, tensors| shufflenet_v2(name, [0; 4], options, Some(tensors)),
    },
    Family {
        name: "densenet",
        marks: &["features.denseblock1.denselayer1.conv1.weight"],
        stem: "features.conv0.weight",
        stem_kernel: Some([7, 7]),
        free: FreeParameters::WidthsAndDepth,
        head: "classifier.",
        classifier: &["classifier"],
        members: &["densenet121", "densenet161", "densenet169", "densenet201"],
        build: build_as!(densenet),
    },
    Family {
        name: "googlenet",
        marks: &["inception3a.branch1.conv.weight"],
        stem: "conv1.conv.weight",
        stem_kernel: None,
        free: FreeParameters::Widths,
        head: "fc.",
        classifier: &["fc"],
        members: &["googlenet"],
        build: |name, options, tensors| googlenet(name, options, Some(tensors)),
    },
    Family {
        name: "convnext",
        marks: &["features.1.0.layer_scale"],
        stem: "features.0.0.weight",
        stem_kernel: None,
        free: FreeParameters::WidthsAndDepth,
        head: "classifier.",
        classifier: &["classifier.2"],
        members: &["convnext-tiny-torch", "convnext-small-torch", "convnext-base-torch", "convnext-large-torch"],
        build: build_as!(convnext),
    },
    Family {
        name: "efficientnet-lite",
        marks: &["_blocks.0._depthwise_conv.weight"],
        stem: "_conv_stem.weight",
        stem_kernel: None,
        free: FreeParameters::Widths,
        head: "_fc.",
        classifier: &["_fc"],
        members: &[
            "efficientnet-lite0",
            "efficientnet-lite1",
            "efficientnet-lite2",
            "efficientnet-lite3",
            "efficientnet-lite4",
        ],
        build: build_as!(efficientnet_lite),
    },
];
