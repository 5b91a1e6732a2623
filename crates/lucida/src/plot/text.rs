//! Text rendering with an embedded font.
//!
//! The font is DejaVu Sans because it is free, embeddable, legible at 10 pixels, and covers Latin, Greek, Cyrillic and
//! mathematical symbols. Images are thus the same on every machine, whatever fonts are installed.

use std::io::Read;
use std::sync::OnceLock;

use ab_glyph::{Font, FontVec, PxScale, ScaleFont, point};
use flate2::read::GzDecoder;

/// The weight of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    Regular,
    Bold,
}

/// The height of the tallest letters above the baseline, relative to the font size.
pub(super) const ASCENT: f32 = 0.76;
/// The distance between baselines, relative to the font size.
pub(super) const LINE_HEIGHT: f32 = 1.3;

fn font(weight: Weight) -> &'static FontVec {
    static REGULAR: OnceLock<FontVec> = OnceLock::new();
    static BOLD: OnceLock<FontVec> = OnceLock::new();
    let load = |packed| {
        let mut bytes = Vec::new();
        GzDecoder::new(packed).read_to_end(&mut bytes).expect("the embedded font is whole");
        FontVec::try_from_vec(bytes).expect("the embedded font is a valid font")
    };
    match weight {
        Weight::Regular => REGULAR.get_or_init(|| load(lucida_assets::FONT_REGULAR)),
        Weight::Bold => BOLD.get_or_init(|| load(lucida_assets::FONT_BOLD)),
    }
}

/// The scale for an em of `size` pixels.
fn scale(font: &FontVec, size: f32) -> PxScale {
    let em = font.units_per_em().unwrap_or(2048.0);
    PxScale::from(size * font.height_unscaled() / em)
}

/// Calls `each` with every visible character and its position, and returns the total width.
fn lay_out(text: &str, size: f32, weight: Weight, mut each: impl FnMut(char, f32)) -> f32 {
    let font = font(weight);
    let scaled = font.as_scaled(scale(font, size));
    let mut x = 0.0;
    let mut previous = None;
    for character in text.chars().filter(|c| !c.is_control()) {
        let id = font.glyph_id(character);
        if let Some(previous) = previous {
            x += scaled.kern(previous, id);
        }
        each(character, x);
        x += scaled.h_advance(id);
        previous = Some(id);
    }
    x
}

/// The width of a line of text in pixels, for an em of `size` pixels.
pub(super) fn width(text: &str, size: f32, weight: Weight) -> f32 {
    lay_out(text, size, weight, |_, _| {})
}

/// Shortens a text that is wider than `limit` pixels, and appends an ellipsis.
pub(super) fn elide(text: &str, size: f32, weight: Weight, limit: f32) -> String {
    if width(text, size, weight) <= limit {
        return text.to_owned();
    }
    let room = limit - width("…", size, weight);
    let mut kept = String::new();
    lay_out(text, size, weight, |character, x| {
        // `x` is where the previous character ends, and thus shows whether that one still fits.
        if x <= room {
            kept.push(character);
        }
    });
    kept.pop();
    kept.truncate(kept.trim_end().len());
    kept.push('…');
    kept
}

