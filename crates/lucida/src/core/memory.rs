//! The memory limit of this process.

use std::sync::atomic::{AtomicU64, Ordering};

/// No limit.
const NONE: u64 = u64::MAX;

static LIMIT: AtomicU64 = AtomicU64::new(NONE);

/// Limits the memory of each [`Plan`](crate::nn::Plan) of this process, in bytes; `None` removes the limit. A plan that needs
/// more is an error before anything is allocated; where the batch size is not the caller's choice, as for predictions, it is
/// reduced. Style transfer, which works in tiles, has a limit of its own in its configuration.
///
/// ```
/// lucida::core::set_memory_limit(Some(2 << 30));
/// ```
pub fn set_memory_limit(bytes: Option<u64>) {
    LIMIT.store(bytes.unwrap_or(NONE), Ordering::Relaxed);
}

/// The limit in bytes, if there is one: see [`set_memory_limit`].
pub fn memory_limit() -> Option<u64> {
    Some(LIMIT.load(Ordering::Relaxed)).filter(|&bytes| bytes != NONE)
}
