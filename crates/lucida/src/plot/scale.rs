//! The color scale of a map: a strip of colors with labeled values.

use super::canvas::{Anchor, Canvas, Line};
use super::text::{ASCENT, LINE_HEIGHT, Weight, width};
use super::{Rgb, more_readable};
use crate::data::Image;

/// The height of the strip in pixels.
const STRIP: usize = 10;
const TEXT: f32 = 11.0;

/// A strip of colors, `wide` pixels wide, from 0 at the left to 1 at the right, with labels under its left end, middle and
/// right end. An empty label is omitted.
pub fn color_scale(wide: usize, background: Rgb, color: impl Fn(f32) -> Rgb, labels: [&str; 3]) -> Image {
    let height = STRIP + 3 + (TEXT * LINE_HEIGHT).ceil() as usize;
    let ink = more_readable(background, [27, 34, 44], [236, 240, 245]);
    let mut canvas = Canvas::new(wide, height, background);
    let last = wide.saturating_sub(1).max(1) as f32;
    for x in 0..wide {
        let (left, right) = (x as f32, x as f32 + 1.0);
        canvas.rect((left, 0.0), (right, STRIP as f32), color(left / last));
    }
    let baseline = (STRIP + 3) as f32 + (TEXT * ASCENT).ceil();
    let places = [(Anchor::Start, 0.0), (Anchor::Middle, wide as f32 / 2.0), (Anchor::End, wide as f32)];
    for (text, (anchor, x)) in labels.into_iter().zip(places) {
        let line = Line { text, size: TEXT, weight: Weight::Regular, anchor, upwards: false };
        canvas.text(&line, (x, baseline), ink);
    }
    canvas.into_image()
}

/// Labels a box on an RGB image: above its top left corner (`[top, left]`), or inside the box if there is no room above;
/// never beyond the image's right edge.
pub fn box_label(image: Image, text: &str, [top, left]: [usize; 2], color: Rgb) -> Image {
    let (height, wide) = (TEXT * LINE_HEIGHT, width(text, TEXT, Weight::Bold));
    let baseline = if top as f32 >= height { top as f32 - 4.0 } else { top as f32 + height };
    let x = (left as f32 + 3.0).min(image.width() as f32 - wide - 3.0).max(0.0);
    let line = Line { text, size: TEXT, weight: Weight::Bold, anchor: Anchor::Start, upwards: false };
    let mut canvas = Canvas::on(image);
    canvas.text(&line, (x, baseline), color);
    canvas.into_image()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_run_from_end_to_end_and_labels_stand_below() {
        let gray = |part: f32| [(255.0 * part) as u8; 3];
        let scale = color_scale(101, [255; 3], gray, ["0", "", "7.5"]);
        assert_eq!(
            (scale.pixel(0, 5), scale.pixel(50, 5), scale.pixel(100, 5)),
            (&[0; 3][..], &[127; 3][..], &[255; 3][..])
        );
        let inked = |columns: std::ops::Range<usize>| {
            columns.into_iter().any(|x| (STRIP + 2..scale.height()).any(|y| scale.pixel(x, y)[0] < 128))
        };
        assert!(inked(0..12) && !inked(30..70) && inked(80..101));
    }

    #[test]
    fn labels_stay_on_the_image() {
        let inked = |at: [usize; 2]| {
            let image = box_label(Image::filled(120, 60, &[0; 3]), "conv2d 3x3", at, [255; 3]);
            let lit = |&at: &usize| image.pixel(at % 120, at / 120)[0] > 128;
            let rows: Vec<usize> = (0..120 * 60).filter(lit).map(|at| at / 120).collect();
            (rows.first().copied(), rows.last().copied(), rows.len())
        };
        let (above, inside, right) = (inked([30, 5]), inked([2, 5]), inked([30, 115]));
        assert!(above.1 < Some(30) && inside.0 > Some(2), "{above:?} {inside:?}");
        assert!(right.2 * 10 > above.2 * 9, "a label at the right edge is whole");
    }
}
