use std::path::Path;

use super::*;
use crate::data::{Filter, Fit, Preprocessing};
use crate::nn::applications::{self, Options};
use crate::nn::layers::{
    Activation, ActivationKind, BatchNormalization, Concatenate, Conv2D, Conv2DTranspose, Dense, DepthwiseConv2D,
    Flatten, Input, SeparableConv2D,
};
use crate::nn::{Layer, Network};

/// For each network of torchvision: the number of tensors, and a checksum of their names and shapes, as printed by
/// `tests/torch/fixtures.py` (torchvision 0.29).
const TORCHVISION: [(&str, usize, u64); 18] = [
    ("vgg11", 22, 0x288d104ae091ee95),
    ("vgg13", 26, 0x202f819ed780229c),
    ("vgg16", 32, 0xc28928e39d007d16),
    ("vgg19", 38, 0x36d33bf295df503e),
    ("vgg11_bn", 54, 0x2cb705fcd5276415),
    ("vgg13_bn", 66, 0x524f736b7e3a2262),
    ("vgg16_bn", 84, 0x6368e90fc80717fb),
    ("vgg19_bn", 102, 0x1d6a738f80881bcc),
    ("alexnet", 16, 0x8aef27c5a301d050),
    ("squeezenet1_0", 52, 0x77f63d8f9f16a555),
    ("squeezenet1_1", 52, 0xb3e214f6c5863cf2),
    ("resnet18", 102, 0x18b056aa6aa6fea6),
    ("resnet34", 182, 0xd3f20fb1a6ebec98),
    ("resnet50", 267, 0xd296b015caae1553),
    ("resnet101", 522, 0x53debe4338494eae),
    ("resnet152", 777, 0x0ccbb95c5a956870),
    ("densenet121", 606, 0xfb867ca594e79589),
    ("inception_v3", 472, 0x59b1ee96dc814f7f),
];

/// The name of the known network here.
fn ours(torchvision: &str) -> String {
    let name = torchvision.replace('_', "-");
    if name == "inception-v3" { "inception-v3-torch".to_owned() } else { name }
}

/// As in PyTorch: without the softmax, which is part of the loss.
fn with_logits(network: &Network) -> Network {
    super::with_logits(Model::new(network.clone())).unwrap().network
}

fn written(network: &Network) -> Vec<Entry> {
    entries(network, &own_or_torchvision(network)).unwrap()
}

#[test]
fn names_and_shapes_are_those_of_torchvision() {
    for (name, count, expected) in TORCHVISION {
        let network = applications::find(&ours(name)).unwrap().build(&Options::default()).unwrap();
        let mut lines: Vec<String> =
            written(&network).iter().map(|entry| format!("{} {:?}\n", entry.name, entry.shapes[0])).collect();
        lines.sort();
        let step = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        let sum = lines.concat().bytes().fold(0xcbf2_9ce4_8422_2325, step);
        assert_eq!((lines.len(), sum), (count, expected), "{name}: {}", lines.concat());
    }
}

/// A file with these tensors, all zero.
struct Fake(Vec<TensorInfo>);

impl Tensors for Fake {
    fn path(&self) -> &Path {
        Path::new("fake.pth")
    }

    fn infos(&self) -> &[TensorInfo] {
        &self.0
    }

    fn is_float(&self, index: usize) -> bool {
        self.0[index].dtype == "float32"
    }

    fn in_order(&self) -> bool {
        true
    }

    fn read(&mut self, index: usize, take: &mut dyn FnMut(&[f32])) -> Result<()> {
        // Only the start, with the index of the tensor: the rest of a large tensor remains zero.
        take(&[index as f32]);
        Ok(())
    }
}

impl Fake {
    fn new(entries: &[Entry]) -> Self {
        Self(entries.iter().map(|entry| info(&entry.name, &entry.shapes[0], "float32")).collect())
    }
}

fn info(name: &str, shape: &[usize], dtype: &str) -> TensorInfo {
    TensorInfo { name: name.to_owned(), shape: shape.to_vec(), dtype: dtype.to_owned() }
}

