//! Broadcasts a checkpoint that the first member has read.

use crate::nn::{Network, ProcessGroup};
use crate::train::training_loop::{LoopState, TrainingCounters};
use crate::{Error, Result};

/// Number of values summed at once.
const BLOCK: usize = 1 << 16;

/// Broadcasts the values of the first member to all, bit-exactly.
fn from_first(group: &dyn ProcessGroup, values: &mut [f32]) {
    let mut block = Vec::with_capacity(BLOCK.min(values.len()));
    for values in values.chunks_mut(BLOCK) {
        block.clear();
        // Sends the bits as an integer: adding zeros preserves even those of a NaN.
        block.extend(values.iter().map(|value| if group.rank() == 0 { f64::from(value.to_bits()) } else { 0.0 }));
        group.sum(&mut block);
        values.iter_mut().zip(&block).for_each(|(value, &bits)| *value = f32::from_bits(bits as u32));
    }
}

fn number(group: &dyn ProcessGroup, value: usize) -> usize {
    let mut value = [if group.rank() == 0 { value as f64 } else { 0.0 }];
    group.sum(&mut value);
    value[0] as usize
}

/// Broadcasts the training state that the first member has read from a checkpoint, if it has (`found`). Returns whether it
/// has.
///
/// # Errors
/// [`Error::Bug`] when the training counters cannot be serialized.
pub(in crate::train) fn broadcast_checkpoint(
    group: &dyn ProcessGroup,
    network: &mut Network,
    changes: &[bool],
    state: &mut LoopState,
    found: bool,
) -> Result<bool> {
    if number(group, found.into()) == 0 {
        return Ok(false);
    }
    let bug = |problem: serde_json::Error| Error::Bug(format!("numbers of a training as text: {problem}"));
    let mut text = serde_json::to_vec(&state.counters).map_err(bug)?;
    text.resize(number(group, text.len()), 0);
    let mut bytes: Vec<f64> = text.iter().map(|&byte| if group.rank() == 0 { f64::from(byte) } else { 0.0 }).collect();
    group.sum(&mut bytes);
    let text: Vec<u8> = bytes.into_iter().map(|byte| byte as u8).collect();
    state.counters = serde_json::from_slice::<TrainingCounters>(&text).map_err(bug)?;
    let steps = number(group, state.optimizer.steps() as usize) as u64;

    let weights = network.weights_mut().iter_mut().zip(changes).filter(|(_, changes)| **changes);
    weights.for_each(|(weight, _)| from_first(group, weight.values_mut()));
    let empty = |network: &Network| -> Vec<Vec<f32>> {
        let weights = network.weights().iter().zip(changes);
        weights.map(|(weight, changes)| vec![0.0; if *changes { weight.values().len() } else { 0 }]).collect()
    };
    if state.counters.best_epoch.is_some() {
        let best = state.best.get_or_insert_with(|| empty(network));
        best.iter_mut().for_each(|values| from_first(group, values));
    }
    state.average.iter_mut().flatten().for_each(|values| from_first(group, values));
    state.optimizer.restore_with(steps, |values| from_first(group, values));
    Ok(true)
}
