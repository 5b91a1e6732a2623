//! Memory for floats, aligned for the widest vectors.
//!
//! Large buffers use 2 MiB pages where the system provides them (see [`pages`]): the 36 matrices of the Winograd algorithm
//! alone span more 4 KiB pages than the TLB holds.

mod pages;

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

/// A fixed-size array of floats aligned to 64 bytes (a cache line, an AVX-512 vector), initially zero.
pub struct Buffer {
    start: NonNull<f32>,
    len: usize,
}

// SAFETY: a buffer owns its memory and has no interior mutability, like a `Vec<f32>`.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// `len` zeros. The system hands out zeroed pages when they are first touched, so unused parts cost no memory.
    ///
    /// # Panics
    /// When the size in bytes exceeds the address space. The process aborts when the system is out of memory.
    pub fn zeroed(len: usize) -> Self {
        Self::try_zeroed(len).unwrap_or_else(|| handle_alloc_error(Self::layout(len)))
    }

    /// `len` zeros, if the system gives the memory.
    ///
    /// ```
    /// use lucida_kernels::Buffer;
    ///
    /// assert_eq!(Buffer::try_zeroed(3).as_deref(), Some(&[0.0; 3][..]));
    /// assert!(Buffer::try_zeroed(usize::MAX / 8).is_none() && Buffer::try_zeroed(usize::MAX).is_none());
    /// ```
    pub fn try_zeroed(len: usize) -> Option<Self> {
        if len == 0 {
            return Some(Self { start: NonNull::dangling(), len });
        }
        if len > isize::MAX as usize / size_of::<f32>() - 64 {
            return None;
        }
        if pages::are_mapped(len) {
            return pages::map(len).map(|start| Self { start, len });
        }
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc_zeroed(Self::layout(len)) };
        NonNull::new(start.cast::<f32>()).map(|start| Self { start, len })
    }

    fn layout(len: usize) -> Layout {
        Layout::array::<f32>(len).and_then(|layout| layout.align_to(64)).expect("a buffer within the address space")
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if pages::are_mapped(self.len) {
            // SAFETY: mapped in `zeroed` for this length.
            unsafe { pages::unmap(self.start, self.len) }
        } else if self.len > 0 {
            // SAFETY: allocated in `zeroed` with this layout.
            unsafe { dealloc(self.start.as_ptr().cast(), Self::layout(self.len)) }
        }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `len` floats, initialized to zero, owned by this buffer; aligned and not null even when empty.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        let mut copy = Self::zeroed(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Self::zeroed(0)
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} floats)", self.len)
    }
}

/// Scratch buffers that are not in use.
static SPARE: Mutex<Vec<Buffer>> = Mutex::new(Vec::new());

/// Calls `work` with `len` floats of uninitialized (arbitrary) scratch memory.
///
/// Layers reuse the same memory one after the other: it is still in the caches when the next layer starts, and a network
/// needs only as much as its most demanding layer. After that one has run, nothing is allocated.
pub(crate) fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    if len == 0 {
        return work(&mut []);
    }
    let spare = || SPARE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut buffer = spare().pop().unwrap_or_default();
    if buffer.len() < len {
        drop(buffer);
        buffer = Buffer::zeroed(len);
    }
    let result = work(&mut buffer[..len]);
    spare().push(buffer);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scratch_is_taken_again_and_large_buffers_are_zero() {
        with_scratch(100, |outer| {
            outer.fill(1.0);
            with_scratch(3 << 20, |inner| {
                inner.fill(2.0);
                assert_eq!(inner.len(), 3 << 20);
            });
            assert!(outer.iter().all(|&x| x == 1.0));
        });
        for len in [(1 << 19) - 1, 1 << 19, (1 << 19) + 1, 5 << 20] {
            let mut large = Buffer::zeroed(len);
            assert!((large.as_ptr() as usize).is_multiple_of(64));
            assert!(large.iter().all(|&x| x == 0.0));
            large.fill(3.0);
            assert_eq!(large.clone()[len - 1], 3.0);
        }
    }

    #[test]
    fn is_aligned_zero_and_its_own() {
        for len in [0, 1, 15, 16, 17, 1000] {
            let mut buffer = Buffer::zeroed(len);
            assert_eq!(buffer.len(), len);
            assert!(buffer.iter().all(|&x| x == 0.0));
            assert!(len == 0 || (buffer.as_ptr() as usize).is_multiple_of(64));
            buffer.fill(2.0);
            let copy = buffer.clone();
            buffer.fill(3.0);
            assert!(copy.iter().all(|&x| x == 2.0));
        }
    }
}