#[test]
fn each_network_is_told_by_its_names_and_shapes() {
    for (name, ..) in TORCHVISION {
        let known = applications::find(&ours(name)).unwrap();
        for options in [Options::default().classes(7), Options::without_top()] {
            let network = known.build(&options).unwrap();
            let mut file = Fake::new(&written(&network));
            // Parts that are ignored: counters, training-only parts, a wrapper's prefix.
            file.0.push(info("features.1.num_batches_tracked", &[], "int64"));
            if name == "inception_v3" {
                file.0.push(info("AuxLogits.fc.weight", &[7, 768], "float32"));
            }
            file.0.iter_mut().for_each(|tensor| tensor.name = format!("module.{}", tensor.name));
            let model = recognize(&mut file).unwrap().unwrap_or_else(|| panic!("{name}"));
            assert_eq!(model.network.architecture(), with_logits(&network).architecture(), "{name}");
            model.check().unwrap();
            let [height, width, _] = known.input;
            let expected = match name {
                "inception_v3" => Preprocessing::inception(299),
                _ => Preprocessing::torchvision(height).with_size(height, width),
            };
            let expected = expected.with_fit(Fit::Crop, Filter::Bilinear);
            assert_eq!(model.preprocessing, Some(expected), "{name}");
            // With a single additional tensor, it is not recognized.
            file.0.push(info("module.more.weight", &[1], "float32"));
            assert!(!matches!(recognize(&mut file), Ok(Some(_))), "{name}");
        }
    }
}

/// A file with a network's tensors, renamed by `rename`.
fn renamed(network: &Network, rename: impl Fn(&str) -> String) -> Fake {
    let mut file = Fake::new(&written(network));
    file.0.iter_mut().for_each(|tensor| tensor.name = rename(&tensor.name));
    file
}

#[test]
fn networks_are_recognized_within_other_modules() {
    let network = applications::resnet18(&Options::default().classes(5)).unwrap();
    let backbone = |prefix: &str, head: &str, name: &str| match name.strip_prefix("fc.") {
        Some(leaf) => format!("{head}{leaf}"),
        None => format!("{prefix}{name}"),
    };
    let check = |rename: &dyn Fn(&str) -> String| {
        let mut file = renamed(&network, rename);
        let shown = file.0[0].name.clone();
        let model = recognize(&mut file).unwrap().unwrap_or_else(|| panic!("{shown}"));
        assert_eq!(model.network.architecture(), with_logits(&network).architecture(), "{shown}");
        assert_eq!(fill(&mut file, &mut network.clone()).unwrap(), [""; 0]);
    };
    for prefix in ["module.", "_orig_mod.", "net.", "backbone.", "whatever.it.is.", "module._orig_mod.model."] {
        check(&|name| format!("{prefix}{name}"));
    }
    for (prefix, head) in
        [("backbone.", "head."), ("backbone.", "fc."), ("encoder.", "classifier.1."), ("m.body.", "m.head.")]
    {
        check(&|name| backbone(prefix, head, name));
    }
    // A two-layer classifier is another network.
    let mut file = renamed(&network, |name| backbone("backbone.", "head.0.", name));
    file.0.push(info("head.2.weight", &[2, 5], "float32"));
    assert!(!matches!(recognize(&mut file), Ok(Some(_))));

    // The names of the DenseNet published by torchvision.
    let network = applications::densenet121(&Options::default().classes(5)).unwrap();
    let old = |name: &str| match name.contains("denselayer") {
        true => ["norm", "conv"].iter().fold(name.to_owned(), |name, kind| {
            name.replace(&format!(".{kind}1."), &format!(".{kind}.1."))
                .replace(&format!(".{kind}2."), &format!(".{kind}.2."))
        }),
        false => name.to_owned(),
    };
    let mut file = renamed(&network, old);
    assert!(file.0.iter().any(|tensor| tensor.name == "features.denseblock1.denselayer1.norm.1.weight"));
    assert!(recognize(&mut file).unwrap().is_some());
}

#[test]
fn what_is_left_out_is_named() {
    let network = applications::squeezenet1_1(&Options::default().classes(5)).unwrap();
    let mut bare = applications::squeezenet1_1(&Options::without_top()).unwrap();
    let left = fill(&mut renamed(&network, str::to_owned), &mut bare).unwrap();
    assert_eq!(left, ["classifier.1.weight", "classifier.1.bias"]);
}

