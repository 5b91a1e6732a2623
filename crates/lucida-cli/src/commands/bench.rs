//! `lucida bench`

use anyhow::{Context as _, Result};
use lucida::nn::{Network, PassTime, Plan, StepProfile, StepSeed, TensorRef, counted};
use lucida::weights::IncludeTop;
use serde::Serialize;

use super::tables::table;
use super::{Context, open_network};
use crate::cli::{Bench, BenchPlan};

pub(super) fn run(command: &Bench, context: Context) -> Result<()> {
    match command {
        Bench::Plan(arguments) => plan(arguments, context),
    }
}

/// Output of `--json`. Rates are in GFLOP/s.
#[derive(Serialize)]
struct PlanJson<'a> {
    network: &'a str,
    batch: u32,
    isa: &'a str,
    threads: usize,
    peak_gflops: f64,
    memory_bytes: usize,
    total_ms: f64,
    steps: Vec<StepJson>,
}

#[derive(Serialize)]
struct StepJson {
    step: String,
    pack_ms: f64,
    gate_ms: f64,
    forward: PassJson,
    backward_input: Option<PassJson>,
    backward_weights: Option<PassJson>,
}

#[derive(Serialize)]
struct PassJson {
    algorithm: Option<&'static str>,
    ms: f64,
    gflops: f64,
    share_of_peak: f64,
    /// Share of peak of the matrix products alone, for algorithms that surround them with transforms.
    product_share_of_peak: Option<f64>,
}

fn plan(arguments: &BenchPlan, context: Context) -> Result<()> {
    let mut network = open_network(&arguments.model.spec(IncludeTop::Unneeded))?;
    if let Some(layer) = &arguments.cut {
        network = network.cut(layer)?;
    }
    let steps = measure(&mut network, arguments, context).with_context(|| arguments.model.model.clone())?;
    let (steps, memory_bytes) = steps;
    let peak = context.cpu.peak();
    let steps_json: Vec<StepJson> = steps.iter().map(|step| step_json(step, peak)).collect();
    let total_ms = steps_json.iter().map(StepJson::ms).sum();
    if arguments.json {
        return context.output.json(&PlanJson {
            network: network.name(),
            batch: arguments.batch,
            isa: context.cpu.isa().name(),
            threads: context.cpu.threads(),
            peak_gflops: peak / 1e9,
            memory_bytes,
            total_ms,
            steps: steps_json,
        });
    }
    context.output.result(&text(&steps_json))?;
    context.output.info(&format!(
        "{total_ms:.2} ms for a batch of {}, {:.1} MB of activations; {} with {}, peak {:.0} GFLOP/s",
        arguments.batch,
        memory_bytes as f64 / 1e6,
        context.cpu.isa().name(),
        counted(context.cpu.threads(), "thread"),
        peak / 1e9
    ));
    if let Some(why) = why_above_peak(&steps_json) {
        context.output.info(why);
    }
    Ok(())
}

/// Measures the median time of each step, and the memory of the plan.
fn measure(network: &mut Network, arguments: &BenchPlan, context: Context) -> Result<(Vec<StepProfile>, usize)> {
    let last = network.nodes()[network.outputs()[0]].name().to_owned();
    let end = if arguments.training { TensorRef::before_activation(last) } else { TensorRef::output(last) };
    let mut builder = Plan::builder(network).cpu(context.cpu).batch_size(arguments.batch as usize).output(end.clone());
    if arguments.training {
        builder = builder.training().grad_output_at(end).weight_gradients();
    } else if arguments.style {
        builder = builder.grad_output_at(end).input_gradient().exact(false);
    }
    let mut plan = builder.build()?;
    // The images and the gradient at the output are noise.
    let noise = |i: usize| (i * 7919 % 1009) as f32 / 1009.0 - 0.5;
    for round in 0..=arguments.rounds {
        if round == 1 {
            plan.set_timed(true);
        }
        plan.input_mut().iter_mut().enumerate().for_each(|(i, value)| *value = noise(i));
        if arguments.training {
            plan.forward_training(network, StepSeed { seed: 1, first_sample: 0 })?;
            // Touch all weights, as an optimizer does, so that the plan packs them again.
            for weight in network.weights_mut() {
                let _ = weight.values_mut();
            }
        } else {
            plan.forward(network)?;
        }
        if arguments.training || arguments.style {
            plan.grad_output_mut(0).iter_mut().enumerate().for_each(|(i, value)| *value = noise(i));
            plan.backward(network);
        }
    }
    Ok((plan.profile(), plan.memory()))
}

