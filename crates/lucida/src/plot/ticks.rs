//! Ticks at round numbers along an axis.

/// The tolerance at the ends of the axis, relative to the step, because the quotients are rounded.
const TOLERANCE: f64 = 1e-9;

/// Multiples of 1, 2 or 5 times a power of ten within `low..=high`, at most `most`, and at least two if the span allows;
/// with labels that have the same number of decimals.
pub(super) fn ticks(low: f64, high: f64, most: usize) -> Vec<(f64, String)> {
    let step = step(low, high, most);
    if !step.is_finite() || step <= 0.0 {
        return Vec::new();
    }
    let first = (low / step - TOLERANCE).ceil();
    let last = (high / step + TOLERANCE).floor();
    let count = (last - first) as usize + 1;
    (0..count.min(4 * most)).map(|i| (first + i as f64) * step).map(|value| (value, label(value, step))).collect()
}

/// The smallest step of 1, 2 or 5 times a power of ten with at most `most` multiples within `low..=high`.
fn step(low: f64, high: f64, most: usize) -> f64 {
    let most = most.max(2) as f64;
    let power = 10_f64.powf(((high - low) / most).log10().floor());
    let count = |step: f64| (high / step + TOLERANCE).floor() - (low / step - TOLERANCE).ceil() + 1.0;
    let fits = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|&step| count(step) <= most);
    fits.unwrap_or(20.0 * power)
}

fn label(value: f64, step: f64) -> String {
    let value = if value.abs() < step / 2.0 { 0.0 } else { value };
    if !(1e-5..1e5).contains(&step) {
        // Rounded to the digit of the step, since `3 * 0.1` is not 0.3.
        let digits = (value.abs().max(step).log10().floor() - step.log10().floor()).max(0.0) as usize;
        return if value == 0.0 { "0".into() } else { format!("{value:.digits$e}") };
    }
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    format!("{value:.decimals$}")
}

/// At most `most` integers within `first..=last`, at steps of 1, 2 or 5 times a power of ten.
pub(super) fn whole_ticks(first: usize, last: usize, most: usize) -> Vec<usize> {
    let step = step(first as f64, last as f64, most).max(1.0) as usize;
    (first.div_ceil(step)..=last / step).map(|k| k * step).collect()
}

/// Formats a number for a caption with three significant digits, all digits before the decimal point, and no trailing
/// zeros: 4641, 12.3, 0.0457, 1.2e-7.
pub fn short_number(value: f32) -> String {
    let size = value.abs();
    if value == 0.0 || !value.is_finite() {
        return value.abs().to_string();
    }
    if !(1e-4..1e7).contains(&size) {
        return format!("{value:.1e}");
    }
    let decimals = (2 - size.log10().floor() as i32).max(0) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_captions_have_three_digits() {
        let of = |values: &[f32]| values.iter().map(|&value| short_number(value)).collect::<Vec<_>>();
        assert_eq!(of(&[4641.2, 993.826, 12.345, 1.0, 0.04567]), ["4641", "994", "12.3", "1.00", "0.0457"]);
        assert_eq!(of(&[0.0, -0.0, -3.14961, 1.234e-7, 2.5e9]), ["0", "0", "-3.15", "1.2e-7", "2.5e9"]);
    }

    fn labels(low: f64, high: f64) -> Vec<String> {
        ticks(low, high, 6).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn steps_are_round() {
        assert_eq!(labels(0.0, 1.0), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(0.93, 1.0), ["0.94", "0.96", "0.98", "1.00"]);
        assert_eq!(labels(0.0, 0.07), ["0.00", "0.02", "0.04", "0.06"]);
        assert_eq!(labels(-0.3, 0.3), ["-0.2", "0.0", "0.2"]);
        assert_eq!(labels(0.0, 2e30), ["0", "5e29", "1.0e30", "1.5e30", "2.0e30"]);
        assert_eq!(labels(0.0, 3e-7), ["0", "1e-7", "2e-7", "3e-7"]);
        assert!(
            labels(1.0, 1.0).is_empty() && labels(f64::NAN, 1.0).is_empty() && labels(0.0, f64::INFINITY).is_empty()
        );
    }

    #[test]
    fn there_are_never_too_many() {
        for i in 1..2000 {
            let high = f64::from(i) * 0.013;
            let count = ticks(0.0, high, 6).len();
            assert!((2..=6).contains(&count), "{count} up to {high}");
        }
    }

    #[test]
    fn epochs_are_whole() {
        assert_eq!(whole_ticks(1, 1, 10), [1]);
        assert_eq!(whole_ticks(1, 2, 10), [1, 2]);
        assert_eq!(whole_ticks(1, 10, 10), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(whole_ticks(1, 20, 8), [5, 10, 15, 20]);
        assert_eq!(whole_ticks(1, 300, 8), [50, 100, 150, 200, 250, 300]);
    }
}
