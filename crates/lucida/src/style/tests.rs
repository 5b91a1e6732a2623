//! Tests of the objective and the pipeline, on the built-in network and small ones.

use std::ops::ControlFlow;

use super::*;
use crate::Cpu;
use crate::core::{Detail, Step};
use crate::data::{ColorMode, Image, Preprocessing};
use crate::nn::layers::{ActivationKind, AveragePooling2D, Conv2D, Padding};
use crate::nn::{Layer as NetworkLayer, Network};
use crate::style::losses::objective::{Region, StyleTarget};
use crate::style::pipeline::feature_extractor::{FeatureExtractor, GradientMode, ViewConfig};
use crate::weights::{Model, builtin_vgg16_at};

fn view() -> ViewConfig {
    ViewConfig { cpu: Cpu::detect(), exact: false, memory: None }
}

/// A smooth network, suitable for finite differences.
fn smooth(size: [usize; 2]) -> StyleNetwork {
    let conv = |filters| Conv2D::new(filters, [3, 3]).padding(Padding::Same).activation(ActivationKind::Tanh);
    let layers: [NetworkLayer; 3] = [conv(6).into(), AveragePooling2D::default().into(), conv(9).into()];
    let network = Network::sequential("smooth", [size[0], size[1], 3], layers, 5).unwrap();
    let preprocessing =
        Preprocessing { std: vec![0.3, 0.4, 0.5], ..Preprocessing::unit(size[0], size[1], ColorMode::Bgr) };
    let model = Model { preprocessing: Some(preprocessing), ..Model::new(network) };
    StyleNetwork::new(model, Pooling::Max).unwrap()
}

fn loss_config(norm: StyleNorm, content_norm: ContentNorm, style_loss: StyleLoss) -> LossConfig {
    LossConfig {
        content: vec![LayerWeight::new("conv2d_1", 0.7)],
        content_norm,
        content_weight: 3.0,
        style: vec![LayerWeight::new("conv2d", 0.4), LayerWeight::new("conv2d_1", 0.6)],
        style_loss,
        style_norm: norm,
        style_weight: 50.0,
        variation: TotalVariation::Squared,
        variation_weight: 1e-5,
    }
}

/// A colored wave pattern.
fn waves(size: [usize; 2], seed: f32) -> Canvas {
    let wave =
        |i: usize| 128.0 + 90.0 * ((i as f32) * 0.37 * seed).sin() + 30.0 * ((i / (3 * size[1])) as f32 * seed).cos();
    Canvas { size, values: (0..3 * size[0] * size[1]).map(wave).collect() }
}

fn check_gradient(objective: &mut Objective, canvas: &Canvas) {
    let mut gradient = vec![0.0; canvas.values.len()];
    objective.evaluate(canvas, &mut gradient).unwrap();
    let most = gradient.iter().fold(0.0_f32, |most, g| most.max(g.abs()));
    let mut scratch = vec![0.0; gradient.len()];
    for at in (0..gradient.len()).step_by(29) {
        let mut at_distance = |step: f32| {
            let mut moved = canvas.clone();
            moved.values[at] += step;
            objective.evaluate(&moved, &mut scratch).unwrap().total
        };
        let slope = (at_distance(2.0) - at_distance(-2.0)) / 4.0;
        let difference = (slope - f64::from(gradient[at])).abs();
        assert!(difference < 5e-3 * f64::from(most), "at {at}: {} but {slope}", gradient[at]);
    }
}

#[test]
fn the_gradient_of_the_total_is_that_of_finite_differences() {
    let size = [12, 16];
    for (norm, content, loss) in [
        (StyleNorm::Gatys, ContentNorm::HalfSum, StyleLoss::Gram),
        (StyleNorm::Mean, ContentNorm::Mean, StyleLoss::Gram),
        (StyleNorm::Relative, ContentNorm::Relative, StyleLoss::Gram),
        (StyleNorm::Relative, ContentNorm::Relative, StyleLoss::Wasserstein),
    ] {
        let (content_canvas, style) = (waves(size, 1.0), waves([20, 18], 1.7));
        let config = loss_config(norm, content, loss);
        let mut objective =
            Objective::new(&smooth(size), &config, &content_canvas, &style, Cpu::detect(), true).unwrap();
        check_gradient(&mut objective, &waves(size, 0.6));
    }
}

