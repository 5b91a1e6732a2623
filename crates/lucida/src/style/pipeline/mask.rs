//! Masks: assign styles to image regions, and preserve regions.

use crate::data::{Filter, Image};
use crate::style::pipeline::geometry::Geometry;
use crate::{Error, Result};

/// Mask colors, in the order of the styles that they select.
const COLORS: [(&str, [u8; 3]); 8] = [
    ("red", [255, 0, 0]),
    ("green", [0, 255, 0]),
    ("blue", [0, 0, 255]),
    ("yellow", [255, 255, 0]),
    ("magenta", [255, 0, 255]),
    ("cyan", [0, 255, 255]),
    ("black", [0, 0, 0]),
    ("white", [255, 255, 255]),
];
/// Maximum difference between the channels of a gray pixel.
const GRAY: u8 = 12;
/// Tolerated share of pixels with other colors, which image compression produces at edges.
const STRAY: f64 = 0.01;

/// Returns the weight of each pixel for each style, as gray images.
///
/// A gray mask blends from the first style (black) to the last (white); a single style is applied where the mask is white.
/// In a color mask, each pixel selects one style: red the first, green the second, then blue, yellow, magenta, cyan, black,
/// white.
///
/// # Errors
/// [`Error::Argument`] when a color has no style, or a style has no pixels.
pub(in crate::style) fn regions(mask: &Image, styles: usize) -> Result<Vec<Image>> {
    let rgb = mask.to_rgb();
    let pixels: Vec<[u8; 3]> = rgb.pixels().chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect();
    let chroma = |p: &[u8; 3]| p.iter().max().zip(p.iter().min()).map_or(0, |(most, least)| most - least);
    let colorful = pixels.iter().filter(|pixel| chroma(pixel) > GRAY).count() as f64;
    let weights: Vec<Vec<u8>> = if colorful <= STRAY * pixels.len() as f64 {
        let level = |p: &[u8; 3]| (f32::from(p[0]) + f32::from(p[1]) + f32::from(p[2])) / 765.0;
        let weight = |style: usize, pixel: &[u8; 3]| match styles {
            1 => level(pixel),
            _ => (1.0 - (level(pixel) * (styles - 1) as f32 - style as f32).abs()).max(0.0),
        };
        (0..styles).map(|style| pixels.iter().map(|p| (255.0 * weight(style, p)).round() as u8).collect()).collect()
    } else {
        by_color(&pixels, styles)?
    };
    for (style, weights) in weights.iter().enumerate() {
        if weights.iter().all(|&weight| weight < 128) {
            return Err(Error::argument(format!("the mask has no part for style {}", style + 1)));
        }
    }
    weights.into_iter().map(|weights| Image::new(mask.width(), mask.height(), 1, weights)).collect()
}

fn by_color(pixels: &[[u8; 3]], styles: usize) -> Result<Vec<Vec<u8>>> {
    if styles > COLORS.len() {
        let problem = format!("{styles} styles, but a mask of colors distinguishes only {}", COLORS.len());
        return Err(Error::argument(problem));
    }
    let nearest = |pixel: &[u8; 3], among: usize| {
        let difference = |color: &[u8; 3]| (0..3).map(|c| i32::from(pixel[c].abs_diff(color[c])).pow(2)).sum::<i32>();
        (0..among).min_by_key(|&index| difference(&COLORS[index].1)).unwrap_or(0)
    };
    let mut counts = [0_usize; COLORS.len()];
    pixels.iter().for_each(|pixel| counts[nearest(pixel, COLORS.len())] += 1);
    for (index, &count) in counts.iter().enumerate().skip(styles) {
        if count as f64 > STRAY * pixels.len() as f64 {
            let (name, number) = (COLORS[index].0, index + 1);
            let what = if styles == 1 { "there is only one".to_owned() } else { format!("there are {styles}") };
            return Err(Error::argument(format!("the mask has {name}, which is for style {number}, but {what}")));
        }
    }
    let chosen: Vec<usize> = pixels.iter().map(|pixel| nearest(pixel, styles)).collect();
    Ok((0..styles).map(|style| chosen.iter().map(|&c| if c == style { 255 } else { 0 }).collect()).collect())
}

/// Checks that a mask has the size of its image.
///
/// # Errors
/// [`Error::Argument`] states both sizes.
pub(in crate::style) fn check_size(what: &str, mask: &Image, content: &Image) -> Result<()> {
    let size = |image: &Image| (image.width(), image.height());
    if size(mask) == size(content) {
        return Ok(());
    }
    Err(Error::argument(format!(
        "{what} has {}x{} pixels, but the content {}x{}: they must be of one size",
        mask.width(),
        mask.height(),
        content.width(),
        content.height()
    )))
}

/// Gray levels of a mask, extended to a canvas, from 0 to 1.
pub(in crate::style) fn plane(mask: &Image, geometry: Geometry) -> Result<Vec<f32>> {
    Ok(geometry.plane(&levels(mask, geometry.image)?))
}

/// Gray levels of a mask at a size, from 0 to 1.
pub(in crate::style) fn levels(mask: &Image, [height, width]: [usize; 2]) -> Result<Vec<f32>> {
    let gray = mask.to_gray().resize(width, height, Filter::Bilinear)?;
    Ok(gray.pixels().iter().map(|&level| f32::from(level) / 255.0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(pixels: &[[u8; 3]]) -> Image {
        Image::new(pixels.len(), 1, 3, pixels.concat()).unwrap()
    }

    #[test]
    fn grays_blend_between_styles() {
        let levels = mask(&[[0; 3], [128; 3], [255; 3]]);
        let two = regions(&levels, 2).unwrap();
        assert_eq!(two[0].pixels(), [255, 127, 0]);
        assert_eq!(two[1].pixels(), [0, 128, 255]);
        let three = regions(&levels, 3).unwrap();
        assert_eq!(three[1].pixels(), [0, 254, 0]);
        assert_eq!(regions(&levels, 1).unwrap()[0].pixels(), [0, 128, 255]);
        let message = regions(&mask(&[[255; 3], [250; 3]]), 2).unwrap_err().to_string();
        assert!(message.contains("no part for style 1"), "{message}");
    }

    #[test]
    fn colors_choose_styles() {
        let colors = mask(&[[250, 10, 0], [0, 255, 0], [20, 20, 240]]);
        let three = regions(&colors, 3).unwrap();
        assert_eq!([three[0].pixels(), three[1].pixels(), three[2].pixels()], [[255, 0, 0], [0, 255, 0], [0, 0, 255]]);
        let message = regions(&colors, 2).unwrap_err().to_string();
        assert!(message.contains("the mask has blue, which is for style 3, but there are 2"), "{message}");
        assert!(regions(&colors, 9).unwrap_err().to_string().contains("only 8"));
    }

    #[test]
    fn sizes_must_agree() {
        let [a, b] = [Image::filled(4, 3, &[0]), Image::filled(3, 4, &[0])];
        assert!(
            check_size("m.png", &a, &b).unwrap_err().to_string().contains("m.png has 4x3 pixels, but the content 3x4")
        );
        check_size("m.png", &a, &a).unwrap();
    }
}
