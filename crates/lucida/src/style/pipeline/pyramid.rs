//! The sizes of the image pyramid, from coarse to fine.

use crate::{Error, Result};

/// Shortest side that a network can process, in pixels.
pub const LEAST_SIDE: usize = 32;

/// Size of an image scaled to a longer side of `longer`.
///
/// # Errors
/// [`Error::Argument`] when the shorter side would be below [`LEAST_SIDE`].
pub(in crate::style) fn scaled(what: &str, [height, width]: [usize; 2], longer: usize) -> Result<[usize; 2]> {
    if height.min(width) < LEAST_SIDE {
        return Err(Error::argument(format!(
            "{what} has {width}x{height} pixels; at least {LEAST_SIDE}x{LEAST_SIDE} are needed"
        )));
    }
    let size = at(height, width, longer);
    if size[0].min(size[1]) < LEAST_SIDE {
        return Err(Error::argument(format!(
            "{what} of {width}x{height} pixels would be {}x{}: its shorter side needs at least {LEAST_SIDE} pixels, so take a \
             larger size, or cut the image",
            size[1], size[0]
        )));
    }
    Ok(size)
}

fn at(height: usize, width: usize, longer: usize) -> [usize; 2] {
    let most = height.max(width) as f64;
    [height, width].map(|side| ((side * longer) as f64 / most).round() as usize)
}

/// Size of an image of any aspect ratio scaled to a longer side of `longer`; each side has at least one pixel.
pub(in crate::style) fn longer_side([height, width]: [usize; 2], longer: usize) -> [usize; 2] {
    at(height, width, longer).map(|side| side.max(1))
}

/// Pyramid sizes, from a longer side of about `smallest` to `last`. Sizes whose shorter side would be too short are omitted.
pub(in crate::style) fn sizes(last: [usize; 2], smallest: Option<usize>) -> Vec<[usize; 2]> {
    let longer = last[0].max(last[1]);
    let mut sizes = Vec::new();
    let mut side = smallest.unwrap_or(longer) as f64;
    // Omit a size that is close to the last one.
    while side * 1.19 < longer as f64 {
        let size = at(last[0], last[1], side.round() as usize);
        if size[0].min(size[1]) >= LEAST_SIDE {
            sizes.push(size);
        }
        side *= std::f64::consts::SQRT_2;
    }
    sizes.push(last);
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_grow_by_the_root_of_two() {
        let sizes = |last, smallest| super::sizes(last, smallest);
        let widths: Vec<usize> = sizes([384, 512], Some(128)).iter().map(|size| size[1]).collect();
        assert_eq!(widths, [128, 181, 256, 362, 512]);
        assert_eq!(sizes([384, 512], None), [[384, 512]]);
        assert_eq!(sizes([100, 130], Some(128)), [[100, 130]]);
        // 128 and 181 would have heights of 16 and 23.
        assert_eq!(sizes([64, 512], Some(128)), [[32, 256], [45, 362], [64, 512]]);
    }

    #[test]
    fn images_that_are_too_small_are_refused() {
        assert_eq!(scaled("a", [400, 800], 512).unwrap(), [256, 512]);
        assert_eq!(scaled("a", [40, 80], 512).unwrap(), [256, 512]);
        assert!(scaled("a.png", [1, 1], 512).unwrap_err().to_string().contains("a.png has 1x1 pixels"));
        let message = scaled("a.png", [4000, 100], 512).unwrap_err().to_string();
        assert!(message.contains("100x4000") && message.contains("would be 13x512"), "{message}");
    }
}
