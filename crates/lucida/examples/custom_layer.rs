//! A layer of your own: a swish, `y = x sigmoid(beta x)`, that learns its beta (Ramachandran, Zoph and Le, 2017).
//! `cargo run --release --example custom_layer` checks its gradients, trains it, and explains a digit by Grad-CAM.

use lucida::nn::layers::{Custom, CustomLayer, Extent, LayerSpec};
use lucida::nn::{Backward, BackwardNeeds, Forward, Initializer, Op, OpConfig, Shape, WeightSpec, check_gradients};
use lucida::prelude::*;

#[derive(Debug)]
struct Swish;

impl LayerSpec for Swish {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(inputs[0].clone())
    }

    fn extent(&self, _inputs: &[Shape]) -> Extent {
        Extent::Same
    }

    fn weights(&self, _inputs: &[Shape]) -> Vec<WeightSpec> {
        vec![WeightSpec { name: "beta", shape: vec![1], initializer: Initializer::Ones, trainable: true }]
    }

    fn prepare(&self, _config: &OpConfig) -> Box<dyn Op> {
        Box::new(Self)
    }
}

impl CustomLayer for Swish {
    fn class_name(&self) -> &'static str {
        "Swish"
    }
}

/// `y`, `dy/dx` and `dy/dbeta`.
fn swish(x: f32, beta: f32) -> [f32; 3] {
    let gate = 1.0 / (1.0 + (-beta * x).exp());
    let slope = x * gate * (1.0 - gate);
    [x * gate, gate + beta * slope, x * slope]
}

impl Op for Swish {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        let beta = pass.weights[0].values()[0];
        output.iter_mut().zip(pass.inputs.get(0)).for_each(|(y, &x)| *y = swish(x, beta)[0]);
    }

    fn backward_needs(&self) -> BackwardNeeds {
        BackwardNeeds { inputs: true, output: false }
    }

    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        let beta = pass.weights[0].values()[0];
        for ((dx, &x), &dy) in grad_input.iter_mut().zip(pass.inputs.get(0)).zip(pass.grad_output) {
            *dx = dy * swish(x, beta)[1] + if accumulate { *dx } else { 0.0 };
        }
    }

    fn backward_weights(&mut self, pass: &Backward, gradients: &mut [Vec<f32>]) {
        let beta = pass.weights[0].values()[0];
        let inputs = pass.inputs.get(0).iter().zip(pass.grad_output);
        gradients[0][0] = inputs.map(|(&x, &dy)| f64::from(dy * swish(x, beta)[2])).sum::<f64>() as f32;
    }
}

fn main() -> Result<()> {
    check_gradients(Custom::new(Swish), &[[4, 5, 3].into()])?;

    let network = Sequential::new("swish", [28, 28, 1])
        .add(Conv2D::new(8, [5, 5]))
        .add(Custom::new(Swish))
        .add(MaxPooling2D::new([4, 4]))
        .add(Flatten::new())
        .add(Dense::new(10).activation(ActivationKind::Softmax))
        .build(42)?;
    let mut model = Model::new(network).with_preprocessing(Preprocessing::mnist());
    let digits = Mnist::builtin()?.train;
    Trainer::new(TrainConfig { epochs: 2, ..TrainConfig::default() }).fit(&mut model, &digits, None)?;
    let beta = model.network.weight("custom/beta").map_or(f32::NAN, |weight| weight.values()[0]);
    println!("accuracy {:.3}, beta {beta:.3}", evaluate(&model, &digits, Cpu::detect())?.accuracy);

    let mut digit = vec![0.0; 28 * 28];
    digits.fill(0, model.preprocessing()?, &mut digit)?;
    let config = ExplainConfig { layer: Some("custom".into()), ..ExplainConfig::default() };
    let mut explainer = Explainer::new(&model, &config)?;
    let (class, probability) = explainer.predict(&digit)?;
    let map = explainer.explain(&digit, class, Method::GradCam)?;
    overlay(&model.preprocessing()?.to_image(&digit)?, &map)?.save_png("swish-grad-cam.png")?;
    println!("class {class} ({probability:.3}): see swish-grad-cam.png");
    Ok(())
}
