//! Runs a network with weights from PyTorch, and compares its outputs with PyTorch's.
//!
//! `cargo run --release -p lucida-programs --bin compare_torch -- WEIGHTS OUTPUTS [NETWORK [SAVED]]`: OUTPUTS is a
//! safetensors file with `input` `[batch, height, width, channels]` and `logits`. Without NETWORK the network is inferred
//! from the weights; with it, that known network is built for the size of the input. The weights are written to SAVED as a
//! state dictionary. `tests/torch/compare.py` writes the files and runs this for all networks.

use std::path::Path;
use std::time::Instant;

use lucida::nn::applications::{self, Options};
use lucida::nn::{Plan, TensorRef};
use lucida::weights::{self, torch};
use lucida::{Error, Result};
use safetensors::SafeTensors;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [weights, outputs, rest @ ..] = arguments.as_slice() else {
        return Err(Error::argument("give a file of weights and one of outputs"));
    };
    let bytes = lucida::files::read_limited(Path::new(outputs), 1 << 30)?;
    let recorded = SafeTensors::deserialize(&bytes).map_err(|problem| Error::file(outputs, problem.to_string()))?;
    let tensor = |name: &str| -> Result<(Vec<usize>, Vec<f32>)> {
        let tensor = recorded.tensor(name).map_err(|problem| Error::file(outputs, problem.to_string()))?;
        let values = tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        Ok((tensor.shape().to_vec(), values.collect()))
    };
    let ((shape, input), (_, expected)) = (tensor("input")?, tensor("logits")?);
    let start = Instant::now();
    let network = match rest.first() {
        None => weights::load_model(Path::new(weights))?.network,
        Some(name) => {
            let classes = expected.len() / shape[0];
            let options = Options::default().size(shape[1], shape[2]).classes(classes);
            let mut network = applications::find(name)?.build(&options)?;
            weights::load_weights(Path::new(weights), &mut network)?;
            network
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    if let Some(saved) = rest.get(1) {
        torch::save_weights(&network, Path::new(saved))?;
    }
    let logits = TensorRef::before_activation(network.output()?.name());
    let mut plan = Plan::builder(&network).batch_size(shape[0]).output(logits).build()?;
    plan.input_mut().copy_from_slice(&input);
    plan.forward(&network)?;
    let largest = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    let error = plan.output(0).iter().zip(&expected).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
    println!("{} {:.1e} loaded in {seconds:.2} s", network.name(), error / largest);
    if error.is_nan() || error > 1e-3 * largest {
        return Err(Error::argument(format!("{weights}: differs by {error} of {largest}")));
    }
    Ok(())
}
