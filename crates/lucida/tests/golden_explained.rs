//! Explains small networks of all common kinds, as written by Keras and PyTorch: Grad-CAM, integrated gradients, and
//! deconvnet, for a recorded input.

mod common;

use common::{Expected, shared};
use lucida::Cpu;
use lucida::explain::{CompletenessCheck, Deconvnet, ExplainConfig, Explainer, Method, Target, strongest_filters};
use lucida::nn::Network;
use lucida::nn::layers::ActivationKind;
use lucida::weights::{Model, ModelSpec, open};

/// Tolerance for the sum of integrated gradients, relative to the difference of the scores,
const COMPLETE: f64 = 0.01;
/// or relative to the sum of their magnitudes: with untrained weights, thousands of positive and negative ones may nearly
/// cancel out.
const OF_MAGNITUDES: f64 = 1e-4;
/// The score of this network is discontinuous, at a ReLU's threshold, so its integral differs.
const JUMPS: &str = "keras_layers_sequential";

/// Folders of `../shared/golden/models` with image classifiers, and the file to open.
const CLASSIFIERS: &[(&str, &str)] = &[
    ("keras_convnext", "model.keras"),
    ("keras_densenet", "model.h5"),
    ("keras_efficientnet", "model.keras"),
    ("keras_layers_functional", "model.keras"),
    ("keras_layers_sequential", "model.h5"),
    ("keras_mobilenet", "model.keras"),
    ("keras_mobilenet_v2", "tf2onnx.onnx"),
    ("keras_mobilenet_v3_small", "model.keras"),
    ("keras_nested", "model.keras"),
    ("keras_resnet_v2", "model.h5"),
    ("keras_xception", "model.keras"),
    ("teachable_machine", "keras_model.h5"),
    ("teachable_machine_mobilenet_v1", "keras_model.h5"),
    ("torch_convnext", "dynamo.onnx"),
    ("torch_densenet", "model.pth"),
    ("torch_efficientnet", "classic.onnx"),
    ("torch_layers", "classic.onnx"),
    ("torch_mobilenet_v2", "timm.safetensors"),
    ("torch_mobilenet_v3_small", "model.pth"),
    ("torch_regnet", "dynamo.onnx"),
    ("torch_resnext", "timm.safetensors"),
    ("torch_shufflenet_v2", "classic.onnx"),
];

#[test]
fn classifiers_of_every_kind_are_explained() {
    let mut problems = Vec::new();
    for (folder, file) in CLASSIFIERS {
        let Some((model, input)) = opened(folder, file) else { return };
        match explained(&model, &input, *folder != JUMPS) {
            Ok(report) => eprintln!("{folder}/{file}: {report}"),
            Err(problem) => problems.push(format!("{folder}/{file}: {problem}")),
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// Opens a model with the recorded image size, and the first recorded image; `None`, with a message, if they do not exist.
fn opened(folder: &str, file: &str) -> Option<(Model, Vec<f32>)> {
    let expected = Expected::open(&format!("models/{folder}/expected.safetensors"))?;
    let path = shared(&format!("golden/models/{folder}/{file}"))?;
    let (shape, values) = expected.get("input");
    let &[_, a, b, c] = &shape[..] else { panic!("{folder}: not images, but {shape:?}") };
    let channels_first = expected.metadata("layout") == "NCHW";
    let ([height, width, channels], image) = if channels_first { ([b, c, a], &values) } else { ([a, b, c], &values) };
    let place = |at: usize| {
        let (pixel, channel) = (at / channels, at % channels);
        if channels_first { channel * height * width + pixel } else { at }
    };
    let input = (0..height * width * channels).map(|at| image[place(at)]).collect();
    let spec = ModelSpec { size: Some([height, width]), ..ModelSpec::new(path.display().to_string()) };
    Some((open(&spec).unwrap_or_else(|error| panic!("{folder}/{file}: {error}")), input))
}

/// Explains an image; returns a summary, or the problem.
fn explained(model: &Model, input: &[f32], is_continuous: bool) -> Result<String, String> {
    let told = |error: lucida::Error| error.to_string();
    let mut explainer = Explainer::new(model, &ExplainConfig::default()).map_err(told)?;
    let (class, probability) = explainer.predict(input).map_err(told)?;
    let cam = explainer.explain(input, class, Method::GradCam).map_err(told)?;
    // The map is zero if no feature supports the class.
    if !cam.values.iter().all(|value| value.is_finite()) {
        return Err("Grad-CAM is not finite".into());
    }
    let integrated = explainer.explain(input, class, Method::IntegratedGradients).map_err(told)?;
    let values = &integrated.values;
    if values.iter().any(|value| !value.is_finite()) || values.iter().all(|value| *value == values[0]) {
        return Err("the map of integrated gradients is not finite, or the same everywhere".into());
    }
    let CompletenessCheck::Completeness { sum, difference, steps } = integrated.completeness else {
        return Err("integrated gradients do not say what they sum to".into());
    };
    let magnitude: f64 = integrated.raw.iter().map(|&value| f64::from(value).abs()).sum();
    let allowed = (COMPLETE * difference.abs()).max(OF_MAGNITUDES * magnitude);
    if is_continuous && (sum - difference).abs() > allowed {
        return Err(format!("integrated gradients sum to {sum}, the scores differ by {difference}, within {allowed}"));
    }
    let projected = projected(&model.network, input)?;
    Ok(format!("class {class} ({probability:.2}), {sum:.5} of {difference:.5} in {steps} steps, {projected}"))
}

/// Projects the strongest activation of the middle ReLU layer back to the image.
fn projected(network: &Network, input: &[f32]) -> Result<String, String> {
    let rectified: Vec<&str> = network
        .nodes()
        .iter()
        .filter(|node| matches!(node.activation(), ActivationKind::Relu | ActivationKind::Relu6))
        .filter(|node| node.shape().as_image().is_some_and(|[height, width, _]| height * width > 1))
        .map(|node| node.name())
        .collect();
    let Some(&layer) = rectified.get(rectified.len() / 2) else { return Ok("no ReLU to project through".into()) };
    let told = |error: lucida::Error| error.to_string();
    let mut deconvnet = Deconvnet::new(network, layer, 1, Cpu::detect()).map_err(told)?;
    let layout = deconvnet.field().layout();
    let filter = strongest_filters(deconvnet.activations(network, input).map_err(told)?, layout, 1)[0];
    let target = Target { filter, position: None };
    let projection = deconvnet.project(network, &[input], &[target]).map_err(told)?.remove(0);
    let shape = network.input_shape().map_err(told)?.as_image().ok_or("no image")?;
    let [_, width, channels] = shape;
    let Some(field) = deconvnet.field().at(projection.position) else { return Err("a field without pixels".into()) };
    let inside = |at: usize| {
        let (row, column) = ((at / channels / width) as i64, (at / channels % width) as i64);
        (field.rows.start..field.rows.end).contains(&row) && (field.columns.start..field.columns.end).contains(&column)
    };
    let nonzero: Vec<usize> = (0..input.len()).filter(|&at| projection.values[at] != 0.0).collect();
    if nonzero.is_empty() || projection.values.iter().any(|value| !value.is_finite()) {
        return Err(format!("{layer}: the projection of filter {filter} is empty"));
    }
    if let Some(outside) = nonzero.iter().find(|&&at| !inside(at)) {
        return Err(format!("{layer}: value {outside} is outside of the receptive field"));
    }
    Ok(format!("filter {filter} of {layer} projected to {} values", nonzero.len()))
}
