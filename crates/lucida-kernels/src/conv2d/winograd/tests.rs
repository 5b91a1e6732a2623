//! What the tests of all convolutions do not cover: the choice of blocks does not matter, and precision is bounded.

use super::blocks::{Blocks, Sharing};
use super::grid::{Grid, TileHeight};
use super::kernels::KernelLayout;
use super::tiles::Patches;
use super::*;
use crate::conv2d::algorithm::Algorithm;
use crate::conv2d::pass::ConvEpilogue;
use crate::conv2d::switches::Source;
use crate::conv2d::tests::{numbers, prepare, products, same};
use crate::ops::Pointwise;
use crate::simd::Isa;
use crate::{Buffer, Conv2dShape, Cpu};

fn plans(height: TileHeight) -> impl Iterator<Item = Blocks> {
    let positions = height.positions();
    [Sharing::Blocks, Sharing::Stages]
        .into_iter()
        .flat_map(move |sharing| [1, 5, 14, 1000].map(|tiles| Blocks { sharing, positions, tiles }))
}

/// Every instruction set, tile height, number of threads and block plan.
fn ways() -> impl Iterator<Item = (Cpu, TileHeight, Blocks)> {
    Isa::available().into_iter().flat_map(|isa| {
        TileHeight::ALL.into_iter().flat_map(move |height| {
            [1, 2, 3].into_iter().flat_map(move |threads| {
                let cpu = Cpu::detect().with_isa(isa).with_threads(threads);
                plans(height).map(move |blocks| (cpu, height, blocks))
            })
        })
    })
}

#[test]
fn any_plan_of_blocks_gives_the_same_bits() {
    let shape = same(13, 9, 20, 37, [3, 3], [1, 1]);
    let batch = 3;
    let (input, kernel, bias) =
        (numbers(batch * shape.input_len(), 1), numbers(shape.kernel_len(), 2), numbers(shape.filters, 3));
    let mut first: Option<(Isa, TileHeight, Vec<u32>)> = None;
    for (cpu, height, blocks) in ways() {
        let layout = KernelLayout::forward(shape.channels, shape.filters);
        let grid = Grid::of(height, shape.output);
        let patches = Patches { grid, size: [13, 9], channels: shape.channels, padding: shape.padding };
        let mut pass = WinogradPass::new(cpu, patches, shape.output, layout, blocks);
        pass.set_kernel(cpu, &kernel);
        pass.watch.set(true);
        let mut workspace = Buffer::zeroed(pass.workspace_len(cpu));
        workspace.fill(f32::NAN);
        let mut output = vec![f32::NAN; batch * shape.output_len()];
        let finish = ConvEpilogue {
            accumulate: false,
            scale: None,
            bias: Some(&bias),
            residual: None,
            activation: Some(Pointwise::Relu),
            pool: None,
            gate: None,
            added: None,
        };
        pass.run(cpu, batch, Source::plain(&input), &mut output, finish, &mut workspace);
        check_watch(&pass.watch, cpu, grid, batch);
        let bits: Vec<u32> = output.iter().map(|x| x.to_bits()).collect();
        match &first {
            Some((isa, tiles, expected)) if (*isa, *tiles) == (cpu.isa(), height) => {
                assert!(*expected == bits, "{blocks:?} on {} threads", cpu.threads());
            }
            _ => first = Some((cpu.isa(), height, bits)),
        }
    }
}

#[test]
fn any_plan_of_blocks_gives_the_gradient_of_the_kernel() {
    let shape = same(13, 9, 20, 37, [3, 3], [1, 1]);
    let batch = 3;
    let (input, grad_output) = (numbers(batch * shape.input_len(), 1), numbers(batch * shape.output_len(), 2));
    let mut expected = vec![0.0; shape.kernel_len()];
    products(&shape, batch, |o, i, k| expected[k] += f64::from(grad_output[o]) * f64::from(input[i]));
    for (cpu, height, blocks) in ways() {
        let grid = Grid::of(height, shape.output);
        let mut pass = WinogradKernelGradient::with_blocks(cpu, &shape, grid, blocks);
        let mut workspace = Buffer::zeroed(pass.workspace_len(cpu));
        workspace.fill(f32::NAN);
        let mut grad_kernel = vec![f32::NAN; expected.len()];
        for _ in 0..2 {
            pass.watch.set(true);
            pass.run(cpu, batch, &input, Source::plain(&grad_output), &mut grad_kernel, false, &mut workspace);
            check_watch(&pass.watch, cpu, grid, batch);
            let error = error(&grad_kernel, &expected);
            assert!(error < most(height), "{height:?}, {blocks:?} on {} threads: {error:e}", cpu.threads());
        }
    }
}

