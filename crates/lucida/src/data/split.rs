//! Splitting a data set into training and validation parts.

use crate::core::{Purpose, Rng};
use crate::nn::counted;
use crate::{Error, Result};

/// The indices of training and validation images, each in random order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Training indices.
    pub train: Vec<usize>,
    /// Validation indices.
    pub validation: Vec<usize>,
}

/// A stratified split: each class has the same share in both parts.
///
/// The validation part has `fraction` of all images, rounded; each class contributes `fraction` of its own, rounded up or
/// down so that the total is met (the largest remainders are rounded up). The same seed gives the same split.
///
/// ```
/// use lucida::prelude::*;
///
/// // 80 images of class 0, 20 of class 1: the validation part has a quarter of each.
/// let labels: Vec<usize> = (0..100).map(|index| usize::from(index >= 80)).collect();
/// let split = stratified_split(&labels, 2, 0.25, 42)?;
/// assert_eq!((split.train.len(), split.validation.len()), (75, 25));
/// assert_eq!(split.validation.iter().filter(|&&index| labels[index] == 1).count(), 5);
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] when `fraction` is not in `[0, 1)`, or a label is not below `classes`.
pub fn stratified_split(labels: &[usize], classes: usize, fraction: f64, seed: u64) -> Result<Split> {
    if !(0.0..1.0).contains(&fraction) {
        return Err(Error::argument(format!(
            "the validation split is {fraction}: it must be at least 0 and less than 1"
        )));
    }
    let mut members = vec![Vec::new(); classes];
    for (index, &label) in labels.iter().enumerate() {
        let class = members.get_mut(label).ok_or_else(|| {
            Error::argument(format!(
                "image {index} has the label {label}, but the set has {}",
                counted(classes, "class")
            ))
        })?;
        class.push(index);
    }
    let sizes: Vec<usize> = members.iter().map(Vec::len).collect();
    let shares = shares(&sizes, fraction);

    let mut rng = Rng::keyed(seed, Purpose::Split, 0);
    let total = shares.iter().sum();
    let mut split = Split { train: Vec::with_capacity(labels.len() - total), validation: Vec::with_capacity(total) };
    for (mut class, share) in members.into_iter().zip(shares) {
        rng.shuffle(&mut class);
        split.validation.extend(&class[..share]);
        split.train.extend(&class[share..]);
    }
    rng.shuffle(&mut split.train);
    rng.shuffle(&mut split.validation);
    Ok(split)
}

/// The number of validation images of each class, by the largest remainder method; ties go to the lower class.
fn shares(sizes: &[usize], fraction: f64) -> Vec<usize> {
    let total = (sizes.iter().sum::<usize>() as f64 * fraction).round() as usize;
    let exact = |class: usize| sizes[class] as f64 * fraction;
    let mut shares: Vec<usize> = (0..sizes.len()).map(|class| exact(class).floor() as usize).collect();
    let mut by_remainder: Vec<usize> = (0..sizes.len()).collect();
    by_remainder.sort_by(|&a, &b| exact(b).fract().total_cmp(&exact(a).fract()));
    let missing = total.saturating_sub(shares.iter().sum());
    for &class in by_remainder.iter().take(missing) {
        shares[class] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_remainders_go_to_the_largest() {
        assert_eq!(shares(&[10, 10, 10], 0.2), [2, 2, 2]);
        assert_eq!(shares(&[7, 8, 9], 0.25), [2, 2, 2]);
        assert_eq!(shares(&[5, 5], 0.1), [1, 0]);
        assert_eq!(shares(&[100], 0.29), [29]);
        assert_eq!(shares(&[0, 3], 0.0), [0, 0]);
    }

    #[test]
    fn the_seed_alone_decides() {
        let labels: Vec<usize> = (0..500).map(|i| i % 7).collect();
        let split = |seed| stratified_split(&labels, 7, 0.2, seed).unwrap();
        assert_eq!(split(1), split(1));
        assert_ne!(split(1).validation, split(2).validation);
        assert!(!split(1).train.is_sorted());
        // Not sorted by class: the first ten images have several classes.
        let first: std::collections::HashSet<usize> = split(1).train[..10].iter().map(|&i| labels[i]).collect();
        assert!(first.len() > 2);
    }

    #[test]
    fn bad_arguments_are_refused() {
        for fraction in [1.0, -0.1, f64::NAN, f64::INFINITY] {
            assert!(matches!(stratified_split(&[0], 1, fraction, 0), Err(Error::Argument(_))), "{fraction}");
        }
        let error = stratified_split(&[0, 3], 3, 0.5, 0).unwrap_err();
        assert_eq!(error.to_string(), "image 1 has the label 3, but the set has 3 classes");
        assert_eq!(stratified_split(&[], 0, 0.5, 0).unwrap(), Split { train: vec![], validation: vec![] });
    }

    proptest! {
        #[test]
        fn parts_are_disjoint_complete_and_fair(
            labels in prop::collection::vec(0_usize..5, 0..300),
            fraction in 0.0..0.999_f64,
            seed: u64,
        ) {
            let split = stratified_split(&labels, 5, fraction, seed).unwrap();
            let mut all = [split.train.clone(), split.validation.clone()].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..labels.len()).collect::<Vec<_>>());
            prop_assert_eq!(split.validation.len(), (labels.len() as f64 * fraction).round() as usize);
            for class in 0..5 {
                let size = labels.iter().filter(|&&label| label == class).count() as f64;
                let share = split.validation.iter().filter(|&&i| labels[i] == class).count() as f64;
                prop_assert!((share - size * fraction).abs() < 1.0, "class {}: {} of {}", class, share, size);
            }
        }
    }
}
