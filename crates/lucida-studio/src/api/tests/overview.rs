//! The overview agrees with the requests for single layers, and its operations with the library's forward pass.

use lucida::data::{ColorMode, Preprocessing};
use lucida::nn::Sequential;
use lucida::nn::layers::{
    Activation, ActivationKind, Conv2D, Dense, DepthwiseConv2D, Flatten, Padding, SeparableConv2D,
};

use super::*;

async fn get(router: &Router, path: &str) -> Value {
    let (status, _, body) = ask(router, Method::GET, path, "", Vec::new()).await;
    assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}

/// Decodes 32-bit floats from Base64.
fn floats(value: &Value) -> Vec<f32> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = value.as_str().unwrap().trim_end_matches('=');
    let bits = text.chars().flat_map(|digit| {
        let value = DIGITS.find(digit).unwrap();
        (0..6).rev().map(move |bit| value >> bit & 1)
    });
    let bits: Vec<usize> = bits.collect();
    let bytes: Vec<u8> =
        bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |all, bit| all << 1 | *bit as u8)).collect();
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn maps_of_several_layers_are_those_of_each() {
    let (_folder, router) = studio();
    // A layer within a block after its last one, and another image: the plan that is kept changes in between.
    for image in ["digit-0", "digit-1"] {
        for layers in ["conv2d,max_pooling2d", "dense", "conv2d_1,dense_1", "input_layer"] {
            let path = format!("/api/models/run-digits/overview?image={image}&layers={layers}&maps=5&side=20");
            let found = get(&router, &path).await;
            for (layer, maps) in layers.split(',').zip(found["layers"].as_array().unwrap()) {
                let path = format!("/api/models/run-digits/layers/{layer}/maps?image={image}&count=5&side=20");
                assert_eq!(*maps, get(&router, &path).await, "{layer} of {image}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strengths_are_the_norms_of_kernels() {
    let (_folder, router) = studio();
    let found = get(&router, "/api/models/run-digits/layers/conv2d_1/channels/7/inputs?kernels=3").await;
    assert_eq!((found["relation"].as_str(), found["inputs"][0]["channels"].as_u64()), (Some("kernel"), Some(24)));
    let (strengths, sums) = (floats(&found["inputs"][0]["strengths"]), floats(&found["inputs"][0]["sums"]));
    let kernels = found["kernels"].as_array().unwrap();
    assert_eq!(kernels.len(), 3);
    for kernel in kernels {
        let values: Vec<f64> = kernel["kernel"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        let channel = kernel["channel"].as_u64().unwrap() as usize;
        near(values.iter().map(|v| v * v).sum::<f64>().sqrt(), f64::from(strengths[channel]), "the norm");
        near(values.iter().sum(), f64::from(sums[channel]), "the sum");
    }
    // With an image, the maps of these channels.
    let shown = get(&router, "/api/models/run-digits/layers/conv2d_1/channels/7/inputs?kernels=3&image=digit-0").await;
    for (kernel, with_map) in kernels.iter().zip(shown["kernels"].as_array().unwrap()) {
        assert!(kernel["map"].is_null());
        let of_layer = format!(
            "layers/{}/maps?image=digit-0&first={}&count=1&side=40",
            kernel["layer"].as_str().unwrap(),
            kernel["channel"]
        );
        assert_eq!(with_map["map"], get(&router, &format!("/api/models/run-digits/{of_layer}")).await);
    }
    // No other kernel is stronger.
    let weakest = kernels[2]["strength"].as_f64().unwrap();
    assert_eq!(strengths.iter().filter(|&&strength| f64::from(strength) >= weakest).count(), 3);
    let pooling = get(&router, "/api/models/run-digits/layers/max_pooling2d/channels/7/inputs").await;
    let strengths = floats(&pooling["inputs"][0]["strengths"]);
    assert_eq!(strengths.iter().position(|&strength| strength == 1.0), Some(7));
    assert_eq!(strengths.iter().sum::<f32>(), 1.0);
    // Unit 30 of the flattened vector is channel 30 of the first pixel.
    let flat = get(&router, "/api/models/run-digits/layers/flatten/channels/30/inputs").await;
    assert_eq!(floats(&flat["inputs"][0]["strengths"])[30], 1.0);
}

/// For each kind of layer, the operation computed from the values of the response is the output of the library.
#[tokio::test(flavor = "multi_thread")]
async fn operations_give_the_outputs() {
    let (_folder, router) = studio();
    let operation = async |layer: &str, channel: usize, more: &str| {
        let path = format!("/api/models/run-digits/layers/{layer}/channels/{channel}/operation?image=digit-0{more}");
        get(&router, &path).await
    };
    let convolution = operation("conv2d_1", 7, "&at=5,6").await;
    let (sums, output) = (floats(&convolution["sums"]), floats(&convolution["output"]));
    assert_eq!(sums.len(), output.len());
    sums.iter().zip(&output).for_each(|(&sum, &value)| near(f64::from(sum.max(0.0)), f64::from(value), "the ReLU"));
    let width = convolution["size"][1].as_u64().unwrap() as usize;
    let channels = convolution["channel_sums"].as_array().unwrap();
    let total: f64 = channels.iter().map(|sum| sum.as_f64().unwrap()).sum();
    near(total + convolution["bias"].as_f64().unwrap(), f64::from(sums[5 * width + 6]), "the sum over all channels");
    // The patch times the kernel is the sum of the channel that is shown.
    let (input, kernel) = (floats(&convolution["inputs"][0]["values"]), floats(&convolution["kernel"]));
    let shown = convolution["inputs"][0]["channel"].as_u64().unwrap() as usize;
    let across = convolution["inputs"][0]["size"][1].as_u64().unwrap() as usize;
    let padding = convolution["window"]["padding"][0].as_u64().unwrap() as usize;
    let product =
        |at: usize| f64::from(kernel[at]) * f64::from(input[(5 + at / 3 - padding) * across + 6 + at % 3 - padding]);
    near((0..9).map(product).sum(), channels[shown].as_f64().unwrap(), "the sum of the channel");

    let dense = operation("dense", 3, "").await;
    let (values, weights) = (floats(&dense["inputs"][0]["values"]), floats(&dense["kernel"]));
    let sum: f64 = values.iter().zip(&weights).map(|(&value, &weight)| f64::from(value) * f64::from(weight)).sum();
    near(sum + dense["bias"].as_f64().unwrap(), f64::from(floats(&dense["sums"])[0]), "the dense sum");
    near(f64::from(floats(&dense["sums"])[0].max(0.0)), f64::from(floats(&dense["output"])[3]), "the dense output");

    let last = operation("dense_1", 3, "").await;
    if last["activation"] == "softmax" {
        let exponentials: Vec<f64> = floats(&last["sums"]).iter().map(|&sum| f64::from(sum).exp()).collect();
        let quotient = exponentials[3] / exponentials.iter().sum::<f64>();
        near(quotient, f64::from(floats(&last["output"])[3]), "the softmax");
    }
}

/// Groups, dilation, strides and channel multipliers: the sums are the outputs of the library.
#[tokio::test(flavor = "multi_thread")]
async fn convolutions_of_all_kinds_add_up() {
    let separable = SeparableConv2D { depth_multiplier: 2, ..SeparableConv2D::new(5, [3, 2]).padding(Padding::Same) };
    let network = Sequential::new("odd", [13, 11, 3])
        .add(Conv2D::new(8, [3, 3]).strides([1, 2]).padding(Padding::Same))
        .add(Conv2D::new(6, [3, 3]).groups(2).dilation_rate([2, 1]).padding(Padding::Same))
        .add(DepthwiseConv2D::new([2, 3]).depth_multiplier(2).padding(Padding::Same))
        .add(separable)
        .add(Flatten::new())
        .add(Dense::new(4).activation(ActivationKind::Tanh))
        .add(Activation::new(ActivationKind::Softmax))
        .build(5)
        .unwrap();
    let model = Model::new(network).with_preprocessing(Preprocessing::unit(13, 11, ColorMode::Rgb));
    let (_folder, router) = studio_with("odd", &model);
    for layer in ["conv2d", "conv2d_1", "depthwise_conv2d", "separable_conv2d"] {
        for channel in [0, 4] {
            let path = format!("/api/models/run-odd/layers/{layer}/channels/{channel}/operation?image=cat&at=3,2");
            let operation = get(&router, &path).await;
            let (sums, output) = (floats(&operation["sums"]), floats(&operation["output"]));
            assert!(output.iter().any(|value| value.abs() > 1e-3), "{layer}");
            sums.iter().zip(&output).for_each(|(&sum, &value)| near(f64::from(sum), f64::from(value), layer));
            let total: f64 =
                operation["channel_sums"].as_array().unwrap().iter().map(|sum| sum.as_f64().unwrap()).sum();
            let width = operation["size"][1].as_u64().unwrap() as usize;
            near(total + operation["bias"].as_f64().unwrap(), f64::from(output[3 * width + 2]), layer);
        }
    }
    // The second group of filters reads the second half of the channels, and a softmax all.
    let inputs = get(&router, "/api/models/run-odd/layers/conv2d_1/channels/3/inputs").await;
    let fed = floats(&inputs["inputs"][0]["strengths"]).iter().map(|&strength| strength > 0.0).collect::<Vec<_>>();
    assert_eq!(fed, [false, false, false, false, true, true, true, true]);
    let softmax = get(&router, "/api/models/run-odd/layers/activation/channels/1/inputs").await;
    assert_eq!((softmax["relation"].as_str(), floats(&softmax["inputs"][0]["strengths"])), (Some("all"), vec![1.0; 4]));
}