#[test]
fn regions_have_styles_of_their_own() {
    let size = [12, 16];
    for loss in [StyleLoss::Gram, StyleLoss::Wasserstein] {
        let config = loss_config(StyleNorm::Relative, ContentNorm::Relative, loss);
        let network = smooth(size);
        let mut regions = Vec::new();
        for seed in [1.7, 0.3] {
            let style = StyleTarget::measure(&network, &config, &waves([20, 18], seed), view()).unwrap();
            let left = seed == 1.7;
            let mask = (0..size[0] * size[1]).map(|i| if (i % size[1] < 7) == left { 1.0 } else { 0.2 }).collect();
            regions.push(Region { mask: Some(mask), style });
        }
        let mut objective = Objective::with_regions(&network, &config, &waves(size, 1.0), regions, view()).unwrap();
        check_gradient(&mut objective, &waves(size, 0.6));
    }
}

/// No limit; then, lowering the limit in steps of 3 %, the first that needs several tiles, and the first that needs more.
fn memories_of_tiles(network: &StyleNetwork, loss: &LossConfig, size: [usize; 2]) -> Vec<Option<u64>> {
    let mut memories = vec![None];
    let mut most = 1;
    let mut memory = 256_000_000.0_f64;
    while memories.len() < 3 {
        let view = ViewConfig { memory: Some(memory as u64), exact: true, ..view() };
        let extractor = FeatureExtractor::new(network, &loss.layers(), size, view, GradientMode::Written).unwrap();
        let tiles = extractor.tiles([0, 0]).len();
        if tiles > most {
            most = tiles;
            memories.push(view.memory);
        }
        memory *= 0.97;
    }
    memories
}

/// Tiles with halos are exact, not an approximation.
#[test]
fn tiles_give_the_loss_and_the_gradient_of_the_whole() {
    let size = [96, 160];
    let network = StyleNetwork::new(builtin_vgg16_at(32, 32).unwrap(), Pooling::Max).unwrap();
    let config = Preset::Best.config(&network, Cpu::detect()).unwrap();
    let loss = LossConfig { variation_weight: 0.0, ..config.loss };
    let network = network.cut(&loss.layers()).unwrap();
    let (content, style, canvas) = (waves(size, 1.0), waves([64, 64], 1.7), waves(size, 0.6));
    // Exact convolution: otherwise rounding differs between tiles and may change which value is the maximum.
    let mut results = Vec::new();
    for memory in memories_of_tiles(&network, &loss, size) {
        let view = ViewConfig { memory, exact: true, ..view() };
        let style = StyleTarget::measure(&network, &loss, &style, view).unwrap();
        let tiles = FeatureExtractor::new(&network, &loss.layers(), size, view, GradientMode::Written)
            .unwrap()
            .tiles([0, 0])
            .len();
        let mask: Vec<f32> = (0..size[0] * size[1]).map(|i| (i % size[1]) as f32 / 159.0).collect();
        for mask in [None, Some(mask)] {
            let region = Region { mask, style: style.clone() };
            let mut objective = Objective::with_regions(&network, &loss, &content, vec![region], view).unwrap();
            for phase in [[0, 0], [1, 2]] {
                let mut gradient = vec![0.0; canvas.values.len()];
                let losses = objective.evaluate_at(&canvas, phase, &mut gradient).unwrap();
                results.push((tiles, losses, gradient));
            }
        }
    }
    let counts: Vec<usize> = results.iter().step_by(4).map(|(tiles, ..)| *tiles).collect();
    assert!(counts[0] == 1 && counts[1] > 1 && counts[2] > counts[1], "{counts:?}");
    for (index, (_, losses, gradient)) in results.iter().enumerate().skip(1) {
        let (_, expected, whole) = &results[index / 2 % 2 * 2];
        let close = |a: f64, b: f64| (a - b).abs() < 1e-4 * b.abs();
        assert!(close(losses.total, expected.total) && close(losses.content, expected.content), "{index}");
        let most = whole.iter().fold(0.0_f32, |most, g| most.max(g.abs()));
        let off = gradient.iter().zip(whole).fold(0.0_f32, |off, (a, b)| off.max((a - b).abs()));
        assert!(off < 2e-3 * most, "{index}: {off} of {most}");
    }
}

fn image(size: [usize; 2], seed: f32) -> Image {
    waves(size, seed).to_image().unwrap()
}

fn request() -> StyleRequest {
    StyleRequest::new(image([60, 80], 1.0), vec![(image([64, 50], 1.7), 1.0)])
}

fn network() -> StyleNetwork {
    StyleNetwork::new(builtin_vgg16_at(32, 32).unwrap(), Pooling::Max).unwrap()
}