/// Checks that every product of the tiles is counted once, for 20 channels and 37 filters padded to whole vectors, and
/// timed.
fn check_watch(watch: &ProductTimer, cpu: Cpu, grid: Grid, batch: usize) {
    let products = grid.height.positions() * grid.tiles() * batch * 20 * 37_usize.next_multiple_of(cpu.isa().lanes());
    let [operations, seconds] = watch.total();
    assert_eq!(operations, (2 * products) as f64, "{grid:?} on {} threads", cpu.threads());
    assert!(seconds > 0.0);
}

/// Root mean square error, relative to the root mean square of the values.
fn error(actual: &[f32], expected: &[f64]) -> f64 {
    let errors: f64 = actual.iter().zip(expected).map(|(&a, &e)| (f64::from(a) - e).powi(2)).sum();
    (errors / expected.iter().map(|e| e * e).sum::<f64>()).sqrt()
}

/// The allowed error. With the points 1 and 2, tiles of four rows would have an error of 1.8e-6, and tiles of six rows
/// twice that of the chosen points.
fn most(height: TileHeight) -> f64 {
    match height {
        TileHeight::Four => 1e-6,
        TileHeight::Six => 2e-6,
    }
}

/// Errors of the forward pass, input gradient and kernel gradient.
fn errors(algorithm: Algorithm, cpu: Cpu, shape: Conv2dShape, batch: usize) -> [f64; 3] {
    let (input, kernel) = (numbers(batch * shape.input_len(), 1), numbers(shape.kernel_len(), 2));
    let grad_output = numbers(batch * shape.output_len(), 3);
    let mut expected = [vec![0.0; grad_output.len()], vec![0.0; input.len()], vec![0.0; kernel.len()]];
    products(&shape, batch, |o, i, k| {
        expected[0][o] += f64::from(input[i]) * f64::from(kernel[k]);
        expected[1][i] += f64::from(grad_output[o]) * f64::from(kernel[k]);
        expected[2][k] += f64::from(grad_output[o]) * f64::from(input[i]);
    });
    let mut conv = prepare(algorithm, cpu, shape, batch);
    conv.set_kernel(&kernel);
    let mut actual = [vec![0.0; grad_output.len()], vec![0.0; input.len()], vec![0.0; kernel.len()]];
    conv.forward(batch, &input, None, false, &mut actual[0]);
    conv.backward_input(batch, &grad_output, &mut actual[1], false);
    conv.backward_kernel(batch, &input, &grad_output, &mut actual[2]);
    std::array::from_fn(|pass| error(&actual[pass], &expected[pass]))
}

#[test]
fn few_digits_are_lost() {
    for (size, height) in [([16, 16], TileHeight::Four), ([12, 12], TileHeight::Six), ([14, 14], TileHeight::Six)] {
        let shape = same(size[0], size[1], 64, 64, [3, 3], [1, 1]);
        let grids = TileMix::choose(&shape).grids(size);
        assert!(grids.iter().any(|grid| grid.height == height), "{size:?}");
        for isa in Isa::available() {
            let cpu = Cpu::detect().with_isa(isa);
            let [forward, input, kernel] = errors(Algorithm::Winograd, cpu, shape, 1);
            assert!(
                forward.max(input).max(kernel) < most(height),
                "{}: {forward:e}, {input:e}, {kernel:e}",
                isa.name()
            );
        }
    }
}

#[test]
#[ignore = "a measurement"]
fn accuracy() {
    let cpu = Cpu::from_env().unwrap();
    println!("{}: error forward, back to the input, back to the kernel", cpu.isa().name());
    for (channels, side) in [(64, 16), (64, 12), (512, 8), (512, 6)] {
        for algorithm in [Algorithm::Direct, Algorithm::Winograd] {
            let shape = same(side, side, channels, channels, [3, 3], [1, 1]);
            let [forward, input, kernel] = errors(algorithm, cpu, shape, 1);
            println!("{channels:3} channels, {algorithm:?}: {forward:.2e} {input:.2e} {kernel:.2e}");
        }
    }
}
