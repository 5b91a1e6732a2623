//! Compares small networks of all common kinds, from every file format of Keras and PyTorch, with the frameworks' results:
//! outputs, activations, and the gradients of inputs and weights. Keras models are then written in Keras's formats and read
//! again; `tests/keras/golden.py` loads the written files in Keras.

mod common;

use std::fs;
use std::path::Path;

use common::{Expected, difference, shared};
use lucida::nn::layers::ActivationKind;
use lucida::nn::{Network, Plan, Shape, TensorRef};
use lucida::weights::{self, IncludeTop, Model, ModelSpec};

/// `max|a - b| <= TOLERANCE max|b|`.
const VALUES: f64 = 1e-4;
const GRADIENTS: f64 = 1e-3;

/// Folders of `../shared/golden/models`, and the files in each to compare.
const MODELS: &[(&str, &[&str])] = &[
    ("keras_conv1d", &["model.keras", "model.h5"]),
    ("keras_conv1d_causal", &["model.keras", "model.h5"]),
    ("keras_convnext", &["model.keras"]),
    ("keras_densenet", &["model.keras", "model.h5"]),
    ("keras_efficientnet", &["model.keras", "model.h5"]),
    ("keras_layer_norm_hwc", &["model.keras"]),
    ("keras_layers_functional", &["model.keras", "model.h5"]),
    ("keras_layers_sequential", &["model.keras", "model.h5"]),
    ("keras_mobilenet", &["model.keras", "model.h5"]),
    ("keras_mobilenet_v2", &["model.keras", "model.h5", "tf2onnx.onnx"]),
    ("keras_mobilenet_v3_small", &["model.keras"]),
    ("keras_nested", &["model.keras", "model.h5"]),
    ("keras_resnet_v2", &["model.keras", "model.h5"]),
    ("keras_shared_two_inputs", &["model.keras", "model.h5"]),
    ("keras_unet_transpose", &["model.keras", "model.h5", "tf2onnx.onnx"]),
    ("keras_unet_upsampling", &["model.keras", "model.h5"]),
    ("keras_xception", &["model.keras", "model.h5"]),
    ("teachable_machine", &["keras_model.h5"]),
    ("teachable_machine_mobilenet_v1", &["keras_model.h5"]),
    ("torch_convnext", &["classic.onnx", "dynamo.onnx", "model.pth"]),
    ("torch_densenet", &["classic.onnx", "dynamo.onnx", "model.pth"]),
    ("torch_efficientnet", &["classic.onnx", "dynamo.onnx", "model.pth"]),
    ("torch_layers", &["classic.onnx", "dynamo.onnx"]),
    ("torch_mobilenet_v2", &["classic.onnx", "dynamo.onnx", "model.pth", "timm.safetensors"]),
    ("torch_mobilenet_v3_small", &["classic.onnx", "dynamo.onnx", "model.pth"]),
    ("torch_regnet", &["classic.onnx", "dynamo.onnx", "model.pth"]),
    ("torch_resnext", &["classic.onnx", "dynamo.onnx", "model.pth", "timm.safetensors"]),
    ("torch_shufflenet_v2", &["classic.onnx", "dynamo.onnx", "model.pth"]),
    ("torch_style_transformer", &["classic.onnx", "dynamo.onnx", "model.pth"]),
    ("torch_unet", &["classic.onnx", "dynamo.onnx"]),
];

