//! Parsers of numeric arguments. Their errors give the expected range and an example, where clap's own parsers only say
//! `invalid digit found in string`.

use std::ops::{Bound, RangeBounds};

/// Example values; an error shows the first one in range.
const EXAMPLES: [u64; 4] = [8, 64, 512, 1];

/// Returns a parser of integers in a range.
pub(crate) fn whole<T: TryFrom<u64>>(
    range: impl RangeBounds<u64> + Clone + Send + Sync + 'static,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.and_then(|number: u64| T::try_from(number).ok()).ok_or_else(|| {
            let limits = match (range.start_bound(), range.end_bound()) {
                (Bound::Included(low), Bound::Included(high)) => format!(" from {low} to {high}"),
                (Bound::Included(low @ 1..), _) => format!(", {low} or more"),
                _ => String::new(),
            };
            let example = EXAMPLES.into_iter().find(|example| range.contains(example));
            let example = example.map(|example| format!(", as in {example}")).unwrap_or_default();
            format!("expected a whole number{limits}{example}")
        })
    }
}

/// Parses a finite number for which `allowed` holds; `expected` describes it in the error.
fn real(text: &str, allowed: impl Fn(f64) -> bool, expected: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|&number: &f64| number.is_finite() && allowed(number));
    number.ok_or_else(|| format!("expected {expected}"))
}

/// Parses a positive number, such as a learning rate or a weight.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    real(text, |number| number > 0.0, "a positive number, as in 0.5 or 1e-3")
}

/// Parses a number that may be zero.
pub(crate) fn not_negative(text: &str) -> Result<f64, String> {
    real(text, |number| number >= 0.0, "a number that is not negative, as in 0 or 1.5")
}

/// Like [`not_negative`].
pub(crate) fn not_negative_f32(text: &str) -> Result<f32, String> {
    not_negative(text).map(|number| number as f32)
}

/// Parses a fraction in [0, 1).
pub(crate) fn part(text: &str) -> Result<f64, String> {
    real(text, |number| (0.0..1.0).contains(&number), "a number from 0 up, less than 1, as in 0.2")
}

/// Parses a number in [0, 1].
pub(crate) fn strength(text: &str) -> Result<f64, String> {
    real(text, |number| (0.0..=1.0).contains(&number), "a number from 0 to 1, as in 0.7")
}

/// Parses a t-SNE perplexity (effective number of neighbors).
pub(crate) fn perplexity(text: &str) -> Result<f64, String> {
    real(text, |number| (1.0..=1000.0).contains(&number), "a number from 1 to 1000, as in 30")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers() {
        let parse = |text| whole::<u16>(1..=1024)(text);
        assert_eq!((parse("1"), parse("1024")), (Ok(1), Ok(1024)));
        for wrong in ["", "0", "1025", "-1", "many", "1.5", "99999999999999999999"] {
            assert_eq!(parse(wrong), Err("expected a whole number from 1 to 1024, as in 8".to_owned()), "{wrong}");
        }
        assert_eq!(whole::<u32>(1..)("x"), Err("expected a whole number, 1 or more, as in 8".to_owned()));
        assert_eq!(whole::<u64>(..)("x"), Err("expected a whole number, as in 8".to_owned()));
        assert_eq!(
            whole::<u32>(32..=16_384)("8"),
            Err("expected a whole number from 32 to 16384, as in 64".to_owned())
        );
        // Exceeds the range of the type.
        assert!(whole::<u32>(1..)("4294967296").is_err());
    }

    #[test]
    fn rates_and_parts() {
        assert_eq!(positive("1e-3"), Ok(0.001));
        for wrong in ["0", "-1", "nan", "inf", "fast", ""] {
            assert!(positive(wrong).is_err(), "{wrong}");
        }
        assert_eq!(not_negative("0"), Ok(0.0));
        assert!(part("1").is_err() && part("-0.1").is_err() && part("0.5") == Ok(0.5));
        assert!(perplexity("0.9").is_err() && perplexity("nan").is_err());
    }
}
