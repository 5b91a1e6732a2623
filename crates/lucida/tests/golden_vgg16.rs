//! Compares the features of VGG16 with its published weights with Keras.

mod common;

use common::{Expected, agree, first_channels, shared};
use lucida::data::{Image, Preprocessing};
use lucida::nn::applications::{self, Options};
use lucida::nn::{Network, Plan};
use lucida::weights;

const SIZE: usize = 128;

fn vgg16() -> Option<Network> {
    let path = shared("data/weights/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5")?;
    let mut network = applications::vgg16(&Options::without_top().size(SIZE, SIZE)).unwrap();
    weights::load_weights(&path, &mut network).unwrap();
    Some(network)
}

fn image(name: &str) -> Option<Image> {
    Some(Image::open(&shared(&format!("golden/{name}"))?).unwrap())
}

fn preprocessed(image: &Image) -> Vec<f32> {
    let mut input = vec![0.0; SIZE * SIZE * 3];
    Preprocessing::vgg().with_size(SIZE, SIZE).apply(image, &mut input).unwrap();
    input
}

#[test]
fn features() {
    let Some(expected) = Expected::open("vgg16_expected.safetensors") else { return };
    let (Some(network), Some(input)) = (vgg16(), image("tubingen128.png")) else { return };
    let names: Vec<String> = expected.names().into_iter().filter(|name| name.starts_with("tubingen128.")).collect();
    assert_eq!(names.len(), 6);
    let mut plan = Plan::builder(&network);
    for name in &names {
        plan = plan.output(&name["tubingen128.".len()..]);
    }
    let mut plan = plan.build().unwrap();
    plan.input_mut().copy_from_slice(&preprocessed(&input));
    plan.forward(&network).unwrap();
    for (index, name) in names.iter().enumerate() {
        let got = first_channels(plan.output(index), plan.output_shape(index).channels(), 16);
        agree(name, &got, &expected.values(name));
    }
}