#[test]
fn every_file_computes_what_its_framework_does() {
    let mut problems = Vec::new();
    for (folder, files) in MODELS {
        let Some(expected) = Expected::open(&format!("models/{folder}/expected.safetensors")) else { return };
        for file in *files {
            let Some(path) = shared(&format!("golden/models/{folder}/{file}")) else { return };
            let result = read(folder, &path).map_err(|error| error.to_string()).and_then(|model| {
                let channels_first = expected.metadata("layout") == "NCHW";
                let graph = file.ends_with(".onnx");
                let modules = file.ends_with(".pth") || file.ends_with(".safetensors");
                let recorded = Recorded { expected: &expected, channels_first, folder, graph, modules };
                if modules {
                    // A state dictionary does not contain the image size.
                    let [_, _, height, width] = recorded.expected.get("input").0[..] else { panic!("not images") };
                    return compare(&model.network.with_input_size(height, width).unwrap(), &recorded);
                }
                let report = compare(&model.network, &recorded)?;
                if graph {
                    compare(&rewritten(&model)?, &recorded).map_err(|problem| format!("written again: {problem}"))?;
                } else if !channels_first {
                    write_again(&model, folder, file, &expected)?;
                }
                Ok(report)
            });
            match result {
                Ok(report) => eprintln!("{folder}/{file}: {report}"),
                Err(problem) => problems.push(format!("{folder}/{file}: {problem}")),
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// Reads a model. A state dictionary that matches no published network is rejected with a message; it is then read as the
/// network that `network` names.
fn read(folder: &str, path: &Path) -> lucida::Result<Model> {
    if folder == "torch_efficientnet" && path.ends_with("model.pth") {
        let message = weights::load_model(path).unwrap_err().to_string();
        assert!(message.contains("of the family efficientnet") && message.contains("torch.onnx.export"), "{message}");
        let network = Some("efficientnet-b0-torch".to_owned());
        let spec = ModelSpec { network, top: IncludeTop::Unchanged, ..ModelSpec::new(path.to_string_lossy()) };
        return weights::open(&spec);
    }
    weights::load_model(path)
}

/// Models with layers that Keras cannot load from `.h5`: layer scale, and normalization over several axes.
const KERAS_ALONE: [&str; 2] = ["keras_convnext", "keras_layer_norm_hwc"];

/// Writes a model as `.keras` and `.h5`, reads it again, and checks that its outputs are bit-identical.
fn write_again(model: &Model, folder: &str, file: &str, expected: &Expected) -> Result<(), String> {
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("golden_keras");
    std::fs::create_dir_all(&to).map_err(|error| error.to_string())?;
    let recorded = Recorded { expected, channels_first: false, folder, graph: false, modules: false };
    for ending in ["keras", "h5"] {
        let path = to.join(format!("{folder}.{}.{ending}", file.replace('.', "_")));
        let saved = weights::save_model(model, &path).map_err(|error| error.to_string());
        if ending == "h5" && KERAS_ALONE.contains(&folder) {
            let problem = saved.expect_err("a file that Keras does not load");
            assert!(problem.ends_with("from .keras alone; write the model as .keras"), "{problem}");
            continue;
        }
        saved?;
        let read = weights::load_model(&path).map_err(|error| error.to_string())?;
        let outputs = |network: &Network| -> Result<Vec<Vec<f32>>, String> {
            let output = |&output: &usize| TensorRef::output(network.nodes()[output].name());
            let names: Vec<TensorRef> = network.outputs().iter().map(output).collect();
            let mut plan = plan(network, &names, &[], &recorded.all("input"))?;
            plan.forward(network).map_err(|error| error.to_string())?;
            Ok((0..names.len()).map(|index| plan.output(index).to_vec()).collect())
        };
        if outputs(&read.network)? != outputs(&model.network)? {
            return Err(format!("{} computes something else", path.display()));
        }
    }
    Ok(())
}

/// State dictionaries of unpublished networks, which do not describe their architecture.
#[test]
fn a_state_dictionary_alone_is_refused() {
    for folder in ["torch_layers", "torch_unet"] {
        let Some(path) = shared(&format!("golden/models/{folder}/model.pth")) else { return };
        let message = weights::load_model(&path).unwrap_err().to_string();
        for part in ["model.pth", "state dictionary", "no architecture", "ONNX"] {
            assert!(message.contains(part), "{folder}: {message}");
        }
    }
}

/// Values recorded in a framework.
struct Recorded<'a> {
    expected: &'a Expected,
    channels_first: bool,
    folder: &'a str,
    /// Whether the file is an ONNX graph, whose nodes have other names.
    graph: bool,
    /// Whether layers are named after PyTorch's modules.
    modules: bool,
}

impl Recorded<'_> {
    /// Returns the tensors `NAME`, or `NAME.0`, `NAME.1`, ..., channels last.
    fn all(&self, name: &str) -> Vec<Vec<f32>> {
        let names = self.expected.names();
        let numbered = (0..).map(|index| format!("{name}.{index}")).take_while(|name| names.contains(name));
        let numbered: Vec<String> = numbered.collect();
        let found = if numbered.is_empty() { vec![name.to_owned()] } else { numbered };
        found.iter().map(|name| self.tensor(name)).collect()
    }

    fn tensor(&self, name: &str) -> Vec<f32> {
        let (shape, values) = self.expected.get(name);
        let &[batch, channels, ref pixels @ ..] = &shape[..] else { return values };
        if !self.channels_first || pixels.is_empty() {
            return values;
        }
        let pixels: usize = pixels.iter().product();
        let mut last = Vec::with_capacity(values.len());
        for image in 0..batch {
            for pixel in 0..pixels {
                last.extend((0..channels).map(|channel| values[(image * channels + channel) * pixels + pixel]));
            }
        }
        last
    }

    /// Returns the gradient of a weight in its layer's layout, by the layer's name or that of PyTorch's tensor.
    fn weight_gradient(&self, name: &str) -> Option<Vec<f32>> {
        // The exporters fold normalizations into kernels, which changes the gradients.
        if self.graph {
            return None;
        }
        let (names, keras) = (self.expected.names(), format!("grad_weight.{}", name.replace('/', ".")));
        if names.contains(&keras) {
            return Some(self.expected.values(&keras));
        }
        let (module, weight) = name.rsplit_once('/')?;
        let leaf = if weight == "beta" || weight == "bias" { "bias" } else { "weight" };
        let torch = [format!("grad_weight.{module}.{leaf}"), format!("grad_weight.{module}")];
        let torch = torch.iter().find(|name| names.contains(name))?;
        let (shape, values) = self.expected.get(torch);
        // PyTorch's kernels have filters first, ours last; depthwise kernels have one channel per filter.
        let (&filters, pixels) = (shape.first()?, shape.iter().skip(2).product::<usize>());
        let channels = values.len() / (filters * pixels);
        let mut last = Vec::with_capacity(values.len());
        for pixel in 0..pixels {
            for channel in 0..channels {
                last.extend((0..filters).map(|filter| values[(filter * channels + channel) * pixels + pixel]));
            }
        }
        Some(last)
    }

    /// Recorded names after a prefix: `conv1` of `activation.conv1`.
    fn behind(&self, prefix: &str) -> Vec<String> {
        let names = self.expected.names();
        names.iter().filter_map(|name| name.strip_prefix(prefix)).map(str::to_owned).collect()
    }
}

/// Writes a model as ONNX and reads it twice: from the description in the file, with bit-identical weights, and from the
/// graph, which is returned.
fn rewritten(model: &Model) -> Result<Network, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let told = |error: lucida::Error| error.to_string();
    weights::onnx::save_model(model, &path).map_err(told)?;
    let same = weights::load_model(&path).map_err(told)?.network;
    for (weight, read) in model.network.weights().iter().zip(same.weights()) {
        assert!(weight.name() == read.name() && weight.values() == read.values(), "{}", weight.name());
    }
    let mut bytes = fs::read(&path).unwrap();
    let key = b"\x0a\x06lucida\x12";
    let place = bytes.windows(key.len()).position(|window| window == key).expect("the entry with the description");
    bytes[place + 2] = b'_';
    fs::write(&path, bytes).unwrap();
    Ok(weights::load_model(&path).map_err(told)?.network)
}

/// Whether a layer's output is recorded under its name. In a graph, a layer may have absorbed the next module's activation;
/// and for a module that is called twice, the record is from the last call, which has another name.
fn is_recorded(network: &Network, name: &str, graph: bool) -> bool {
    let Ok(index) = network.find(name) else { return false };
    let linear = network.nodes()[index].activation() == ActivationKind::Linear;
    !graph || (linear && network.find(&format!("{name}_1")).is_err())
}

/// Compares all recorded values with those of the network; returns a summary, or the differences.
fn compare(network: &Network, recorded: &Recorded) -> Result<String, String> {
    let output = |index: &usize| TensorRef::output(network.nodes()[*index].name());
    let named: Vec<TensorRef> = network.outputs().iter().map(output).collect();
    let recorded_names = recorded.behind("activation.").into_iter();
    let (activations, layers): (Vec<String>, Vec<String>) =
        recorded_names.filter_map(|name| Some((name.clone(), layer(network, &name, recorded)?))).unzip();
    let mut plan = plan(network, &named, &layers, &recorded.all("input"))?;
    plan.forward(network).map_err(|error| error.to_string())?;
    let (mut checked, mut problems) = (0, Vec::new());
    let mut agree = |what: String, got: &[f32], expected: &[f32], tolerance: f64| {
        checked += 1;
        if got.len() != expected.len() {
            return problems.push(format!("{what}: {} values, expected {}", got.len(), expected.len()));
        }
        let difference = difference(got, expected);
        if difference.is_nan() || difference > tolerance {
            problems.push(format!("{what}: {difference:.1e}"));
        }
    };
    for (index, expected) in recorded.all("output").iter().enumerate() {
        agree(format!("output {index}"), plan.output(index), expected, VALUES);
    }
    for (index, name) in activations.iter().enumerate() {
        let expected = recorded.tensor(&format!("activation.{name}"));
        agree(format!("activation of {name}"), plan.output(named.len() + index), &expected, VALUES);
    }
    for (index, gradient) in recorded.all("grad_output").iter().enumerate() {
        plan.grad_output_mut(index).copy_from_slice(gradient);
    }
    plan.backward(network);
    for (index, expected) in recorded.all("grad_input").iter().enumerate() {
        let gradient = plan.input_gradient_at(index).unwrap_or_default();
        agree(format!("gradient of input {index}"), gradient, expected, GRADIENTS);
    }
    let weights = network.weights().iter().zip(plan.weight_gradients());
    for (weight, gradient) in weights.filter(|(_, gradient)| !gradient.is_empty()) {
        if let Some(expected) = recorded.weight_gradient(weight.name()) {
            agree(format!("gradient of {}", weight.name()), gradient, &expected, GRADIENTS);
        }
    }
    if problems.is_empty() {
        let all = recorded.behind("activation.").len() + recorded.behind("grad_weight.").len();
        return Ok(format!("{checked} tensors agree ({all} activations and weights recorded for {})", recorded.folder));
    }
    Err(problems.join("; "))
}

/// The layer whose output is recorded under a name: with PyTorch's names, possibly the last layer of that module.
fn layer(network: &Network, name: &str, recorded: &Recorded) -> Option<String> {
    let inside = format!("{name}.");
    let last = network.nodes().iter().rev().find(|node| recorded.modules && node.name().starts_with(&inside));
    let last = last.map(|node| node.name().to_owned());
    if is_recorded(network, name, recorded.graph) { Some(name.to_owned()) } else { last }
}

/// Creates a plan that keeps these outputs and activations, and sets its inputs.
fn plan(network: &Network, outputs: &[TensorRef], activations: &[String], inputs: &[Vec<f32>]) -> Result<Plan, String> {
    let shapes: Vec<&Shape> = network.inputs().map(|input| network.nodes()[input].shape()).collect();
    let batch = inputs[0].len() / shapes[0].len();
    let mut builder = Plan::builder(network).batch_size(batch).input_gradient().weight_gradients();
    for output in outputs {
        builder = builder.output(output.clone()).grad_output_at(output.clone());
    }
    for name in activations {
        builder = builder.output(&**name);
    }
    let mut plan = builder.build().map_err(|error| error.to_string())?;
    for (index, values) in inputs.iter().enumerate() {
        let input = plan.input_mut_at(index);
        if input.len() != values.len() {
            return Err(format!("inputs of {shapes:?}, {} values recorded", values.len()));
        }
        input.copy_from_slice(values);
    }
    Ok(plan)
}
