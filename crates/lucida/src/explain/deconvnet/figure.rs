//! The figures of the deconvnet: projections next to the corresponding image patches.

use super::{Deconvnet, Projection, Target};
use crate::core::progress::{Progress, Step, Unit, report};
use crate::data::{ColorMode, Dataset, Filter, Image, Preprocessing};
use crate::explain::classic_filters::magnitude;
use crate::explain::receptive_field::{Field, ReceptiveField, Span};
use crate::explain::sheet::{enlarged, hatched, outline, zoom_to};
use crate::explain::top_activations::{TopActivationQuery, top_activations};
use crate::nn::counted;
use crate::plot::{Cell, Grid, number_boxes, short_number};
use crate::{Error, Result};

/// The approximate size to which small patches are enlarged.
const PATCH: usize = 112;
/// The maximum width of a figure, unless a single filter is wider.
const FIGURE: usize = 1800;
/// The color outside an image, and of zero signal.
const GRAY: u8 = 128;
/// The fraction of a patch's values that may be clipped.
const OUTLIERS: f64 = 0.01;

/// An image with a high activation of a filter, and its projection.
#[derive(Debug, Clone)]
pub struct Example {
    /// The index of the image in its set.
    pub image: usize,
    /// The row and column of the activation in the layer's layout.
    pub position: [usize; 2],
    /// The activation.
    pub activation: f32,
    /// The pixels of the network's input that the activation depends on.
    pub field: Option<Field>,
    /// This part of the image, gray outside the image.
    pub patch: Image,
    /// The projection of the activation in this part.
    pub projection: Image,
}

/// The images with the highest activations of one filter, strongest first; empty for a dead filter.
#[derive(Debug, Clone)]
pub struct FilterExamples {
    /// The channel.
    pub filter: usize,
    /// The images and projections.
    pub examples: Vec<Example>,
}

/// Figure 2 of Zeiler and Fergus (2014): for each filter, the images of a data set with the highest activations, cropped to
/// the receptive field, and their projections.
#[derive(Debug)]
pub struct DeconvFigure {
    /// The layer.
    pub layer: String,
    /// The filters, in the requested order.
    pub filters: Vec<FilterExamples>,
    /// The number of processed images.
    pub images: usize,
    /// Images that could not be read, with the error.
    pub skipped: Vec<(usize, Error)>,
    count: usize,
}

impl DeconvFigure {
    /// Searches a data set for the strongest activations and projects them. Progress counts the images of the set, then the
    /// filters. Memory does not grow with the set.
    ///
    /// # Errors
    /// As [`top_activations`].
    pub fn new(question: &TopActivationQuery, set: &dyn Dataset, progress: &mut dyn Progress) -> Result<Self> {
        let TopActivationQuery { network, preprocessing, layer, filters, count, cpu } = *question;
        let total = set.len() + filters.len();
        let mut searching = |step: &Step<'_>| progress.update(&Step { total: Some(total as u64), ..*step });
        let top = top_activations(question, set, &mut searching)?;
        let mut deconvnet = Deconvnet::new(network, layer, count, cpu)?;
        let mut figure =
            Self { layer: layer.to_owned(), filters: Vec::new(), images: top.images, skipped: top.skipped, count };
        for (index, (&filter, best)) in filters.iter().zip(&top.filters).enumerate() {
            let inputs = best
                .iter()
                .map(|top| {
                    let mut input = vec![0.0; network.input_shape()?.len()];
                    set.fill(top.image, preprocessing, &mut input)?;
                    Ok(input)
                })
                .collect::<Result<Vec<_>>>()?;
            let slices: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
            // The position is determined again: this plan computes exact sums, so that the first of equal maxima in a
            // uniform area is found.
            let targets = vec![Target { filter, position: None }; slices.len()];
            let projections = deconvnet.project(network, &slices, &targets)?;
            let examples = best
                .iter()
                .zip(&slices)
                .zip(&projections)
                .map(|((top, input), projection)| {
                    example(top.image, input, projection, deconvnet.field(), preprocessing)
                })
                .collect::<Result<Vec<_>>>()?;
            figure.filters.push(FilterExamples { filter, examples });
            report(progress, &Step::new(Unit::Images, set.len() + index + 1, total))?;
        }
        Ok(figure)
    }