#[test]
fn every_preset_makes_the_loss_smaller_and_repeats_itself() {
    for preset in [Preset::Best, Preset::Gatys, Preset::TensorFlow] {
        let config = StyleConfig {
            size: 64,
            smallest: (preset == Preset::Best).then_some(44),
            steps: 12,
            first_steps: if preset == Preset::Best { 5 } else { 12 },
            ..preset.config(&network(), Cpu::detect()).unwrap()
        };
        let mut seen = Vec::new();
        let mut tell = |step: &Step<'_>| {
            let Detail::Style(style) = step.detail else { panic!("{step:?}") };
            seen.push((style.scale, style.step, step.fraction().unwrap(), style.loss));
            ControlFlow::Continue(())
        };
        let result = transfer(&network(), &request(), &config, &mut tell).unwrap();
        assert_eq!(result.canvas.size, [48, 64]);
        assert!(
            result.end.total < 0.8 * result.start.total,
            "{preset:?}: {} to {}",
            result.start.total,
            result.end.total
        );
        assert!(!result.stopped && result.steps == seen.len());
        let last = seen.last().unwrap();
        assert!((last.2 - 1.0).abs() < 1e-9 && last.1 == [12, 12], "{last:?}");
        assert!(seen.windows(2).all(|pair| pair[1].2 > pair[0].2));
        let again = transfer(&network(), &request(), &config, &mut ()).unwrap();
        assert_eq!(again.canvas, result.canvas);
    }
}

#[test]
fn a_stopped_work_gives_the_image_so_far_in_the_final_size() {
    let config =
        StyleConfig { size: 64, smallest: Some(44), ..Preset::Best.config(&network(), Cpu::detect()).unwrap() };
    let mut stop = |step: &Step<'_>| {
        let Detail::Style(style) = step.detail else { panic!("{step:?}") };
        assert_eq!(style.image().unwrap().width(), style.size[1]);
        if style.step[0] < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let result = transfer(&network(), &request(), &config, &mut stop).unwrap();
    assert!(result.stopped && result.steps == 3 && result.canvas.size == [48, 64]);
    assert_eq!(result.last_size, [33, 44]);
}

#[test]
fn what_is_wholly_preserved_is_the_content() {
    let white = Image::filled(80, 60, &[255]);
    for preset in [Preset::Best, Preset::Gatys] {
        for style_loss in [StyleLoss::Gram, StyleLoss::Wasserstein] {
            let mut config = preset.config(&network(), Cpu::detect()).unwrap();
            (config.size, config.smallest, config.steps, config.first_steps) = (64, Some(44), 3, 3);
            config.loss.style_loss = style_loss;
            let request = StyleRequest { preserve: Some(white.clone()), ..request() };
            let result = transfer(&network(), &request, &config, &mut ()).unwrap();
            let content = Canvas::of_image_at(&request.content, [48, 64]).unwrap();
            assert_eq!(result.canvas.to_image().unwrap(), content.to_image().unwrap(), "{preset:?} {style_loss:?}");
        }
    }
}

#[test]
fn a_region_of_which_all_is_preserved_does_not_spoil_the_others() {
    let half = |left: u8, right: u8| {
        Image::new(80, 60, 1, (0..80 * 60).map(|i| if i % 80 < 40 { left } else { right }).collect()).unwrap()
    };
    let mut config = Preset::Best.config(&network(), Cpu::detect()).unwrap();
    (config.size, config.smallest, config.steps, config.first_steps) = (64, None, 3, 3);
    let styles = vec![(image([64, 50], 1.7), 1.0), (image([64, 50], 0.4), 1.0)];
    let request = StyleRequest { styles, mask: Some(half(0, 255)), preserve: Some(half(255, 0)), ..request() };
    let result = transfer(&network(), &request, &config, &mut ()).unwrap();
    let content = Canvas::of_image_at(&request.content, [48, 64]).unwrap();
    let change = |x: usize| (result.canvas.values[3 * (64 * 20 + x)] - content.values[3 * (64 * 20 + x)]).abs();
    assert!(change(10) < 1e-3 && change(55) > 0.1, "{} {}", change(10), change(55));
}

