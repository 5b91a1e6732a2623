//! Times the convolutions of well-known networks, layer by layer and pass by pass.
//!
//! `cargo run --release -p lucida-kernels --example layers -- [mnist|cats|vgg|inception|resnet|mobilenet] [LAYER]`

use std::time::Instant;

use lucida_kernels::{Conv2d, Conv2dGradients, Conv2dShape, Cpu};

/// A convolution with "same" or "valid" padding.
fn conv(size: usize, channels: usize, filters: usize, kernel: [usize; 2], stride: usize, same: bool) -> Conv2dShape {
    let output = kernel.map(|k| if same { size.div_ceil(stride) } else { (size - k) / stride + 1 });
    let axis = |i: usize| if same { ((output[i] - 1) * stride + kernel[i]).saturating_sub(size) / 2 } else { 0 };
    let padding = [axis(0), axis(1)];
    Conv2dShape {
        height: size,
        width: size,
        channels,
        filters,
        kernel,
        strides: [stride; 2],
        dilation: [1, 1],
        groups: 1,
        padding,
        output,
    }
}

struct Layer {
    name: &'static str,
    shape: Conv2dShape,
    pool: bool,
    /// Whether to time the gradient with respect to the input.
    input: bool,
}

fn layer(name: &'static str, shape: Conv2dShape, pool: bool, input: bool) -> Layer {
    Layer { name, shape, pool, input }
}

