//! The order of the samples in an epoch, and its batches.

use crate::core::{Purpose, Rng};
use crate::{Error, Result};

/// A random permutation of `0..len` for one epoch. Each epoch of a seed has its own order, independent of the previous
/// ones, so that a resumed training run continues as if it had not been interrupted.
pub fn epoch_order(len: usize, seed: u64, epoch: u32) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    Rng::keyed(seed, Purpose::Order, epoch as usize).shuffle(&mut order);
    order
}

/// Splits an order into batches of `batch_size` indices; the last one may be smaller.
///
/// # Errors
/// [`Error::Argument`] when `batch_size` is 0.
pub fn batches(order: &[usize], batch_size: usize) -> Result<std::slice::Chunks<'_, usize>> {
    if batch_size == 0 {
        return Err(Error::argument("the batch size is 0: it must be at least 1"));
    }
    Ok(order.chunks(batch_size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_holds_every_position_once() {
        let order = epoch_order(1000, 42, 3);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
        assert_ne!(order, sorted);
        assert!(epoch_order(0, 42, 0).is_empty());
    }

    #[test]
    fn the_order_depends_on_the_seed_and_the_epoch_alone() {
        assert_eq!(epoch_order(100, 42, 3), epoch_order(100, 42, 3));
        assert_ne!(epoch_order(100, 42, 3), epoch_order(100, 42, 4));
        assert_ne!(epoch_order(100, 42, 3), epoch_order(100, 43, 3));
    }

    /// Changing this order would break the guarantee that a seed gives the same model in every version.
    #[test]
    fn the_order_never_changes() {
        assert_eq!(epoch_order(10, 42, 0), ORDER_OF_SEED_42);
    }
    const ORDER_OF_SEED_42: [usize; 10] = [8, 7, 0, 4, 9, 5, 1, 2, 6, 3];

    #[test]
    fn the_last_batch_may_be_smaller() {
        let sizes: Vec<usize> = batches(&epoch_order(10, 1, 0), 4).unwrap().map(<[usize]>::len).collect();
        assert_eq!(sizes, [4, 4, 2]);
        assert_eq!(batches(&[], 4).unwrap().len(), 0);
        assert!(batches(&[0], 0).unwrap_err().to_string().contains("batch size is 0"));
    }
}
