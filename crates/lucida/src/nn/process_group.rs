//! Distributed training: several processes that train one network together.

/// Collective operations: all members of a group call the same ones in the same order.
pub trait ProcessGroup {
    /// The index of this member, from 0.
    fn rank(&self) -> usize;

    /// The number of members.
    fn size(&self) -> usize;

    /// Waits for all members, without a timeout.
    fn barrier(&self);

    /// Replaces the values by their sums over all members; all members get the same bits.
    fn sum(&self, values: &mut [f64]);

    /// Sums buckets of values over all members while `work` runs. `work` submits all buckets in the order of `sums`, with
    /// the same lengths; the sums are complete on return, with the same bits on all members.
    fn sum_behind(&self, sums: &mut [Vec<f32>], work: &mut dyn FnMut(&mut BucketSink<'_>));
}

/// Submits the next bucket. It may take the values to save a copy, and leave others of the same length in their place.
pub type BucketSink<'a> = dyn FnMut(&mut Vec<f32>) + 'a;

/// A member's part in a training pass.
#[derive(Clone, Copy)]
pub struct Shard<'a> {
    /// The group.
    pub group: &'a dyn ProcessGroup,
    /// Whether the current samples count. If a small batch has no samples for a member, it runs on arbitrary samples, so
    /// that all members synchronize equally often.
    pub counts: bool,
}
