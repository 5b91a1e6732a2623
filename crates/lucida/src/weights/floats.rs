//! Decoding floating-point numbers to `f32`.

use std::io::Read;

use half::{bf16, f16};

/// Values per read.
const CHUNK: usize = 1 << 14;

/// A little-endian floating-point type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Float {
    F16,
    BF16,
    F32,
    F64,
}

impl Float {
    /// Bytes per number.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F16 | Self::BF16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Decodes the complete numbers in `bytes` to the start of `to`.
    pub(super) fn decode(self, bytes: &[u8], to: &mut [f32]) {
        fn each<const N: usize>(bytes: &[u8], to: &mut [f32], number: impl Fn([u8; N]) -> f32) {
            let (bytes, _) = bytes.as_chunks::<N>();
            to.iter_mut().zip(bytes).for_each(|(to, &bytes)| *to = number(bytes));
        }
        match self {
            Self::F16 => each(bytes, to, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Self::BF16 => each(bytes, to, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            Self::F32 => each(bytes, to, f32::from_le_bytes),
            Self::F64 => each(bytes, to, |bytes| f64::from_le_bytes(bytes) as f32),
        }
    }

    /// As [`decode`](Self::decode), for numbers in native byte order.
    pub(super) fn decode_native(self, bytes: &[u8], to: &mut [f32]) {
        if cfg!(target_endian = "little") {
            return self.decode(bytes, to);
        }
        let turned: Vec<u8> = bytes.chunks_exact(self.size()).flat_map(|number| number.iter().rev().copied()).collect();
        self.decode(&turned, to);
    }

    /// Reads `count` numbers and passes them on in chunks.
    pub(super) fn read(self, from: &mut impl Read, count: usize, take: &mut dyn FnMut(&[f32])) -> std::io::Result<()> {
        let mut bytes = vec![0; count.min(CHUNK) * self.size()];
        let mut values = vec![0.0; count.min(CHUNK)];
        let mut left = count;
        while left > 0 {
            let now = left.min(CHUNK);
            let bytes = &mut bytes[..now * self.size()];
            from.read_exact(bytes)?;
            self.decode(bytes, &mut values);
            take(&values[..now]);
            left -= now;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_types_give_the_same_numbers() {
        // Numbers that are exact in bfloat16, which has 8 significant bits.
        let numbers: Vec<f32> = (0..20_000).map(|i| ((i % 200) as f32 - 100.0) / 16.0).collect();
        let encode = |kind: Float| -> Vec<u8> {
            let one = |&x: &f32| match kind {
                Float::F16 => f16::from_f32(x).to_le_bytes().to_vec(),
                Float::BF16 => bf16::from_f32(x).to_le_bytes().to_vec(),
                Float::F32 => x.to_le_bytes().to_vec(),
                Float::F64 => f64::from(x).to_le_bytes().to_vec(),
            };
            numbers.iter().flat_map(one).collect()
        };
        for kind in [Float::F16, Float::BF16, Float::F32, Float::F64] {
            let mut read = Vec::new();
            let bytes = encode(kind);
            kind.read(&mut bytes.as_slice(), numbers.len(), &mut |values| read.extend_from_slice(values)).unwrap();
            assert_eq!(read, numbers, "{kind:?}");
            let short = &mut &bytes[..bytes.len() - 1];
            assert!(kind.read(short, numbers.len(), &mut |_| {}).is_err());
        }
    }
}
