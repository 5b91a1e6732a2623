//! Draws the built-in image of style, `assets/brushwork.png`: brush strokes along a field of whirls, in a strong palette.
//! `cargo run --release -p lucida-programs --bin brushwork [-- FILE.png]`.

use std::error::Error;
use std::path::PathBuf;

use lucida::data::{Filter, Image};

/// The image is drawn twice as large, and made smaller: its edges are then smooth.
const SIZE: usize = 400;
const SCALE: usize = 2;
/// Whirls of the field: where, how wide (in parts of the image), how strong.
const WHIRLS: [([f32; 2], f32, f32); 5] = [
    ([0.3, 0.28], 0.2, 2.4),
    ([0.76, 0.22], 0.14, -2.6),
    ([0.62, 0.62], 0.24, 2.2),
    ([0.16, 0.74], 0.16, -2.2),
    ([0.9, 0.86], 0.15, 2.4),
];
const PALETTE: [[f32; 3]; 8] = [
    [16., 28., 84.],
    [22., 74., 148.],
    [38., 140., 168.],
    [240., 190., 56.],
    [232., 112., 32.],
    [196., 42., 40.],
    [250., 236., 198.],
    [58., 30., 74.],
];

/// Numbers that are the same everywhere (Marsaglia, "Xorshift RNGs", 2003).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1_u64 << 24) as f32
    }
}

/// The direction of the strokes at a place, and how much of a whirl it is in.
fn field(x: f32, y: f32) -> ([f32; 2], f32) {
    let mut direction = [1.0, 0.35 * (5.0 * x + 2.0 * y).sin()];
    let mut within = 0.0_f32;
    for (center, radius, strength) in WHIRLS {
        let (dx, dy) = (x - center[0], y - center[1]);
        let near = (-(dx * dx + dy * dy) / (radius * radius)).exp();
        direction[0] -= strength * near * dy / radius * 2.0;
        direction[1] += strength * near * dx / radius * 2.0;
        within = within.max(near);
    }
    let length = direction[0].hypot(direction[1]).max(1e-3);
    (direction.map(|part| part / length), within)
}

/// A color of the palette: warm and light in the whirls, blue between them.
fn color(x: f32, y: f32, within: f32, random: &mut Random) -> [f32; 3] {
    let bands = (9.0 * within + 3.0 * (4.0 * x - 3.0 * y).sin() + 1.2 * random.next()).rem_euclid(10.0);
    let index = match within {
        w if w > 0.8 => [6, 3, 4][(bands as usize) % 3],
        w if w > 0.45 => [3, 4, 5, 2, 6][(bands as usize) % 5],
        w if w > 0.2 => [1, 2, 7, 5][(bands as usize) % 4],
        _ => [0, 1, 0, 7, 2][(bands as usize) % 5],
    };
    let light = 0.82 + 0.36 * random.next();
    PALETTE[index].map(|value| (value * light).min(255.0))
}

fn stroke(canvas: &mut [[f32; 3]], side: usize, width: f32, steps: usize, random: &mut Random) {
    let (mut x, mut y) = (random.next() * 1.1 - 0.05, random.next() * 1.1 - 0.05);
    let rgb = color(x, y, field(x, y).1, random);
    let bristles: Vec<f32> = (0..2 * width as usize + 3).map(|_| 0.8 + 0.4 * random.next()).collect();
    let count = steps as f32;
    for step in 0..steps {
        let ([dx, dy], _) = field(x, y);
        // A stroke is thinner where it begins and ends.
        let along = step as f32 / count;
        let reach = width * (4.0 * along).min(1.0).min(3.0 * (1.0 - along)).max(0.0).sqrt();
        let mut across = -reach;
        while across <= reach {
            let (px, py) = (x * side as f32 - dy * across, y * side as f32 + dx * across);
            if px >= 0.0 && py >= 0.0 && (px as usize) < side && (py as usize) < side {
                let tone =
                    bristles[(across + width).max(0.0) as usize % bristles.len()] * (1.1 - 0.2 * (across / width));
                let pixel = &mut canvas[py as usize * side + px as usize];
                (0..3).for_each(|c| pixel[c] += 0.85 * ((rgb[c] * tone).min(255.0) - pixel[c]));
            }
            across += 0.5;
        }
        (x, y) = (x + 0.6 * dx / side as f32, y + 0.6 * dy / side as f32);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let side = SIZE * SCALE;
    let mut canvas = vec![PALETTE[0]; side * side];
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for (count, width, steps) in [(1500, 13.0, 130), (2600, 8.0, 110), (2600, 5.0, 80)] {
        (0..count).for_each(|_| stroke(&mut canvas, side, width, steps, &mut random));
    }
    let bytes = canvas.iter().flat_map(|pixel| pixel.map(|value| value.round() as u8)).collect();
    let image = Image::new(side, side, 3, bytes)?.resize(SIZE, SIZE, Filter::Bilinear)?;
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/brushwork.png");
    let path = std::env::args_os().nth(1).map_or_else(|| PathBuf::from(default), PathBuf::from);
    image.save_png(&path)?;
    println!("{}", path.display());
    Ok(())
}
