//! Splits that keep together what belongs together: all images of a group are on one side.

use std::collections::BTreeMap;

use super::set::FolderSet;
use crate::core::{Purpose, Rng};
use crate::data::{Dataset, TargetKind};

/// Random orders that are tried; the most even split of them counts.
const ORDERS: usize = 16;
/// Values are split evenly over this many ranges of equal counts.
const RANGES: usize = 5;

/// What is to be spread evenly over the parts of a split: for each image the classes, labels or ranges of values that it
/// has, and one that all have.
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

/// The part of each image, with about these shares of the images and of each class or label. `groups` is the number of the
/// group of each image, below their count; the seed chooses among splits that are equally even.
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

/// How far parts are from their shares.
struct Evenness<'a> {
    /// The images of each stratum.
    totals: Vec<f64>,
    shares: &'a [f64],
}

impl Evenness<'_> {
    /// Gives each group to the part that lacks most of what it has. Returns the part of each group, and how uneven the
    /// parts are.
    fn deal(&self, members: &[BTreeMap<usize, f64>], order: &[usize]) -> (Vec<usize>, f64) {
        // What each part still lacks of each stratum, as a share of that.
        let mut lacking: Vec<Vec<f64>> = self.shares.iter().map(|&share| vec![share; self.totals.len()]).collect();
        let mut parts = vec![0; members.len()];
        let mut empty: Vec<usize> = (0..lacking.len()).collect();
        for (dealt, &group) in order.iter().enumerate() {
            let gain = |part: usize| -> f64 {
                let lacking = &lacking[part];
                members[group].iter().map(|(&stratum, count)| count / self.totals[stratum] * lacking[stratum]).sum()
            };
            // The last groups are for the parts that have none.
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

/// The number of the group of each image, in the order in which groups appear; `None` where there are none.
pub(super) fn numbered(set: &FolderSet) -> Option<Vec<usize>> {
    let mut numbers = BTreeMap::new();
    let mut groups = Vec::with_capacity(set.len());
    for index in 0..set.len() {
        let next = numbers.len();
        groups.push(*numbers.entry(set.group(index)?).or_insert(next));
    }
    Some(groups)
}

/// Each image as a group of its own, but for exact copies: these are of one group.
pub(super) fn of_copies(images: usize, copies: &[(usize, usize)]) -> Vec<usize> {
    let mut first: Vec<usize> = (0..images).collect();
    // Each copy is listed next to the first file of its bytes.
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