#[test]
fn vgg_of_timm_is_told_as_well() {
    let network = applications::vgg16(&Options::default().classes(10)).unwrap();
    let mut file = Fake::new(&written(&network));
    for tensor in &mut file.0 {
        for (from, to) in
            [("classifier.0", "pre_logits.fc1"), ("classifier.3", "pre_logits.fc2"), ("classifier.6", "head.fc")]
        {
            tensor.name = tensor.name.replace(from, to);
        }
        match tensor.name.as_str() {
            "pre_logits.fc1.weight" => tensor.shape = vec![4096, 512, 7, 7],
            "pre_logits.fc2.weight" => tensor.shape = vec![4096, 4096, 1, 1],
            _ => {}
        }
    }
    let model = recognize(&mut file).unwrap().unwrap();
    assert_eq!(model.network.architecture(), with_logits(&network).architecture());
    // The whole file may be read into the network without its head, but not vice versa.
    let mut start = applications::vgg16(&Options::without_top().size(64, 64)).unwrap();
    fill(&mut file, &mut start).unwrap();
    file.0.retain(|tensor| !tensor.name.starts_with("head."));
    let message = fill(&mut file, &mut model.network.clone()).unwrap_err().to_string();
    assert!(message.contains("fake.pth") && message.contains("\"head.fc.weight\" (predictions/kernel)"), "{message}");
}

#[test]
fn a_chain_is_filled_by_order_and_what_does_not_fit_is_named() {
    let relu = || -> Layer { Activation::new(ActivationKind::Relu).into() };
    let chain = || {
        let layers = [
            Flatten::new().into(),
            Dense::new(4).into(),
            relu(),
            BatchNormalization::default().into(),
            Dense::new(2).into(),
        ];
        Network::sequential("chain", [2, 1, 3], layers, 1).unwrap()
    };
    let parts = |one: &str, two: &str, three: &str| {
        Fake(vec![
            info(&format!("{one}.weight"), &[4, 6], "float32"),
            info(&format!("{one}.bias"), &[4], "float32"),
            info(&format!("{two}.weight"), &[4], "float32"),
            info(&format!("{two}.bias"), &[4], "float32"),
            info(&format!("{two}.running_mean"), &[4], "float32"),
            info(&format!("{two}.running_var"), &[4], "float32"),
            info(&format!("{two}.num_batches_tracked"), &[], "int64"),
            info(&format!("{three}.weight"), &[2, 4], "float32"),
            info(&format!("{three}.bias"), &[2], "float32"),
        ])
    };
    let mut network = chain();
    fill(&mut parts("first", "body.1", "last"), &mut network).unwrap();
    assert_eq!(network.weight("batch_normalization/moving_variance").unwrap().values()[0], 5.0);
    // The layers' own names take precedence over the order.
    let mut network = chain();
    fill(&mut parts("dense", "batch_normalization", "dense_1"), &mut network).unwrap();
    assert_eq!(network.weight("dense_1/bias").unwrap().values()[0], 8.0);
    let refused = |change: &dyn Fn(&mut Vec<TensorInfo>), expected: &str| {
        let mut file = parts("first", "body.1", "last");
        change(&mut file.0);
        let mut network = chain();
        let before = network.weights()[0].values().to_vec();
        let message = fill(&mut file, &mut network).unwrap_err().to_string();
        assert!(message.contains("network chain") && message.contains(expected), "{message:?}: {expected:?}");
        assert_eq!(network.weights()[0].values(), before);
    };
    refused(&|tensors| tensors[0].shape = vec![4, 7], "[4, 7], not [4, 6]");
    refused(&|tensors| tensors[1].dtype = "int64".into(), "\"first.bias\" is of type int64");
    refused(&|tensors| tensors.truncate(7), "2 modules, the network has 3 layers");
    refused(&|tensors| drop(tensors.remove(8)), "\"last.bias\" (dense_1/bias) is missing");
    refused(&|tensors| tensors[2..].reverse(), "another kind");
    refused(&|tensors| tensors[8].name = "bias".into(), "belongs to no module");
    refused(&|tensors| tensors.push(info("last.scale", &[1], "float32")), "\"last.scale\" belongs to none");
    refused(&|tensors| tensors[0].name = "dense.weight".into(), "\"dense.bias\" (dense/bias) is missing");
}

