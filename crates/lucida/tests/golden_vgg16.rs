//! VGG16 with its published weights against what Keras computes with it: features, and the losses and the gradient of
//! style transfer.

mod common;

use common::{Expected, agree, first_channels, shared};
use lucida::data::{Picture, Preprocessing};
use lucida::nn::zoo::{self, Options};
use lucida::nn::{Network, Plan};
use lucida::weights;

const SIZE: usize = 128;
const STYLE: [&str; 5] = ["block1_conv1", "block2_conv1", "block3_conv1", "block4_conv1", "block5_conv1"];
const CONTENT: &str = "block5_conv2";

fn vgg16() -> Option<Network> {
    let path = shared("data/weights/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5")?;
    let mut network = zoo::vgg16(&Options::without_top().size(SIZE, SIZE)).unwrap();
    weights::load_weights(&path, &mut network).unwrap();
    Some(network)
}

fn picture(name: &str) -> Option<Picture> {
    Some(Picture::open(&shared(&format!("golden/{name}"))?).unwrap())
}

fn preprocessed(picture: &Picture) -> Vec<f32> {
    let mut input = vec![0.0; SIZE * SIZE * 3];
    Preprocessing::vgg().with_size(SIZE, SIZE).apply(picture, &mut input).unwrap();
    input
}

/// `0.7 content + 0.3 style`, mixed before the mean colour is subtracted. The other way round differs in the last bits
/// only, but one pixel's features then change sides of a ReLU, and its gradient by 0.2 % of the largest.
fn mixed(content: &Picture, style: &Picture) -> Vec<f32> {
    let mean = Preprocessing::vgg().mean;
    let pixels = content.pixels().chunks_exact(3).zip(style.pixels().chunks_exact(3));
    let bgr = pixels.flat_map(|(c, s)| [2, 1, 0].map(|i| 0.7 * f32::from(c[i]) + 0.3 * f32::from(s[i])));
    bgr.zip(mean.iter().cycle()).map(|(value, mean)| value - mean).collect()
}

#[test]
fn features() {
    let Some(expected) = Expected::open("vgg16_expected.safetensors") else { return };
    let (Some(network), Some(input)) = (vgg16(), picture("tubingen128.png")) else { return };
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

/// The products of all pairs of channels, summed over the pixels.
fn gram(features: &[f32], channels: usize) -> Vec<f64> {
    let mut gram = vec![0.0; channels * channels];
    for pixel in features.chunks_exact(channels) {
        for (row, &a) in gram.chunks_exact_mut(channels).zip(pixel) {
            row.iter_mut().zip(pixel).for_each(|(sum, &b)| *sum += f64::from(a) * f64::from(b));
        }
    }
    gram
}

/// The gradient of a loss on Gram matrices with respect to the features: `(G - A) F` and a factor, for the symmetric
/// difference of the two.
fn gram_gradient(features: &[f32], difference: &[f64], channels: usize, factor: f64) -> Vec<f32> {
    let mut gradient = Vec::with_capacity(features.len());
    for pixel in features.chunks_exact(channels) {
        for row in difference.chunks_exact(channels) {
            let sum: f64 = row.iter().zip(pixel).map(|(&d, &a)| d * f64::from(a)).sum();
            gradient.push((factor * sum) as f32);
        }
    }
    gradient
}

/// With generated image `0.7 content + 0.3 style`: content loss half the sum of squares, style losses the sums of the
/// squared differences of the Gram matrices over `4 N^2 M^2` (N channels, M pixels), each counted 0.2 times; the total
/// is the content loss and 1000 times the style losses.
#[test]
fn losses_and_gradient_of_style_transfer() {
    let Some(expected) = Expected::open("vgg16_expected.safetensors") else { return };
    let (Some(network), Some(content), Some(style)) = (vgg16(), picture("tubingen128.png"), picture("starry128.png"))
    else {
        return;
    };
    let mut plan = Plan::builder(&network).input_gradient();
    for layer in STYLE.into_iter().chain([CONTENT]) {
        plan = plan.output(layer).seed(layer);
    }
    let mut plan = plan.build().unwrap();
    let mut features = |input: &[f32]| -> Vec<Vec<f32>> {
        plan.input_mut().copy_from_slice(input);
        plan.forward(&network).unwrap();
        (0..6).map(|index| plan.output(index).to_vec()).collect()
    };
    let of_content = features(&preprocessed(&content));
    let of_style = features(&preprocessed(&style));
    let of_generated = features(&mixed(&content, &style));

    let difference: Vec<f32> = of_generated[5].iter().zip(&of_content[5]).map(|(g, c)| g - c).collect();
    let content_loss: f64 = difference.iter().map(|&d| 0.5 * f64::from(d) * f64::from(d)).sum();
    agree("nst.content_loss", &[content_loss as f32], &expected.values("nst.content_loss"));
    plan.seed_mut(5).copy_from_slice(&difference);

    let mut style_losses = Vec::new();
    for index in 0..5 {
        let channels = plan.output_shape(index).channels();
        let pixels = of_generated[index].len() / channels;
        let scale = 4.0 * (channels * channels) as f64 * (pixels * pixels) as f64;
        let wanted = gram(&of_style[index], channels);
        let difference: Vec<f64> =
            gram(&of_generated[index], channels).iter().zip(&wanted).map(|(g, w)| g - w).collect();
        style_losses.push((difference.iter().map(|d| d * d).sum::<f64>() / scale) as f32);
        // The derivative of a square gives 2, and each feature is in a row and in a column of the matrix.
        let factor = 1000.0 * 0.2 * 4.0 / scale;
        let gradient = gram_gradient(&of_generated[index], &difference, channels, factor);
        plan.seed_mut(index).copy_from_slice(&gradient);
    }
    let recorded = expected.values("nst.style_losses");
    for (index, loss) in style_losses.iter().enumerate() {
        agree(&format!("nst.style_losses[{index}]"), &[*loss], &recorded[index..=index]);
    }
    let total = content_loss + 1000.0 * 0.2 * style_losses.iter().map(|&loss| f64::from(loss)).sum::<f64>();
    agree("total", &[total as f32], &expected.values("nst.total_alpha1_beta1000_w0.2"));
    plan.backward(&network);
    agree("nst.grad", plan.input_gradient().unwrap(), &expected.values("nst.grad"));
}
