//! Encoding of numbers and images in JSON.

use lucida::data::Image;
use lucida::explain::LayerActivation;
use lucida::nn::Shape;
use serde::Serialize;

use crate::problem::Result;

/// Encodes bytes in Base64 (RFC 4648).
pub(super) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let number = group.iter().fold(0_u32, |number, &byte| number << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[(number >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() { digit as char } else { '=' });
        }
    }
    text
}

/// Encodes values as little-endian 32-bit floats in Base64.
pub(super) fn floats(values: &[f32]) -> String {
    base64(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
}

/// Encodes an image as a data URL.
pub(super) fn data_url(image: &Image) -> Result<String> {
    Ok(format!("data:image/png;base64,{}", base64(&image.png_bytes()?)))
}

/// Feature maps as bytes: map by map, row by row; 0 is the minimum of the map, 255 its maximum.
#[derive(Debug, Serialize)]
pub(crate) struct Maps {
    pub(crate) layer: String,
    pub(crate) kind: &'static str,
    /// The shape of the layer's output, without the batch.
    pub(crate) shape: Vec<usize>,
    /// Height and width of the maps in `data`.
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// First channel in `data`, and number of channels.
    pub(crate) first: usize,
    pub(crate) channels: usize,
    pub(crate) low: Vec<f32>,
    pub(crate) high: Vec<f32>,
    pub(crate) data: String,
    /// The values of a vector as 32-bit floats, because the page shows them as numbers; `None` for feature maps.
    pub(crate) values: Option<String>,
}

impl Maps {
    /// Encodes channels `first..first + count` of a layer's output, downscaled so that no side is longer than `side`. A vector
    /// becomes one map with a single row.
    pub(crate) fn of(activation: &LayerActivation, first: usize, count: usize, side: usize) -> Self {
        let LayerActivation { layer, class_name, shape, values } = activation;
        Self::of_values((layer, class_name), shape, values, [first, count, side])
    }

    /// As [`of`](Self::of), for the values of a layer with this name and class.
    pub(crate) fn of_values(
        (layer, kind): (&str, &'static str),
        shape: &Shape,
        values: &[f32],
        [first, count, side]: [usize; 3],
    ) -> Self {
        let layout = shape.as_image().filter(|[height, width, _]| height * width > 1);
        let [height, width, channels] = layout.unwrap_or([1, values.len(), 1]);
        let step = height.max(width).div_ceil(if layout.is_some() { side.max(1) } else { usize::MAX });
        let size = [height.div_ceil(step), width.div_ceil(step)];
        let last = first.saturating_add(count).min(channels);
        let first = first.min(last);
        let (mut low, mut high, mut data) = (Vec::new(), Vec::new(), Vec::new());
        for channel in first..last {
            let map = shrunk(values, [height, width, channels], channel, step);
            let finite = map.iter().copied().filter(|value| value.is_finite());
            let (least, most) = finite.fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(v), high.max(v)));
            let (least, most) = if least <= most { (least, most) } else { (0.0, 0.0) };
            let scale = if most > least { 255.0 / (most - least) } else { 0.0 };
            data.extend(map.iter().map(|value| ((value - least) * scale).round() as u8));
            low.push(least);
            high.push(most);
        }
        Self {
            layer: layer.to_owned(),
            kind,
            shape: shape.sizes().to_vec(),
            height: size[0],
            width: size[1],
            first,
            channels: last - first,
            low,
            high,
            data: base64(&data),
            values: layout.is_none().then(|| floats(values)),
        }
    }
}

/// Downscales one channel: each value is the mean of `step` x `step` values.
fn shrunk(values: &[f32], [height, width, channels]: [usize; 3], channel: usize, step: usize) -> Vec<f32> {
    if step == 1 {
        return values.iter().skip(channel).step_by(channels).copied().collect();
    }
    let mut map = Vec::with_capacity(height.div_ceil(step) * width.div_ceil(step));
    for top in (0..height).step_by(step) {
        for left in (0..width).step_by(step) {
            let (mut sum, mut count) = (0.0, 0.0);
            for row in top..(top + step).min(height) {
                for column in left..(left + step).min(width) {
                    sum += values[(row * width + column) * channels + channel];
                    count += 1.0;
                }
            }
            map.push(sum / count);
        }
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_the_standard_has_it() {
        let pairs = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, encoded) in pairs {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        assert_eq!(floats(&[1.0]), "AACAPw==");
    }

    #[test]
    fn maps_are_scaled_and_shrunk() {
        let values = (0..32).map(|value| value as f32).collect();
        let activation = LayerActivation { layer: "l".into(), class_name: "Conv2D", shape: [4, 4, 2].into(), values };
        let whole = Maps::of(&activation, 1, 5, 4);
        assert_eq!((whole.first, whole.channels, whole.height, whole.low[0], whole.high[0]), (1, 1, 4, 1.0, 31.0));
        let small = Maps::of(&activation, 0, 2, 2);
        assert_eq!((small.height, small.width, small.low[0], small.high[1]), (2, 2, 5.0, 26.0));
        let vector = LayerActivation {
            layer: "d".into(),
            class_name: "Dense",
            shape: [3].into(),
            values: vec![0.0, f32::NAN, 2.0],
        };
        let vector = Maps::of(&vector, 0, 9, 2);
        assert_eq!((vector.height, vector.width, vector.high[0]), (1, 3, 2.0));
        assert_eq!(vector.values, Some(floats(&[0.0, f32::NAN, 2.0])));
        assert_eq!(small.values, None);
    }
}
