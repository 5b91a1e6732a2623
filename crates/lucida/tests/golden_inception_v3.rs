//! Compares InceptionV3 with Keras, with weights matched by the order of Keras's layers.

mod common;

use common::{Expected, agree, first_channels, shared};
use lucida::nn::Plan;
use lucida::nn::applications::{self, Options};
use lucida::weights;

#[test]
fn mixed_blocks() {
    let Some(expected) = Expected::open("inception_v3_expected.safetensors") else { return };
    let file = "data/weights/inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5";
    let Some(path) = shared(file) else { return };
    let mut network = applications::inception_v3(&Options::without_top().size(150, 150)).unwrap();
    weights::load_weights(&path, &mut network).unwrap();
    let (shape, inputs) = expected.get("inputs");
    assert_eq!(shape, [4, 150, 150, 3]);
    let mut plan =
        Plan::builder(&network).batch_size(4).output("mixed0").output("mixed4").output("mixed7").build().unwrap();
    plan.input_mut().copy_from_slice(&inputs);
    plan.forward(&network).unwrap();
    for (index, name) in ["mixed0", "mixed4"].into_iter().enumerate() {
        let got = first_channels(plan.output(index), plan.output_shape(index).channels(), 16);
        agree(name, &got, &expected.values(name));
    }
    agree("mixed7", plan.output(2), &expected.values("mixed7"));
}
