//! Random descriptions of networks, and checks of those that can be built. Shared by a test and by fuzz targets.

use lucida::nn::{Network, Plan, StepSeed};
use lucida::{Cpu, Isa};
use serde_json::{Value, json};

/// Limits of a run: values of all activations of a sample, parameters, and multiplications.
const MOST_VALUES: usize = 1 << 14;
const MOST_WEIGHTS: usize = 1 << 16;
const MOST_WORK: usize = 1 << 22;
/// Batch size of a run.
const BATCH: usize = 2;

/// A layer of each kind, one JSON object per line.
const LAYERS: &str = include_str!("layers.jsonl");

const ACTIVATIONS: &str = r#"["linear", "relu", "sigmoid", "tanh", "softmax", "log_softmax",
    {"leaky_relu": {"negative_slope": 0.25}}, "relu6", {"clip": {"min": -1.0, "max": 0.5}},
    {"general_relu": {"negative_slope": 0.5, "threshold": 0.25, "max_value": 1.0}}, {"elu": {"alpha": 1.0}}, "selu",
    {"celu": {"alpha": 0.5}}, "gelu", "gelu_tanh", "silu", "hard_silu", {"hard_sigmoid": {"slope": 0.2, "offset": 0.5}},
    {"softplus": {"beta": 1.0, "threshold": 20.0}}, "softsign", "mish", "exponential", "log_sigmoid", "tanh_shrink",
    {"soft_shrink": {"threshold": 0.5}}, "erf"]"#;

/// Chooses a number from 0 to `count - 1`.
pub(crate) type Choose<'a> = dyn FnMut(usize) -> usize + 'a;

/// Returns a random description of a network. Most values are plausible, because others are rejected early.
pub(crate) fn description(choose: &mut Choose<'_>) -> Value {
    let templates: Vec<Value> =
        LAYERS.lines().map(|line| serde_json::from_str(line).expect("a layer in JSON")).collect();
    let activations: Vec<Value> = serde_json::from_str(ACTIVATIONS).expect("activations in JSON");
    let mut layers = Vec::new();
    for index in 0..=choose(2) {
        let rank = [3, 1, 2, 3][choose(4)];
        let shape: Vec<usize> = (0..rank).map(|_| size(choose)).collect();
        layers.push(
            json!({"name": format!("n{index}"), "class_name": "Input", "config": {"shape": shape}, "inputs": []}),
        );
    }
    for _ in 0..=choose(5) {
        let mut layer = templates[choose(templates.len())].clone();
        change(&mut layer["config"], choose);
        if layer["config"].get("activation").is_some() {
            layer["config"]["activation"] = activations[choose(activations.len())].clone();
        }
        let count = layers.len();
        let inputs = (0..layer["inputs"].as_u64().unwrap_or(1)).map(|_| count - 1 - choose(count.min(3)));
        let inputs: Vec<String> = inputs.map(|input| format!("n{input}")).collect();
        layer["inputs"] = json!(inputs);
        layer["name"] = json!(format!("n{count}"));
        layers.push(layer);
    }
    let outputs = [format!("n{}", layers.len() - 1)];
    json!({"name": "random", "layers": layers, "outputs": outputs})
}

/// Chooses the size of an axis: usually small, rarely 0.
fn size(choose: &mut Choose<'_>) -> usize {
    match choose(16) {
        0 => choose(2),
        1 => 16 + choose(8),
        _ => 1 + choose(9),
    }
}

/// Changes some numbers and flags of a configuration at random.
fn change(value: &mut Value, choose: &mut Choose<'_>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| change(item, choose)),
        Value::Object(entries) => entries.values_mut().for_each(|entry| change(entry, choose)),
        Value::Bool(flag) => *flag ^= choose(4) == 0,
        Value::Number(number) if choose(3) == 0 => {
            let negative = number.as_i64().is_some_and(|number| number < 0);
            if number.is_f64() {
                *value = json!([0.0, 0.25, 0.5, 1.0, -1.0, 2.0, 1e-3, 1e9][choose(8)]);
            } else {
                let sizes = [0, 1, 2, 3, 4, 5, 7, 16, 1 << 20, usize::MAX >> 1];
                let chosen = sizes[if choose(8) == 0 { choose(10) } else { choose(6) }];
                *value = if negative || choose(16) == 0 { json!(-(chosen as i64)) } else { json!(chosen) };
            }
        }
        _ => {}
    }
}

