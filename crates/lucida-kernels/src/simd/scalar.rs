//! Plain Rust on four floats: runs everywhere, and is the reference for the other instruction sets.

use super::{Isa, Kind, Simd, switches_of_masks, tile_shapes};

/// The portable fallback.
#[derive(Clone, Copy)]
pub(crate) struct Scalar;

impl Simd for Scalar {
    type Vector = [f32; 4];
    const LANES: usize = 4;
    const MAX_TILE_WIDTH: usize = 2;

    #[inline(always)]
    fn isa(self) -> Isa {
        Isa(Kind::Scalar)
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Vector {
        [value; 4]
    }

    #[inline(always)]
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        // Not `f32::mul_add`: without the instruction it is a slow call into the C library.
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        std::array::from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        std::array::from_fn(|i| a[i] - b[i])
    }

    #[inline(always)]
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        std::array::from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        std::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        std::array::from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn select_eq(self, a: Self::Vector, b: Self::Vector, x: Self::Vector, y: Self::Vector) -> Self::Vector {
        std::array::from_fn(|i| if a[i] == b[i] { x[i] } else { y[i] })
    }

    #[inline(always)]
    fn select_gt(self, a: Self::Vector, b: Self::Vector, x: Self::Vector, y: Self::Vector) -> Self::Vector {
        std::array::from_fn(|i| if a[i] > b[i] { x[i] } else { y[i] })
    }

    #[inline(always)]
    fn equal(self, a: Self::Vector, b: Self::Vector) -> u16 {
        (0..4).map(|i| u16::from(a[i] == b[i]) << i).sum()
    }

    #[inline(always)]
    fn greater(self, a: Self::Vector, b: Self::Vector) -> u16 {
        (0..4).map(|i| u16::from(a[i] > b[i]) << i).sum()
    }

    #[inline(always)]
    fn keep(self, mask: u16, x: Self::Vector) -> Self::Vector {
        std::array::from_fn(|i| if mask >> i & 1 == 1 { x[i] } else { 0.0 })
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Self::Vector {
        // SAFETY: the caller promises four readable floats.
        unsafe { from.cast::<[f32; 4]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_partial(self, from: *const f32, count: usize) -> Self::Vector {
        let mut out = [0.0; 4];
        // SAFETY: the caller promises `count` readable floats, at most as many as `out` holds.
        unsafe { std::ptr::copy_nonoverlapping(from, out.as_mut_ptr(), count) };
        out
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: Self::Vector) {
        // SAFETY: the caller promises four writable floats.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(value) }
    }

    #[inline(always)]
    unsafe fn store_partial(self, to: *mut f32, count: usize, value: Self::Vector) {
        // SAFETY: the caller promises `count` writable floats, at most as many as `value` holds.
        unsafe { std::ptr::copy_nonoverlapping(value.as_ptr(), to, count) }
    }

    switches_of_masks! {}

    tile_shapes! { 1 => 8, 2 => 6 }
}
