use std::ops::ControlFlow;

use super::neighbors::bell;
use super::*;
use crate::core::{Purpose, Rng};

/// Points around `clusters` distant centers in `width` dimensions, ordered by cluster.
pub(in crate::explain::embed) fn clusters(count: usize, clusters: usize, width: usize) -> Features {
    let mut rng = Rng::keyed(3, Purpose::Embed, 9);
    let mut values = Vec::new();
    for index in 0..count {
        let cluster = index * clusters / count;
        for axis in 0..width {
            let center = if axis % clusters == cluster { 8.0 } else { 0.0 };
            values.push((center + rng.normal_pair()[0]) as f32);
        }
    }
    Features::new("test", width, values).unwrap()
}

fn points(count: usize) -> Vec<[f64; 2]> {
    let mut rng = Rng::keyed(1, Purpose::Embed, 1);
    (0..count).map(|_| rng.normal_pair()).collect()
}

#[test]
fn a_bell_has_the_perplexity_asked_for() {
    let distances: Vec<f64> = (1..100).map(|i| (i as f64).powf(1.3)).collect();
    for perplexity in [2.0, 10.0, 50.0] {
        let shares = bell(&distances, perplexity);
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let entropy: f64 = shares.iter().map(|&p| if p > 0.0 { -p * p.ln() } else { 0.0 }).sum();
        assert!((entropy.exp() - perplexity).abs() < 1e-3, "{}", entropy.exp());
        assert!(shares.windows(2).all(|pair| pair[0] >= pair[1]));
    }
    // Equal points have equal probabilities, whatever the perplexity.
    assert!(bell(&[0.0; 8], 2.0).iter().all(|share| (share - 0.125).abs() < 1e-12));
    assert!(bell(&[1e300, 2e300], 1.5).iter().all(|share| share.is_finite()));
}

