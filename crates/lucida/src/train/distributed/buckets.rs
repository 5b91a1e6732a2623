//! Gradients that travel together.
//!
//! A message for each layer would pay for the latency of each; one message for all could not start before the pass
//! backward has ended. So the gradients of neighbouring layers share a bucket of about a megabyte.

use crate::nn::{Network, Plan, Share};

/// Floats in a bucket; a weight that has more has one to itself.
const FLOATS: usize = 1 << 18;

/// The buckets of a network, in the order in which a pass backward fills them.
#[derive(Debug)]
pub(in crate::train) struct Buckets {
    /// The weights of each.
    groups: Vec<Vec<usize>>,
    values: Vec<Vec<f32>>,
    ready: Vec<bool>,
}

impl Buckets {
    /// For the gradients of a plan of a network.
    pub(in crate::train) fn new(network: &Network, plan: &Plan) -> Self {
        Self::of_size(network, plan, FLOATS)
    }

    pub(super) fn of_size(network: &Network, plan: &Plan, floats: usize) -> Self {
        let gradients = plan.weight_gradients();
        let (mut groups, mut values): (Vec<Vec<usize>>, Vec<Vec<f32>>) = (Vec::new(), Vec::new());
        let weights = network.nodes().iter().rev().flat_map(|node| node.weights());
        for weight in weights.filter(|&weight| !gradients[weight].is_empty()) {
            let len = gradients[weight].len();
            match (groups.last_mut(), values.last_mut()) {
                (Some(group), Some(bucket)) if bucket.len() + len <= floats => {
                    group.push(weight);
                    bucket.resize(bucket.len() + len, 0.0);
                }
                _ => {
                    groups.push(vec![weight]);
                    values.push(vec![0.0; len]);
                }
            }
        }
        Self { groups, values, ready: vec![false; gradients.len()] }
    }

    /// The pass backward of a team: afterwards the plan has the sums of all members' gradients.
    pub(in crate::train) fn backward(&mut self, plan: &mut Plan, network: &Network, share: Share<'_>) {
        let Self { groups, values, ready } = self;
        ready.fill(false);
        let mut sent = 0;
        share.team.sum_behind(values, &mut |hand_over| {
            plan.backward_shared(network, Some(share), &mut |weights, gradients| {
                ready[weights].fill(true);
                while let Some(group) = groups.get(sent).filter(|group| group.iter().all(|&weight| ready[weight])) {
                    hand_over(&mut |bucket| fill(bucket, group, gradients));
                    sent += 1;
                }
            });
            // Weights that no gradient has reached.
            for group in &groups[sent..] {
                hand_over(&mut |bucket| fill(bucket, group, plan.weight_gradients()));
            }
        });
        let gradients = plan.weight_gradients_mut();
        for (group, mut bucket) in groups.iter().zip(values.iter().map(Vec::as_slice)) {
            for &weight in group {
                let (from, rest) = bucket.split_at(gradients[weight].len());
                gradients[weight].copy_from_slice(from);
                bucket = rest;
            }
        }
    }
}

fn fill(mut bucket: &mut [f32], group: &[usize], gradients: &[Vec<f32>]) {
    for &weight in group {
        let (to, rest) = bucket.split_at_mut(gradients[weight].len());
        to.copy_from_slice(&gradients[weight]);
        bucket = rest;
    }
}
