//! Batched passes of a network over variations of an image.

use crate::core::progress::{Progress, Step, Unit, report};
use crate::explain::ClassScore;
use crate::nn::{Inference, Network, Plan, PlanBuilder};
use crate::weights::Outputs;
use crate::{Cpu, Result};

/// The maximum number of activation values in a batch: 32 million, 128 MB.
const VALUES: usize = 1 << 25;
/// The maximum batch size; larger ones gain nothing.
const BATCH: usize = 64;

/// Reports the passes of the current stage.
pub(super) struct PassCounter<'a> {
    pub(super) progress: Box<dyn Progress + 'a>,
    /// The current stage: the name of a method, `deletion` or `insertion`.
    pub(super) stage: &'static str,
}

impl PassCounter<'_> {
    /// Without reports.
    pub(super) fn silent() -> Self {
        Self { progress: Box::new(()), stage: "" }
    }

    /// Reports `done` of `total` passes; `total` may be an estimate.
    pub(super) fn report(&mut self, done: usize, total: usize) -> Result<()> {
        report(&mut *self.progress, &Step::new(Unit::Passes, done, total).stage(self.stage))
    }
}

/// Reads the score and the probability of a class from the outputs of the network.
#[derive(Debug, Clone)]
pub(super) struct Readout {
    pub(super) score: ClassScore,
    class: usize,
    outputs: Outputs,
}

impl Readout {
    pub(super) fn of(outputs: &Outputs, class: usize) -> Result<Self> {
        Ok(Self { score: ClassScore::of_outputs(outputs, class)?, class, outputs: outputs.clone() })
    }

    /// The score of one sample.
    pub(super) fn score(&self, row: &[f32]) -> f32 {
        self.score.read(row).next().unwrap_or(f32::NAN)
    }

    /// The probability of the class for one sample; for a regression, the value itself.
    pub(super) fn probability(&self, row: &[f32]) -> f32 {
        self.outputs.of_scores(row)[self.class]
    }
}

/// Batched forward passes, to the values before the last activation.
pub(super) struct Scorer<'a> {
    inference: Inference<'a>,
}

impl<'a> Scorer<'a> {
    pub(super) fn new(network: &'a Network, outputs: &Outputs, cpu: Cpu) -> Result<Self> {
        let largest = network.nodes().iter().map(|node| node.shape().len()).max().unwrap_or(1);
        let plan = Plan::builder(network).cpu(cpu).batch_size(batch(largest)).output(outputs.score_point());
        Ok(Self { inference: Inference::new(plan)? })
    }

    /// Runs `count` images: `fill` writes image `i`, and `each` receives its outputs.
    pub(super) fn run(
        &mut self,
        count: usize,
        passes: &mut PassCounter<'_>,
        mut fill: impl FnMut(usize, &mut [f32]),
        mut each: impl FnMut(usize, &[f32]),
    ) -> Result<()> {
        passes.report(0, count)?;
        let batch = self.inference.batch_size();
        self.inference.each(
            count,
            |index, input| {
                fill(index, input);
                Ok(())
            },
            |index, row| {
                each(index, row);
                let done = index + 1;
                if done == count || done.is_multiple_of(batch) { passes.report(done, count) } else { Ok(()) }
            },
        )
    }
}

/// Batched forward and backward passes, to the gradients of a score.
pub(super) struct Gradients {
    plan: Plan,
    units: usize,
}

/// The result of [`Gradients`] for one image.
pub(super) struct ScoreGradient<'a> {
    /// The values before the last activation.
    pub(super) row: &'a [f32],
    /// The gradient of the score with respect to the input.
    pub(super) gradient: &'a [f32],
}

impl Gradients {
    pub(super) fn new(network: &Network, outputs: &Outputs, cpu: Cpu) -> Result<Self> {
        let all: usize = network.nodes().iter().map(|node| node.shape().len()).fold(0, usize::saturating_add);
        let plan = plan_back(network, outputs, cpu, batch(all)).input_gradient().build_up_to()?;
        Ok(Self { plan, units: outputs.units() })
    }

    /// Runs `count` images, starting at `offset` of `total` in the progress: `fill` writes image `i`, counted from 0, and
    /// `each` receives its gradient.
    pub(super) fn run(
        &mut self,
        network: &Network,
        readout: &Readout,
        count: usize,
        passes: &mut PassCounter<'_>,
        mut fill: impl FnMut(usize, &mut [f32]),
        mut each: impl FnMut(usize, ScoreGradient),
    ) -> Result<()> {
        passes.report(0, count)?;
        let mut first = 0;
        while first < count {
            let batch = self.plan.capacity().min(count - first);
            self.plan.set_batch(batch);
            let input = self.plan.input_mut();
            let len = input.len() / batch;
            input.chunks_exact_mut(len).enumerate().for_each(|(i, input)| fill(first + i, input));
            self.plan.forward(network)?;
            readout.score.write_gradient(self.plan.grad_output_mut(0));
            self.plan.backward(network);
            let rows = self.plan.output(0).chunks_exact(self.units);
            let gradients = self.plan.input_gradient().unwrap_or_default().chunks_exact(len);
            rows.zip(gradients)
                .enumerate()
                .for_each(|(i, (row, gradient))| each(first + i, ScoreGradient { row, gradient }));
            first += batch;
            passes.report(first, count)?;
        }
        Ok(())
    }
}

/// A plan whose output 0 is the score of a class, and whose backward pass starts from the same tensor.
pub(super) fn plan_back<'a>(network: &'a Network, outputs: &Outputs, cpu: Cpu, batch: usize) -> PlanBuilder<'a> {
    let point = outputs.score_point();
    Plan::builder(network).cpu(cpu).batch_size(batch).exact(true).output(point.clone()).grad_output_at(point)
}

/// The number of samples of `values` values each that fit in a batch.
fn batch(values: usize) -> usize {
    (VALUES / values.max(1)).clamp(1, BATCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_stay_within_memory() {
        assert_eq!(batch(20_000), 64);
        assert_eq!(batch(224 * 224 * 64), 10);
        assert_eq!(batch(usize::MAX), 1);
    }
}
