//! Measurements behind the cost model and the figures in the documentation. Run one with
//!
//! ```text
//! cargo test --release -p lucida-kernels -- --ignored --nocapture --test-threads 1 measure::speed
//! ```

use std::time::Instant;

use super::tests::{numbers, prepare, same, valid};
use super::*;

/// Medians of the times of two functions, run alternately, in milliseconds.
fn medians(rounds: usize, mut run: [&mut dyn FnMut(); 2]) -> [f64; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..=rounds {
        for (run, times) in run.iter_mut().zip(&mut times) {
            let start = Instant::now();
            run();
            if round > 0 {
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    })
}

#[test]
#[ignore = "a measurement"]
fn speed() {
    let cpu = Cpu::from_env().unwrap();
    println!("{} with {} threads: milliseconds direct / Winograd = ratio", cpu.isa().name(), cpu.threads());
    let layers = [
        ("mnist conv2", same(14, 14, 24, 48, [3, 3], [1, 1]), 256),
        ("mnist conv3", same(7, 7, 48, 64, [3, 3], [1, 1]), 256),
        ("mnist conv2", same(14, 14, 24, 48, [3, 3], [1, 1]), 1),
        ("mnist conv3", same(7, 7, 48, 64, [3, 3], [1, 1]), 1),
        ("cats conv2", valid(74, 74, 32, 64, [3, 3], [1, 1]), 32),
        ("cats conv3", valid(36, 36, 64, 128, [3, 3], [1, 1]), 32),
        ("vgg 1_2", same(512, 512, 64, 64, [3, 3], [1, 1]), 1),
        ("vgg 2_1", same(256, 256, 64, 128, [3, 3], [1, 1]), 1),
        ("vgg 2_2", same(256, 256, 128, 128, [3, 3], [1, 1]), 1),
        ("vgg 3_1", same(128, 128, 128, 256, [3, 3], [1, 1]), 1),
        ("vgg 3_2", same(128, 128, 256, 256, [3, 3], [1, 1]), 1),
        ("vgg 4_1", same(64, 64, 256, 512, [3, 3], [1, 1]), 1),
        ("vgg 4_2", same(64, 64, 512, 512, [3, 3], [1, 1]), 1),
        ("vgg 5_1", same(32, 32, 512, 512, [3, 3], [1, 1]), 1),
    ];
    let only = std::env::var("LAYER").unwrap_or_default();
    for (name, shape, batch) in layers.into_iter().filter(|layer| layer.0.contains(&only)) {
        let Times { gflop, pack, passes } = compare(cpu, shape, batch);
        print!("{name:12} batch {batch:3}  pack {:6.3} / {:6.3}", pack[0], pack[1]);
        for (pass, [direct, winograd]) in ["forward", "dX", "dK"].into_iter().zip(passes) {
            print!(" | {pass} {direct:8.3} / {winograd:8.3} = {:4.2} ({:4.0} GF)", direct / winograd, gflop / winograd);
        }
        println!();
    }
}

/// Times of the direct and the Winograd algorithm, in milliseconds.
struct Times {
    /// Millions of operations of the direct algorithm; divided by milliseconds, this is GFLOP/s.
    gflop: f64,
    pack: [f64; 2],
    /// Forward, input gradient, kernel gradient.
    passes: [[f64; 2]; 3],
}

fn compare(cpu: Cpu, shape: Conv2dShape, batch: usize) -> Times {
    let gflop = 2e-6 * (batch * shape.output[0] * shape.output[1] * shape.kernel_len()) as f64;
    let rounds = ((3000.0 / gflop) as usize).clamp(5, 51);
    let (input, kernel) = (numbers(batch * shape.input_len(), 1), numbers(shape.kernel_len(), 2));
    let grad_output = numbers(batch * shape.output_len(), 4);
    let [mut a, mut b] = [Algorithm::Direct, Algorithm::Winograd].map(|x| prepare(x, cpu, shape, batch));
    let [mut out_a, mut out_b] = [grad_output.clone(), grad_output.clone()];
    let pack = medians(rounds, [&mut || a.set_kernel(&kernel), &mut || b.set_kernel(&kernel)]);
    let forward = medians(
        rounds,
        [&mut || a.forward(batch, &input, None, true, &mut out_a), &mut || {
            b.forward(batch, &input, None, true, &mut out_b);
        }],
    );
    let [mut out_a, mut out_b] = [input.clone(), input.clone()];
    let back = medians(
        rounds,
        [&mut || a.backward_input(batch, &grad_output, &mut out_a, false), &mut || {
            b.backward_input(batch, &grad_output, &mut out_b, false);
        }],
    );
    let [mut out_a, mut out_b] = [kernel.clone(), kernel.clone()];
    let weights = medians(
        rounds,
        [&mut || a.backward_kernel(batch, &input, &grad_output, &mut out_a), &mut || {
            b.backward_kernel(batch, &input, &grad_output, &mut out_b);
        }],
    );
    Times { gflop, pack, passes: [forward, back, weights] }
}

#[test]
#[ignore = "a measurement"]
fn crossover() {
    let cpu = Cpu::from_env().unwrap();
    println!("{} with {} threads: direct / Winograd, forward dX dK; ! a wrong choice", cpu.isa().name(), cpu.threads());
    let sizes = [1, 3, 4, 8, 12, 16, 24, 32, 48, 64];
    for (side, batch) in [(28, 8), (7, 32), (4, 1)] {
        println!("{side}x{side}, batch {batch}; rows channels, columns filters {sizes:?}");
        for channels in sizes {
            print!("{channels:3}");
            for filters in sizes {
                let shape = same(side, side, channels, filters, [3, 3], [1, 1]);
                let ratios = compare(cpu, shape, batch).passes.map(|[direct, winograd]| direct / winograd);
                let gradients = Conv2dGradients { input: true, kernel: false };
                let choice = Algorithms::choose(cpu, &shape, batch, gradients);
                let choices = [choice.forward, choice.backward_input, choice.backward_kernel];
                print!(" ");
                for (ratio, choice) in ratios.into_iter().zip(choices) {
                    let missed = if choice == Algorithm::Winograd { 1.0 / ratio } else { ratio };
                    print!(" {ratio:4.2}{}", if missed > 1.1 { '!' } else { ' ' });
                }
            }
            println!();
        }
    }
}
