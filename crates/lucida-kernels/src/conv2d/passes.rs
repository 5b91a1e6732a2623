//! The passes of a convolution, with any algorithm.

use crate::cpu::{Cpu, SharedMut};

use super::col2im::Col2ImPass;
use super::depthwise::DepthwisePass;
use super::depthwise_gradient::DepthwiseGradient;
use super::kernel_gradient::KernelGradient;
use super::pass::{ConvEpilogue, Pass};
use super::switches::Source;
use super::winograd::{WinogradKernelGradient, WinogradPass};

/// The forward pass or the input gradient.
#[derive(Debug)]
pub(super) enum Correlation {
    /// One pass for the output; one pass per class of pixels for the input gradient.
    Direct(Vec<Pass>),
    /// One pass per grid of tiles.
    Winograd(Vec<WinogradPass>),
    /// Input gradient only.
    Col2Im(Box<Col2ImPass>),
    /// One pass for the output; one pass per class of pixels for the input gradient.
    Depthwise(Vec<DepthwisePass>),
}

impl Correlation {
    pub(super) fn run(
        &self,
        cpu: Cpu,
        batch: usize,
        source: Source,
        target: &mut [f32],
        finish: ConvEpilogue,
        workspace: &mut [f32],
    ) {
        match self {
            Self::Direct(passes) => {
                for pass in passes {
                    pass.run(cpu, batch, source, target, finish, workspace);
                }
            }
            // Applies `added` itself.
            Self::Winograd(passes) => {
                return passes.iter().for_each(|pass| pass.run(cpu, batch, source, target, finish, workspace));
            }
            Self::Col2Im(pass) => pass.run(cpu, batch, source, target, finish, workspace),
            Self::Depthwise(passes) => {
                for pass in passes {
                    pass.run(cpu, batch, source.values, target, finish, workspace);
                }
            }
        }
        if let Some(added) = finish.added {
            added.map.run_all(added.to(&SharedMut::new(target)));
        }
    }

    pub(super) fn workspace_len(&self, cpu: Cpu, batch: usize) -> usize {
        match self {
            Self::Direct(passes) => {
                let scratch = passes.iter().map(Pass::scratch_len).max().unwrap_or(0);
                scratch.next_multiple_of(16) * cpu.threads()
            }
            Self::Winograd(passes) => passes.iter().map(|pass| pass.workspace_len(cpu)).max().unwrap_or(0),
            Self::Col2Im(pass) => pass.scratch_len().next_multiple_of(16) * cpu.threads(),
            Self::Depthwise(passes) => {
                let scratch = passes.iter().map(|pass| pass.scratch_len(cpu, batch)).max().unwrap_or(0);
                scratch.next_multiple_of(16) * cpu.threads()
            }
        }
    }
}

/// The kernel gradient.
#[derive(Debug)]
pub(super) enum KernelPass {
    Direct(KernelGradient),
    /// The gradients of all grids of tiles are added up.
    Winograd(Vec<WinogradKernelGradient>),
    Depthwise(DepthwiseGradient),
}

impl KernelPass {
    pub(super) fn workspace_len(&self, cpu: Cpu) -> usize {
        match self {
            Self::Direct(gradient) => gradient.scratch_len().next_multiple_of(16) * cpu.threads(),
            Self::Depthwise(gradient) => gradient.scratch_len().next_multiple_of(16) * cpu.threads(),
            Self::Winograd(passes) => passes.iter().map(|pass| pass.workspace_len(cpu)).max().unwrap_or(0),
        }
    }
}
