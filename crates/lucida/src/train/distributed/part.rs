//! Partition of a batch among the members of a group.

use std::ops::Range;

use crate::Result;
use crate::data::Batch;
use crate::nn::ProcessGroup;
use crate::train::Samples;

/// A batch, or one member's part of it.
#[derive(Debug, Clone, Copy)]
pub(in crate::train) struct BatchShard<'a> {
    pub(in crate::train) batch: Batch<'a>,
    /// Offset of the part in the whole batch.
    pub(in crate::train) first: usize,
    /// Size of the whole batch.
    pub(in crate::train) whole: usize,
    /// Whether the samples count. A member without a part of a small batch processes another member's sample, so that all
    /// take part in the communication.
    pub(in crate::train) counts: bool,
}

impl<'a> BatchShard<'a> {
    /// The whole batch.
    pub(in crate::train) fn whole(batch: Batch<'a>) -> Self {
        Self { batch, first: 0, whole: batch.labels.len(), counts: true }
    }
}

/// Range of a member's part of `len` samples; the sizes of the parts differ by at most one.
pub(in crate::train) fn range(len: usize, rank: usize, size: usize) -> Range<usize> {
    rank * len / size..(rank + 1) * len / size
}

/// As [`Samples::each`], but only a member's part of each batch. `each` is called equally often on all members.
pub(in crate::train) fn each(
    group: Option<&dyn ProcessGroup>,
    samples: &dyn Samples,
    pass: Option<u32>,
    (order, batch_size): (&[usize], usize),
    each: &mut dyn FnMut(BatchShard<'_>) -> Result<bool>,
) -> Result<bool> {
    let Some(group) = group else {
        return samples.each(pass, order, batch_size, &mut |batch| each(BatchShard::whole(batch)));
    };
    // All batches but the last have the same size, and so do the parts.
    let (full, last) = order.split_at(order.len() / batch_size * batch_size);
    for (order, whole) in [(full, batch_size), (last, last.len())] {
        if order.is_empty() {
            continue;
        }
        let part = range(whole, group.rank(), group.size());
        let counts = !part.is_empty();
        let taken = if counts { part.clone() } else { 0..1 };
        let mine: Vec<usize> = order.chunks(whole).flat_map(|batch| &batch[taken.clone()]).copied().collect();
        let mut part = |batch: Batch<'_>| each(BatchShard { batch, first: taken.start, whole, counts });
        if !samples.each(pass, &mine, taken.len(), &mut part)? {
            return Ok(false);
        }
    }
    Ok(true)
}
