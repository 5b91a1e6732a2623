//! Times training steps of the digit classifier on random images and prints the milliseconds as JSON, for `bench/run`.
//! `cargo run --release -p lucida-programs --bin mnist_step -- BATCH [THREADS]`.

use std::time::Instant;

use lucida::Cpu;
use lucida::nn::losses::{CategoricalCrossentropy, Loss};
use lucida::nn::{Optimizer, OptimizerState, Plan, StepSeed, applications};
use lucida::train::Classifier;

const WARM_UP: usize = 10;
const STEPS: usize = 50;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let batch: usize = arguments.next().ok_or("the batch is missing")?.parse()?;
    let mut cpu = Cpu::from_env()?;
    if let Some(threads) = arguments.next() {
        cpu = cpu.with_threads(threads.parse()?);
    }
    let mut network = applications::mnist_cnn(42)?;
    let Classifier { logits, units, .. } = Classifier::of(&network)?;
    let loss = CategoricalCrossentropy::default();
    let mut plan = Plan::builder(&network)
        .cpu(cpu)
        .batch_size(batch)
        .training()
        .output(logits.clone())
        .grad_output_at(logits)
        .weight_gradients()
        .build()?;
    let mut optimizer = OptimizerState::new(Optimizer::adam(), &network);
    let images: Vec<f32> = (0..batch * 784).map(|i| (i * 7919 % 1009) as f32 / 1009.0).collect();
    let mut targets = vec![0.0; batch * units];
    targets.chunks_exact_mut(units).enumerate().for_each(|(i, row)| row[i * 7 % units] = 1.0);

    let mut times = Vec::new();
    for step in 0..WARM_UP + STEPS {
        let start = Instant::now();
        plan.input_mut().copy_from_slice(&images);
        plan.forward_training(&mut network, StepSeed { seed: 42, first_sample: (step * batch) as u64 })?;
        let (values, gradient) = plan.output_and_grad_mut(0, 0);
        loss.evaluate(units, values, &targets, Some(gradient));
        plan.backward_and_apply(&mut network, &mut optimizer, |_| 1e-3);
        if step >= WARM_UP {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    let name = format!("Lucida {} ({})", env!("CARGO_PKG_VERSION"), cpu.isa().name());
    println!("{}", serde_json::json!({ "name": name, "ms": times }));
    Ok(())
}