/// Whether a network is within the limits of a run.
fn is_small(network: &Network) -> bool {
    let values: usize = network.nodes().iter().map(|node| node.shape().len()).sum();
    let work = |index: usize| {
        let node = &network.nodes()[index];
        let weights: usize = network.weights()[node.weights()].iter().map(|weight| weight.values().len()).sum();
        node.shape().len().saturating_mul(weights.max(1))
    };
    let work = (0..network.nodes().len()).fold(0_usize, |sum, index| sum.saturating_add(work(index)));
    values <= MOST_VALUES && network.parameters().0 <= MOST_WEIGHTS && work <= 16 * MOST_WORK
}

/// Fills `values` with reproducible numbers from -1 to 1.
fn fill(values: &mut [f32], seed: usize) {
    for (at, value) in values.iter_mut().enumerate() {
        *value = ((at * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0;
    }
}

/// Returns the outputs of a network on an instruction set; `None` if its plan cannot be built.
fn outputs(network: &Network, cpu: Cpu) -> Option<Vec<f32>> {
    let mut plan = Plan::builder(network).cpu(cpu).batch_size(BATCH).build().ok()?;
    let inputs = network.nodes().iter().filter(|node| node.inputs().is_empty()).count();
    (0..inputs).for_each(|input| fill(plan.input_mut_at(input), input));
    plan.forward(network).expect("a plan that runs its network");
    Some(plan.output(0).to_vec())
}

/// Runs a training step without the optimizer. Gradients are not compared, because they are discontinuous where two values
/// are equal.
fn train(network: &mut Network, cpu: Cpu) {
    let Ok(output) = network.output().map(|node| node.name().to_owned()) else { return };
    let builder =
        Plan::builder(network).cpu(cpu).batch_size(BATCH).training().output(&*output).grad_output_at(&*output);
    let Ok(mut plan) = builder.weight_gradients().input_gradient().build() else { return };
    let inputs = network.nodes().iter().filter(|node| node.inputs().is_empty()).count();
    (0..inputs).for_each(|input| fill(plan.input_mut_at(input), input));
    plan.forward_training(network, StepSeed { seed: 1, first_sample: 0 }).expect("a plan that trains its network");
    fill(plan.grad_output_mut(0), 7);
    plan.backward(network);
    for (weight, gradient) in network.weights().iter().zip(plan.weight_gradients()) {
        assert!(gradient.is_empty() || gradient.len() == weight.values().len(), "{}", weight.name());
    }
}

/// Builds a network from a description, runs it on this machine's instruction set and in scalar code, and compares the
/// outputs; returns whether it could be built and run.
///
/// # Panics
/// If the outputs differ, or if anything in between panics.
pub(crate) fn try_network(description: &Value) -> bool {
    let Ok(mut network) = Network::from_architecture(description) else { return false };
    let again = Network::from_architecture(&network.architecture()).expect("a description of what was built");
    assert_eq!(again.architecture(), network.architecture());
    if !is_small(&network) {
        return false;
    }
    for (seed, weight) in network.weights_mut().iter_mut().enumerate() {
        let positive = weight.name().ends_with("variance");
        let values = weight.values_mut();
        fill(values, seed);
        values.iter_mut().for_each(|value| *value = if positive { value.abs() + 0.5 } else { 0.5 * *value });
    }
    let cpu = Cpu::detect().with_threads(2);
    let scalar = Isa::from_name("scalar").expect("always there");
    let (Some(fast), Some(plain)) = (outputs(&network, cpu), outputs(&network, cpu.with_isa(scalar))) else {
        return false;
    };
    assert_eq!(fast.len(), plain.len());
    if plain.iter().chain(&fast).all(|value| value.is_finite()) {
        let most = plain.iter().fold(1.0_f32, |most, value| most.max(value.abs()));
        let off = fast.iter().zip(&plain).fold(0.0_f32, |off, (a, b)| off.max((a - b).abs()));
        assert!(off <= 2e-3 * most, "{off} of {most}: {description}");
    }
    train(&mut network, cpu);
    train(&mut network, cpu.with_isa(scalar));
    true
}
