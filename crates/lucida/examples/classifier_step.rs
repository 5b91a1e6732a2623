//! Times training steps of the classifier of cats and dogs (4,894,913 parameters) on random pictures, 150x150, and prints
//! the milliseconds as JSON: the side of Lucida in `bench/run`.
//! `cargo run --release --example classifier_step [-- BATCH [THREADS]]`.

use std::time::Instant;

use lucida::Cpu;
use lucida::nn::{Optimizer, OptimizerState, Plan, StepSeed, zoo};
use lucida::train::Classifier;

const WARM_UP: usize = 3;
const STEPS: usize = 15;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let batch: usize = arguments.next().map_or(Ok(32), |text| text.parse())?;
    let mut cpu = Cpu::from_env()?;
    if let Some(threads) = arguments.next() {
        cpu = cpu.with_threads(threads.parse()?);
    }
    let mut network = zoo::find("basic-cnn")?.build(&zoo::Options::default().size(150, 150).classes(2).seed(42))?;
    let Classifier { logits, loss, units, .. } = Classifier::of(&network)?;
    let mut plan = Plan::builder(&network)
        .cpu(cpu)
        .batch_size(batch)
        .training()
        .output(logits.clone())
        .seed(logits)
        .weight_gradients()
        .build()?;
    let mut optimizer = OptimizerState::new(Optimizer::rmsprop(), &network);
    let images: Vec<f32> = (0..batch * 150 * 150 * 3).map(|i| (i * 7919 % 1009) as f32 / 1009.0).collect();
    let targets: Vec<f32> = (0..batch * units).map(|i| (i % 2) as f32).collect();
    let timed = std::env::var_os("PROFILE").is_some();
    plan.set_timed(timed);
    let mut times = Vec::new();
    for step in 0..WARM_UP + STEPS {
        let start = Instant::now();
        plan.input_mut().copy_from_slice(&images);
        plan.forward_training(&mut network, StepSeed { seed: 42, first_sample: (step * batch) as u64 })?;
        let (values, gradient) = plan.output_and_seed_mut(0, 0);
        loss.evaluate(units, values, &targets, Some(gradient));
        plan.backward(&network);
        optimizer.apply(cpu, &mut network, plan.weight_gradients(), 1e-4);
        if step >= WARM_UP {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    if timed {
        for step in plan.profile() {
            let ms = |pass: Option<lucida::nn::PassTime>| pass.map_or(0.0, |pass| pass.seconds * 1e3);
            let (input, weights) = (ms(step.backward_input), ms(step.backward_weights));
            let forward = step.forward.seconds * 1e3;
            eprintln!(
                "{:30} pack {:7.3} {forward:8.3} input {input:8.3} weights {weights:8.3}",
                step.name,
                step.pack * 1e3
            );
        }
    }
    let name = format!("Lucida {} ({})", env!("CARGO_PKG_VERSION"), cpu.isa().name());
    println!("{}", serde_json::json!({ "name": name, "ms": times }));
    Ok(())
}
