//! Profiling of the steps of a plan.

use super::run::Plan;
use super::step::{Step, StepTimes};

/// The timing of a pass of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PassTime {
    /// The algorithm, if there is a choice.
    pub algorithm: Option<&'static str>,
    /// The median time in seconds.
    pub seconds: f64,
    /// Multiplications and additions for the current batch, by definition; zero if negligible.
    pub operations: f64,
    /// Mean speed of its matrix products, if they are timed separately from the transforms around them (Winograd), in
    /// multiplications and additions per second; counts the operations performed, not those of the definition.
    pub product_rate: Option<f64>,
}

/// A step of a plan: a layer with the layers fused into it.
#[derive(Debug, Clone, PartialEq)]
pub struct StepProfile {
    /// The names of its layers, joined by `+`.
    pub name: String,
    /// The length of its output per sample.
    pub output_len: usize,
    /// Median time in seconds to pack changed weights; zero if that never happened.
    pub pack: f64,
    /// The forward pass.
    pub forward: PassTime,
    /// Time in seconds of the backward pass of a ReLU that no other pass includes; zero if there is none.
    pub activation_backward: f64,
    /// The gradient of the inputs, if computed.
    pub backward_input: Option<PassTime>,
    /// The gradient of the weights, if computed.
    pub backward_weights: Option<PassTime>,
}

impl Plan {
    /// Enables or disables timing of the passes of each step, and resets the times.
    pub fn set_timed(&mut self, timed: bool) {
        self.timed = timed;
        for step in &mut self.steps {
            step.times = StepTimes::default();
            step.op.set_timed(timed);
        }
    }

    /// The steps in order, with their median times since [`set_timed`](Self::set_timed).
    pub fn profile(&self) -> Vec<StepProfile> {
        let profile = |step: &Step| {
            let stats = step.op.stats();
            let [forward, backward_input, backward_weights] = stats.product_rates;
            let pass = |algorithm, product_rate, times: &[f64]| PassTime {
                algorithm,
                seconds: median(times),
                operations: stats.operations * self.batch as f64,
                product_rate,
            };
            let measured_pass =
                |algorithm, rate, times: &[f64]| (!times.is_empty()).then(|| pass(algorithm, rate, times));
            StepProfile {
                name: step.name.clone(),
                output_len: step.output.len,
                pack: median(&step.times.pack),
                forward: pass(stats.forward, forward, &step.times.forward),
                activation_backward: median(&step.times.activation_backward),
                backward_input: measured_pass(stats.backward_input, backward_input, &step.times.backward_input),
                backward_weights: measured_pass(stats.backward_weights, backward_weights, &step.times.backward_weights),
            }
        };
        self.steps.iter().map(profile).collect()
    }
}

fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::PassTime;
    use crate::nn::{Plan, TensorRef, applications};

    #[test]
    fn steps_are_named_and_timed() {
        let network = applications::mnist_cnn(1).unwrap();
        let logits = TensorRef::before_activation("dense_1");
        let mut plan = Plan::builder(&network)
            .batch_size(2)
            .output(logits.clone())
            .grad_output_at(logits)
            .weight_gradients()
            .build()
            .unwrap();
        assert!(plan.profile().iter().all(|step| step.forward.seconds == 0.0 && step.backward_weights.is_none()));
        plan.set_timed(true);
        plan.forward(&network).unwrap();
        plan.backward(&network);
        let profile = plan.profile();
        let names: Vec<&str> = profile.iter().map(|step| step.name.as_str()).collect();
        let convolutions = ["conv2d+relu+pool", "conv2d_1+relu+pool", "conv2d_2+relu+pool"];
        assert_eq!(names, [&convolutions[..], &["dense+relu", "dense_1"]].concat());
        assert!(profile[0].backward_input.is_none() && profile[1].backward_input.is_some());
        for step in &profile {
            assert!(step.forward.seconds > 0.0 && step.forward.operations > 0.0, "{step:?}");
            assert!(step.forward.algorithm.is_some() && step.backward_weights.is_some(), "{step:?}");
        }
        let passes = || {
            profile.iter().flat_map(|step| [Some(step.forward), step.backward_input, step.backward_weights]).flatten()
        };
        let by_winograd = |pass: &PassTime| pass.algorithm.is_some_and(|name| name.starts_with("winograd"));
        assert!(passes().filter(by_winograd).count() >= 2);
        for pass in passes() {
            assert_eq!(pass.product_rate.is_some(), by_winograd(&pass), "{pass:?}");
            // It performs at least two ninths of the definition's multiplications, and takes at most the time of the pass.
            let least = pass.operations / pass.seconds * 2.0 / 9.0;
            assert!(pass.product_rate.is_none_or(|rate| rate > least), "{pass:?}");
        }
        plan.set_timed(false);
        plan.forward(&network).unwrap();
        assert!(plan.profile().iter().all(|step| step.forward.seconds == 0.0));
    }
}
