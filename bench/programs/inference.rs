//! Times forward passes of a network on random images and prints the milliseconds as JSON, for `bench/run`.
//!
//! `cargo run --release -p lucida-programs --bin inference -- FILE BATCH SIDE [THREADS]`, for images of SIDE x SIDE pixels.

use std::time::Instant;

use lucida::Cpu;
use lucida::nn::Plan;
use lucida::weights::{ModelSpec, open};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, batch, side, threads @ ..] = &arguments[..] else {
        return Err("FILE, BATCH and SIDE are missing".into());
    };
    let mut cpu = Cpu::from_env()?;
    if let Some(threads) = threads.first() {
        cpu = cpu.with_threads(threads.parse()?);
    }
    let (batch, side): (usize, usize) = (batch.parse()?, side.parse()?);
    let network = open(&ModelSpec { size: Some([side, side]), ..ModelSpec::new(file) })?.network;
    let mut plan = Plan::builder(&network).cpu(cpu).batch_size(batch).build()?;
    let images: Vec<f32> = (0..plan.input_mut().len()).map(|i| (i * 7919 % 1009) as f32 / 1009.0).collect();
    let (warm_up, runs) = if batch * side * side <= 512 * 512 { (10, 50) } else { (2, 8) };
    let mut times = Vec::new();
    for number in 0..warm_up + runs {
        let start = Instant::now();
        plan.input_mut().copy_from_slice(&images);
        plan.forward(&network)?;
        if number >= warm_up {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    let name = format!("Lucida {} ({})", env!("CARGO_PKG_VERSION"), cpu.isa().name());
    println!("{}", serde_json::json!({ "name": name, "ms": times }));
    Ok(())
}
