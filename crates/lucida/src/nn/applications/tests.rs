use super::*;
use crate::nn::{Node, Shape};

#[test]
fn the_table_tells_the_truth() {
    for known in ALL {
        let network = known.build(&Options::default()).unwrap();
        assert_eq!(network.parameters().0, known.parameters, "{}", known.name);
        assert_eq!(network.input_shape().unwrap(), &Shape::from(known.input));
        assert_eq!(network.output().unwrap().shape().channels(), known.classes);
        match known.parameters_without_top {
            Some(parameters) => {
                let network = known.build(&Options::without_top()).unwrap();
                assert_eq!(network.parameters().0, parameters, "{}", known.name);
            }
            None => assert!(known.build(&Options::without_top()).is_err()),
        }
        let least = Options::default().size(known.smallest, known.smallest);
        assert!(known.build(&least).is_ok(), "{} at {}", known.name, known.smallest);
        let message = known.build(&Options::default().size(8, 500)).unwrap_err().to_string();
        assert!(message.contains(known.name), "{message}");
    }
}

#[test]
fn names_are_found_and_near_ones_suggested() {
    assert_eq!(find("vgg16").unwrap().name, "vgg16");
    assert_eq!(find("Inception_V3").unwrap().name, "inception-v3");
    for (name, expected) in [
        ("MobileNetV2", "mobilenet-v2"),
        ("mobilenet_v2", "mobilenet-v2-torch"),
        ("EfficientNetV2B0", "efficientnet-v2-b0"),
        ("efficientnet_v2_s", "efficientnet-v2-s-torch"),
        ("efficientnet_b0", "efficientnet-b0-torch"),
        ("ResNet50", "resnet50-keras"),
        ("ResNet50V2", "resnet50v2"),
        ("resnet50", "resnet50"),
        ("inception_v3", "inception-v3-torch"),
        ("InceptionV3", "inception-v3"),
        ("vgg16_bn", "vgg16-bn"),
        ("DenseNet121", "densenet121-keras"),
        ("ConvNeXtTiny", "convnext-tiny-keras"),
        ("mobilenet-v2", "mobilenet-v2"),
        ("tf_efficientnet_b5", "efficientnet-b5-torch"),
    ] {
        assert_eq!(find(name).unwrap().name, expected, "{name}");
    }
    let message = find("vgg17").unwrap_err().to_string();
    assert!(
        message.contains("did you mean \"vgg16\", \"vgg19\" or \"vgg11\"?") && !message.contains("basic-cnn"),
        "{message}"
    );
}

#[test]
fn inception_has_keras_names_and_shapes() {
    let network = inception_v3(&Options::without_top().size(150, 150)).unwrap();
    let shape = |name: &str| network.nodes()[network.find(name).unwrap()].shape().sizes().to_vec();
    // The shapes of `keras.applications.InceptionV3(weights=None, include_top=False, input_shape=(150, 150, 3))`.
    for (name, expected) in [
        ("conv2d", [74, 74, 32]),
        ("conv2d_93", [3, 3, 192]),
        ("batch_normalization_26", [7, 7, 384]),
        ("activation_30", [7, 7, 192]),
        ("max_pooling2d_3", [3, 3, 768]),
        ("average_pooling2d_8", [3, 3, 2048]),
        ("mixed0", [16, 16, 256]),
        ("mixed7", [7, 7, 768]),
        ("mixed9_1", [3, 3, 768]),
        ("concatenate_1", [3, 3, 768]),
        ("mixed10", [3, 3, 2048]),
    ] {
        assert_eq!(shape(name), expected, "{name}");
    }
    assert_eq!(network.nodes().iter().filter(|node| node.layer().class_name() == "Conv2D").count(), 94);
    assert_eq!(network.nodes().len(), 311);
}

#[test]
fn vgg_has_keras_names() {
    let network = vgg19(&Options::default().size(64, 96).classes(5)).unwrap();
    let names: Vec<_> = network.nodes().iter().map(Node::name).collect();
    assert_eq!(names[1..4], ["block1_conv1", "block1_conv2", "block1_pool"]);
    assert_eq!(
        names[17..],
        ["block5_conv1", "block5_conv2", "block5_conv3", "block5_conv4", "block5_pool"]
            .into_iter()
            .chain(["flatten", "fc1", "fc2", "predictions"])
            .collect::<Vec<_>>()[..]
    );
    assert_eq!(network.weight("fc1/kernel").unwrap().shape(), [2 * 3 * 512, 4096]);
}

#[test]
fn basic_cnn_has_two_or_more_classes() {
    let units = |classes| {
        let options = Options::default().size(32, 32).classes(classes).seed(1);
        basic_cnn(&options).unwrap().output().unwrap().shape().len()
    };
    assert_eq!([units(2), units(3)], [1, 3]);
}
