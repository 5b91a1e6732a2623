//! What the processor could do at most.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::cpu::Cpu;
use crate::simd::multiversion;

/// Sums in flight: enough for two units four cycles deep, and few enough for any instruction set's registers.
const SUMS: usize = 12;
/// Long enough for the clock, and short enough that many bursts fit between two interruptions.
const ROUNDS: usize = 100_000;
/// The time until the clock has settled: what is measured meanwhile does not count.
const WARM_UP: Duration = Duration::from_millis(100);
/// The time that is measured.
const MEASURED: Duration = Duration::from_millis(600);

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
    /// multiply-adds between registers, within 0.7 s.
    ///
    /// Each thread keeps its own best burst while all are at work. A burst of all together is as slow as the one that had to
    /// wait for a core: where other programs run, such results differed by half.
    pub fn peak(self) -> f64 {
        let start = Instant::now();
        let sum = Mutex::new(0.0);
        self.parallel_for(self.threads(), |_, _| {
            let mut best = 0.0_f64;
            loop {
                let rate = self.burst();
                let elapsed = start.elapsed();
                if elapsed >= WARM_UP {
                    best = best.max(rate);
                }
                if elapsed >= WARM_UP + MEASURED {
                    break;
                }
            }
            *sum.lock().unwrap_or_else(PoisonError::into_inner) += best;
        });
        let sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Threads that share a core are not at work at the same time.
        let cores = Self::detect().threads();
        sum * cores.min(self.threads()) as f64 / self.threads() as f64
    }

    /// The operations a second of this thread in one burst.
    fn burst(self) -> f64 {
        let (start, mut out) = (Instant::now(), 0.0);
        spin(self.isa(), &mut out);
        std::hint::black_box(out);
        (2 * ROUNDS * SUMS * self.isa().lanes()) as f64 / start.elapsed().as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A short measurement falls where other programs run.
    #[test]
    fn the_peak_is_measured_for_long_enough() {
        let start = Instant::now();
        let peak = Cpu::detect().peak();
        let taken = start.elapsed();
        assert!(peak > 1e8, "{peak}");
        assert!(taken >= Duration::from_millis(500) && taken < Duration::from_secs(3), "{taken:?}");
    }
}