fn layers(network: &str) -> (Vec<Layer>, usize, bool) {
    let three = [3, 3];
    let batch = |usual: usize| std::env::var("BATCH").map_or(usual, |text| text.parse().expect("a number of images"));
    match network {
        "cats" => {
            let valid = |size, channels, filters| conv(size, channels, filters, three, 1, false);
            let layers = vec![
                layer("conv1", valid(150, 3, 32), true, false),
                layer("conv2", valid(74, 32, 64), true, true),
                layer("conv3", valid(36, 64, 128), true, true),
                layer("dense1", Conv2dShape::dense(17 * 17 * 128, 128), false, true),
            ];
            (layers, 32, true)
        }
        "vgg" => {
            let same = |size, channels, filters| conv(size, channels, filters, three, 1, true);
            let size: usize = std::env::var("SIZE").map_or(512, |text| text.parse().expect("a size"));
            let layers = vec![
                layer("1_1", same(size, 3, 64), false, true),
                layer("1_2", same(size, 64, 64), true, true),
                layer("2_1", same(size / 2, 64, 128), false, true),
                layer("2_2", same(size / 2, 128, 128), true, true),
                layer("3_1", same(size / 4, 128, 256), false, true),
                layer("3_2", same(size / 4, 256, 256), false, true),
                layer("3_3", same(size / 4, 256, 256), false, true),
                layer("3_4", same(size / 4, 256, 256), true, true),
                layer("4_1", same(size / 8, 256, 512), false, true),
                layer("4_2", same(size / 8, 512, 512), false, true),
                layer("4_3", same(size / 8, 512, 512), false, true),
                layer("4_4", same(size / 8, 512, 512), true, true),
                layer("5_1", same(size / 16, 512, 512), false, true),
                layer("5_2", same(size / 16, 512, 512), false, true),
            ];
            (layers, 1, false)
        }
        "inception" => {
            let same = |size, channels, filters, kernel| conv(size, channels, filters, kernel, 1, true);
            let layers = vec![
                layer("stem1 3x3/2", conv(150, 3, 32, three, 2, false), false, false),
                layer("stem2 3x3", conv(74, 32, 32, three, 1, false), false, false),
                layer("stem3 3x3", same(72, 32, 64, three), false, false),
                layer("stem4 1x1", same(35, 64, 80, [1, 1]), false, false),
                layer("stem5 3x3", conv(35, 80, 192, three, 1, false), false, false),
                layer("1x1 192>64", same(16, 192, 64, [1, 1]), false, false),
                layer("5x5 48>64", same(16, 48, 64, [5, 5]), false, false),
                layer("3x3 64>96", same(16, 64, 96, three), false, false),
                layer("3x3 96>96", same(16, 96, 96, three), false, false),
                layer("3x3/2 288>384", conv(16, 288, 384, three, 2, false), false, false),
                layer("1x1 768>192", same(7, 768, 192, [1, 1]), false, false),
                layer("1x7 160>160", same(7, 160, 160, [1, 7]), false, false),
                layer("7x1 160>192", same(7, 160, 192, [7, 1]), false, false),
            ];
            (layers, 32, false)
        }
        "resnet" => {
            let same =
                |size, channels, filters, kernel, stride| conv(size, channels, filters, [kernel; 2], stride, true);
            let layers = vec![
                layer("1x1 56 64>64", same(56, 64, 64, 1, 1), false, false),
                layer("1x1 56 64>256", same(56, 64, 256, 1, 1), false, false),
                layer("1x1 56 256>64", same(56, 256, 64, 1, 1), false, false),
                layer("1x1/2 56 256>512", same(56, 256, 512, 1, 2), false, false),
                layer("1x1 28 128>512", same(28, 128, 512, 1, 1), false, false),
                layer("1x1 28 512>128", same(28, 512, 128, 1, 1), false, false),
                layer("1x1 14 256>1024", same(14, 256, 1024, 1, 1), false, false),
                layer("1x1 14 1024>256", same(14, 1024, 256, 1, 1), false, false),
                layer("1x1 7 512>2048", same(7, 512, 2048, 1, 1), false, false),
                layer("1x1 7 2048>512", same(7, 2048, 512, 1, 1), false, false),
                layer("3x3/2 56 128", same(56, 128, 128, 3, 2), false, false),
                layer("3x3/2 28 256", same(28, 256, 256, 3, 2), false, false),
                layer("3x3/2 14 512", same(14, 512, 512, 3, 2), false, false),
                layer("3x3 14 256", same(14, 256, 256, 3, 1), false, false),
                layer("3x3 7 512", same(7, 512, 512, 3, 1), false, false),
                layer("fc 2048>1000", Conv2dShape::dense(2048, 1000), false, false),
            ];
            (layers, batch(1), false)
        }
        "mobilenet" => {
            let pixels = |size, channels, filters| conv(size, channels, filters, [1, 1], 1, true);
            let depthwise = |size, channels, kernel, stride| Conv2dShape {
                groups: channels,
                ..conv(size, channels, channels, [kernel; 2], stride, true)
            };
            let layers = vec![
                layer("3x3/2 224 3>32", conv(224, 3, 32, three, 2, true), false, false),
                layer("dw 3x3 112 32", depthwise(112, 32, 3, 1), false, false),
                layer("1x1 112 32>16", pixels(112, 32, 16), false, false),
                layer("1x1 112 16>96", pixels(112, 16, 96), false, false),
                layer("dw 3x3/2 112 96", depthwise(112, 96, 3, 2), false, false),
                layer("1x1 56 24>144", pixels(56, 24, 144), false, false),
                layer("dw 3x3 56 144", depthwise(56, 144, 3, 1), false, false),
                layer("1x1 56 144>24", pixels(56, 144, 24), false, false),
                layer("dw 5x5 28 240", depthwise(28, 240, 5, 1), false, false),
                layer("dw 3x3 14 384", depthwise(14, 384, 3, 1), false, false),
                layer("1x1 14 384>64", pixels(14, 384, 64), false, false),
                layer("1x1 14 96>576", pixels(14, 96, 576), false, false),
                layer("dw 3x3 7 960", depthwise(7, 960, 3, 1), false, false),
                layer("dw 5x5 7 1152", depthwise(7, 1152, 5, 1), false, false),
                layer("1x1 7 960>160", pixels(7, 960, 160), false, false),
                layer("1x1 7 160>960", pixels(7, 160, 960), false, false),
                layer("1x1 7 320>1280", pixels(7, 320, 1280), false, false),
                layer("dw 7x7 56 96", depthwise(56, 96, 7, 1), false, false),
            ];
            (layers, batch(1), false)
        }
        _ => {
            let same = |size, channels, filters| conv(size, channels, filters, three, 1, true);
            let layers = vec![
                layer("conv1", same(28, 1, 24), true, false),
                layer("conv2", same(14, 24, 48), true, true),
                layer("conv3", same(7, 48, 64), true, true),
                layer("dense1", Conv2dShape::dense(576, 128), false, true),
                layer("dense2", Conv2dShape::dense(128, 10), false, true),
            ];
            (layers, 256, true)
        }
    }
}

