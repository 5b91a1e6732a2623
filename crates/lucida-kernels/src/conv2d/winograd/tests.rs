//! What the tests of all convolutions cannot see: that the plan of blocks does not matter, and how many digits are lost.

use super::blocks::{Blocks, Sharing};
use super::kernels::KernelLayout;
use super::*;
use crate::conv2d::algorithm::Algorithm;
use crate::conv2d::pass::Finish;
use crate::conv2d::switches::Source;
use crate::conv2d::tests::{numbers, prepare, products, same};
use crate::simd::Isa;
use crate::{Buffer, Conv2dShape, Cpu};

fn plans() -> impl Iterator<Item = Blocks> {
    [Sharing::Blocks, Sharing::Stages]
        .into_iter()
        .flat_map(|sharing| [1, 5, 14, 1000].map(|tiles| Blocks { sharing, tiles }))
}

#[test]
fn any_plan_of_blocks_gives_the_same_bits() {
    let shape = same(13, 9, 20, 37, [3, 3], [1, 1]);
    let batch = 3;
    let (input, kernel, bias) =
        (numbers(batch * shape.input_len(), 1), numbers(shape.kernel_len(), 2), numbers(shape.filters, 3));
    for isa in Isa::available() {
        let mut first: Option<Vec<u32>> = None;
        for (threads, blocks) in [1, 2, 3].into_iter().flat_map(|threads| plans().map(move |plan| (threads, plan))) {
            let cpu = Cpu::detect().with_isa(isa).with_threads(threads);
            let layout = KernelLayout::forward(shape.channels, shape.filters);
            let mut pass = WinogradPass::new(cpu, [13, 9], shape.padding, shape.output, layout, blocks);
            pass.set_kernel(cpu, &kernel);
            let mut workspace = Buffer::zeroed(pass.workspace_len(cpu));
            workspace.fill(f32::NAN);
            let mut output = vec![f32::NAN; batch * shape.output_len()];
            let finish =
                Finish { accumulate: false, scale: None, bias: Some(&bias), relu: true, pool: None, gate: None };
            pass.run(cpu, batch, Source::plain(&input), &mut output, finish, &mut workspace);
            let bits: Vec<u32> = output.iter().map(|x| x.to_bits()).collect();
            assert!(*first.get_or_insert_with(|| bits.clone()) == bits, "{blocks:?} on {threads} threads");
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
    for isa in Isa::available() {
        for (threads, blocks) in [1, 2, 3].into_iter().flat_map(|threads| plans().map(move |plan| (threads, plan))) {
            let cpu = Cpu::detect().with_isa(isa).with_threads(threads);
            let mut pass = WinogradKernelGradient::with_blocks(cpu, &shape, blocks);
            let mut workspace = Buffer::zeroed(pass.workspace_len(cpu));
            workspace.fill(f32::NAN);
            let mut grad_kernel = vec![f32::NAN; expected.len()];
            for _ in 0..2 {
                pass.run(cpu, batch, &input, Source::plain(&grad_output), &mut grad_kernel, &mut workspace);
                assert!(error(&grad_kernel, &expected) < 1e-6, "{blocks:?} on {threads} threads");
            }
        }
    }
}

/// The root of the mean square of the errors, relative to that of the values.
fn error(actual: &[f32], expected: &[f64]) -> f64 {
    let errors: f64 = actual.iter().zip(expected).map(|(&a, &e)| (f64::from(a) - e).powi(2)).sum();
    (errors / expected.iter().map(|e| e * e).sum::<f64>()).sqrt()
}

/// Errors forward, back to the input and back to the kernel.
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
    for isa in Isa::available() {
        let cpu = Cpu::detect().with_isa(isa);
        let shape = same(12, 12, 64, 64, [3, 3], [1, 1]);
        let [forward, input, kernel] = errors(Algorithm::Winograd, cpu, shape, 1);
        // With the points 1 and 2 the first is 1.8e-6.
        assert!(forward.max(input).max(kernel) < 1e-6, "{}: {forward:e}, {input:e}, {kernel:e}", isa.name());
    }
}

#[test]
#[ignore = "a measurement"]
fn accuracy() {
    let cpu = Cpu::from_env().unwrap();
    println!("{}: error forward, back to the input, back to the kernel", cpu.isa().name());
    for (channels, picture) in [(64, 16), (512, 8)] {
        for algorithm in [Algorithm::Direct, Algorithm::Winograd] {
            let shape = same(picture, picture, channels, channels, [3, 3], [1, 1]);
            let [forward, input, kernel] = errors(algorithm, cpu, shape, 1);
            println!("{channels:3} channels, {algorithm:?}: {forward:.2e} {input:.2e} {kernel:.2e}");
        }
    }
}