    /// Renders the figure: for each filter, its projections as a square grid next to the patches in the same order. A dead
    /// filter is hatched.
    ///
    /// # Errors
    /// [`Error::Limit`] when it would be too large.
    pub fn render(&self) -> Result<Image> {
        let columns = (1..).find(|n| n * n >= self.count).unwrap_or(1);
        let size = self.filters.iter().flat_map(|filter| &filter.examples).map(Example::size).max().unwrap_or(1);
        let zoom = zoom_to(size, PATCH);
        let square = |images: Vec<Image>| {
            let side = size * zoom;
            let mut cells = images.iter().map(|image| enlarged_patch(image, zoom)).collect::<Result<Vec<_>>>()?;
            let missing =
                || if self.filters.len() > 1 { Image::filled(side, side, &[255]) } else { hatched(side, side, 1) };
            cells.resize_with(self.count.max(1), missing);
            Grid::new(cells).columns(columns).margin(2).render()
        };
        let mut cells = Vec::new();
        for FilterExamples { filter, examples } in &self.filters {
            let projections = square(examples.iter().map(|example| example.projection.clone()).collect())?;
            let patches = square(examples.iter().map(|example| example.patch.clone()).collect())?;
            let (pair, caption) = match (examples.first(), examples.last()) {
                (Some(first), Some(last)) => (
                    Grid::new([patches, projections]).columns(2).margin(6).render()?,
                    format!(
                        "filter {filter}, activation from {} (top left) to {} (last)",
                        short_number(first.activation),
                        short_number(last.activation)
                    ),
                ),
                _ => {
                    let (width, height) = (2 * projections.width() + 6, projections.height());
                    (hatched(width, height, 1).to_rgb(), format!("filter {filter} dead"))
                }
            };
            cells.push(Cell::new(pair).caption(caption));
        }
        let block = 2 * (columns * (size * zoom + 2)) + 24;
        let title = format!(
            "{}: the patches of {} with the strongest activations (left) and their projections (right)",
            self.layer,
            counted(self.images, "image")
        );
        Grid::new(cells).columns((FIGURE / block).max(1)).margin(18).padding(18).title(title).render()
    }
}

impl Example {
    /// A projection of image `image` of its set, given as network input.
    ///
    /// # Errors
    /// As [`projection_sheet`].
    pub fn of(
        image: usize,
        input: &[f32],
        projection: &Projection,
        field: &ReceptiveField,
        preprocessing: &Preprocessing,
    ) -> Result<Self> {
        example(image, input, projection, field, preprocessing)
    }

    fn size(&self) -> usize {
        self.patch.width().max(self.patch.height())
    }
}

/// A sheet of projections of one image, each next to its patch.
///
/// # Errors
/// [`Error::Argument`] when the input and the projections do not have the preprocessing's output size, or `projections` is
/// empty.
pub fn projection_sheet(
    input: &[f32],
    projections: &[Projection],
    field: &ReceptiveField,
    preprocessing: &Preprocessing,
) -> Result<Image> {
    let examples = projections
        .iter()
        .map(|projection| example(0, input, projection, field, preprocessing))
        .collect::<Result<Vec<_>>>()?;
    let size = examples.iter().map(Example::size).max().unwrap_or(1);
    let zoom = zoom_to(size, 160);
    let cells = examples
        .iter()
        .zip(projections)
        .map(|(example, projection)| {
            let pair = [enlarged_patch(&example.patch, zoom)?, enlarged_patch(&example.projection, zoom)?];
            let mut caption =
                format!("filter {}, activation {}", projection.filter, short_number(projection.activation));
            if field.is_map() {
                caption +=
                    &format!("\nat row {}, column {} of the map", projection.position[0], projection.position[1]);
            }
            if projection.values.iter().all(|&value| value == 0.0) {
                caption += "\nthe projection is zero";
            }
            Ok(Cell::new(Grid::new(pair).columns(2).margin(4).render()?).caption(caption))
        })
        .collect::<Result<Vec<_>>>()?;
    let title = format!("{}: image patch (left) and projection (right)", field.layer());
    let columns = (FIGURE / (2 * size * zoom + 24)).clamp(1, 3);
    Grid::new(cells).columns(columns).margin(18).padding(18).title(title).render()
}

