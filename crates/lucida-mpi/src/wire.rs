//! All-reduce of gradients in 16 bits.
//!
//! MPI cannot add halves. Each process therefore sends every other process its piece of a bucket, sums the pieces it
//! receives in 32 bits, and sends the sums to all: the two phases of an all-reduce, with half the bytes. Each piece has its
//! own scale, a power of two that brings its largest value close to the largest half, so that nothing overflows and small
//! gradients keep their 11 bits.

use half::f16;

/// Length of the header in halves: the scale, a 32-bit float.
const HEAD: usize = 2;

/// Packed length of a piece of `values` values, in halves.
pub(super) fn packed_len(values: usize) -> usize {
    HEAD + values
}

/// Packs a piece: its scale, then its values as halves, padded with zeros.
pub(super) fn pack(values: &[f32], to: &mut [u16]) {
    let largest = values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    // NaN stays NaN, and shows up in the loss.
    let usable = largest > 0.0 && largest.is_finite();
    let scale = if usable { (14.0 - largest.log2().ceil()).clamp(-100.0, 100.0).exp2() } else { 1.0 };
    let bits = scale.to_bits();
    (to[0], to[1]) = (bits as u16, (bits >> 16) as u16);
    let halves = values.iter().map(|value| f16::from_f32(value * scale).to_bits()).chain(std::iter::repeat(0));
    to[HEAD..].iter_mut().zip(halves).for_each(|(to, half)| *to = half);
}

/// Unpacks the values of a piece.
pub(super) fn unpack(piece: &[u16]) -> impl Iterator<Item = f32> + '_ {
    let scale = f32::from_bits(u32::from(piece[0]) | u32::from(piece[1]) << 16);
    piece[HEAD..].iter().map(move |&half| f16::from_bits(half).to_f32() / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_keep_eleven_bits() {
        for magnitude in [1e-30_f32, 1e-6, 1.0, 3e4, 1e30] {
            let values: Vec<f32> = (0..50).map(|i| magnitude * (i as f32 - 20.0) / 7.0).collect();
            let mut piece = vec![9; packed_len(60)];
            pack(&values, &mut piece);
            let back: Vec<f32> = unpack(&piece).collect();
            for (back, value) in back.iter().zip(&values) {
                assert!((back - value).abs() <= value.abs() / 2048.0, "{back} {value}");
            }
            assert!(back[50..].iter().all(|&value| value == 0.0));
        }
        let mut piece = vec![0; packed_len(2)];
        pack(&[f32::NAN, 1.0], &mut piece);
        assert!(unpack(&piece).next().unwrap().is_nan());
    }
}
