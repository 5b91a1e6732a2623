//! Times the pass forward of InceptionV3 to mixed7 on random pictures, 150x150, and prints the milliseconds as JSON: the
//! side of Lucida in `bench/run`. `cargo run --release --example features [-- BATCH [THREADS]]`.

use std::time::Instant;

use lucida::Cpu;
use lucida::nn::{Plan, zoo};

const WARM_UP: usize = 2;
const STEPS: usize = 12;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let batch: usize = arguments.next().map_or(Ok(32), |text| text.parse())?;
    let mut cpu = Cpu::from_env()?;
    if let Some(threads) = arguments.next() {
        cpu = cpu.with_threads(threads.parse()?);
    }
    let network =
        zoo::find("inception-v3")?.build(&zoo::Options::without_top().size(150, 150).seed(42))?.cut("mixed7")?;
    let mut plan = Plan::builder(&network).cpu(cpu).batch_size(batch).build()?;
    let timed = std::env::var_os("PROFILE").is_some();
    plan.set_timed(timed);
    let mut times = Vec::new();
    for step in 0..WARM_UP + STEPS {
        let start = Instant::now();
        for (i, value) in plan.input_mut().iter_mut().enumerate() {
            *value = (i % 1009) as f32 / 1009.0;
        }
        plan.forward(&network)?;
        if step >= WARM_UP {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    if timed {
        let mut steps = plan.profile();
        steps.sort_by(|a, b| b.forward.seconds.total_cmp(&a.forward.seconds));
        for step in &steps {
            let rate = step.forward.operations / step.forward.seconds / 1e9;
            eprintln!(
                "{:30} {:8.3} ms {rate:6.0} GFLOP/s {:?}",
                step.name,
                step.forward.seconds * 1e3,
                step.forward.algorithm
            );
        }
    }
    let name = format!("Lucida {} ({})", env!("CARGO_PKG_VERSION"), cpu.isa().name());
    println!("{}", serde_json::json!({ "name": name, "ms": times }));
    Ok(())
}
