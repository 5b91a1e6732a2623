//! A custom layer: a ReLU with a learnable slope `beta` for negative inputs (PReLU; He et al., 2015). Checks its gradients
//! by finite differences, trains a network with it, and draws a Grad-CAM map: `cargo run --release --example custom_layer`

use lucida::nn::layers::{Custom, CustomLayer, Extent, LayerSpec};
use lucida::nn::{Backward, BackwardNeeds, Forward, Initializer, Op, OpConfig, Shape, WeightSpec, check_gradients};
use lucida::prelude::*;

#[derive(Debug)]
struct PRelu;

#[rustfmt::skip]
impl LayerSpec for PRelu {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> { Ok(inputs[0].clone()) }
    fn extent(&self, _inputs: &[Shape]) -> Extent { Extent::Same }
    fn weights(&self, _inputs: &[Shape]) -> Vec<WeightSpec> {
        vec![WeightSpec { name: "beta", shape: vec![1], initializer: Initializer::Zeros, trainable: true }]
    }
    fn prepare(&self, _config: &OpConfig) -> Box<dyn Op> { Box::new(Self) }
}

impl CustomLayer for PRelu {
    fn class_name(&self) -> &'static str {
        "PRelu"
    }
}

impl Op for PRelu {
    fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
        let beta = pass.weights[0].values()[0];
        output.iter_mut().zip(pass.inputs.get(0)).for_each(|(y, &x)| *y = x.max(0.0) + beta * x.min(0.0));
    }
    fn backward_needs(&self) -> BackwardNeeds {
        BackwardNeeds { inputs: true, output: false }
    }
    fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
        let beta = pass.weights[0].values()[0];
        for ((dx, &x), &dy) in grad_input.iter_mut().zip(pass.inputs.get(0)).zip(pass.grad_output) {
            *dx = dy * if x > 0.0 { 1.0 } else { beta } + if accumulate { *dx } else { 0.0 };
        }
    }
    fn backward_weights(&mut self, pass: &Backward, gradients: &mut [Vec<f32>]) {
        gradients[0][0] = pass.inputs.get(0).iter().zip(pass.grad_output).map(|(&x, &dy)| dy * x.min(0.0)).sum();
    }
}

fn main() -> Result<()> {
    check_gradients(Custom::new(PRelu), &[[4, 5, 3].into()])?;
    let output = Dense::new(10).activation(ActivationKind::Softmax);
    let layers = [Conv2D::new(8, [5, 5]).into(), Custom::new(PRelu).into(), Flatten::new().into(), output.into()];
    let network = Network::sequential("prelu", [28, 28, 1], layers, 42)?;
    let (digits, mut model) = (Mnist::builtin()?.train, Model::new(network).with_preprocessing(Preprocessing::mnist()));
    Trainer::new(TrainConfig { epochs: 2, ..TrainConfig::default() }).fit(&mut model, &digits, None)?;
    println!("accuracy {:.3}", evaluate(&model, &digits, Cpu::detect())?.accuracy);
    println!("beta {:?}", model.network.weight("custom/beta").map(|beta| beta.values()[0]));
    let mut digit = vec![0.0; 28 * 28];
    digits.fill(0, model.preprocessing()?, &mut digit)?;
    let map = Explainer::new(&model, &ExplainConfig::default())?.explain(&digit, digits.label(0), Method::GradCam)?;
    overlay(&model.preprocessing()?.to_image(&digit)?, &map)?.save_png("prelu-grad-cam.png")
}
