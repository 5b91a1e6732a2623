//! Times steps of style transfer and prints the milliseconds and the peak memory in MiB as JSON, for `bench/run`: VGG19 with
//! random weights to block5_conv2, six losses, backward pass to the image, Adam.
//! `cargo run --release -p lucida-programs --bin style_step -- SIZE [THREADS]`.

use std::time::Instant;

use lucida::Cpu;
use lucida::nn::applications::{self, Options};
use lucida::style::{Canvas, Objective, Pooling, Preset, StyleNetwork};
use lucida::weights::Model;
use lucida_kernels::ops::{AdamStep, adam};

const WARM_UP: usize = 2;
const STEPS: usize = 8;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let size: usize = arguments.first().ok_or("the size is missing")?.parse()?;
    let mut cpu = Cpu::from_env()?;
    if let Some(threads) = arguments.get(1) {
        cpu = cpu.with_threads(threads.parse()?);
    }
    let model = Model::of_architecture(applications::find("vgg19")?, &Options::without_top().size(size, size).seed(1))?;
    let network = StyleNetwork::new(model, Pooling::Max)?;
    let loss = Preset::Gatys.config(&network, cpu)?.loss;
    let wave = |step: usize| -> Vec<f32> { (0..3 * size * size).map(|i| (i * step % 1009) as f32 / 4.0).collect() };
    let [content, style] = [7919, 104_729].map(|step| Canvas { size: [size, size], values: wave(step) });
    let mut objective = Objective::new(&network, &loss, &content, &style, cpu, false)?;
    let mut canvas = content;
    let mut gradient = vec![0.0; canvas.values.len()];
    let (mut first, mut second) = (vec![0.0; gradient.len()], vec![0.0; gradient.len()]);
    let mut times = Vec::new();
    for step in 0..WARM_UP + STEPS {
        let start = Instant::now();
        objective.evaluate(&canvas, &mut gradient)?;
        let step_of = AdamStep { rate: 1.0, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, keep: 1.0 };
        adam(cpu, step_of, &mut canvas.values, &gradient, &mut first, &mut second);
        if step >= WARM_UP {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    let name = format!("Lucida {} ({})", env!("CARGO_PKG_VERSION"), cpu.isa().name());
    println!("{}", serde_json::json!({ "name": name, "ms": times, "mb": peak() }));
    Ok(())
}

/// Peak memory of this process in MiB, if the system reports it.
fn peak() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1024.0)
}