#[test]
fn joined_images_have_no_counterpart() {
    let mut b = Network::builder("joined");
    let input = b.add(Input::new([2, 2, 3]), &[]).unwrap();
    let flat = b.add(Flatten::new(), &[input]).unwrap();
    let both = b.add(Concatenate::new(), &[flat, flat]).unwrap();
    let out = b.add(Dense::new(2), &[both]).unwrap();
    let network = b.build(&[out], 1).unwrap();
    let problem = entries(&network, &own_or_torchvision(&network)).unwrap_err();
    assert!(problem.contains("layer dense") && problem.contains("concatenate"), "{problem}");
    let message = fill(&mut Fake(Vec::new()), &mut network.clone()).unwrap_err().to_string();
    assert!(message.contains("joined"), "{message}");
}

/// The shapes of `nn.Conv2d(4, 6, 3, groups=2)`, `nn.Conv2d(6, 12, 3, groups=6)`, `nn.ConvTranspose2d(12, 8, 2, groups=4)`,
/// and of the two modules of a separable convolution.
#[test]
fn kernels_of_all_convolutions_are_turned_over() {
    let layers = [
        Layer::from(Conv2D::new(6, [3, 3]).groups(2)),
        DepthwiseConv2D::new([3, 3]).depth_multiplier(2).into(),
        Conv2DTranspose::new(8, [2, 2]).groups(4).into(),
        SeparableConv2D::new(5, [3, 1]).into(),
    ];
    let network = Network::sequential("convolutions", [9, 9, 4], layers, 3).unwrap();
    let written = written(&network);
    let shapes: Vec<_> = written.iter().map(|entry| (entry.name.as_str(), entry.shapes[0].clone())).collect();
    let expected = [
        ("conv2d.weight", vec![6, 2, 3, 3]),
        ("conv2d.bias", vec![6]),
        ("depthwise_conv2d.weight", vec![12, 1, 3, 3]),
        ("depthwise_conv2d.bias", vec![12]),
        ("conv2d_transpose.weight", vec![12, 2, 2, 2]),
        ("conv2d_transpose.bias", vec![8]),
        ("separable_conv2d.depthwise.weight", vec![8, 1, 3, 1]),
        ("separable_conv2d.pointwise.weight", vec![5, 8, 1, 1]),
        ("separable_conv2d.pointwise.bias", vec![5]),
    ];
    assert_eq!(shapes, expected);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    save_plain(&network, &path);
    let mut other = Network::from_architecture(&network.architecture()).unwrap();
    crate::weights::load_weights(&path, &mut other).unwrap();
    for (a, b) in other.weights().iter().zip(network.weights()) {
        assert_eq!(a.values(), b.values(), "{}", a.name());
    }
    // Filter 2 c + j of the depthwise convolution, at row 1 and column 2, for channel c = 3 and j = 1.
    let torch = {
        let (entry, mut values) = (&written[2], Vec::new());
        let keep = |part: &[f32]| {
            values.extend_from_slice(part);
            Ok::<_, ()>(())
        };
        entry.layout.to_torch(network.weights()[entry.weight].values(), keep).unwrap();
        values
    };
    let kernel = network.weight("depthwise_conv2d/kernel").unwrap().values();
    assert_eq!(torch[(2 * 3 + 1) * 9 + 3 + 2], kernel[((3 + 2) * 6 + 3) * 2 + 1]);
}

fn known(name: &str, classes: usize) -> Network {
    applications::find(name).unwrap().build(&Options::default().classes(classes)).unwrap()
}

