//! Times steps of style transfer: VGG19 to block5_conv2 with random weights, five Gram losses and one of content, the
//! gradient of the picture, Adam. Prints the milliseconds as JSON: the side of Lucida in `bench/run`.
//! `cargo run --release --example style_step [-- SIZE [THREADS]]`.

use std::time::Instant;

use lucida::Cpu;
use lucida::nn::{Plan, zoo};
use lucida_kernels::ops::{AdamStep, adam};
use lucida_kernels::{Conv2d, Conv2dGradients, Conv2dShape};

const WARM_UP: usize = 2;
const STEPS: usize = 8;
const STYLE: [&str; 5] = ["block1_conv1", "block2_conv1", "block3_conv1", "block4_conv1", "block5_conv1"];
const CONTENT: &str = "block5_conv2";

/// The Gram matrix of a layer and the gradient of its loss: both products with the features as a matrix.
struct Gram {
    channels: usize,
    pixels: usize,
    product: Conv2d,
    gram: Vec<f32>,
    target: Vec<f32>,
}

impl Gram {
    fn new(cpu: Cpu, channels: usize, pixels: usize) -> Self {
        let gradients = Conv2dGradients { input: false, kernel: true };
        let product = Conv2d::new(cpu, Conv2dShape::dense(channels, channels), pixels, gradients);
        let gram = vec![0.0; channels * channels];
        Self { channels, pixels, product, target: gram.clone(), gram }
    }

    /// `sum((G - T)^2) / (4 N^2 M^2)` with `G = F^T F`, and its gradient `F (G - T) / (N^2 M^2)`.
    fn loss(&mut self, features: &[f32], gradient: &mut [f32]) -> f64 {
        self.product.backward_kernel(self.pixels, features, features, &mut self.gram);
        let scale = 1.0 / ((self.channels * self.channels) as f64 * (self.pixels * self.pixels) as f64);
        let mut sum = 0.0;
        for (g, t) in self.gram.iter_mut().zip(&self.target) {
            let difference = f64::from(*g - t);
            sum += difference * difference;
            *g = (difference * scale) as f32;
        }
        self.product.set_kernel(&self.gram);
        self.product.forward(self.pixels, features, None, false, gradient);
        0.25 * scale * sum
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let size: usize = arguments.next().map_or(Ok(512), |text| text.parse())?;
    let mut cpu = Cpu::from_env()?;
    if let Some(threads) = arguments.next() {
        cpu = cpu.with_threads(threads.parse()?);
    }
    let options = zoo::Options::without_top().size(size, size).seed(42);
    let mut network = zoo::find("vgg19")?.build(&options)?.cut(CONTENT)?;
    for weight in network.weights_mut() {
        // He's variance keeps the features alive through all the layers.
        if weight.name().ends_with("kernel") {
            weight.values_mut().iter_mut().for_each(|value| *value *= 1.4);
        }
    }
    let mut builder = Plan::builder(&network).cpu(cpu).input_gradient().exact(false);
    for layer in STYLE.iter().chain([&CONTENT]) {
        builder = builder.output(*layer).seed(*layer);
    }
    let mut plan = builder.build()?;
    let picture: Vec<f32> = (0..size * size * 3).map(|i| (i * 7919 % 1009) as f32 / 4.0 - 126.0).collect();
    let mut grams: Vec<Gram> = (0..STYLE.len())
        .map(|index| {
            let channels = plan.output_shape(index).channels();
            Gram::new(cpu, channels, plan.output_shape(index).len() / channels)
        })
        .collect();
    plan.input_mut().copy_from_slice(&picture);
    plan.forward(&network)?;
    let content = plan.output(STYLE.len()).to_vec();
    let [mut first, mut second] = [vec![0.0; picture.len()], vec![0.0; picture.len()]];
    let mut pixels = picture;

    let mut times = Vec::new();
    let timed = std::env::var_os("PROFILE").is_some();
    plan.set_timed(timed);
    let mut gram_time = 0.0;
    for step in 0..WARM_UP + STEPS {
        let start = Instant::now();
        plan.input_mut().copy_from_slice(&pixels);
        plan.forward(&network)?;
        let grams_start = Instant::now();
        let mut loss = 0.0;
        for (index, gram) in grams.iter_mut().enumerate() {
            let (features, gradient) = plan.output_and_seed_mut(index, index);
            loss += gram.loss(features, gradient);
        }
        let (features, gradient) = plan.output_and_seed_mut(STYLE.len(), STYLE.len());
        for ((g, y), t) in gradient.iter_mut().zip(features).zip(&content) {
            *g = 1e-3 * (y - t);
            loss += 0.5e-3 * f64::from(y - t).powi(2);
        }
        gram_time += grams_start.elapsed().as_secs_f64() * 1e3;
        plan.backward(&network);
        let gradient = plan.input_gradient().ok_or("the gradient of the picture was asked for")?;
        let rate = AdamStep { rate: 1.0, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, keep: 1.0 };
        adam(cpu, rate, &mut pixels, gradient, &mut first, &mut second);
        assert!(loss.is_finite());
        if step >= WARM_UP {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    if timed {
        for step in plan.profile() {
            let back = step.backward_input.map_or(0.0, |pass| pass.seconds * 1e3);
            eprintln!(
                "{:30} {:8.3} gate {:7.3} back {back:8.3}",
                step.name,
                step.forward.seconds * 1e3,
                step.gate * 1e3
            );
        }
        eprintln!("losses {:.3}", gram_time / (WARM_UP + STEPS) as f64);
    }
    let name = format!("Lucida {} ({})", env!("CARGO_PKG_VERSION"), cpu.isa().name());
    println!("{}", serde_json::json!({ "name": name, "ms": times, "mb": peak_memory() }));
    Ok(())
}

/// The most memory this process has had, in MB, where the system tells.
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1e3)
}
