//! AVX-512, and AVX2 with FMA.
//!
//! Tile shapes: an AVX-512 core has 32 registers of 16 floats. A tile of `ROWS x WIDTH` accumulators needs `WIDTH` more for
//! the right-hand side and broadcasts the left-hand side from memory: 6x4, 8x3 and 12x2 use 24 accumulators and 16x1 uses
//! 16, enough to hide the latency of two FMA units (four cycles each). AVX2 has 16 registers of 8 floats and cannot
//! broadcast as part of the multiply-add: 6x2 uses 12 accumulators, two registers for the right-hand side and one for the
//! broadcast.
//!
//! AVX2 has no mask registers: expanding the bits of a mask to lanes takes a broadcast, an `and` and a comparison, and
//! collecting bits from lanes needs a move to another execution unit. Its switches have a byte per lane instead: the number
//! of the pixel, or -1.

use std::arch::x86_64::*;

use super::{Isa, Kind, Simd, Switch, switches_of_masks, tile_shapes};

/// Proof that the processor has AVX-512F.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// # Safety
    /// The processor has AVX-512F, and the caller is compiled with it.
    #[inline(always)]
    pub(crate) unsafe fn new_unchecked() -> Self {
        Self(())
    }
}

// SAFETY of all intrinsics below: the token proves that the processor has the instructions, and the methods are inlined
// into functions that are compiled with them; memory accesses stay within the trait's contract.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Simd for Avx512 {
    type Vector = __m512;
    const LANES: usize = 16;
    const MAX_TILE_WIDTH: usize = 4;

    #[inline(always)]
    fn isa(self) -> Isa {
        Isa(Kind::Avx512)
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_min_ps(a, b) }
    }

    #[inline(always)]
    fn select_eq(self, a: __m512, b: __m512, x: __m512, y: __m512) -> __m512 {
        unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b), y, x) }
    }

    #[inline(always)]
    fn select_gt(self, a: __m512, b: __m512, x: __m512, y: __m512) -> __m512 {
        unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b), y, x) }
    }

    #[inline(always)]
    fn equal(self, a: __m512, b: __m512) -> u16 {
        unsafe { _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b) }
    }

    #[inline(always)]
    fn greater(self, a: __m512, b: __m512) -> u16 {
        unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b) }
    }

    #[inline(always)]
    fn keep(self, mask: u16, x: __m512) -> __m512 {
        unsafe { _mm512_maskz_mov_ps(mask, x) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_partial(self, from: *const f32, count: usize) -> __m512 {
        unsafe { _mm512_maskz_loadu_ps(low_bits(count), from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: __m512) {
        unsafe { _mm512_storeu_ps(to, value) }
    }

    #[inline(always)]
    unsafe fn store_partial(self, to: *mut f32, count: usize, value: __m512) {
        unsafe { _mm512_mask_storeu_ps(to, low_bits(count), value) }
    }

    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }

    switches_of_masks! {}

    tile_shapes! { 1 => 16, 2 => 12, 3 => 8, 4 => 6 }
}

#[inline(always)]
fn low_bits(count: usize) -> u16 {
    debug_assert!(count <= 16);
    ((1_u32 << count) - 1) as u16
}

/// Proof that the processor has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// # Safety
    /// The processor has AVX2 and FMA, and the caller is compiled with them.
    #[inline(always)]
    pub(crate) unsafe fn new_unchecked() -> Self {
        Self(())
    }
}

// SAFETY: as for AVX-512 above.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Simd for Avx2 {
    type Vector = __m256;
    const LANES: usize = 8;
    const MAX_TILE_WIDTH: usize = 2;

    #[inline(always)]
    fn isa(self) -> Isa {
        Isa(Kind::Avx2)
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_min_ps(a, b) }
    }

    #[inline(always)]
    fn select_eq(self, a: __m256, b: __m256, x: __m256, y: __m256) -> __m256 {
        unsafe { _mm256_blendv_ps(y, x, _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b)) }
    }

    #[inline(always)]
    fn select_gt(self, a: __m256, b: __m256, x: __m256, y: __m256) -> __m256 {
        unsafe { _mm256_blendv_ps(y, x, _mm256_cmp_ps::<_CMP_GT_OQ>(a, b)) }
    }

    #[inline(always)]
    fn equal(self, a: __m256, b: __m256) -> u16 {
        unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_EQ_OQ>(a, b)) as u16 }
    }

    #[inline(always)]
    fn greater(self, a: __m256, b: __m256) -> u16 {
        unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(a, b)) as u16 }
    }

    #[inline(always)]
    fn keep(self, mask: u16, x: __m256) -> __m256 {
        unsafe {
            let bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
            let chosen = _mm256_and_si256(_mm256_set1_epi32(i32::from(mask)), bits);
            _mm256_and_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(chosen, bits)), x)
        }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_partial(self, from: *const f32, count: usize) -> __m256 {
        unsafe { _mm256_maskload_ps(from, low_lanes(count)) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: __m256) {
        unsafe { _mm256_storeu_ps(to, value) }
    }

    #[inline(always)]
    unsafe fn store_partial(self, to: *mut f32, count: usize, value: __m256) {
        unsafe { _mm256_maskstore_ps(to, low_lanes(count), value) }
    }

    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }

    type Choice = __m256i;

    #[inline(always)]
    fn largest(self, [a, b, c, d]: [__m256; 4], relu: bool) -> (__m256, Switch) {
        unsafe {
            let (above, below) = (_mm256_max_ps(b, a), _mm256_max_ps(d, c));
            let mut largest = _mm256_max_ps(below, above);
            // A true comparison is -1, which selects the first of the pair.
            let first = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_GE_OQ>(a, b));
            let first = _mm256_add_epi32(_mm256_set1_epi32(1), first);
            let second = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_GE_OQ>(c, d));
            let second = _mm256_add_epi32(_mm256_set1_epi32(3), second);
            let is_first = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_GE_OQ>(above, below));
            let mut number = _mm256_blendv_epi8(second, first, is_first);
            if relu {
                let zero = _mm256_setzero_ps();
                let closed = _mm256_cmp_ps::<_CMP_LE_OQ>(largest, zero);
                number = _mm256_or_si256(number, _mm256_castps_si256(closed));
                largest = _mm256_max_ps(zero, largest);
            }
            let shorts = _mm_packs_epi32(_mm256_castsi256_si128(number), _mm256_extracti128_si256::<1>(number));
            let mut switch: Switch = [0; 4];
            _mm_storel_epi64((&raw mut switch).cast(), _mm_packs_epi16(shorts, shorts));
            (largest, switch)
        }
    }

    #[inline(always)]
    fn choice(self, number: usize) -> __m256i {
        debug_assert!(number < 4);
        unsafe { _mm256_set1_epi32(number as i32) }
    }

    #[inline(always)]
    unsafe fn keep_chosen(self, at: *const Switch, choice: __m256i, x: __m256) -> __m256 {
        unsafe {
            let number = _mm256_cvtepi8_epi32(_mm_loadl_epi64(at.cast()));
            _mm256_and_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(number, choice)), x)
        }
    }

    #[inline(always)]
    unsafe fn keep_open(self, at: *const Switch, x: __m256) -> __m256 {
        unsafe {
            let number = _mm256_cvtepi8_epi32(_mm_loadl_epi64(at.cast()));
            // A lane without a choice is -1, all bits set.
            _mm256_andnot_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(number, _mm256_set1_epi32(-1))), x)
        }
    }

    tile_shapes! { 1 => 12, 2 => 6 }
}

/// A mask whose first `count` lanes are set: a window into eight ones followed by eight zeros.
#[inline(always)]
fn low_lanes(count: usize) -> __m256i {
    static WINDOW: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    debug_assert!(count <= 8);
    // SAFETY: `8 - count + 8 <= 16` integers of the window are read; AVX2 as for the trait's methods.
    unsafe { _mm256_loadu_si256(WINDOW.as_ptr().add(8 - count).cast()) }
}
