//! Images in a terminal.

use crate::data::Image;

/// The bit of each dot of a Braille character, row by row (Unicode, block `Braille Patterns`).
const DOTS: [[u32; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

/// Renders an image as lines of Braille characters, each for two by four pixels: a pixel with a luma above `threshold` is a
/// dot. All lines have the same width.
pub fn braille(image: &Image, threshold: u8) -> Vec<String> {
    let gray = image.to_gray();
    let (width, height) = (gray.width(), gray.height());
    let character = |left: usize, top: usize| {
        let mut bits = 0;
        for (y, row) in DOTS.iter().enumerate().filter(|(y, _)| top + y < height) {
            for (x, bit) in row.iter().enumerate().filter(|(x, _)| left + x < width) {
                if gray.pixel(left + x, top + y)[0] > threshold {
                    bits |= bit;
                }
            }
        }
        char::from_u32(0x2800 + bits).unwrap_or(' ')
    };
    (0..height).step_by(4).map(|top| (0..width).step_by(2).map(|left| character(left, top)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pixel_is_its_dot() {
        // The Unicode names number the dots 1, 2, 3 and 7 down the left column, 4, 5, 6 and 8 down the right one.
        let expected = [['⠁', '⠈'], ['⠂', '⠐'], ['⠄', '⠠'], ['⡀', '⢀']];
        for (y, row) in expected.iter().enumerate() {
            for (x, character) in row.iter().enumerate() {
                let mut image = Image::filled(2, 4, &[100]);
                image.pixel_mut(x, y)[0] = 101;
                assert_eq!(braille(&image, 100), [character.to_string()]);
            }
        }
    }

    #[test]
    fn what_does_not_fill_a_character_is_blank() {
        assert_eq!(braille(&Image::filled(3, 5, &[255]), 0), ["⣿⡇", "⠉⠁"]);
        assert_eq!(braille(&Image::filled(28, 28, &[0, 0, 0]), 0), vec!["⠀".repeat(14); 7]);
        assert!(braille(&Image::filled(0, 0, &[0]), 0).is_empty());
    }
}
