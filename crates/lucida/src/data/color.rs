//! Conversion between color and gray.

use std::borrow::Cow;

use super::Image;

impl Image {
    /// Converts to gray: the luma of ITU-R BT.601, (299 R + 587 G + 114 B) / 1000, rounded in 16-bit fixed point as Pillow
    /// does, so that Keras's `color_mode="grayscale"` gives the same bytes.
    #[must_use]
    pub fn to_gray(&self) -> Self {
        if self.channels() == 1 {
            return self.clone();
        }
        let luma = |rgb: &[u8]| {
            let [red, green, blue] = [rgb[0], rgb[1], rgb[2]].map(u32::from);
            // The weights times 65536; they sum to 65536, so that gray pixels are unchanged.
            ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16) as u8
        };
        let pixels = self.pixels().chunks_exact(3).map(luma).collect();
        self.with_pixels(1, pixels)
    }

    /// Converts to RGB; gray becomes three equal channels.
    #[must_use]
    pub fn to_rgb(&self) -> Self {
        if self.channels() == 3 {
            return self.clone();
        }
        let mut pixels = Vec::with_capacity(self.pixels().len() * 3);
        for &gray in self.pixels() {
            pixels.extend([gray; 3]);
        }
        self.with_pixels(3, pixels)
    }

    /// [`Image::to_gray`] or [`Image::to_rgb`], without a copy if nothing changes.
    pub(crate) fn in_channels(&self, channels: usize) -> Cow<'_, Self> {
        match (self.channels(), channels) {
            (3, 1) => Cow::Owned(self.to_gray()),
            (1, 3) => Cow::Owned(self.to_rgb()),
            _ => Cow::Borrowed(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gray_is_the_luma_of_bt_601() {
        let colors = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [10, 20, 30], [0, 0, 0]];
        let image = Image::new(6, 1, 3, colors.concat()).unwrap();
        // Python: [(299*r + 587*g + 114*b) / 1000] = 76.2, 149.7, 29.1, 255, 18.2, 0
        assert_eq!(image.to_gray().pixels(), [76, 150, 29, 255, 18, 0]);
        for (red, green, blue) in (0..=255).step_by(5).map(|i| (i, 255 - i, i * 7 % 256)) {
            let exact = (299.0 * f64::from(red) + 587.0 * f64::from(green) + 114.0 * f64::from(blue)) / 1000.0;
            let pixel = Image::filled(1, 1, &[red as u8, green as u8, blue as u8]).to_gray();
            assert!((f64::from(pixel.pixels()[0]) - exact).abs() < 0.51, "{red} {green} {blue}");
        }
    }

    #[test]
    fn gray_there_and_back_is_the_same() {
        let gray = Image::new(256, 1, 1, (0..=255).collect()).unwrap();
        assert_eq!(gray.to_rgb().pixel(7, 0), [7, 7, 7]);
        assert_eq!(gray.to_rgb().to_gray(), gray);
        assert_eq!(gray.to_gray(), gray);
        assert!(matches!(gray.in_channels(1), Cow::Borrowed(_)));
        assert_eq!(gray.in_channels(3).channels(), 3);
    }
}
