//! Feature maps as images: a sheet for each layer, and an overview of all layers.

use super::activations::{LayerActivation, MapStatus, chollet_normalization};
use super::sheet::{hatched, zoom_to};
use crate::Result;
use crate::data::Image;
use crate::plot::{Cell, Colormap, Grid, Normalize};

/// The maximum width of a sheet, unless a single map is wider.
const SHEET: usize = 1600;
/// The size to which small maps are enlarged.
const MAP: usize = 64;
/// The size of a vector's unit in pixels.
const UNIT: usize = 28;
/// The maximum number of units of a vector with a number below; more units are drawn smaller, without numbers.
const NUMBERED: usize = 256;
/// The maximum number of displayed units of a vector.
const MOST_UNITS: usize = 16_384;
/// The number of maps per layer in the overview.
const ROW: usize = 8;

/// How values are mapped to colors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MapScale {
    /// Each map separately, by [`chollet_normalization`].
    #[default]
    Notebook,
    /// Each map separately, from its minimum to its maximum.
    MinMax,
    /// All maps of a layer together, from the minimum to the maximum: equal colors are equal values.
    None,
}

/// The style of feature maps.
#[derive(Debug, Clone, Copy, Default)]
pub struct MapStyle {
    /// How values are mapped to colors.
    pub scale: MapScale,
    /// The color map.
    pub colormap: Colormap,
    /// The number of channels, starting at the first; `None` for all.
    pub channels: Option<usize>,
}

impl MapStyle {
    fn image(&self, map: &[f32], width: usize, height: usize, extent: (f32, f32)) -> Result<Image> {
        let (normalize, values) = match self.scale {
            MapScale::Notebook => {
                let levels = chollet_normalization(map).into_iter().zip(map);
                let unit =
                    |(level, value): (u8, &f32)| if value.is_nan() { f32::NAN } else { f32::from(level) / 255.0 };
                return crate::plot::float_map(
                    &levels.map(unit).collect::<Vec<_>>(),
                    width,
                    height,
                    Normalize::None,
                    self.colormap,
                );
            }
            MapScale::MinMax => (Normalize::MinMax, map),
            MapScale::None => (Normalize::Range(extent.0, extent.1), map),
        };
        crate::plot::float_map(values, width, height, normalize, self.colormap)
    }
}

/// A sheet of the numbered feature maps of a layer. A map that is zero everywhere is hatched and labeled "dead"; a constant
/// map has one color and shows its value. The units of a vector are squares, drawn as one map.
///
/// ```
/// use lucida::explain::{MapStyle, activations, feature_maps};
/// use lucida::prelude::*;
///
/// # let model = Model::new(applications::mnist_cnn(42)?).with_preprocessing(Preprocessing::mnist());
/// # let mut input = vec![0.0; 28 * 28];
/// # Mnist::builtin()?.train.fill(0, model.preprocessing()?, &mut input)?;
/// let found = activations(&model.network, &["conv2d"], &input, Cpu::detect())?;
/// let sheet = feature_maps(&found[0], &MapStyle { channels: Some(8), ..MapStyle::default() })?;
/// assert!(sheet.width() > 4 * 28);
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// [`Error::Limit`](crate::Error::Limit) when the sheet exceeds the size limit.
pub fn feature_maps(activation: &LayerActivation, style: &MapStyle) -> Result<Image> {
    let channels = activation.shape.channels();
    let shown = style.channels.unwrap_or(channels).min(channels);
    let of = if shown < channels { format!(", the first {shown} of {channels}") } else { String::new() };
    let title = format!("{}  {} {}{of}", activation.layer, activation.class_name, activation.shape);
    match maps_of(activation) {
        Some([height, width]) => {
            let zoom = zoom_to(width.max(height), MAP);
            let columns = (SHEET / (width * zoom + 8)).clamp(1, 16);
            let grid = Grid::new(map_cells(activation, style, shown)?).columns(columns).zoom(zoom);
            grid.margin(8).padding(14).title(title).render()
        }
        None => {
            let shown = shown.min(MOST_UNITS);
            let numbered = shown <= NUMBERED;
            let grid = Grid::new(unit_cells(activation, style, shown, numbered)?).padding(14).title(title);
            match numbered {
                true => grid.columns(32.min(shown)).zoom(UNIT).margin(4).text_size(10.0).render(),
                false => grid.columns(128).zoom(UNIT / 3).margin(1).render(),
            }
        }
    }
}

/// An overview with a row for each layer: its first maps, or the first units of a vector.
///
/// # Errors
/// As [`feature_maps`], and [`Error::Argument`](crate::Error::Argument) when there are no layers.
pub fn overview(activations: &[LayerActivation], style: &MapStyle) -> Result<Image> {
    let mut rows = Vec::new();
    for activation in activations {
        let label = format!("{}  {}", activation.layer, activation.shape);
        let shown = style.channels.unwrap_or(ROW).min(activation.shape.channels());
        let row = match maps_of(activation) {
            Some([height, width]) => {
                let zoom = zoom_to(width.max(height), MAP);
                let cells = map_cells(activation, style, shown.min(ROW))?;
                Grid::new(cells).columns(ROW).zoom(zoom).margin(8).title(label).render()?
            }
            None => {
                let cells = unit_cells(activation, style, activation.shape.channels().min(NUMBERED), false)?;
                Grid::new(cells).columns(32).zoom(UNIT / 2).margin(2).title(label).render()?
            }
        };
        rows.push(row);
    }
    super::sheet::stack(&rows, 18, 14)
}

