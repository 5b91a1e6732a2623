//! Several processes that train one network together.

/// What the members of a group do together: each calls the same of these at the same time.
pub trait ProcessGroup {
    /// The number of this member, from 0.
    fn rank(&self) -> usize;

    /// The number of members.
    fn size(&self) -> usize;

    /// Waits for all members, however long one of them takes.
    fn barrier(&self);

    /// Replaces the values by their sums over all members: the same bits for all of them.
    fn sum(&self, values: &mut [f64]);

    /// Sums buckets of values over all members while `work` runs. It hands them over, in the order of `sums`, all of
    /// them and as long as these; the sums are there when this returns, the same bits for all members.
    fn sum_behind(&self, sums: &mut [Vec<f32>], work: &mut dyn FnMut(&mut BucketSink<'_>));
}

/// Sends the next bucket on its way. It may keep the values, to save a copy of them, and leave any others as long in their
/// place.
pub type BucketSink<'a> = dyn FnMut(&mut Vec<f32>) + 'a;

/// A member's part in a pass of training.
#[derive(Clone, Copy)]
pub struct Shard<'a> {
    /// The group.
    pub group: &'a dyn ProcessGroup,
    /// Whether the samples at hand count. A member that has none of a small batch runs along on any sample, so that all
    /// members wait for each other equally often.
    pub counts: bool,
}
