//! Gradient buckets for communication.
//!
//! One message per layer would pay the latency each time; a single message could not be sent before the backward pass ends.
//! Therefore the gradients of neighboring layers share a bucket of about a megabyte.

use crate::nn::{Network, Plan, Shard};

/// Number of floats per bucket; larger weights have their own bucket.
const FLOATS: usize = 1 << 18;

/// Buckets of a network, in the order in which the backward pass fills them.
#[derive(Debug)]
pub(in crate::train) struct Buckets {
    /// Weight indices of each bucket.
    groups: Vec<Vec<usize>>,
    /// Concatenated gradients of each bucket; unused for buckets of a single weight, whose gradient is sent directly.
    joined: Vec<Vec<f32>>,
    sums: Vec<Vec<f32>>,
    ready: Vec<bool>,
}

impl Buckets {
    /// Creates buckets for the gradients of a plan.
    pub(in crate::train) fn new(network: &Network, plan: &Plan) -> Self {
        Self::of_size(network, plan, FLOATS)
    }

    pub(super) fn of_size(network: &Network, plan: &Plan, floats: usize) -> Self {
        let gradients = plan.weight_gradients();
        let (mut groups, mut sums): (Vec<Vec<usize>>, Vec<Vec<f32>>) = (Vec::new(), Vec::new());
        let weights = network.nodes().iter().rev().flat_map(|node| node.own_weights());
        for weight in weights.filter(|&weight| !gradients[weight].is_empty()) {
            let len = gradients[weight].len();
            match (groups.last_mut(), sums.last_mut()) {
                (Some(group), Some(bucket)) if bucket.len() + len <= floats => {
                    group.push(weight);
                    bucket.resize(bucket.len() + len, 0.0);
                }
                _ => {
                    groups.push(vec![weight]);
                    sums.push(vec![0.0; len]);
                }
            }
        }
        Self { joined: vec![Vec::new(); groups.len()], groups, sums, ready: vec![false; gradients.len()] }
    }

    /// Runs the backward pass of a group; afterwards the plan holds the gradients summed over all members.
    pub(in crate::train) fn backward(&mut self, plan: &mut Plan, network: &Network, shard: Shard<'_>) {
        let Self { groups, joined, sums, ready } = self;
        ready.fill(false);
        let mut sent = 0;
        shard.group.sum_behind(sums, &mut |push| {
            plan.backward_shared(network, Some(shard), &mut |weights, gradients| {
                ready[weights].fill(true);
                while let Some(group) = groups.get(sent).filter(|group| group.iter().all(|&weight| ready[weight])) {
                    push(bucket(group, gradients, &mut joined[sent]));
                    sent += 1;
                }
            });
            // Buckets with weights that received no gradient.
            for (group, joined) in groups.iter().zip(joined.iter_mut()).skip(sent) {
                push(bucket(group, plan.weight_gradients_mut(), joined));
            }
        });
        let gradients = plan.weight_gradients_mut();
        for (group, sums) in groups.iter().zip(sums) {
            if let [weight] = group[..] {
                std::mem::swap(&mut gradients[weight], sums);
                continue;
            }
            let mut sums = &sums[..];
            for &weight in group {
                let (from, rest) = sums.split_at(gradients[weight].len());
                gradients[weight].copy_from_slice(from);
                sums = rest;
            }
        }
    }
}

/// The gradients of a bucket: those of its only weight, or all of them concatenated in `joined`.
fn bucket<'a>(group: &[usize], gradients: &'a mut [Vec<f32>], joined: &'a mut Vec<f32>) -> &'a mut Vec<f32> {
    if let [weight] = group[..] {
        return &mut gradients[weight];
    }
    joined.clear();
    group.iter().for_each(|&weight| joined.extend_from_slice(&gradients[weight]));
    joined
}