#[test]
fn pairs_are_symmetric_and_add_up_to_one() {
    let features = clusters(300, 3, 6);
    let values: Vec<f64> = features.values().iter().map(|&value| f64::from(value)).collect();
    for nearest in [299, 40] {
        let neighbors = Neighbors::find(&values, 6, nearest, 12.0, Cpu::detect());
        let mut dense = vec![0.0; 300 * 300];
        for index in 0..300 {
            neighbors.of(index).for_each(|(other, share)| dense[index * 300 + other] += share);
        }
        assert!((dense.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert!((0..300).all(|i| dense[i * 301] == 0.0 && (0..i).all(|j| dense[i * 300 + j] == dense[j * 300 + i])));
    }
}

/// The gradient compared with finite differences of the divergence.
#[test]
fn the_gradient_is_that_of_the_divergence() {
    let features = clusters(40, 4, 5);
    let values: Vec<f64> = features.values().iter().map(|&value| f64::from(value)).collect();
    let neighbors = Neighbors::find(&values, 5, 39, 8.0, Cpu::detect());
    let divergence = |points: &[[f64; 2]]| {
        let whole: f64 = (0..40).map(|index| repulsion(points, index).1).sum();
        let mut sum = 0.0;
        for index in 0..40 {
            for (other, share) in neighbors.of(index).filter(|(_, share)| *share > 0.0) {
                let away =
                    (points[index][0] - points[other][0]).powi(2) + (points[index][1] - points[other][1]).powi(2);
                sum += share * (share * (1.0 + away) * whole).ln();
            }
        }
        sum
    };
    let points = points(40);
    let gradient = gradient(&points, &neighbors, 1.0, 0.0, Cpu::detect());
    for index in [0, 7, 39] {
        for axis in 0..2 {
            let at = |by: f64| {
                let mut moved = points.clone();
                moved[index][axis] += by;
                divergence(&moved)
            };
            let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
            let got = gradient[index][axis];
            assert!((got - expected).abs() < 1e-6 * (1.0 + expected.abs()), "{got} for {expected}");
        }
    }
}

#[test]
fn groups_repel_as_their_points_do() {
    let mut points = points(3000);
    // Coincident points, and one outlier.
    (0..20).for_each(|index| points[index] = [0.25, -0.5]);
    points[77] = [1e3, -1e3];
    let tree = Tree::of(&points);
    let mut worst = 0.0_f64;
    for index in (0..3000).step_by(37).chain([3, 77]) {
        let (exact, exact_whole) = repulsion(&points, index);
        let (none, none_whole) = tree.repulsion(index, 0.0);
        let size = exact[0].hypot(exact[1]);
        assert!(
            (none[0] - exact[0]).hypot(none[1] - exact[1]) < 1e-9 * (1.0 + size)
                && (none_whole - exact_whole).abs() < 1e-8
        );
        let (fast, whole) = tree.repulsion(index, 0.5);
        assert!((whole / exact_whole - 1.0).abs() < 0.02, "{whole} for {exact_whole}");
        worst = worst.max((fast[0] - exact[0]).hypot(fast[1] - exact[1]) / exact_whole);
    }
    assert!(worst < 0.01, "{worst}");
    // All points coincide.
    let one = Tree::of(&[[2.0, 2.0]; 7]);
    assert_eq!(one.repulsion(3, 0.5), ([0.0; 2], 6.0));
}

/// The fraction of each point's five nearest neighbors on the map that are in its cluster.
fn purity(map: &[[f64; 2]], clusters: usize) -> f64 {
    let count = map.len();
    let mut same = 0;
    for index in 0..count {
        let mut others: Vec<(f64, usize)> = (0..count)
            .filter(|&other| other != index)
            .map(|other| ((map[index][0] - map[other][0]).hypot(map[index][1] - map[other][1]), other))
            .collect();
        others.sort_by(|a, b| a.0.total_cmp(&b.0));
        same += others[..5].iter().filter(|(_, other)| other * clusters / count == index * clusters / count).count();
    }
    same as f64 / (5 * count) as f64
}

#[test]
fn clusters_stay_together_and_apart() {
    let settings = Tsne { iterations: 250, ..Tsne::default() };
    // Below and above the limit for exact computation.
    for count in [240, 1100] {
        let features = clusters(count, 4, 12);
        let map = settings.map(&features, Cpu::detect().with_threads(2), &mut ()).unwrap();
        let purity = purity(&map, 4);
        assert!(purity > 0.99, "{count} points: {purity}");
        assert!(map.iter().flatten().all(|value| value.is_finite()));
        if count < 1000 {
            let again = settings.map(&features, Cpu::detect().with_threads(1), &mut ()).unwrap();
            assert_eq!(map, again, "the number of threads changes nothing");
        }
    }
}

#[test]
fn odd_input_is_refused_or_drawn() {
    let map = |features: &Features, settings: Tsne| settings.map(features, Cpu::detect(), &mut ());
    let few = Tsne { iterations: 20, ..Tsne::default() };
    assert!(map(&clusters(4, 2, 3), few).unwrap_err().to_string().contains("at least 5 images, not 4"));
    assert!(map(&clusters(9, 2, 3), Tsne { perplexity: 0.5, ..few }).is_err());
    assert!(map(&clusters(9, 2, 3), Tsne { theta: f64::NAN, ..few }).is_err());
    assert!(map(&clusters(9, 2, 3), Tsne { iterations: 0, ..few }).is_err());
    assert_eq!(map(&clusters(6, 2, 1), few).unwrap().len(), 6);
    // All images are equal.
    let same = Features::new("x", 3, [1.0, 2.0, 3.0].repeat(30)).unwrap();
    assert!(map(&same, few).unwrap().iter().flatten().all(|value| value.is_finite()));
    let mut stop = |step: &Step<'_>| if step.done < 5 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
    let stopped = few.map(&clusters(30, 3, 4), Cpu::detect(), &mut stop);
    assert!(matches!(stopped, Err(Error::Interrupted)));
}
