//! Which part of a batch a member of a group takes.

use std::ops::Range;

use crate::Result;
use crate::data::Batch;
use crate::nn::ProcessGroup;
use crate::train::Samples;

/// A batch, or one member's part of it.
#[derive(Debug, Clone, Copy)]
pub(in crate::train) struct Part<'a> {
    pub(in crate::train) batch: Batch<'a>,
    /// How many samples of the whole batch come before.
    pub(in crate::train) first: usize,
    /// Samples of the whole batch.
    pub(in crate::train) whole: usize,
    /// Whether the samples count: a member that has no part of a small batch runs along on a sample of another.
    pub(in crate::train) counts: bool,
}

impl<'a> Part<'a> {
    /// All of a batch.
    pub(in crate::train) fn whole(batch: Batch<'a>) -> Self {
        Self { batch, first: 0, whole: batch.labels.len(), counts: true }
    }
}

/// The positions of a member's part of `len`: parts differ by one at most.
pub(in crate::train) fn range(len: usize, rank: usize, size: usize) -> Range<usize> {
    rank * len / size..(rank + 1) * len / size
}

/// As [`Samples::each`], but of each batch a member's part alone. Members are called equally often.
pub(in crate::train) fn each(
    group: Option<&dyn ProcessGroup>,
    samples: &dyn Samples,
    pass: Option<u32>,
    (order, batch_size): (&[usize], usize),
    each: &mut dyn FnMut(Part<'_>) -> Result<bool>,
) -> Result<bool> {
    let Some(group) = group else {
        return samples.each(pass, order, batch_size, &mut |batch| each(Part::whole(batch)));
    };
    // All batches but the last are equally long, and so are the parts.
    let (full, last) = order.split_at(order.len() / batch_size * batch_size);
    for (order, whole) in [(full, batch_size), (last, last.len())] {
        if order.is_empty() {
            continue;
        }
        let part = range(whole, group.rank(), group.size());
        let counts = !part.is_empty();
        let taken = if counts { part.clone() } else { 0..1 };
        let mine: Vec<usize> = order.chunks(whole).flat_map(|batch| &batch[taken.clone()]).copied().collect();
        let mut part = |batch: Batch<'_>| each(Part { batch, first: taken.start, whole, counts });
        if !samples.each(pass, &mine, taken.len(), &mut part)? {
            return Ok(false);
        }
    }
    Ok(true)
}