/// The 10th percentile of the run times: the one least disturbed by other processes.
fn tenth(rounds: usize, mut run: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..=rounds)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64() * 1e3
        })
        .skip(1)
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 10]
}

fn main() {
    let cpu = Cpu::from_env().expect("the environment names a processor");
    let mut arguments = std::env::args().skip(1);
    let network = arguments.next().unwrap_or_default();
    let only = arguments.next().unwrap_or_default();
    let (layers, batch, kernels) = layers(&network);
    let mut totals = [0.0; 4];
    println!("{} with {} threads; ms (GFLOP/s of the direct algorithm)", cpu.isa().name(), cpu.threads());
    for Layer { name, shape, pool, input } in layers.into_iter().filter(|layer| layer.name.contains(&only)) {
        let gradients = Conv2dGradients { input, kernel: kernels };
        let mut layer = match pool {
            true => Conv2d::pooled(cpu, shape, batch, gradients, false),
            false => Conv2d::new(cpu, shape, batch, gradients),
        };
        let numbers = |len: usize| (0..len).map(|i| (i * 7919 % 1009) as f32 / 1009.0 - 0.5).collect::<Vec<_>>();
        let (x, k, b) = (numbers(batch * shape.input_len()), numbers(shape.kernel_len()), numbers(shape.filters));
        let [rows, columns] = shape.output.map(|n| if pool { n / 2 } else { n });
        let mut y = numbers(batch * rows * columns * shape.filters);
        let (mut dx, mut dk, mut db) = (x.clone(), k.clone(), b.clone());
        let gflop = 2e-6 * (batch * shape.output[0] * shape.output[1] * shape.kernel_len()) as f64;
        let rounds = ((60_000.0 / gflop) as usize).clamp(3, 301);
        let mut workspace = vec![0.0; lucida_kernels::ops::sum_rows_workspace(cpu, shape.filters)];
        let pack = tenth(rounds, || layer.set_kernel(&k));
        let forward = tenth(rounds, || layer.forward(batch, &x, Some(&b), true, &mut y));
        let back = if input { tenth(rounds, || layer.backward_input(batch, &y, &mut dx, false)) } else { 0.0 };
        let weights = if kernels { tenth(rounds, || layer.backward_kernel(batch, &x, &y, &mut dk)) } else { 0.0 };
        let bias =
            if kernels { tenth(rounds, || layer.backward_bias(batch, &y, &mut db, &mut workspace)) } else { 0.0 };
        println!(
            "{name:16} pack {pack:7.3}  forward {forward:8.3} ({:4.0})  to input {back:8.3} ({:4.0})  to kernel {weights:8.3} ({:4.0})  to bias {bias:6.3}",
            gflop / forward,
            gflop / back,
            gflop / weights,
        );
        for (total, part) in totals.iter_mut().zip([if kernels { pack } else { 0.0 }, forward, back, weights + bias]) {
            *total += part;
        }
    }
    println!(
        "total: pack {:.2}, forward {:.2}, to input {:.2}, to weights {:.2}: {:.2} ms",
        totals[0],
        totals[1],
        totals[2],
        totals[3],
        totals.iter().sum::<f64>()
    );
}
