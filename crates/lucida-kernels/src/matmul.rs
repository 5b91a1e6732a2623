//! Products of two computed matrices, as in attention: neither is a weight that could stay packed.

use crate::buffer::with_scratch;
use crate::cpu::{Cpu, SharedMut};
use crate::gemm::{Left, PackedMatrix, Right, Strided, strided};

/// Rows of the result per work item: a multiple of the row count of most tiles.
const ROWS: usize = 48;

/// A product `(rows, depth) x (depth, columns)`, prepared for one processor.
#[derive(Debug)]
pub struct MatMul {
    cpu: Cpu,
    sizes: [usize; 3],
    /// Whether the left side is stored as (depth, rows), and the right side as (columns, depth).
    transposed: [bool; 2],
    packed: PackedMatrix,
    /// Floats from one row of the products to the next: a multiple of the vector length.
    step: usize,
}

impl MatMul {
    /// Prepares a product with these numbers of rows, depth, and columns. `transposed` says whether the left side is stored
    /// as (depth, rows), and the right side as (columns, depth).
    ///
    /// # Panics
    /// When a size is zero.
    pub fn new(cpu: Cpu, sizes: [usize; 3], transposed: [bool; 2]) -> Self {
        assert!(!sizes.contains(&0), "a product of {sizes:?}");
        let [_, depth, columns] = sizes;
        let packed = PackedMatrix::new(cpu.isa(), depth, columns);
        Self { cpu, sizes, transposed, packed, step: columns.next_multiple_of(cpu.isa().lanes()) }
    }

    /// Computes `output` (rows, columns), or adds the product to it when `accumulate`.
    ///
    /// # Panics
    /// When a length does not fit.
    pub fn run(&mut self, left: &[f32], right: &[f32], output: &mut [f32], accumulate: bool) {
        let Self { cpu, sizes: [rows, depth, columns], transposed, step, .. } = *self;
        assert_eq!(left.len(), rows * depth, "left length");
        assert_eq!(right.len(), depth * columns, "right length");
        assert_eq!(output.len(), rows * columns, "output length");
        match transposed[1] {
            true => self.packed.pack(cpu, right, |k| k, depth),
            false => self.packed.pack(cpu, right, |k| k * columns, 1),
        }
        let packed = &self.packed;
        let shared = SharedMut::new(output);
        with_scratch(cpu.threads() * ROWS * step, |scratch| {
            let scratch = SharedMut::new(scratch);
            cpu.parallel_for(rows.div_ceil(ROWS), |worker, item| {
                let (first, last) = (item * ROWS, rows.min((item + 1) * ROWS));
                // SAFETY: each worker has its own scratch.
                let products = unsafe { scratch.slice(worker * ROWS * step..(worker + 1) * ROWS * step) };
                let side = match transposed[0] {
                    true => Left::Columns { start: left[first..].as_ptr(), step: rows },
                    false => Left::Rows { start: left[first * depth..].as_ptr(), step: depth },
                };
                let job = Strided {
                    left: side,
                    right: Right::Packed(packed, 0),
                    rows: last - first,
                    depth,
                    out: products.as_mut_ptr(),
                    out_step: step,
                    accumulate: false,
                };
                // SAFETY: the left side has these rows of `depth` floats, the packed matrix `depth` rows, and the products
                // room for `ROWS` rows of its columns in whole vectors.
                unsafe { strided(cpu.isa(), &job, 0..packed.panels.len()) };
                // SAFETY: items have different rows of the output.
                let own = unsafe { shared.slice(first * columns..last * columns) };
                for (to, from) in own.chunks_exact_mut(columns).zip(products.chunks_exact(step)) {
                    match accumulate {
                        true => to.iter_mut().zip(from).for_each(|(to, from)| *to += from),
                        false => to.copy_from_slice(&from[..columns]),
                    }
                }
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    #[test]
    fn products_are_those_of_the_definition() {
        let wave = |len: usize, step: f32| -> Vec<f32> { (0..len).map(|i| (i as f32 * step).sin()).collect() };
        for sizes in crate::cases([[1, 1, 1], [3, 5, 2], [50, 17, 33], [97, 64, 130]], 2) {
            let [rows, depth, columns] = sizes;
            let (left, right) = (wave(rows * depth, 0.37), wave(depth * columns, 0.73));
            for (isa, transposed) in Isa::available()
                .into_iter()
                .flat_map(|isa| [[false, false], [true, false], [false, true], [true, true]].map(|flags| (isa, flags)))
            {
                let mut product = MatMul::new(Cpu::detect().with_isa(isa).with_threads(2), sizes, transposed);
                let mut output = vec![f32::NAN; rows * columns];
                product.run(&left, &right, &mut output, false);
                product.run(&left, &right, &mut output, true);
                for (index, &value) in output.iter().enumerate() {
                    let (m, n) = (index / columns, index % columns);
                    let a = |k: usize| if transposed[0] { left[k * rows + m] } else { left[m * depth + k] };
                    let b = |k: usize| if transposed[1] { right[n * depth + k] } else { right[k * columns + n] };
                    let exact: f64 = (0..depth).map(|k| 2.0 * f64::from(a(k)) * f64::from(b(k))).sum();
                    assert!(
                        (f64::from(value) - exact).abs() < 1e-5 * depth as f64,
                        "{sizes:?} {transposed:?} at {index}"
                    );
                }
            }
        }
    }
}