/// Converts torchvision's names for MobileNet V3 Small to timm's.
fn timm(name: &str) -> String {
    const STAGES: [(usize, usize); 12] =
        [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (4, 0), (4, 1), (4, 2), (5, 0)];
    let (module, leaf) = name.rsplit_once('.').unwrap();
    let renamed = match module {
        "features.0.0" => "conv_stem".to_owned(),
        "features.0.1" => "bn1".to_owned(),
        "classifier.0" => "conv_head".to_owned(),
        "classifier.3" => "classifier".to_owned(),
        "features.12.0" => "blocks.5.0.conv".to_owned(),
        "features.12.1" => "blocks.5.0.bn1".to_owned(),
        module => {
            let parts: Vec<&str> = module.split('.').collect();
            let block: usize = parts[1].parse().unwrap();
            let (stage, number) = STAGES[block - 1];
            // The first block has no expansion; the next two have no squeeze-and-excitation.
            let parts_of = match block {
                1 => &["conv_dw", "se", "conv_pw"][..],
                2 | 3 => &["conv_pw", "conv_dw", "conv_pwl"],
                _ => &["conv_pw", "conv_dw", "se", "conv_pwl"],
            };
            let part: usize = parts[3].parse().unwrap();
            let convs = parts_of[..part].iter().filter(|part| **part != "se").count();
            let inner = match parts[4] {
                "fc1" => "se.conv_reduce".to_owned(),
                "fc2" => "se.conv_expand".to_owned(),
                "0" => parts_of[part].to_owned(),
                _ => format!("bn{}", convs + 1),
            };
            format!("blocks.{stage}.{number}.{inner}")
        }
    };
    format!("{renamed}.{leaf}")
}

/// The epsilon of a network's batch normalizations.
fn epsilon(model: &Model) -> f32 {
    let norms = model.network.nodes().iter().filter_map(|node| match node.layer() {
        Layer::BatchNormalization(norm) => Some(norm.epsilon),
        _ => None,
    });
    let all: Vec<f32> = norms.collect();
    assert!(!all.is_empty() && all.iter().all(|&epsilon| epsilon == all[0]), "{all:?}");
    all[0]
}

fn asserted(name: &str) -> AssertedNetwork {
    let (known, library) = applications::find_of(name).unwrap();
    AssertedNetwork { known, library }
}

