use std::ops::ControlFlow;

use super::tsne::tests::clusters;
use super::*;
use crate::Cpu;
use crate::core::Step;
use crate::data::{Dataset, LabeledImages, Mnist, Preprocessing};
use crate::nn::{Plan, applications};
use crate::weights::Model;

fn model() -> Model {
    Model { preprocessing: Some(Preprocessing::mnist()), ..Model::new(applications::mnist_cnn(3).unwrap()) }
}

fn digits(count: usize) -> LabeledImages {
    let all = Mnist::builtin().unwrap().train;
    let pixels = (0..count).flat_map(|index| all.pixels(index).to_vec()).collect();
    LabeledImages::new([28, 28, 1], pixels, all.labels()[..count].to_vec(), all.class_names().to_vec()).unwrap()
}

#[test]
fn features_are_the_outputs_of_a_layer() {
    let (model, set) = (model(), digits(12));
    let layer = last_features(&model).unwrap();
    let indices: Vec<usize> = (0..12).rev().collect();
    let all = features(&model, &set, &indices, layer, Cpu::detect(), &mut ()).unwrap();
    let node = &model.network.nodes()[model.network.find(layer).unwrap()];
    assert_eq!((all.len(), all.width(), all.are_pooled()), (12, node.shape().len(), false));
    let mut plan = Plan::builder(&model.network).output(layer).build().unwrap();
    set.fill(4, &Preprocessing::mnist(), plan.input_mut()).unwrap();
    plan.forward(&model.network).unwrap();
    assert!(all.row(7).iter().zip(plan.output(0)).all(|(a, b)| (a - b).abs() < 1e-5));

    // A layer with spatial extent gives the mean of each channel.
    let maps =
        model.network.nodes().iter().find(|node| node.shape().as_image().is_some_and(|[h, ..]| h == 14)).unwrap();
    let pooled = features(&model, &set, &[4], maps.name(), Cpu::detect(), &mut ()).unwrap();
    assert!(pooled.are_pooled() && pooled.width() == maps.shape().channels());
    let mut plan = Plan::builder(&model.network).output(maps.name()).build().unwrap();
    set.fill(4, &Preprocessing::mnist(), plan.input_mut()).unwrap();
    plan.forward(&model.network).unwrap();
    let mean: f32 = plan.output(0).iter().step_by(pooled.width()).sum::<f32>() / (14.0 * 14.0);
    assert!((pooled.row(0)[0] - mean).abs() < 1e-5);

    let images = [set.image(4).unwrap()];
    let one = features_of(&model, &images, layer, Cpu::detect()).unwrap();
    assert_eq!(all.nearest(one.row(0), 3).unwrap()[0].0, 7, "an image is most like itself");
    assert!(features(&model, &set, &[12], layer, Cpu::detect(), &mut ()).is_err());
    let unknown = features(&model, &set, &[0], "dens", Cpu::detect(), &mut ()).unwrap_err().to_string();
    assert!(unknown.contains("did you mean \"dense\"?"), "{unknown}");
    assert!(matches!(
        features(&model, &set, &[0], layer, Cpu::detect(), &mut |_: &Step<'_>| ControlFlow::Break(())),
        Err(crate::Error::Interrupted)
    ));
}

#[test]
fn the_nearest_are_those_of_equal_direction() {
    let rows = [[1.0, 0.0], [0.0, 2.0], [3.0, 3.1], [-1.0, 0.0], [0.0, 0.0]];
    let features = Features::new("x", 2, rows.concat()).unwrap();
    let nearest = features.nearest(&[5.0, 5.0], 5).unwrap();
    let order: Vec<usize> = nearest.iter().map(|(index, _)| *index).collect();
    assert_eq!(order, [2, 0, 1, 4, 3]);
    assert!((nearest[1].1 - 0.5_f64.sqrt()).abs() < 1e-9 && nearest[3].1 == 0.0);
    assert_eq!(features.nearest(&[1.0, 0.0], 2).unwrap().len(), 2);
    assert!(features.nearest(&[1.0], 2).is_err());
    assert!(Features::new("x", 2, vec![1.0; 3]).is_err() && Features::new("x", 1, vec![f32::NAN]).is_err());
}

#[test]
fn features_are_written_as_tables() {
    let folder = tempfile::tempdir().unwrap();
    let (csv, npy) = (folder.path().join("a.csv"), folder.path().join("a.npy"));
    let features = Features::new("x", 2, vec![1.0, 0.5, -2.0, 3.0]).unwrap();
    features.save_csv(&["a".into(), "b,c".into()], &csv).unwrap();
    assert_eq!(std::fs::read_to_string(csv).unwrap(), "file,f0,f1\na,1,0.5\n\"b,c\",-2,3\n");
    features.save_npy(&npy).unwrap();
    assert!(std::fs::read(npy).unwrap().windows(6).any(|part| part == b"(2, 2)"));
    assert!(features.save_csv(&["a".into()], folder.path().join("b.csv")).is_err());
}

/// Principal components of points with a known covariance.
#[test]
fn main_directions_are_found_in_their_order() {
    // Along (0.6, 0.8, 0, ...) by up to 30, along the third axis by up to 5, along the fourth by up to 1.
    let rows: Vec<f32> = (0..600_i32)
        .flat_map(|i| {
            let (a, b, c) = (f64::from(i % 61 - 30), f64::from(i * 7 % 11 - 5), f64::from(i * 5 % 3 - 1));
            [0.6 * a + 100.0, 0.8 * a, b, c, 7.0].map(|value| value as f32)
        })
        .collect();
    let features = Features::new("x", 5, rows).unwrap();
    let pca = Pca::of(&features, 3, 1, Cpu::detect()).unwrap();
    let scores = pca.scores();
    // The first score is the position along (0.6, 0.8), minus the mean.
    let places: Vec<f64> = (0..600).map(|i| f64::from(i % 61 - 30)).collect();
    let mean = places.iter().sum::<f64>() / 600.0;
    for (row, place) in scores.chunks(3).zip(&places) {
        assert!((row[0] - (place - mean)).abs() < 0.2, "{} for {}", row[0], place - mean);
    }
    let explained = pca.explained();
    assert!(explained[0] > 0.95 && explained[0] > explained[1] && explained[1] > 10.0 * explained[2], "{explained:?}");
    assert!((explained.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{explained:?}");
    assert_eq!(pca, Pca::of(&features, 3, 1, Cpu::detect().with_threads(1)).unwrap());
    // Another seed gives the same components.
    let other = Pca::of(&features, 3, 2, Cpu::detect()).unwrap();
    assert!(other.scores().iter().zip(scores).all(|(a, b)| (a - b).abs() < 1e-6));
    assert!(Pca::of(&Features::new("x", 5, vec![1.0; 5]).unwrap(), 2, 1, Cpu::detect()).is_err());
    // Fewer components than requested, and zero variance.
    let flat = Pca::of(&Features::new("x", 1, vec![2.0; 9]).unwrap(), 2, 1, Cpu::detect()).unwrap();
    assert_eq!((flat.components(), flat.plane()), (1, vec![[0.0; 2]; 9]));
}

#[test]
fn the_plane_of_clusters_parts_them() {
    let features = clusters(300, 3, 200);
    let pca = Pca::of(&features, 2, 5, Cpu::detect()).unwrap();
    let plane = pca.plane();
    let middle = |cluster: usize| {
        let members = &plane[cluster * 100..][..100];
        [0, 1].map(|axis| members.iter().map(|point| point[axis]).sum::<f64>() / 100.0)
    };
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        let ([ax, ay], [bx, by]) = (middle(a), middle(b));
        assert!((ax - bx).hypot(ay - by) > 20.0);
    }
}
