//! Simulated photos of digits (on paper, unevenly lit, noisy, off-center, slightly rotated), classified by a network trained
//! on the built-in digits. The photographed digits are not part of the training data.

mod common;

use std::sync::OnceLock;

use lucida::Cpu;
use lucida::data::{Affine, Dataset, FillMode, Filter, Image, LabeledImages, Mnist, Subset};
use lucida::model::{Predicted, predict};
use lucida::weights::Model;

const TRAINED_ON: usize = 9000;
const TESTED: usize = 150;

struct Trained {
    model: Model,
    digits: LabeledImages,
}

fn trained() -> &'static Trained {
    static TRAINED: OnceLock<Trained> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let digits = Mnist::builtin().unwrap().train;
        let set = Subset::new(digits.clone(), (0..TRAINED_ON).collect()).unwrap();
        let model = common::digit_reader(&set, 6, 1);
        Trained { model, digits }
    })
}

/// Uniform numbers from 0 to 1 (a linear congruential generator: the test needs no better ones).
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 24) as f32
    }

    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Sum of four uniform numbers: approximately normal, with standard deviation 1.
    fn normal(&mut self) -> f32 {
        ((0..4).map(|_| self.unit()).sum::<f32>() - 2.0) * 3_f32.sqrt()
    }
}

/// Falloff of the light over a photo.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Light {
    /// From one side to the other.
    Linear(f32),
    /// From the center to the corners.
    Corners(f32),
}

#[derive(Debug, Clone, Copy)]
struct Scene {
    light: Light,
    /// Brightness of ink and paper, from 0 to 255.
    ink: f32,
    ground: f32,
    /// Standard deviation of the noise.
    noise: f32,
}

/// Light at a point with coordinates from -1 to 1.
fn brightness(light: Light, [x, y]: [f32; 2], angle: f32) -> f32 {
    match light {
        Light::Linear(fall) => 1.0 - fall * ((x * angle.cos() + y * angle.sin()) / 2_f32.sqrt() + 1.0) / 2.0,
        Light::Corners(fall) => 1.0 - fall * (x * x + y * y) / 2.0,
    }
}

/// Renders a photo of 320x240 pixels with a digit 70 to 170 pixels high.
fn photograph(digit: &Image, scene: Scene, random: &mut Random) -> Image {
    let (width, height) = (320, 240);
    let side = random.between(100.0, 230.0) as usize;
    let large = digit.resize(side, side, Filter::Bicubic).unwrap();
    let values: Vec<f32> = large.pixels().iter().map(|&value| f32::from(value)).collect();
    let turned = Affine::new(f64::from(random.between(-8.0, 8.0)), [0.0; 2], 0.0, [1.0; 2]);
    let values = turned.apply(&values, [side, side, 1], FillMode::Constant, 0.0);
    let left = random.between(0.0, (width - side) as f32) as usize;
    let top = random.between(0.0, (height - side) as f32) as usize;
    let angle = random.between(0.0, 6.2);
    let mut photo = Image::filled(width, height, &[0, 0, 0]);
    for y in 0..height {
        for x in 0..width {
            let inside = (left..left + side).contains(&x) && (top..top + side).contains(&y);
            let ink = if inside { values[(y - top) * side + x - left] } else { 0.0 };
            // Pen strokes have sharp edges, unlike enlarged MNIST digits.
            let ink = ((ink - 96.0) / 64.0).clamp(0.0, 1.0);
            let at = [2.0 * x as f32 / width as f32 - 1.0, 2.0 * y as f32 / height as f32 - 1.0];
            let light = brightness(scene.light, at, angle);
            let value = light * (scene.ground + ink * (scene.ink - scene.ground)) + scene.noise * random.normal();
            // Paper is slightly yellow.
            let pixel = [value, value * 0.98, value * 0.92].map(|value| value.clamp(0.0, 255.0) as u8);
            photo.pixel_mut(x, y).copy_from_slice(&pixel);
        }
    }
    photo
}

fn accuracy(images: &[Image], labels: &[usize]) -> f64 {
    let predicted = predict(&trained().model, images, Cpu::detect()).unwrap();
    let is_right = |(predicted, label): &(&Predicted, &usize)| matches!(predicted, Predicted::Class(prediction) if prediction.class == **label);
    let right = predicted.iter().zip(labels).filter(is_right).count();
    right as f64 / labels.len() as f64
}

#[test]
fn photos_are_read_nearly_as_well_as_clean_digits() {
    let Trained { digits, .. } = trained();
    let indices = TRAINED_ON..TRAINED_ON + TESTED;
    let clean: Vec<Image> = indices.clone().map(|index| digits.image(index).unwrap()).collect();
    let labels: Vec<usize> = indices.map(|index| digits.label(index)).collect();
    let on_clean = accuracy(&clean, &labels);
    eprintln!("clean digits: {on_clean:.3}");
    let mut worst = Vec::new();
    for (name, ink, ground) in
        [("pen on paper", 50.0, 225.0), ("pencil on paper", 120.0, 200.0), ("chalk", 215.0, 55.0)]
    {
        for (light, noise) in [
            (Light::Linear(0.0), 0.0),
            (Light::Linear(0.25), 8.0),
            (Light::Linear(0.5), 8.0),
            (Light::Corners(0.25), 8.0),
            (Light::Corners(0.5), 8.0),
        ] {
            let mut random = Random(7);
            let scene = Scene { light, ink, ground, noise };
            let photos: Vec<Image> = clean.iter().map(|digit| photograph(digit, scene, &mut random)).collect();
            let on_photos = accuracy(&photos, &labels);
            eprintln!("{name}, {light:?}, noise {noise}: {on_photos:.3}");
            if on_photos < on_clean - 0.02 {
                worst.push((name, light, noise, on_photos));
            }
        }
    }
    assert!(worst.is_empty(), "clean: {on_clean}, photos: {worst:?}");
}
