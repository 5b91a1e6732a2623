//! The peak arithmetic throughput of the processor.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{self, Stopwatch};
use crate::cpu::Cpu;
use crate::simd::multiversion;

/// Independent sums: enough for two FMA units with a latency of four cycles, and few enough for the registers of any
/// instruction set.
const SUMS: usize = 12;
/// Rounds per burst: long enough for the clock's resolution, and short enough that many bursts fit between two
/// interruptions.
const ROUNDS: usize = 100_000;
/// The time until the clock frequency has settled; bursts before it are discarded.
const WARM_UP: Duration = Duration::from_millis(100);
/// The measured time.
const MEASURED: Duration = Duration::from_millis(600);

multiversion! {
    /// Multiply-adds on registers only.
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
    /// Peak multiplications and additions per second in 32 bits, of all threads together: measured with multiply-adds on
    /// registers, within 0.7 s. Zero if there is no [clock](crate::clock).
    ///
    /// Each thread keeps its own best burst while all are busy. A burst of all threads together would be as slow as the one
    /// that had to wait for a core: with other programs running, such results varied by half.
    pub fn peak(self) -> f64 {
        if !clock::exists() {
            return 0.0;
        }
        let start = Stopwatch::start();
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
        // Threads that share a core do not run at the same time.
        let cores = Self::detect().threads();
        sum * cores.min(self.threads()) as f64 / self.threads() as f64
    }

    /// Operations per second of this thread in one burst.
    fn burst(self) -> f64 {
        let (start, mut out) = (Stopwatch::start(), 0.0);
        spin(self.isa(), &mut out);
        std::hint::black_box(out);
        (2 * ROUNDS * SUMS * self.isa().lanes()) as f64 / start.seconds()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A short measurement could coincide with the load of other programs.
    #[test]
    fn the_peak_is_measured_for_long_enough() {
        let start = Stopwatch::start();
        let peak = Cpu::detect().peak();
        let taken = start.elapsed();
        assert!(peak > 1e8, "{peak}");
        assert!(taken >= Duration::from_millis(500) && taken < Duration::from_secs(3), "{taken:?}");
    }
}
