//! WebAssembly's 128-bit vectors of four floats.
//!
//! A module either has them or is not loaded at all, so there is nothing to detect: whoever builds the module chooses, and
//! whoever loads it chooses between builds. With `relaxed-simd` the multiply-add is one instruction, which is fused where
//! the machine below can.
//!
//! Tile shapes: the processor has 16 registers (x86-64) or 32 (ARM), unknown here, so a tile must fit into 16, and the
//! addresses of its rows into the general registers that the engine leaves. Measured in V8 on a Zen 5, a dense layer of 576
//! inputs and 128 outputs, one thread, in GFLOP/s:
//!
//! ```text
//!               3x2   4x2   5x2   6x2   3x3   4x3   2x4   4x1   6x1   8x1
//! relaxed-simd   49    61    26    32    61    31    59    35    47    27
//! simd128              56          34
//! ```
//!
//! From 10 accumulators on, V8 spills. 4x2 is within a twentieth of the peak. Tiles of pooled layers need an even number of
//! rows, so that 3x3 is out.

use std::arch::wasm32::*;

use super::{Isa, Kind, Simd, switches_of_masks, tile_shapes};

/// The vectors that this crate is compiled with.
#[derive(Clone, Copy)]
pub(crate) struct Simd128;

/// `x` in the lanes where the mask is set, `y` where it is not.
#[inline(always)]
fn select(mask: v128, x: v128, y: v128) -> v128 {
    // One instruction where the relaxed one takes lanes by their highest bit, and three elsewhere.
    #[cfg(target_feature = "relaxed-simd")]
    return i32x4_relaxed_laneselect(x, y, mask);
    #[cfg(not(target_feature = "relaxed-simd"))]
    return v128_bitselect(x, y, mask);
}

impl Simd for Simd128 {
    type Vector = v128;
    const LANES: usize = 4;
    const MAX_TILE_WIDTH: usize = 2;

    #[inline(always)]
    fn isa(self) -> Isa {
        Isa(Kind::Simd128)
    }

    #[inline(always)]
    fn splat(self, value: f32) -> v128 {
        f32x4_splat(value)
    }

    #[inline(always)]
    fn mul_add(self, a: v128, b: v128, c: v128) -> v128 {
        #[cfg(target_feature = "relaxed-simd")]
        return f32x4_relaxed_madd(a, b, c);
        #[cfg(not(target_feature = "relaxed-simd"))]
        return f32x4_add(f32x4_mul(a, b), c);
    }

    #[inline(always)]
    fn add(self, a: v128, b: v128) -> v128 {
        f32x4_add(a, b)
    }

    #[inline(always)]
    fn sub(self, a: v128, b: v128) -> v128 {
        f32x4_sub(a, b)
    }

    #[inline(always)]
    fn mul(self, a: v128, b: v128) -> v128 {
        f32x4_mul(a, b)
    }

    // `f32x4_pmax(b, a)` is this, in one instruction: its first operand where the comparison is false, as with NaN. But with
    // relaxed SIMD, LLVM makes `f32x4.relaxed_max` of it, which loses NaN.

    #[inline(always)]
    fn max(self, a: v128, b: v128) -> v128 {
        #[cfg(target_feature = "relaxed-simd")]
        return select(f32x4_gt(a, b), a, b);
        #[cfg(not(target_feature = "relaxed-simd"))]
        return f32x4_pmax(b, a);
    }

    #[inline(always)]
    fn min(self, a: v128, b: v128) -> v128 {
        #[cfg(target_feature = "relaxed-simd")]
        return select(f32x4_lt(a, b), a, b);
        #[cfg(not(target_feature = "relaxed-simd"))]
        return f32x4_pmin(b, a);
    }

    #[inline(always)]
    fn select_eq(self, a: v128, b: v128, x: v128, y: v128) -> v128 {
        select(f32x4_eq(a, b), x, y)
    }

    #[inline(always)]
    fn select_gt(self, a: v128, b: v128, x: v128, y: v128) -> v128 {
        select(f32x4_gt(a, b), x, y)
    }

    #[inline(always)]
    fn equal(self, a: v128, b: v128) -> u16 {
        i32x4_bitmask(f32x4_eq(a, b)).into()
    }

    #[inline(always)]
    fn greater(self, a: v128, b: v128) -> u16 {
        i32x4_bitmask(f32x4_gt(a, b)).into()
    }

    #[inline(always)]
    fn keep(self, mask: u16, x: v128) -> v128 {
        // The mask bit of each lane.
        let bits = i32x4(1, 2, 4, 8);
        let chosen = i32x4_eq(v128_and(i32x4_splat(mask.into()), bits), bits);
        v128_and(chosen, x)
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> v128 {
        // SAFETY: the caller promises four readable floats; no alignment is needed.
        unsafe { v128_load(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_partial(self, from: *const f32, count: usize) -> v128 {
        // SAFETY: the caller promises `count` readable floats, at most four.
        unsafe {
            match count {
                0 => f32x4_splat(0.0),
                1 => v128_load32_zero(from.cast()),
                2 => v128_load64_zero(from.cast()),
                3 => v128_load32_lane::<2>(v128_load64_zero(from.cast()), from.add(2).cast()),
                _ => v128_load(from.cast()),
            }
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: v128) {
        // SAFETY: the caller promises four writable floats; no alignment is needed.
        unsafe { v128_store(to.cast(), value) }
    }

    #[inline(always)]
    unsafe fn store_partial(self, to: *mut f32, count: usize, value: v128) {
        // SAFETY: the caller promises `count` writable floats, at most four.
        unsafe {
            match count {
                0 => {}
                1 => v128_store32_lane::<0>(value, to.cast()),
                2 => v128_store64_lane::<0>(value, to.cast()),
                3 => {
                    v128_store64_lane::<0>(value, to.cast());
                    v128_store32_lane::<2>(value, to.add(2).cast());
                }
                _ => v128_store(to.cast(), value),
            }
        }
    }

    switches_of_masks! {}

    tile_shapes! { 1 => 6, 2 => 4 }
}
