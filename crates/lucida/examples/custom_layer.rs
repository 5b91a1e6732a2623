//! A layer of your own: a swish, `y = x sigmoid(beta x)`, that learns its beta (Ramachandran, Zoph and Le, 2017).
//! `cargo run --release --example custom_layer` checks its gradients, trains it, and explains a digit by Grad-CAM.

use lucida::Cpu;
use lucida::data::{Dataset, Mnist, Preprocessing};
use lucida::explain::{ExplainConfig, Explainer, Method};
use lucida::nn::layers::{
    ActivationKind, Conv2D, Custom, CustomLayer, Dense, Extent, Flatten, LayerSpec, MaxPooling2D,
};
use lucida::nn::{Backward, BackwardNeeds, Forward, Initializer, Network, Op, OpConfig, Shape, WeightSpec};
use lucida::train::{TrainConfig, Trainer, evaluate};
use lucida::weights::Model;

#[derive(Debug)]
struct Swish;

impl LayerSpec for Swish {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(inputs[0].clone())
    }

    fn weights(&self, _inputs: &[Shape]) -> Vec<WeightSpec> {
        vec![WeightSpec { name: "beta", shape: vec![1], initializer: Initializer::Ones, trainable: true }]
    }

    fn extent(&self, _inputs: &[Shape]) -> Extent {
        Extent::Same
    }

    fn prepare(&self, _config: &OpConfig) -> Box<dyn Op> {
        Box::new(SwishOp)
    }
}

impl CustomLayer for Swish {
    fn class_name(&self) -> &'static str {
        "Swish"
    }
}

struct SwishOp;

/// The sigmoid of `beta x`.
fn gate(x: f32, beta: f32) -> f32 {
    1.0 / (1.0 + (-beta * x).exp())
}

impl Op for SwishOp {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        let beta = pass.weights[0].values()[0];
        output.iter_mut().zip(pass.inputs.get(0)).for_each(|(y, &x)| *y = x * gate(x, beta));
    }

    fn backward_needs(&self) -> BackwardNeeds {
        BackwardNeeds { inputs: true, output: false }
    }

    /// `dx = dy (g + beta x g (1 - g))` with the gate `g`
    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        let beta = pass.weights[0].values()[0];
        for ((dx, &x), &dy) in grad_input.iter_mut().zip(pass.inputs.get(0)).zip(pass.grad_output) {
            let g = gate(x, beta);
            let gradient = dy * (g + beta * x * g * (1.0 - g));
            *dx = if accumulate { *dx + gradient } else { gradient };
        }
    }

    /// `dbeta = sum of dy x^2 g (1 - g)`
    fn backward_weights(&mut self, pass: &Backward, gradients: &mut [Vec<f32>]) {
        let beta = pass.weights[0].values()[0];
        let terms = pass.inputs.get(0).iter().zip(pass.grad_output).map(|(&x, &dy)| {
            let g = gate(x, beta);
            f64::from(dy * x * x * g * (1.0 - g))
        });
        gradients[0][0] = terms.sum::<f64>() as f32;
    }
}

fn main() -> lucida::Result<()> {
    lucida::nn::check_gradients(Custom::new(Swish), &[[4, 5, 3].into()])?;
    let layers = [
        Conv2D::new(8, [5, 5]).into(),
        Custom::new(Swish).into(),
        MaxPooling2D::new([4, 4]).into(),
        Flatten::new().into(),
        Dense::new(10).activation(ActivationKind::Softmax).into(),
    ];
    let network = Network::sequential("swish", [28, 28, 1], layers, 42)?;
    let mut model = Model { preprocessing: Some(Preprocessing::mnist()), ..Model::new(network) };
    let digits = Mnist::builtin()?.train;
    let config = TrainConfig { epochs: 2, batch_size: 64, ..TrainConfig::default() };
    Trainer::new(config).fit(&mut model, &digits, None)?;
    let accuracy = evaluate(&model, &digits, Cpu::detect())?.accuracy;
    let beta = model.network.weight("custom/beta").map_or(f32::NAN, |weight| weight.values()[0]);
    println!("accuracy {accuracy:.3} on the digits it was trained on, beta {beta:.3}");

    let mut digit = vec![0.0; 28 * 28];
    digits.fill(0, model.preprocessing()?, &mut digit)?;
    let settings = ExplainConfig { layer: Some("custom".into()), ..ExplainConfig::default() };
    let mut explainer = Explainer::new(&model, &settings)?;
    let (class, probability) = explainer.predict(&digit)?;
    let map = explainer.explain(&digit, class, Method::GradCam)?;
    let strongest = (0..map.values.len()).max_by(|&a, &b| map.values[a].total_cmp(&map.values[b])).unwrap_or(0);
    println!(
        "class {class} ({probability:.3}): strongest evidence at row {}, column {}",
        strongest / 28,
        strongest % 28
    );
    Ok(())
}
