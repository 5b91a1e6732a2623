//! Times activation maximization and prints the milliseconds as JSON, for `bench/run`.
//! `cargo run --release -p lucida-programs --bin maximize_filters -- mnist|vgg16 [THREADS]`.
//!
//! The weights are random, because the time of a step does not depend on them.

use std::time::Instant;

use lucida::Cpu;
use lucida::explain::maximize::{Fourier, KerasVis, Method, Objective, Target, maximize};
use lucida::nn::{Network, applications};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let workload = arguments.next().unwrap_or_default();
    let mut cpu = Cpu::from_env()?;
    if let Some(threads) = arguments.next() {
        cpu = cpu.with_threads(threads.parse()?);
    }
    let make = |network: &Network, layer: &str, filters: usize, method: Method| {
        let objectives: Vec<_> = (0..filters).map(Objective::Channel).collect();
        maximize(network, None, &Target::layer(layer), &objectives, &method, cpu, &mut ())
    };
    let start = Instant::now();
    match workload.as_str() {
        // Every filter of the digit classifier, with the 2 x 300 steps of keras-vis.
        "mnist" => {
            let network = applications::mnist_cnn(42)?;
            for (layer, filters) in [("conv2d", 24), ("conv2d_1", 48), ("conv2d_2", 64)] {
                make(&network, layer, filters, Method::KerasVis(KerasVis::default()))?;
            }
        }
        // Sixteen filters in the middle of VGG16, with images of 128x128 in the Fourier basis.
        "vgg16" => {
            let options = applications::Options::without_top().size(128, 128).seed(42);
            let network = applications::find("vgg16")?.build(&options)?;
            make(&network, "block3_conv1", 16, Method::Fourier(Fourier { steps: 256, ..Fourier::default() }))?;
        }
        _ => return Err("which workload: mnist or vgg16?".into()),
    }
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    let name = format!("Lucida {} ({})", env!("CARGO_PKG_VERSION"), cpu.isa().name());
    println!("{}", serde_json::json!({ "name": name, "ms": [milliseconds] }));
    Ok(())
}