fn notes(model: &Model) -> String {
    model.notes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// timm uses another epsilon, and yet another one in networks from TensorFlow, with the same tensors.
#[test]
fn names_decide_what_no_tensor_tells() {
    let network = known("mobilenet-v3-small-torch", 7);
    let model = recognize(&mut renamed(&network, str::to_owned)).unwrap().unwrap();
    assert_eq!((epsilon(&model), notes(&model).as_str()), (1e-3, ""));
    let mut file = renamed(&network, timm);
    let model = recognize(&mut file).unwrap().unwrap();
    assert_eq!(epsilon(&model), 1e-5);
    assert!(notes(&model).contains("timm's mobilenetv3_small_100; tf_mobilenetv3_small_100"), "{}", notes(&model));
    let tf = recognize_as(&mut file, asserted("tf_mobilenetv3_small_100")).unwrap().unwrap();
    assert_eq!((epsilon(&tf), notes(&tf).as_str()), (1e-3, ""));
    let padding = |model: &Model| match model.network.nodes()[1].layer() {
        Layer::Conv2D(conv) => conv.padding,
        _ => panic!("not a convolution"),
    };
    assert_eq!(padding(&tf), crate::nn::layers::Padding::Same);
    assert_ne!(padding(&model), padding(&tf));
    let same = recognize_as(&mut file, asserted("mobilenetv3_small_100")).unwrap().unwrap();
    assert_eq!((epsilon(&same), notes(&same).as_str()), (1e-5, ""));
}

/// With another kernel it is another network, whose strides and activations are unknown.
#[test]
fn networks_of_other_blocks_are_refused_unless_they_are_asserted() {
    let network = known("mobilenet-v3-small-torch", 7);
    for (rename, of) in [(&timm as &dyn Fn(&str) -> String, "timm"), (&str::to_owned, "mobilenet-v3-small")] {
        let mut file = renamed(&network, rename);
        for tensor in &mut file.0 {
            // The second block gets a 5x5 convolution.
            if tensor.shape == [72, 1, 3, 3] {
                tensor.shape = vec![72, 1, 5, 5];
            }
        }
        let problem = recognize(&mut file).unwrap_err();
        let message = problem.to_string();
        assert!(
            matches!(problem, crate::Error::WeightsOnly { .. }) && message.contains("torch.onnx.export"),
            "{message}"
        );
        assert!(message.contains(of) && !message.contains("\"features."), "{message}");
        let model = recognize_as(&mut file, asserted("mobilenet-v3-small-torch")).unwrap().unwrap();
        assert!(notes(&model).contains("not of the sizes of mobilenet-v3-small-torch"), "{}", notes(&model));
    }
    // With only other widths, the blocks are the published ones.
    let mut file = renamed(&network, str::to_owned);
    for tensor in file.0.iter_mut().filter(|tensor| tensor.name.starts_with("features.12.")) {
        tensor.shape[0] = 200;
    }
    file.0.iter_mut().filter(|tensor| tensor.name == "classifier.0.weight").for_each(|tensor| tensor.shape[1] = 200);
    let model = recognize(&mut file).unwrap().unwrap();
    assert!(notes(&model).contains("read as mobilenet-v3-small-torch of other sizes"), "{}", notes(&model));
}

/// A ResNet for small images: its first convolution has no stride, and there is no pooling.
#[test]
fn another_first_convolution_is_refused() {
    for (name, stem) in [("resnet18", "conv1.weight"), ("densenet121", "features.conv0.weight")] {
        let mut file = renamed(&known(name, 10), str::to_owned);
        file.0.iter_mut().filter(|tensor| tensor.name == stem).for_each(|tensor| tensor.shape[2..].fill(3));
        for problem in [recognize(&mut file), recognize_as(&mut file, asserted(name))] {
            let message = problem.unwrap_err().to_string();
            for part in ["3x3 pixels, not of 7x7", "stride", "torch.onnx.export"] {
                assert!(message.contains(part), "{message}");
            }
        }
    }
    let mut file = renamed(&known("resnet18", 10), str::to_owned);
    let message = recognize_as(&mut file, asserted("resnet34")).unwrap_err().to_string();
    assert!(message.contains("those of resnet18, not of resnet34"), "{message}");
}

#[test]
fn the_first_kernel_has_the_channels_of_the_input() {
    for (name, stem) in [
        ("resnet18", "conv1.weight"),
        ("densenet121", "features.conv0.weight"),
        ("mobilenet-v2-torch", "features.0.0.weight"),
        ("vgg11-bn", "features.0.weight"),
        ("alexnet", "features.0.weight"),
        ("squeezenet1-1", "features.0.weight"),
        ("inception-v3-torch", "Conv2d_1a_3x3.conv.weight"),
    ] {
        for channels in [1, 5] {
            let mut file = renamed(&known(name, 10), str::to_owned);
            file.0.iter_mut().filter(|tensor| tensor.name == stem).for_each(|tensor| tensor.shape[1] = channels);
            let mut model = recognize(&mut file).unwrap().unwrap();
            assert_eq!(model.network.input_shape().unwrap().sizes()[2], channels, "{name}");
            // The means of RGB images do not apply to other channels.
            assert_eq!(model.preprocessing, None, "{name}");
            model.guess_preprocessing();
            model.check().unwrap();
        }
    }
}

#[test]
fn a_replaced_classifier_of_one_layer_is_found() {
    let classes = |file: &mut Fake| recognize(file).unwrap().unwrap().network.output().unwrap().shape().len();
    let network = known("resnet18", 10);
    assert_eq!(classes(&mut renamed(&network, |name| name.replace("fc.", "fc.1."))), 10);
    let network = known("mobilenet-v2-torch", 10);
    for head in ["classifier.", "classifier.3.", "classifier.1.1."] {
        assert_eq!(classes(&mut renamed(&network, |name| name.replace("classifier.1.", head))), 10, "{head}");
    }
    let network = known("mobilenet-v3-small-torch", 10);
    assert_eq!(classes(&mut renamed(&network, |name| name.replace("classifier.3.", "classifier.3.1."))), 10);

    let mut file = renamed(&known("resnet18", 10), |name| name.replace("fc.", "fc.0."));
    file.0.push(info("fc.2.weight", &[3, 10], "float32"));
    file.0.push(info("fc.2.bias", &[3], "float32"));
    let message = recognize(&mut file).unwrap_err().to_string();
    assert!(message.contains("several layers (fc.0, fc.2)") && message.contains("activations between"), "{message}");
}