fn step_json(step: &StepProfile, peak: f64) -> StepJson {
    let pass = |pass: PassTime| {
        let rate = if pass.seconds > 0.0 { pass.operations / pass.seconds } else { 0.0 };
        PassJson {
            algorithm: pass.algorithm,
            ms: pass.seconds * 1e3,
            gflops: rate / 1e9,
            share_of_peak: rate / peak,
            product_share_of_peak: pass.product_rate.map(|rate| rate / peak),
        }
    };
    StepJson {
        step: step.name.clone(),
        pack_ms: step.pack * 1e3,
        gate_ms: step.activation_backward * 1e3,
        forward: pass(step.forward),
        backward_input: step.backward_input.map(pass),
        backward_weights: step.backward_weights.map(pass),
    }
}

impl StepJson {
    fn passes(&self) -> impl Iterator<Item = (&'static str, &PassJson)> {
        let back = [("to input", &self.backward_input), ("to weights", &self.backward_weights)];
        let back = back.into_iter().filter_map(|(name, pass)| Some((name, pass.as_ref()?)));
        std::iter::once(("forward", &self.forward)).chain(back)
    }

    fn ms(&self) -> f64 {
        self.pack_ms + self.gate_ms + self.passes().map(|(_, pass)| pass.ms).sum::<f64>()
    }
}

/// Explains shares of peak above 100 %, if there are any.
fn why_above_peak(steps: &[StepJson]) -> Option<&'static str> {
    let passes = || steps.iter().flat_map(StepJson::passes).map(|(_, pass)| pass);
    let above = |share: f64| share > 1.0;
    if passes().any(|pass| pass.product_share_of_peak.is_some() && above(pass.share_of_peak)) {
        return Some(
            "above 100 %: Winograd's algorithm needs fewer operations than the definition of a convolution, which is counted",
        );
    }
    let measured = passes().any(|pass| above(pass.share_of_peak) || pass.product_share_of_peak.is_some_and(above));
    measured.then_some(
        "above 100 %: the peak is a measurement of 60 ms before the run, and the clock of the processor may be higher in it",
    )
}

fn text(steps: &[StepJson]) -> String {
    let mut rows = Vec::new();
    for step in steps {
        let mut name = step.step.clone();
        for (pass, answer) in step.passes() {
            let rate = |text: String| if answer.gflops > 0.0 { text } else { String::new() };
            rows.push(vec![
                std::mem::take(&mut name),
                pass.to_owned(),
                answer.algorithm.unwrap_or_default().to_owned(),
                format!("{:.3}", answer.ms),
                rate(format!("{:.0}", answer.gflops)),
                rate(percent(answer.share_of_peak)),
                answer.product_share_of_peak.map(percent).unwrap_or_default(),
            ]);
        }
        for (pass, ms) in [("pack weights", step.pack_ms), ("ReLU back", step.gate_ms)] {
            if ms > 0.0 {
                rows.push(vec![String::new(), pass.to_owned(), String::new(), format!("{ms:.3}")]);
            }
        }
    }
    table(&["step", "pass", "algorithm", ">ms", ">GFLOP/s", ">of peak", ">products"], rows)
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_peak_is_explained() {
        let step = |share_of_peak, product_share_of_peak| StepJson {
            step: "conv2d".to_owned(),
            pack_ms: 0.0,
            gate_ms: 0.0,
            forward: PassJson { algorithm: None, ms: 1.0, gflops: 1.0, share_of_peak, product_share_of_peak },
            backward_input: None,
            backward_weights: None,
        };
        assert_eq!(why_above_peak(&[step(0.9, None), step(0.5, Some(0.99))]), None);
        assert!(why_above_peak(&[step(1.4, Some(0.8))]).unwrap().contains("Winograd"));
        assert!(why_above_peak(&[step(0.9, None), step(1.02, None)]).unwrap().contains("60 ms"));
        assert!(why_above_peak(&[step(0.9, Some(1.01))]).unwrap().contains("60 ms"));
    }
}