/// The network's input as an image, with the receptive fields of some projections outlined and labeled with the filter
/// number.
///
/// # Errors
/// As [`projection_sheet`].
pub fn outlined_fields(
    input: &[f32],
    projections: &[Projection],
    field: &ReceptiveField,
    preprocessing: &Preprocessing,
) -> Result<Image> {
    let image = preprocessing.to_image(input)?.to_rgb();
    let zoom = zoom_to(image.width().max(image.height()), 448);
    let mut image = enlarged(&image, zoom)?;
    let color = [255, 200, 0];
    let mut numbers = Vec::new();
    for projection in projections.iter().rev() {
        let Some(Field { rows, columns }) = field.at(projection.position) else { continue };
        let scaled = |span: Span| (span.start * zoom as i64, span.end * zoom as i64);
        let (down, across) = (scaled(rows), scaled(columns));
        outline(&mut image, down, across, color);
        numbers.push((projection.filter, [across.0, down.0].map(|at| at.max(0) as usize)));
    }
    numbers.reverse();
    numbers.dedup();
    Ok(number_boxes(image, &numbers, color))
}

fn example(
    image: usize,
    input: &[f32],
    projection: &Projection,
    field: &ReceptiveField,
    preprocessing: &Preprocessing,
) -> Result<Example> {
    let window = window(field, projection.position, preprocessing);
    Ok(Example {
        image,
        position: projection.position,
        activation: projection.activation,
        field: field.at(projection.position),
        patch: cropped(&preprocessing.to_image(input)?, window),
        projection: cropped(&stretched(&projection.values, window, preprocessing)?, window),
    })
}

/// The window to show: the receptive field with its padding, so that all patches have the same size; if that is larger than
/// the image, only the part inside.
fn window(field: &ReceptiveField, position: [usize; 2], preprocessing: &Preprocessing) -> Field {
    let [height, width, _] = preprocessing.output_shape();
    let whole = Field { rows: Span { start: 0, end: height as i64 }, columns: Span { start: 0, end: width as i64 } };
    match field.with_padding(position) {
        Some(all) if all.rows.len() <= height as i64 && all.columns.len() <= width as i64 => all,
        _ => field.at(position).unwrap_or(whole),
    }
}

/// Renders a projection: zero is gray, and the contrast is scaled to this window.
fn stretched(values: &[f32], window: Field, preprocessing: &Preprocessing) -> Result<Image> {
    let [height, width, channels] = preprocessing.output_shape();
    if values.len() != height * width * channels {
        return Err(Error::argument(format!("a projection of {} values for {width}x{height} pixels", values.len())));
    }
    // In units of pixel brightness, because the preprocessing may scale channels differently.
    let value = |pixel: usize, channel: usize| {
        let channel = if preprocessing.color == ColorMode::Bgr { 2 - channel } else { channel };
        values[pixel * channels + channel] * preprocessing.std[channel]
    };
    let inside = |at: usize, span: Span| (span.start..span.end).contains(&(at as i64));
    let shown = (0..height * width)
        .filter(|pixel| inside(pixel / width, window.rows) && inside(pixel % width, window.columns))
        .flat_map(|pixel| (0..channels).map(move |channel| value(pixel, channel)));
    let most = match magnitude(shown, OUTLIERS) {
        most if most > 0.0 => most,
        _ => 1.0,
    };
    let level = |value: f32| (f32::from(GRAY) + 127.0 * value / most).round() as u8;
    let pixels = (0..height * width).flat_map(|pixel| (0..channels).map(move |channel| level(value(pixel, channel))));
    Image::new(width, height, channels, pixels.collect())
}

/// Enlarges a patch: photos smoothly, because pixel edges would distract; gray images such as digits without interpolation.
fn enlarged_patch(image: &Image, zoom: usize) -> Result<Image> {
    match image.channels() {
        1 => enlarged(image, zoom),
        _ => image.resize(image.width() * zoom, image.height() * zoom, Filter::Bicubic),
    }
}

