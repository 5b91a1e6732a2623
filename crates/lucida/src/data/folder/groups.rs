//! Group splits: all images of a group are in the same part.

use std::collections::BTreeMap;

use super::set::FolderSet;
use crate::core::{Purpose, Rng};
use crate::data::{Dataset, TargetKind};

/// The number of random orders to try; the most even split is used.
const ORDERS: usize = 16;
/// Values are stratified into this number of quantile ranges.
const RANGES: usize = 5;

/// The strata of a split: for each image its classes, labels or value ranges, and one stratum that contains all images.
struct Strata {
    of_image: Vec<Vec<usize>>,
    count: usize,
}

impl Strata {
    fn of(set: &FolderSet) -> Self {
        let (images, names) = (set.len(), set.class_names().len());
        let (mut of_image, kinds): (Vec<Vec<usize>>, usize) = match set.kind() {
            TargetKind::Classes => ((0..images).map(|index| vec![set.label(index)]).collect(), names),
            TargetKind::Labels => {
                let held = |index| (0..names).filter(|&label| set.target(index)[label] > 0.5).collect();
                ((0..images).map(held).collect(), names)
            }
            TargetKind::Values => {
                let mut order: Vec<usize> = (0..images).collect();
                order.sort_by(|&a, &b| set.target(a)[0].total_cmp(&set.target(b)[0]));
                let mut ranges = vec![Vec::new(); images];
                order.iter().enumerate().for_each(|(rank, &index)| ranges[index] = vec![rank * RANGES / images]);
                (ranges, RANGES)
            }
        };
        of_image.iter_mut().for_each(|strata| strata.push(kinds));
        Self { of_image, count: kinds + 1 }
    }
}

/// Assigns each image to a part, with approximately these shares of the images and of each class or label. `groups` is the
/// group index of each image, below the number of groups; the seed selects among equally even splits.
pub(super) fn assign(set: &FolderSet, groups: &[usize], shares: &[f64], seed: u64) -> Vec<usize> {
    let strata = Strata::of(set);
    let mut totals = vec![0.0; strata.count];
    let mut members = vec![BTreeMap::new(); groups.iter().max().map_or(0, |last| last + 1)];
    for (image, &group) in strata.of_image.iter().zip(groups) {
        for &stratum in image {
            totals[stratum] += 1.0;
            *members[group].entry(stratum).or_insert(0.0) += 1.0;
        }
    }
    let evenness = Evenness { totals, shares };
    let (mut least, mut best) = (f64::INFINITY, Vec::new());
    for order in 0..ORDERS {
        let mut order_of_groups: Vec<usize> = (0..members.len()).collect();
        Rng::keyed(seed, Purpose::Split, 1 + order).shuffle(&mut order_of_groups);
        let (parts, unevenness) = evenness.deal(&members, &order_of_groups);
        if unevenness < least {
            (least, best) = (unevenness, parts);
        }
    }
    groups.iter().map(|&group| best[group]).collect()
}

/// Measures and minimizes the deviation of parts from their shares.
struct Evenness<'a> {
    /// The number of images in each stratum.
    totals: Vec<f64>,
    shares: &'a [f64],
}

impl Evenness<'_> {
    /// Greedily assigns each group to the part that lacks most of its strata. Returns the part of each group, and the
    /// unevenness of the result.
    fn deal(&self, members: &[BTreeMap<usize, f64>], order: &[usize]) -> (Vec<usize>, f64) {
        // The fraction of each stratum that each part still lacks.
        let mut lacking: Vec<Vec<f64>> = self.shares.iter().map(|&share| vec![share; self.totals.len()]).collect();
        let mut parts = vec![0; members.len()];
        let mut empty: Vec<usize> = (0..lacking.len()).collect();
        for (dealt, &group) in order.iter().enumerate() {
            let gain = |part: usize| -> f64 {
                let lacking = &lacking[part];
                members[group].iter().map(|(&stratum, count)| count / self.totals[stratum] * lacking[stratum]).sum()
            };
            // The last groups are reserved for parts that are still empty.
            let candidates: Vec<usize> =
                if order.len() - dealt <= empty.len() { empty.clone() } else { (0..lacking.len()).collect() };
            let better = |best: usize, part: usize| if gain(part) > gain(best) { part } else { best };
            let chosen = candidates.into_iter().reduce(better).unwrap_or(0);
            empty.retain(|&part| part != chosen);
            parts[group] = chosen;
            members[group]
                .iter()
                .for_each(|(&stratum, count)| lacking[chosen][stratum] -= count / self.totals[stratum]);
        }
        let unevenness = lacking.iter().flatten().map(|lack| lack * lack).sum();
        (parts, unevenness)
    }
}

/// The group index of each image, in order of first appearance; `None` if there are no groups.
pub(super) fn numbered(set: &FolderSet) -> Option<Vec<usize>> {
    let mut numbers = BTreeMap::new();
    let mut groups = Vec::with_capacity(set.len());
    for index in 0..set.len() {
        let next = numbers.len();
        groups.push(*numbers.entry(set.group(index)?).or_insert(next));
    }
    Some(groups)
}

/// Each image as its own group, except that exact copies share one.
pub(super) fn of_copies(images: usize, copies: &[(usize, usize)]) -> Vec<usize> {
    let mut first: Vec<usize> = (0..images).collect();
    // Each copy is listed with the first file that has its bytes.
    copies.iter().for_each(|&(one, other)| first[other] = one);
    let mut numbers = BTreeMap::new();
    first
        .iter()
        .map(|first| {
            let next = numbers.len();
            *numbers.entry(*first).or_insert(next)
        })
        .collect()
}
