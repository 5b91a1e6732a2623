//! NEON: 32 registers of four floats; an 8x3 tile uses 24 as accumulators.

use std::arch::aarch64::*;

use super::{Isa, Kind, Simd, switches_of_masks, tile_shapes};

/// Proof that the processor has NEON.
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    /// # Safety
    /// The processor has NEON, and the caller is compiled with it.
    #[inline(always)]
    pub(crate) unsafe fn new_unchecked() -> Self {
        Self(())
    }
}

// SAFETY of all intrinsics below: the token proves that the processor has the instructions, and the methods are inlined
// into functions that are compiled with them; memory accesses stay within the trait's contract.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Simd for Neon {
    type Vector = float32x4_t;
    const LANES: usize = 4;
    const MAX_TILE_WIDTH: usize = 3;

    #[inline(always)]
    fn isa(self) -> Isa {
        Isa(Kind::Neon)
    }

    #[inline(always)]
    fn splat(self, value: f32) -> float32x4_t {
        unsafe { vdupq_n_f32(value) }
    }

    #[inline(always)]
    fn mul_add(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        unsafe { vfmaq_f32(c, a, b) }
    }

    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vaddq_f32(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vsubq_f32(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vmulq_f32(a, b) }
    }

    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) }
    }

    #[inline(always)]
    fn min(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vbslq_f32(vcltq_f32(a, b), a, b) }
    }

    #[inline(always)]
    fn select_eq(self, a: float32x4_t, b: float32x4_t, x: float32x4_t, y: float32x4_t) -> float32x4_t {
        unsafe { vbslq_f32(vceqq_f32(a, b), x, y) }
    }

    #[inline(always)]
    fn select_gt(self, a: float32x4_t, b: float32x4_t, x: float32x4_t, y: float32x4_t) -> float32x4_t {
        unsafe { vbslq_f32(vcgtq_f32(a, b), x, y) }
    }

    #[inline(always)]
    fn equal(self, a: float32x4_t, b: float32x4_t) -> u16 {
        unsafe { vaddvq_u32(vandq_u32(vceqq_f32(a, b), vld1q_u32(BITS.as_ptr()))) as u16 }
    }

    #[inline(always)]
    fn greater(self, a: float32x4_t, b: float32x4_t) -> u16 {
        unsafe { vaddvq_u32(vandq_u32(vcgtq_f32(a, b), vld1q_u32(BITS.as_ptr()))) as u16 }
    }

    #[inline(always)]
    fn keep(self, mask: u16, x: float32x4_t) -> float32x4_t {
        unsafe {
            let chosen = vtstq_u32(vdupq_n_u32(u32::from(mask)), vld1q_u32(BITS.as_ptr()));
            vreinterpretq_f32_u32(vandq_u32(chosen, vreinterpretq_u32_f32(x)))
        }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> float32x4_t {
        unsafe { vld1q_f32(from) }
    }

    #[inline(always)]
    unsafe fn load_partial(self, from: *const f32, count: usize) -> float32x4_t {
        let mut lanes = [0.0_f32; 4];
        unsafe {
            std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), count);
            vld1q_f32(lanes.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: float32x4_t) {
        unsafe { vst1q_f32(to, value) }
    }

    #[inline(always)]
    unsafe fn store_partial(self, to: *mut f32, count: usize, value: float32x4_t) {
        let mut lanes = [0.0_f32; 4];
        unsafe {
            vst1q_f32(lanes.as_mut_ptr(), value);
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, count);
        }
    }

    switches_of_masks! {}

    tile_shapes! { 1 => 16, 2 => 12, 3 => 8 }
}

/// The mask bit of each lane.
static BITS: [u32; 4] = [1, 2, 4, 8];
