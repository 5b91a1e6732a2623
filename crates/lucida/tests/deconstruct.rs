//! Explanations of networks: compared with values recorded in Keras, and on images in various formats.

mod common;

use std::path::Path;

use common::{Expected, agree, shared};
use lucida::Cpu;
use lucida::data::{ColorMode, Dataset, Image, Limits, Preprocessing, idx};
use lucida::explain::{
    DeconvFigure, Deconvnet, MapStyle, Target, TopActivationQuery, activations, feature_maps, overview,
    projection_sheet,
};
use lucida::nn::applications::{self, Options};
use lucida::weights;

#[test]
fn feature_maps_are_those_of_keras() {
    let Some(expected) = Expected::open("mnist_cnn_expected.safetensors") else { return };
    let (Some(model), Some(digits)) = (shared("golden/mnist_cnn.h5"), shared("data/mnist/t10k-images-idx3-ubyte.gz"))
    else {
        return;
    };
    let network = weights::load_model(&model).unwrap().network;
    let pixels = idx::read(&digits, idx::Content::Images, &Limits::default()).unwrap().data;
    let input: Vec<f32> = pixels[784 * 51..784 * 52].iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
    let layers = ["conv2d", "conv2d_1", "conv2d_2"];
    let found = activations(&network, &layers, &input, Cpu::detect()).unwrap();
    for (index, activation) in found.iter().enumerate() {
        let name = format!("activation51.{}", index + 1);
        let (shape, values) = expected.get(&name);
        assert_eq!(shape[shape.len() - 3..], *activation.shape.sizes());
        agree(&name, &activation.values, &values);
        assert!(feature_maps(activation, &MapStyle::default()).is_ok());
    }
    // The strongest activation of a filter is at the same position as in Keras.
    let mut deconvnet = Deconvnet::new(&network, "conv2d_2", 1, Cpu::detect()).unwrap();
    let projection = deconvnet.project(&network, &[&input], &[Target { filter: 3, position: None }]).unwrap().remove(0);
    let map: Vec<f32> = expected.values("activation51.3").iter().skip(3).step_by(64).copied().collect();
    let strongest = (0..map.len()).max_by(|&a, &b| map[a].total_cmp(&map[b])).unwrap();
    assert_eq!(projection.position, [strongest / 7, strongest % 7]);
    agree("its activation", &[projection.activation], &[map[strongest]]);
}

/// Opens one of the test images, in various formats, written by `tests/pictures/make.py`.
fn image(name: &str) -> Image {
    Image::open(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pictures")).join(name)).unwrap()
}

#[test]
fn images_of_every_kind_are_explained_alike() {
    let network = applications::find("basic-cnn").unwrap().build(&Options::default().size(30, 40).seed(4)).unwrap();
    let preprocessing = Preprocessing::unit(30, 40, ColorMode::Rgb);
    let mut deconvnet = Deconvnet::new(&network, "conv2d_1", 1, Cpu::detect()).unwrap();
    let mut explained = |image: &Image| {
        let mut input = vec![0.0; 30 * 40 * 3];
        preprocessing.apply(image, &mut input).unwrap();
        let projection =
            deconvnet.project(&network, &[&input], &[Target { filter: 5, position: None }]).unwrap().remove(0);
        projection_sheet(&input, std::slice::from_ref(&projection), deconvnet.field(), &preprocessing).unwrap();
        projection
    };
    let plain = explained(&image("plain.png"));
    assert!(plain.activation > 0.0);
    for name in ["palette.png", "cmyk.jpg", "exif.jpg"] {
        let same = explained(&image(name));
        assert_eq!(same.position, plain.position, "{name}");
        assert!((same.activation / plain.activation - 1.0).abs() < 0.03, "{name}: {}", same.activation);
    }
    let gray = explained(&image("plain.png").to_gray());
    let sixteen = explained(&image("sixteen.png"));
    assert_eq!(sixteen.position, gray.position);
    assert!((sixteen.activation / gray.activation - 1.0).abs() < 0.01);
    // A single-pixel image works too.
    let dot = explained(&Image::filled(1, 1, &[200, 30, 60]));
    assert!(dot.values.iter().all(|value| value.is_finite()));
}

/// A data set that creates each image on request.
struct Endless(usize);

impl Dataset for Endless {
    fn len(&self) -> usize {
        self.0
    }

    fn image_shape(&self) -> Option<[usize; 3]> {
        Some([28, 28, 1])
    }

    fn class_names(&self) -> &[String] {
        &[]
    }

    fn label(&self, _index: usize) -> usize {
        0
    }

    fn image(&self, index: usize) -> lucida::Result<Image> {
        Image::new(28, 28, 1, (0..784).map(|at| ((at * (index + 3) + index) % 256) as u8).collect())
    }
}

#[test]
fn the_figure_over_a_set_uses_each_image_once_and_repeats() {
    let network = applications::mnist_cnn(6).unwrap();
    let preprocessing = Preprocessing::unit(28, 28, ColorMode::Grayscale);
    let question = TopActivationQuery {
        network: &network,
        preprocessing: &preprocessing,
        layer: "max_pooling2d_1",
        filters: &[0, 7, 40],
        count: 5,
        cpu: Cpu::detect().with_threads(2),
    };
    let make = || DeconvFigure::new(&question, &Endless(150), &mut ()).unwrap();
    let (first, again) = (make(), make());
    for (a, b) in first.filters.iter().zip(&again.filters) {
        let images: Vec<usize> = a.examples.iter().map(|example| example.image).collect();
        assert_eq!(images, b.examples.iter().map(|example| example.image).collect::<Vec<_>>());
        assert_eq!(images.len(), 5);
        assert!((1..5).all(|index| !images[..index].contains(&images[index])));
    }
    assert_eq!(first.render().unwrap(), again.render().unwrap());
}

/// Memory stays constant over a thousand explanations: nothing but the plan's buffers is kept.
#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow() {
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let network = applications::mnist_cnn(6).unwrap();
    let mut deconvnet = Deconvnet::new(&network, "conv2d_2", 2, Cpu::detect()).unwrap();
    let mut explain = |number: usize| {
        let input: Vec<f32> = (0..784).map(|at| ((at * 7 + number) % 97) as f32 / 97.0).collect();
        let targets = [Target { filter: number % 64, position: None }; 2];
        assert_eq!(deconvnet.project(&network, &[&input[..], &input[..]], &targets).unwrap().len(), 2);
        if number.is_multiple_of(50) {
            let found = activations(&network, &[], &input, Cpu::detect()).unwrap();
            overview(&found, &MapStyle::default()).unwrap();
        }
    };
    (0..100).for_each(&mut explain);
    let before = resident();
    (0..1000).for_each(&mut explain);
    let after = resident();
    // Other tests in this process run concurrently.
    assert!(after < before + 32 * 1024, "{before} KiB before, {after} KiB after");
}
