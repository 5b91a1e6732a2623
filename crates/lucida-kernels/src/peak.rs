//! What the processor could do at most.

use std::time::{Duration, Instant};

use crate::cpu::Cpu;
use crate::simd::multiversion;

/// Sums in flight: enough for two units four cycles deep, and few enough for any instruction set's registers.
const SUMS: usize = 12;
const ROUNDS: usize = 20_000;

multiversion! {
    /// Multiply-adds between registers alone.
    fn spin[simd: S](out: &mut f32) {
        let (factor, term) = (simd.splat(std::hint::black_box(0.999)), simd.splat(std::hint::black_box(1e-3)));
        let mut sums = [simd.splat(1.0); SUMS];
        for _ in 0..ROUNDS {
            for i in 0..SUMS {
                sums[i] = simd.mul_add(sums[i], factor, term);
            }
        }
        let mut lanes = [0.0; 16];
        for sum in sums {
            // SAFETY: no vector has more than 16 lanes.
            unsafe { simd.store(lanes.as_mut_ptr(), sum) };
            *out += lanes[0];
        }
    }
}

impl Cpu {
    /// The most multiplications and additions a second that the threads together can do, in 32 bits: measured with
    /// multiply-adds between registers, for some milliseconds.
    pub fn peak(self) -> f64 {
        let start = Instant::now();
        let mut best: f64 = 0.0;
        while start.elapsed() < Duration::from_millis(60) {
            let round = Instant::now();
            self.parallel_for(self.threads(), |_, _| {
                let mut out = 0.0;
                spin(self.isa(), &mut out);
                std::hint::black_box(out);
            });
            let operations = (2 * ROUNDS * SUMS * self.isa().lanes()) as f64;
            best = best.max(operations * self.threads() as f64 / round.elapsed().as_secs_f64());
        }
        best
    }
}
