//! Times training steps of a feed-forward style network and prints the milliseconds and the peak memory in MiB as JSON, for
//! `bench/run`: crops of photos in memory, the built-in blocks of VGG16 as the loss network, Adam.
//! `cargo run --release -p lucida-programs --bin style_train_step -- small|base BATCH [THREADS]`.

use std::ops::ControlFlow;
use std::time::Instant;

use lucida::Cpu;
use lucida::core::Step;
use lucida::style::{
    FeedForwardConfig, FeedForwardSize, FeedForwardTraining, Photos, Pooling, StyleNetwork, brushwork, choose_network,
};
use lucida::weights::BUILTIN;

const WARM_UP: usize = 2;
const STEPS: usize = 8;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let size = match arguments.first().map(String::as_str) {
        Some("small") => FeedForwardSize::Small,
        Some("base") => FeedForwardSize::Base,
        _ => return Err("the size is missing: small or base".into()),
    };
    let batch_size = arguments.get(1).ok_or("the batch size is missing")?.parse()?;
    let mut cpu = Cpu::from_env()?;
    if let Some(threads) = arguments.get(2) {
        cpu = cpu.with_threads(threads.parse()?);
    }
    let network = StyleNetwork::new(choose_network(Some(BUILTIN), None)?, Pooling::Max)?;
    let steps = WARM_UP + STEPS;
    let never = 1000;
    let config = FeedForwardConfig {
        size,
        batch_size,
        steps,
        checkpoint_every: never,
        preview_every: never,
        ..FeedForwardConfig::new(&network, cpu)?
    };
    let styles = [("brushwork".to_owned(), brushwork()?)];
    let training = FeedForwardTraining::new(&network, &styles, Photos::builtin()?, config)?;
    let (mut last, mut times) = (Instant::now(), Vec::new());
    let mut progress = |step: &Step<'_>| {
        if step.done > WARM_UP as u64 {
            times.push(last.elapsed().as_secs_f64() * 1e3);
        }
        last = Instant::now();
        ControlFlow::Continue(())
    };
    training.run(None, &mut progress, &mut |_| Ok(()))?;
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