#[test]
fn invalid_requests_are_refused() {
    let config = StyleConfig { size: 64, ..Preset::Best.config(&network(), Cpu::detect()).unwrap() };
    let refused = |request: &StyleRequest, config: &StyleConfig| {
        let mut never = |_: &Step<'_>| panic!("no step is made");
        transfer(&network(), request, config, &mut never).unwrap_err().to_string()
    };
    let tiny = StyleRequest { content: image([1, 1], 1.0), ..request() };
    assert!(refused(&tiny, &config).contains("the content has 1x1 pixels"));
    let thin = StyleRequest { styles: vec![(image([4000, 40], 1.0), 1.0)], ..request() };
    assert!(refused(&thin, &config).contains("the style of 40x4000 pixels would be"));
    assert!(refused(&StyleRequest { styles: vec![], ..request() }, &config).contains("an image of style is needed"));
    assert!(refused(&request(), &StyleConfig { size: 8, ..config.clone() }).contains("a size of 8 pixels"));
    let unknown = LossConfig { style: vec![LayerWeight::new("block5_conv1", 1.0)], ..config.loss.clone() };
    assert!(refused(&request(), &StyleConfig { loss: unknown, ..config.clone() }).contains("block5_conv1"));
    let poor = StyleConfig { memory: Some(1 << 20), ..config };
    let message = refused(&request(), &poor);
    assert!(message.contains("MiB of memory, but the limit is 1 MiB"), "{message}");
}

/// Mean absolute difference between two canvases.
fn difference(a: &Canvas, b: &Canvas) -> f32 {
    let sum: f32 = a.values.iter().zip(&b.values).map(|(a, b)| (a - b).abs()).sum();
    sum / a.values.len() as f32
}

/// Bare canvas at the edges of a photo of a painting must not affect the result.
#[test]
fn the_edge_of_a_style_image_is_not_waves() {
    let side = 400;
    let framed = |width: usize| {
        let style = waves([side, side], 1.7);
        let edge = |i: usize| [i / side, i % side].iter().any(|&at| at < width || at >= side - width);
        let value = |(i, value): (usize, &f32)| if edge(i / 3) { 250.0 } else { *value };
        Canvas { size: style.size, values: style.values.iter().enumerate().map(value).collect() }
    };
    let mut config = Preset::Best.config(&network(), Cpu::detect()).unwrap();
    (config.size, config.smallest, config.first_steps) = (96, None, 10);
    let result = |width: usize| {
        let styles = vec![(framed(width).to_image().unwrap(), 1.0)];
        let request = StyleRequest { styles, ..request() };
        transfer(&network(), &request, &config, &mut ()).unwrap().canvas
    };
    let (bare, thin, thick) = (result(0), result(4), result(40));
    // A frame wider than the cropped edge still counts as part of the style.
    assert!(
        difference(&bare, &thin) < 0.1 * difference(&bare, &thick),
        "{} {}",
        difference(&bare, &thin),
        difference(&bare, &thick)
    );
}

/// In a flat area all pixels of a pooling window are equal to the maximum.
#[test]
fn flat_areas_show_no_blocks() {
    let mut config = Preset::Best.config(&network(), Cpu::detect()).unwrap();
    (config.size, config.smallest, config.first_steps) = (96, None, 6);
    for colors in [ColorSource::Luminance, ColorSource::Style] {
        let request = StyleRequest { colors, content: Image::filled(96, 96, &[120, 140, 160]), ..request() };
        let result = transfer(&network(), &request, &config, &mut ()).unwrap().canvas;
        // Away from the border, a grid would repeat with the stride of the deepest layer.
        let part = |left: usize| super::pipeline::colors::gray(&result.crop([32, left], [24, 24]));
        let (inner, shifted) = (part(32), part(36));
        let mean = inner.iter().sum::<f32>() / inner.len() as f32;
        let difference = |to: &dyn Fn(usize) -> f32| (0..inner.len()).map(|i| (inner[i] - to(i)).abs()).sum::<f32>();
        let (texture, repeated) = (difference(&|_| mean), difference(&|i| shifted[i]));
        assert!(texture > inner.len() as f32 && repeated > 0.5 * texture, "{texture} {repeated}");
    }
}

#[test]
fn what_is_not_finite_is_an_error_and_not_a_black_image() {
    let config =
        StyleConfig { size: 48, steps: 3, first_steps: 3, ..Preset::Gatys.config(&network(), Cpu::detect()).unwrap() };
    let mut broken = network();
    let bias = broken.network.weights().iter().position(|weight| weight.name() == "block1_conv2/bias").unwrap();
    broken.network.weights_mut()[bias].values_mut()[0] = f32::NAN;
    let message = transfer(&broken, &request(), &config, &mut ()).unwrap_err().to_string();
    assert_eq!(message, "layer block1_conv2: its weights hold NaN or infinity (block1_conv2/bias)");
    // Finite, but too large.
    let mut loud = network();
    loud.network.weights_mut()[bias].values_mut().fill(1e38);
    let message = transfer(&loud, &request(), &config, &mut ()).unwrap_err().to_string();
    assert!(message.starts_with("step 1 of 3 at 48x36 pixels: the loss is"), "{message}");
}
