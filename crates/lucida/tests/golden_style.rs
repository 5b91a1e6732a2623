//! Compares the losses and the gradient of style transfer with Keras, with the published weights of VGG16.

mod common;

use common::{Expected, agree, shared};
use lucida::Cpu;
use lucida::data::Image;
use lucida::nn::applications::{self, Options};
use lucida::style::{Canvas, Objective, Pooling, Preset, StyleNetwork};
use lucida::weights::{self, Model};

/// Generated image `0.7 content + 0.3 style`, alpha 1, beta 1000, and five style layers of weight 0.2.
///
/// The images are mixed before the mean color is subtracted. The reverse order differs in the last bits only, but that flips
/// a ReLU for one pixel, which changes its gradient by 0.2 % of the largest.
#[test]
fn losses_and_gradient_are_those_of_keras() {
    let Some(expected) = Expected::open("vgg16_expected.safetensors") else { return };
    let Some(weights) = shared("data/weights/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5") else { return };
    let (Some(content), Some(style)) = (shared("golden/tubingen128.png"), shared("golden/starry128.png")) else {
        return;
    };
    let [content, style] = [content, style].map(|path| Canvas::of_image(&Image::open(&path).unwrap()));
    let known = applications::find("vgg16").unwrap();
    let mut model = Model::of_architecture(known, &Options::without_top().size(128, 128)).unwrap();
    weights::load_weights(&weights, &mut model.network).unwrap();
    let network = StyleNetwork::new(model, Pooling::Max).unwrap();

    let cpu = Cpu::detect();
    let loss = Preset::Gatys.config(&network, cpu).unwrap().loss;
    assert_eq!((loss.content_weight, loss.style_weight, loss.style[4].weight), (1.0, 1000.0, 0.2));
    let mixed = content.values.iter().zip(&style.values).map(|(c, s)| 0.7 * c + 0.3 * s).collect();
    let mixed = Canvas { size: [128, 128], values: mixed };
    let mut objective = Objective::new(&network, &loss, &content, &style, cpu, true).unwrap();
    let mut gradient = vec![0.0; mixed.values.len()];
    let losses = objective.evaluate(&mixed, &mut gradient).unwrap();

    agree("content loss", &[losses.content as f32], &expected.values("nst.content_loss"));
    let recorded = expected.values("nst.style_losses");
    for (index, &loss) in losses.style.iter().enumerate() {
        agree(&format!("style loss {index}"), &[loss as f32], &recorded[index..=index]);
    }
    agree("total", &[losses.total as f32], &expected.values("nst.total_alpha1_beta1000_w0.2"));
    let bgr: Vec<f32> = gradient.chunks_exact(3).flat_map(|rgb| [rgb[2], rgb[1], rgb[0]]).collect();
    agree("gradient", &bgr, &expected.values("nst.grad"));

    // The content image has zero content loss, the style image zero style loss.
    let losses = objective.evaluate(&content, &mut gradient).unwrap();
    assert_eq!(losses.content, 0.0);
    assert!(objective.evaluate(&style, &mut gradient).unwrap().style.iter().all(|&loss| loss < 1e-6 * losses.style[0]));
}