/// Wraps a text between words; text beyond `most` lines is elided.
pub(super) fn wrap(text: &str, size: f32, weight: Weight, limit: f32, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let full = lines.len() == most;
        match lines.last_mut() {
            Some(last) if full || width(&format!("{last} {word}"), size, weight) <= limit => {
                last.push(' ');
                last.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.iter().map(|line| elide(line, size, weight, limit)).collect()
}

/// A coverage mask of a line of text, 0 to 1 per pixel.
pub(super) struct Mask {
    pub(super) width: usize,
    pub(super) height: usize,
    /// The start of the baseline in the mask.
    pub(super) origin: (i64, i64),
    pub(super) coverage: Vec<f32>,
}

impl Mask {
    /// Rasterizes a line of text; `shift` is the subpixel position of its start, 0 to 1.
    pub(super) fn new(text: &str, size: f32, weight: Weight, shift: f32) -> Self {
        let font = font(weight);
        let scale = scale(font, size);
        let mut outlines = Vec::new();
        lay_out(text, size, weight, |character, x| {
            let glyph = font.glyph_id(character).with_scale_and_position(scale, point(x + shift, 0.0));
            outlines.extend(font.outline_glyph(glyph));
        });
        let all = outlines.iter().map(|o| o.px_bounds()).reduce(|a, b| ab_glyph::Rect {
            min: point(a.min.x.min(b.min.x), a.min.y.min(b.min.y)),
            max: point(a.max.x.max(b.max.x), a.max.y.max(b.max.y)),
        });
        let Some(all) = all else { return Self { width: 0, height: 0, origin: (0, 0), coverage: Vec::new() } };
        let (width, height) = (all.width() as usize, all.height() as usize);
        let mut coverage = vec![0.0_f32; width * height];
        for outline in &outlines {
            let bounds = outline.px_bounds();
            let (left, top) = ((bounds.min.x - all.min.x) as usize, (bounds.min.y - all.min.y) as usize);
            outline.draw(|x, y, part| {
                let (x, y) = (left + x as usize, top + y as usize);
                if x < width && y < height {
                    let at = &mut coverage[y * width + x];
                    *at = (*at + part).min(1.0);
                }
            });
        }
        Self { width, height, origin: (-all.min.x as i64, -all.min.y as i64), coverage }
    }

    /// The mask rotated by 90° counterclockwise, so that the text reads upwards.
    pub(super) fn upwards(&self) -> Self {
        let mut coverage = vec![0.0; self.coverage.len()];
        for y in 0..self.height {
            for x in 0..self.width {
                coverage[(self.width - 1 - x) * self.height + y] = self.coverage[y * self.width + x];
            }
        }
        let origin = (self.origin.1, self.width as i64 - 1 - self.origin.0);
        Self { width: self.height, height: self.width, origin, coverage }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_of_one_width_and_text_grows_with_the_size() {
        let of = |text, size| width(text, size, Weight::Regular);
        assert_eq!(of("0000", 12.0), of("1987", 12.0));
        assert!((of("epoch", 24.0) - 2.0 * of("epoch", 12.0)).abs() < 1e-3);
        assert_eq!(of("", 12.0), 0.0);
        assert_eq!(of("a\u{7}b\n", 12.0), of("ab", 12.0));
        // The digits of DejaVu Sans are 1303/2048 em wide.
        assert!((of("0", 2048.0) - 1303.0).abs() < 0.5);
    }

    #[test]
    fn a_long_text_is_elided_to_fit() {
        let long = "a very long class name that nobody can read";
        let short = elide(long, 12.0, Weight::Regular, 90.0);
        assert!(short.ends_with('…') && long.starts_with(short.trim_end_matches('…')), "{short}");
        assert!(width(&short, 12.0, Weight::Regular) <= 90.0);
        assert!(width(&short, 12.0, Weight::Regular) > 70.0, "{short}");
        assert_eq!(elide("cat", 12.0, Weight::Regular, 90.0), "cat");
        assert_eq!(elide("cat", 12.0, Weight::Regular, 0.0), "…");
    }

    #[test]
    fn a_long_text_is_broken_between_words() {
        let wrapped = |text, most| wrap(text, 12.0, Weight::Regular, 90.0, most);
        assert_eq!(wrapped("cat", 2), ["cat"]);
        let lines = wrapped("filter 3 at row 4, column 5 of the map", 9);
        assert!(lines.len() > 1 && lines.iter().all(|line| width(line, 12.0, Weight::Regular) <= 90.0), "{lines:?}");
        assert_eq!(lines.join(" "), "filter 3 at row 4, column 5 of the map");
        let cut = wrapped("filter 3 at row 4, column 5 of the map", 2);
        assert!(cut.len() == 2 && cut[1].ends_with('…'), "{cut:?}");
    }

    #[test]
    fn a_mask_covers_the_strokes_and_turns() {
        let mask = Mask::new("l", 40.0, Weight::Bold, 0.0);
        assert!(mask.height > 3 * mask.width, "{}x{}", mask.width, mask.height);
        assert!(mask.coverage.contains(&1.0));
        let turned = mask.upwards();
        assert_eq!((turned.width, turned.height), (mask.height, mask.width));
        // In text that reads upwards, the top of a letter is on the left, and its left side at the bottom.
        let first = mask.coverage[0];
        assert_eq!(turned.coverage[(turned.height - 1) * turned.width], first);
        assert_eq!(Mask::new(" ", 40.0, Weight::Bold, 0.0).coverage.len(), 0);
    }
}