/// Crops an image to a window, filled with gray outside the image.
fn cropped(image: &Image, window: Field) -> Image {
    let (width, height) = (window.columns.len().max(1) as usize, window.rows.len().max(1) as usize);
    let mut part = Image::filled(width, height, &vec![GRAY; image.channels()]);
    for row in 0..height {
        for column in 0..width {
            let y = usize::try_from(window.rows.start + row as i64);
            let x = usize::try_from(window.columns.start + column as i64);
            if let (Ok(y), Ok(x)) = (y, x)
                && y < image.height()
                && x < image.width()
            {
                part.pixel_mut(column, row).copy_from_slice(image.pixel(x, y));
            }
        }
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cpu;
    use crate::data::{Mnist, Subset};
    use crate::nn::{Network, applications};

    fn network() -> Network {
        let mut network = applications::mnist_cnn(8).unwrap();
        let bias = network.weights_mut().iter_mut().find(|weight| weight.name() == "conv2d_1/bias").unwrap();
        bias.values_mut()[5] = -1e3;
        network
    }

    #[test]
    fn a_figure_over_digits_with_a_dead_filter() {
        let (network, preprocessing) = (network(), Preprocessing::mnist());
        let set = Subset::new(Mnist::builtin().unwrap().train, (0..60).collect()).unwrap();
        let question = TopActivationQuery {
            network: &network,
            preprocessing: &preprocessing,
            layer: "conv2d_1",
            filters: &[3, 5],
            count: 4,
            cpu: Cpu::detect(),
        };
        let mut last = (0, 0);
        let mut tell = |step: &Step<'_>| {
            assert!(step.done >= last.0 && Some(step.done) <= step.total);
            last = (step.done, step.total.unwrap());
            std::ops::ControlFlow::Continue(())
        };
        let figure = DeconvFigure::new(&question, &set, &mut tell).unwrap();
        assert_eq!((last, figure.images), ((62, 62), 60));
        assert!(figure.filters[1].examples.is_empty());
        let examples = &figure.filters[0].examples;
        assert_eq!(examples.len(), 4);
        assert!(examples.is_sorted_by(|a, b| a.activation >= b.activation - 1e-5));
        for example in examples {
            // 3x3 convolution, 2x2 pooling, 3x3 convolution.
            assert_eq!((example.patch.width(), example.patch.height()), (8, 8));
            let (low, high) = example.projection.pixels().iter().fold((255, 0), |(l, h), &p| (p.min(l), p.max(h)));
            assert!(high == 255 || low == 1, "{low} to {high}");
        }
        let sheet = figure.render().unwrap();
        // Two filters side by side, each with two grids of 2x2 patches of 112 pixels.
        assert!(sheet.width() > 4 * 2 * 112 && sheet.height() > 2 * 112);
        let alone = DeconvFigure::new(&TopActivationQuery { filters: &[5], ..question }, &set, &mut ()).unwrap();
        assert!(alone.render().is_ok());
    }

    #[test]
    fn windows_reach_outside_and_projections_keep_gray_for_nothing() {
        let image = Image::filled(4, 4, &[200]);
        let span = |start, end| Span { start, end };
        let part = cropped(&image, Field { rows: span(-2, 2), columns: span(1, 7) });
        assert_eq!((part.width(), part.height()), (6, 4));
        assert_eq!((part.pixel(0, 1), part.pixel(0, 2), part.pixel(3, 3)), (&[128][..], &[200][..], &[128][..]));

        let preprocessing = Preprocessing::vgg().with_size(2, 2);
        let whole = Field { rows: span(0, 2), columns: span(0, 2) };
        let mut values = vec![0.0; 12];
        values[0] = -3.0; // blue, negative
        values[5] = 6.0; // red
        let image = stretched(&values, whole, &preprocessing).unwrap();
        assert_eq!(image.pixel(0, 0), [128, 128, 65]);
        assert_eq!(image.pixel(1, 0), [255, 128, 128]);
        assert_eq!(image.pixel(1, 1), [128; 3]);
        assert_eq!(stretched(&[0.0; 12], whole, &preprocessing).unwrap().pixel(0, 0), [128; 3]);
        assert!(stretched(&[0.0; 11], whole, &preprocessing).is_err());
    }

    #[test]
    fn sheets_of_one_image() {
        let (network, preprocessing) = (network(), Preprocessing::mnist());
        let mut input = vec![0.0; 784];
        Mnist::builtin().unwrap().train.fill(7, &preprocessing, &mut input).unwrap();
        for layer in ["conv2d", "conv2d_2", "dense_1"] {
            let mut deconvnet = Deconvnet::new(&network, layer, 2, Cpu::detect()).unwrap();
            let targets = [Target { filter: 1, position: None }, Target { filter: 2, position: None }];
            let projections = deconvnet.project(&network, &[input.as_slice(); 2], &targets).unwrap();
            let sheet = projection_sheet(&input, &projections, deconvnet.field(), &preprocessing).unwrap();
            assert!(sheet.width() > 2 * 2 * 100, "{}", sheet.width());
            let fields = outlined_fields(&input, &projections, deconvnet.field(), &preprocessing).unwrap();
            assert_eq!((fields.width(), fields.channels()), (448, 3));
            assert!(fields.pixels().chunks_exact(3).any(|rgb| rgb == [255, 200, 0]));
        }
    }
}
