//! Inference, batch by batch.

use std::slice::ChunksExact;

use super::{Plan, PlanBuilder};
use crate::nn::network::Network;
use crate::{Error, Result};

/// Runs a network forward on one batch after another: a [`Plan`] together with its network.
///
/// ```
/// use lucida::nn::{Inference, Plan, applications};
///
/// # fn main() -> lucida::Result<()> {
/// let network = applications::mnist_cnn(1)?;
/// let mut inference = Inference::new(Plan::builder(&network).batch_size(2))?;
/// let images = vec![0.5; 2 * 28 * 28];
/// let probabilities: Vec<&[f32]> = inference.run(2, &images)?.collect();
/// assert_eq!((probabilities.len(), probabilities[0].len()), (2, 10));
/// # Ok(())
/// # }
/// ```
pub struct Inference<'a> {
    network: &'a Network,
    plan: Plan,
}

impl<'a> Inference<'a> {
    /// Prepares a network for batches of up to [`PlanBuilder::batch_size`] samples, or of fewer if the
    /// [limit](crate::core::set_memory_limit) of the process requires that.
    ///
    /// # Errors
    /// As [`PlanBuilder::build`].
    pub fn new(builder: PlanBuilder<'a>) -> Result<Self> {
        Ok(Self { network: builder.network(), plan: builder.build_up_to()? })
    }

    /// As [`new`](Self::new), with the batch size that [`PlanBuilder::build_within`] chooses.
    ///
    /// # Errors
    /// As [`PlanBuilder::build`].
    pub fn within(builder: PlanBuilder<'a>, most: usize, memory: usize) -> Result<Self> {
        Ok(Self { network: builder.network(), plan: builder.build_within(most, memory)? })
    }

    /// The maximum batch size.
    pub fn batch_size(&self) -> usize {
        self.plan.capacity()
    }

    /// Runs a batch of `count` samples, whose inputs `[count, height, width, channels]` are written by `fill`, and returns
    /// the output of each sample.
    ///
    /// # Errors
    /// Those of `fill`; [`Error::Argument`] when the network does not have exactly one input.
    ///
    /// # Panics
    /// When the batch is empty or larger than [`batch_size`](Self::batch_size).
    pub fn batch(&mut self, count: usize, fill: impl FnOnce(&mut [f32]) -> Result<()>) -> Result<ChunksExact<'_, f32>> {
        self.plan.set_batch(count);
        fill(self.plan.input_mut())?;
        self.plan.forward(self.network)?;
        Ok(self.plan.output(0).chunks_exact(self.plan.output_shape(0).len()))
    }

    /// Runs a batch of `count` samples with these inputs `[count, height, width, channels]`, and returns the output of each
    /// sample.
    ///
    /// # Errors
    /// [`Error::Argument`] when the inputs do not have the input shape of the network.
    ///
    /// # Panics
    /// When the batch is empty or larger than [`batch_size`](Self::batch_size).
    pub fn run(&mut self, count: usize, inputs: &[f32]) -> Result<ChunksExact<'_, f32>> {
        let len = self.network.input_shape()?.len();
        if inputs.len() != count * len {
            return Err(Error::argument(match count {
                1 => format!("an image of {} values for a network that takes {len}", inputs.len()),
                _ => format!("{} values for {count} samples of {len} values each", inputs.len()),
            }));
        }
        self.batch(count, |to| {
            to.copy_from_slice(inputs);
            Ok(())
        })
    }

    /// As [`run`](Self::run), if the plan has several outputs: see [`output`](Self::output).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn forward(&mut self, count: usize, inputs: &[f32]) -> Result<()> {
        self.run(count, inputs).map(drop)
    }

    /// Runs any number of samples: `fill` writes the input of sample `i`, and `each` receives its output.
    ///
    /// # Errors
    /// Those of `fill` and `each`.
    pub fn each(
        &mut self,
        count: usize,
        mut fill: impl FnMut(usize, &mut [f32]) -> Result<()>,
        mut each: impl FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        let len = self.network.input_shape()?.len();
        for first in (0..count).step_by(self.batch_size()) {
            let batch = self.batch_size().min(count - first);
            let outputs = self.batch(batch, |inputs| {
                inputs.chunks_exact_mut(len).enumerate().try_for_each(|(index, input)| fill(first + index, input))
            })?;
            outputs.enumerate().try_for_each(|(index, output)| each(first + index, output))?;
        }
        Ok(())
    }

    /// Output `index` of the last batch, `[count, ...]`: see [`PlanBuilder::output`].
    pub fn output(&self, index: usize) -> &[f32] {
        self.plan.output(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::applications;

    #[test]
    fn batches_give_what_single_samples_give() {
        let network = applications::mnist_cnn(1).unwrap();
        let input = |index: usize, to: &mut [f32]| {
            to.iter_mut().enumerate().for_each(|(at, value)| *value = ((at * 31 + index * 7) % 97) as f32 / 97.0);
            Ok(())
        };
        let mut single = Vec::new();
        let mut inference = Inference::new(Plan::builder(&network)).unwrap();
        inference
            .each(5, input, |_, output| {
                single.push(output.to_vec());
                Ok(())
            })
            .unwrap();
        let mut image = vec![0.0; 784];
        input(3, &mut image).unwrap();
        assert_eq!(inference.run(1, &image).unwrap().next().unwrap(), single[3]);
        let mut inference = Inference::new(Plan::builder(&network).batch_size(2)).unwrap();
        let close = |index: usize, output: &[f32]| {
            assert!(output.iter().zip(&single[index]).all(|(a, b)| (a - b).abs() < 1e-6));
            Ok(())
        };
        inference.each(5, input, close).unwrap();
    }

    #[test]
    fn memory_limits_the_batch() {
        let network = applications::mnist_cnn(1).unwrap();
        let one = Plan::builder(&network).build().unwrap().memory();
        let batch = |memory| Inference::within(Plan::builder(&network), 8, memory).unwrap().batch_size();
        assert_eq!([0, 3 * one + 1, 100 * one].map(batch), [1, 3, 8]);
    }

    #[test]
    fn inputs_of_another_shape_are_refused() {
        let network = applications::mnist_cnn(1).unwrap();
        let problem = |count: usize, len: usize| {
            let mut inference = Inference::new(Plan::builder(&network).batch_size(2)).unwrap();
            inference.run(count, &vec![0.0; len]).unwrap_err().to_string()
        };
        assert_eq!(problem(1, 783), "an image of 783 values for a network that takes 784");
        assert_eq!(problem(2, 3 * 784), "2352 values for 2 samples of 784 values each");
    }
}