/// The size of a layer's maps; `None` for a vector or 1x1 maps.
fn maps_of(activation: &LayerActivation) -> Option<[usize; 2]> {
    let [height, width, _] = activation.shape.as_image()?;
    (height * width > 1).then_some([height, width])
}

fn map_cells(activation: &LayerActivation, style: &MapStyle, shown: usize) -> Result<Vec<Cell>> {
    let [height, width] = maps_of(activation).unwrap_or([1, 1]);
    let extent = extent(&activation.values);
    let zoom = zoom_to(width.max(height), MAP);
    (0..shown)
        .map(|channel| {
            let map = activation.map(channel);
            let (image, caption) = match MapStatus::of(&map) {
                MapStatus::Dead => (hatched(width, height, zoom), format!("{channel} dead")),
                MapStatus::Constant => {
                    (style.image(&map, width, height, extent)?, format!("{channel} all {:.3}", map[0]))
                }
                MapStatus::Alive => (style.image(&map, width, height, extent)?, channel.to_string()),
            };
            Ok(Cell::new(image).caption(caption))
        })
        .collect()
}

/// The units of a vector, each as an image of one pixel.
fn unit_cells(activation: &LayerActivation, style: &MapStyle, shown: usize, numbered: bool) -> Result<Vec<Cell>> {
    let values = &activation.values;
    let all = style.image(values, values.len(), 1, extent(values))?;
    let cell = |unit: usize| {
        let cell = Cell::new(all.crop(unit, 0, 1, 1)?);
        Ok(if numbered { cell.caption(unit.to_string()) } else { cell })
    };
    (0..shown).map(cell).collect()
}

fn extent(values: &[f32]) -> (f32, f32) {
    let finite = values.iter().copied().filter(|value| value.is_finite());
    finite.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Shape;

    fn activation(shape: impl Into<Shape>, values: Vec<f32>) -> LayerActivation {
        LayerActivation { layer: "conv2d".into(), class_name: "Conv2D", shape: shape.into(), values }
    }

    /// Two maps of 8x8: a gradient and zeros.
    fn half_dead() -> LayerActivation {
        activation([8, 8, 2], (0..128).map(|i| if i % 2 == 0 { i as f32 } else { 0.0 }).collect())
    }

    fn colors(image: &Image, left: usize, top: usize, width: usize, height: usize) -> Vec<[u8; 3]> {
        let part = image.crop(left, top, width, height).unwrap();
        let mut found: Vec<[u8; 3]> = part.pixels().chunks_exact(3).map(|rgb| rgb.try_into().unwrap()).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    #[test]
    fn a_dead_map_is_hatched_and_an_even_one_is_of_one_color() {
        let style = MapStyle { colormap: Colormap::Gray, ..MapStyle::default() };
        let cells = map_cells(&half_dead(), &style, 2).unwrap();
        let sheet = Grid::new(cells).columns(2).zoom(8).margin(8).render().unwrap();
        assert!(colors(&sheet, 0, 0, 64, 64).len() > 40);
        // The hatching has two colors, neither of which is black or white.
        let hatching = colors(&sheet, sheet.width() - 64, 0, 64, 64);
        assert_eq!(hatching.len(), 2, "{hatching:?}");
        assert!(hatching.iter().all(|rgb| (150..=250).contains(&rgb[0])), "{hatching:?}");

        let even = activation([4, 4, 1], vec![0.25; 16]);
        let cells = map_cells(&even, &style, 1).unwrap();
        let sheet = Grid::new(cells).zoom(16).render().unwrap();
        assert_eq!(colors(&sheet, (sheet.width() - 64) / 2, 0, 64, 64), [[128; 3]]);
    }

    #[test]
    fn scales() {
        let two = activation([1, 2, 2], vec![0.0, 0.0, 1.0, 4.0]);
        let bytes = |scale| {
            let style = MapStyle { scale, colormap: Colormap::Gray, channels: None };
            let of = |channel| {
                let image = style.image(&two.map(channel), 2, 1, extent(&two.values)).unwrap();
                (image.pixel(0, 0)[0], image.pixel(1, 0)[0])
            };
            [of(0), of(1)]
        };
        assert_eq!(bytes(MapScale::Notebook), [(64, 192), (64, 192)]);
        assert_eq!(bytes(MapScale::MinMax), [(0, 255), (0, 255)]);
        assert_eq!(bytes(MapScale::None), [(0, 64), (0, 255)]);
    }

    #[test]
    fn sheets_of_maps_and_of_vectors() {
        let style = MapStyle::default();
        let first = feature_maps(&half_dead(), &MapStyle { channels: Some(1), ..style }).unwrap();
        let both = feature_maps(&half_dead(), &style).unwrap();
        assert!(both.width() > 128 && first.height() > 64);
        let vector = activation([10], (0..10).map(|i| i as f32).collect());
        assert!(feature_maps(&vector, &style).unwrap().width() >= 10 * UNIT);
        let large = activation([4096], (0..4096).map(|i| (i % 7) as f32).collect());
        assert!(feature_maps(&large, &style).unwrap().width() < 1600);
        let point = activation([1, 1, 64], vec![0.0; 64]);
        assert!(feature_maps(&point, &style).is_ok());
        let sheet = overview(&[half_dead(), vector, point], &style).unwrap();
        assert!(sheet.height() > 200, "{}x{}", sheet.width(), sheet.height());
        assert!(overview(&[], &style).is_err());
        let spoilt = activation([2, 2, 1], vec![f32::NAN, 1.0, 2.0, f32::INFINITY]);
        assert!(feature_maps(&spoilt, &style).is_ok());
    }
}
