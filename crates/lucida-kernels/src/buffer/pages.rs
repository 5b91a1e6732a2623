//! 2 MiB pages on Linux.
//!
//! `madvise` requests them for memory aligned to their size. Mapped memory is zero and costs nothing until it is touched,
//! and a page fault then maps 2 MiB instead of 4 KiB: filling 64 MiB takes 2 ms instead of 26.

/// Smallest length, in floats, for which a buffer is mapped: one page.
#[cfg(target_os = "linux")]
const LEAST: usize = PAGE / 4;
#[cfg(target_os = "linux")]
const PAGE: usize = 2 << 20;

#[cfg(target_os = "linux")]
mod system {
    use std::ffi::{c_int, c_void};

    pub(super) const READ_WRITE: c_int = 1 | 2;
    pub(super) const PRIVATE_ANONYMOUS: c_int = 2 | 0x20;
    pub(super) const HUGE_PAGES: c_int = 14;

    // From the C library that Rust's standard library links.
    unsafe extern "C" {
        pub(super) fn mmap(
            at: *mut c_void,
            len: usize,
            protection: c_int,
            flags: c_int,
            file: c_int,
            offset: i64,
        ) -> *mut c_void;
        pub(super) fn munmap(at: *mut c_void, len: usize) -> c_int;
        pub(super) fn madvise(at: *mut c_void, len: usize, advice: c_int) -> c_int;
    }
}

use std::ptr::NonNull;

/// Whether buffers of this length are mapped.
pub(super) fn are_mapped(len: usize) -> bool {
    #[cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]
    return len >= LEAST;
    #[cfg(not(all(target_os = "linux", target_pointer_width = "64", not(miri))))]
    return {
        let _ = len;
        false
    };
}

/// `len` zeros on large pages, if buffers of this length are mapped and the system has the memory.
#[cfg(target_os = "linux")]
pub(super) fn map(len: usize) -> Option<NonNull<f32>> {
    if !are_mapped(len) {
        return None;
    }
    let bytes = mapped_bytes(len);
    let whole = bytes.checked_add(PAGE)?;
    // SAFETY: a new private mapping, of which the parts before and after the aligned range are unmapped again. None of the
    // calls touches other memory.
    unsafe {
        let start = system::mmap(std::ptr::null_mut(), whole, system::READ_WRITE, system::PRIVATE_ANONYMOUS, -1, 0);
        if start as isize == -1 {
            return None;
        }
        let before = start.align_offset(PAGE);
        let aligned = start.cast::<u8>().add(before).cast();
        if before > 0 {
            system::munmap(start, before);
        }
        if before < PAGE {
            system::munmap(start.cast::<u8>().add(before + bytes).cast(), PAGE - before);
        }
        // A hint only: without it the pages are 4 KiB.
        system::madvise(aligned, bytes, system::HUGE_PAGES);
        NonNull::new(aligned.cast())
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn map(_len: usize) -> Option<NonNull<f32>> {
    None
}

/// Unmaps memory from [`map`].
///
/// # Safety
/// `start` is from [`map`] with this length, and the memory is no longer used.
#[cfg(target_os = "linux")]
pub(super) unsafe fn unmap(start: NonNull<f32>, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { system::munmap(start.as_ptr().cast(), mapped_bytes(len)) };
}

#[cfg(not(target_os = "linux"))]
pub(super) unsafe fn unmap(_start: NonNull<f32>, _len: usize) {}

#[cfg(target_os = "linux")]
fn mapped_bytes(len: usize) -> usize {
    len.checked_mul(4)
        .and_then(|bytes| bytes.checked_next_multiple_of(4096))
        .expect("a buffer within the address space")
}
