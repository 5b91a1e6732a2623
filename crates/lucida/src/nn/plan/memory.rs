//! Memory planning: which tensors share a buffer.

/// A tensor's live range: the first and the last time at which it is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LiveRange {
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) len: usize,
}

/// Assigns a buffer to each tensor, such that no two tensors with overlapping live ranges share one. Returns the buffer of
/// each tensor, and the lengths of the buffers.
///
/// In the order of first use, each tensor takes the best-fitting free buffer: the smallest that is large enough, or else
/// the largest, which grows.
pub(super) fn assign(ranges: &[LiveRange]) -> (Vec<usize>, Vec<usize>) {
    let mut order: Vec<usize> = (0..ranges.len()).collect();
    order.sort_by_key(|&index| (ranges[index].first, std::cmp::Reverse(ranges[index].len), index));
    let mut buffers = vec![0; ranges.len()];
    let mut lens: Vec<usize> = Vec::new();
    let mut busy_until: Vec<usize> = Vec::new();
    for index in order {
        let range = ranges[index];
        let free = (0..lens.len()).filter(|&buffer| busy_until[buffer] < range.first);
        let best = free.min_by_key(|&buffer| {
            let len = lens[buffer];
            if len >= range.len { (0, len) } else { (1, usize::MAX - len) }
        });
        let buffer = best.unwrap_or_else(|| {
            lens.push(0);
            busy_until.push(0);
            lens.len() - 1
        });
        lens[buffer] = lens[buffer].max(range.len);
        busy_until[buffer] = range.last.max(range.first);
        buffers[index] = buffer;
    }
    (buffers, lens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Purpose, Rng};

    #[test]
    fn a_chain_needs_two_buffers() {
        let ranges: Vec<LiveRange> = (0..10).map(|i| LiveRange { first: i + 1, last: i + 2, len: 100 - i }).collect();
        let (buffers, lens) = assign(&ranges);
        assert_eq!(lens, [100, 99]);
        assert!(buffers.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn tensors_that_meet_never_share() {
        let mut rng = Rng::keyed(1, Purpose::Choice, 0);
        for _ in 0..200 {
            let ranges: Vec<LiveRange> = (0..30)
                .map(|_| {
                    let first = 1 + rng.below(40);
                    LiveRange { first, last: first + rng.below(10), len: 1 + rng.below(1000) }
                })
                .collect();
            let (buffers, lens) = assign(&ranges);
            for (i, a) in ranges.iter().enumerate() {
                assert!(lens[buffers[i]] >= a.len);
                for (j, b) in ranges.iter().enumerate().skip(i + 1) {
                    let meet = a.first <= b.last && b.first <= a.last;
                    assert!(!meet || buffers[i] != buffers[j], "{a:?} and {b:?}");
                }
            }
        }
    }
}
