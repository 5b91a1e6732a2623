//! Scatter plots of images: points in class colors, with thumbnails where they fit.

use std::fmt::Write as _;

use super::canvas::{Anchor, Canvas, Line};
use super::report::{base64, escape};
use super::text::{ASCENT, LINE_HEIGHT, Weight, elide, width};
use super::{Rgb, check_size, png_bytes};
use crate::data::{Filter, Fit, Image};
use crate::{Error, Result};

const INK: Rgb = [27, 34, 44];
const BACKGROUND: Rgb = [255; 3];
/// The side of the map in pixels, and the padding around it.
const SIDE: f64 = 1200.0;
const PADDING: f64 = 40.0;
const TITLE: f32 = 20.0;
const LABEL: f32 = 15.0;
const RADIUS: f64 = 3.0;
/// Maximum number of classes in the legend; more colors cannot be distinguished.
const NAMED: usize = 24;
/// The range of thumbnail sizes.
const THUMBNAIL: std::ops::RangeInclusive<f64> = 16.0..=64.0;
/// The fraction of the map that the thumbnails would cover if they did not overlap.
const COVER: f64 = 0.45;

/// A scatter plot of points with classes, to be drawn with thumbnails of their images.
///
/// ```
/// use lucida::plot::Scatter;
///
/// let points = [[0.0, 0.1], [0.2, 0.0], [3.0, 3.1]];
/// let map = Scatter::new(&points, vec![0, 0, 1], vec!["cat".into(), "dog".into()])?.title("Embedding");
/// assert!(map.svg(&[])?.contains("Embedding"));
/// assert!(Scatter::new(&[[f64::NAN, 0.0]], vec![0], vec!["cat".into()]).is_err());
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Scatter {
    /// In pixels of the map.
    points: Vec<(f64, f64)>,
    classes: Vec<usize>,
    class_names: Vec<String>,
    labels: Vec<String>,
    title: String,
    thumbnail: f64,
}

impl Scatter {
    /// A map of points with named classes; the legend is omitted for a single class. Both axes have the same scale.
    ///
    /// # Errors
    /// [`Error::Argument`] when there are no points, the number of classes differs, a class has no name, or a coordinate is
    /// not finite.
    pub fn new(points: &[[f64; 2]], classes: Vec<usize>, class_names: Vec<String>) -> Result<Self> {
        if points.is_empty() || points.len() != classes.len() {
            let (points, classes) = (points.len(), classes.len());
            return Err(Error::argument(format!(
                "a scatter plot of {points} points needs as many classes, not {classes}"
            )));
        }
        if let Some(class) = classes.iter().find(|&&class| class >= class_names.len()) {
            return Err(Error::argument(format!("class {class} of the scatter plot has no name")));
        }
        if points.iter().flatten().any(|value| !value.is_finite()) {
            return Err(Error::argument("a coordinate of the scatter plot is not finite"));
        }
        let range = |axis: usize| {
            points
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), p| (low.min(p[axis]), high.max(p[axis])))
        };
        let ((left, right), (low, high)) = (range(0), range(1));
        let extent = (right - left).max(high - low);
        let thumbnail = (SIDE * SIDE * COVER / points.len() as f64).sqrt().clamp(*THUMBNAIL.start(), *THUMBNAIL.end());
        let inner = SIDE - thumbnail;
        let scale = if extent > 0.0 { inner / extent } else { 0.0 };
        let (across, up) = ((left + right) / 2.0, (low + high) / 2.0);
        let place = |[x, y]: [f64; 2]| (SIDE / 2.0 + (x - across) * scale, SIDE / 2.0 - (y - up) * scale);
        let points = points.iter().map(|&point| place(point)).collect();
        Ok(Self {
            points,
            classes,
            class_names,
            labels: Vec::new(),
            title: String::new(),
            thumbnail: thumbnail.round(),
        })
    }

    /// Sets the title above the map.
    pub fn title(self, title: impl Into<String>) -> Self {
        Self { title: title.into(), ..self }
    }

    /// Sets the labels of the points, in their order; shown as tooltips in the SVG.
    pub fn labels(self, labels: Vec<String>) -> Self {
        Self { labels, ..self }
    }

    /// The side of a thumbnail in pixels.
    pub fn thumbnail_size(&self) -> usize {
        self.thumbnail as usize
    }

    /// The points whose thumbnails do not overlap. Of close points, the first one is chosen.
    pub fn with_room(&self) -> Vec<usize> {
        let cells = (SIDE / self.thumbnail).ceil() as usize + 2;
        let mut taken: Vec<Vec<usize>> = vec![Vec::new(); cells * cells];
        let cell = |value: f64| (value / self.thumbnail).max(0.0) as usize;
        let mut chosen = Vec::new();
        for (index, &(x, y)) in self.points.iter().enumerate() {
            let (column, row) = (cell(x), cell(y));
            let near = (row.saturating_sub(1)..=(row + 1).min(cells - 1))
                .flat_map(|row| (column.saturating_sub(1)..=(column + 1).min(cells - 1)).map(move |c| row * cells + c));
            let overlaps = near.flat_map(|cell| &taken[cell]).any(|&other: &usize| {
                let (ox, oy) = self.points[other];
                (x - ox).abs() < self.thumbnail && (y - oy).abs() < self.thumbnail
            });
            if !overlaps {
                taken[row * cells + column].push(index);
                chosen.push(index);
            }
        }
        chosen
    }

    /// The map as an RGB image; `thumbnails` are images of any size for points [with room](Self::with_room).
    ///
    /// # Errors
    /// [`Error::Argument`] when an index is out of range or an image is empty.
    pub fn image(&self, thumbnails: &[(usize, Image)]) -> Result<Image> {
        let (width, height) = (self.width().ceil() as usize, self.height().ceil() as usize);
        check_size("map", width, height)?;
        let mut canvas = Canvas::new(width, height, BACKGROUND);
        let (left, top) = (PADDING, self.top());
        for (&(x, y), &class) in self.points.iter().zip(&self.classes) {
            canvas.disc(((left + x) as f32, (top + y) as f32), RADIUS as f32, pale(self.color(class)));
        }
        for (index, image) in thumbnails {
            let small = self.small(*index, image)?;
            let (x, y) = self.corner(*index);
            let (x, y) = ((left + x) as usize, (top + y) as usize);
            if is_ink_on_black(image) {
                canvas.paste_ink(&small, x, y);
            } else {
                canvas.paste(&small, x, y, 1);
            }
        }
        let text = |text: &str, size: f32, weight: Weight, at: (f32, f32), canvas: &mut Canvas| {
            canvas.text(&Line { text, size, weight, anchor: Anchor::Start, upwards: false }, at, INK);
        };
        let room = (self.width() - 2.0 * PADDING) as f32;
        let title = elide(&self.title, TITLE, Weight::Bold, room);
        text(&title, TITLE, Weight::Bold, (PADDING as f32, PADDING as f32 + TITLE * ASCENT), &mut canvas);
        for (name, color, (x, y)) in self.legend() {
            canvas.disc((x as f32, y as f32), 2.0 * RADIUS as f32, color);
            let at = (x as f32 + LABEL, y as f32 + LABEL * ASCENT / 2.0);
            text(&name, LABEL, Weight::Regular, at, &mut canvas);
        }
        Ok(canvas.into_image())
    }

    /// The map as a self-contained SVG file with embedded images.
    ///
    /// # Errors
    /// As [`Scatter::image`].
    pub fn svg(&self, thumbnails: &[(usize, Image)]) -> Result<String> {
        let (width, height, left, top) = (self.width(), self.height(), PADDING, self.top());
        let title = escape(&self.title);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
             height=\"{height:.0}\" role=\"img\" aria-label=\"{title}\" \
             font-family=\"DejaVu Sans, Verdana, system-ui, sans-serif\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        );
        let ink = hex(INK);
        let baseline = PADDING + f64::from(TITLE * ASCENT);
        let _ = writeln!(
            svg,
            "<text x=\"{left}\" y=\"{baseline:.1}\" font-size=\"{TITLE}\" font-weight=\"bold\" fill=\"{ink}\">{title}</text>"
        );
        for (index, &(x, y)) in self.points.iter().enumerate() {
            let (x, y, name) = (left + x, top + y, self.name(index));
            let fill = hex(pale(self.color(self.classes[index])));
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{RADIUS}\" fill=\"{fill}\"><title>{name}</title></circle>"
            );
        }
        for (index, image) in thumbnails {
            let data = base64(&png_bytes(&self.small(*index, image)?)?);
            let (x, y) = self.corner(*index);
            let (x, y, size, name) = (left + x, top + y, self.thumbnail, self.name(*index));
            let blend = if is_ink_on_black(image) { " style=\"mix-blend-mode:multiply\"" } else { "" };
            let _ = writeln!(
                svg,
                "<image{blend} x=\"{x:.0}\" y=\"{y:.0}\" width=\"{size}\" height=\"{size}\" \
                 href=\"data:image/png;base64,{data}\"><title>{name}</title></image>"
            );
        }
        for (name, color, (x, y)) in self.legend() {
            let (fill, name, radius) = (hex(color), escape(&name), 2.0 * RADIUS);
            let (tx, ty) = (x + f64::from(LABEL), y + f64::from(LABEL * ASCENT / 2.0));
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{fill}\"/>\
                 <text x=\"{tx:.1}\" y=\"{ty:.1}\" font-size=\"{LABEL}\" fill=\"{ink}\">{name}</text>"
            );
        }
        svg.push_str("</svg>\n");
        Ok(svg)
    }

    /// The label of a point, escaped for XML.
    fn name(&self, index: usize) -> String {
        let class = &self.class_names[self.classes[index]];
        escape(&self.labels.get(index).map_or_else(|| class.clone(), |label| format!("{label} ({class})")))
    }

    /// The top left corner of a point's thumbnail, at whole pixels and inside the map.
    fn corner(&self, index: usize) -> (f64, f64) {
        let (x, y) = self.points[index];
        let inside = |value: f64| (value - self.thumbnail / 2.0).round().clamp(0.0, SIDE - self.thumbnail);
        (inside(x), inside(y))
    }

    /// Resizes an image to a thumbnail in the color of its class: light strokes on black, such as digits, become strokes of
    /// that color on white; any other image gets a frame.
    fn small(&self, index: usize, image: &Image) -> Result<Image> {
        let Some(&class) = self.classes.get(index) else {
            return Err(Error::argument(format!(
                "the scatter plot has {} points and no point {index}",
                self.classes.len()
            )));
        };
        let color = self.color(class);
        let size = self.thumbnail_size();
        if is_ink_on_black(image) {
            let small = image.fit(size, size, Fit::Pad, Filter::Bilinear)?;
            let shade = |ink: u8, to: u8| (255 - u16::from(ink) * u16::from(255 - to) / 255) as u8;
            let pixels = small.pixels().iter().flat_map(|&ink| color.map(|to| shade(ink, to))).collect();
            return Image::new(size, size, 3, pixels);
        }
        let frame = if size > 24 { 2 } else { 1 };
        let inner = image.to_rgb().fit(size - 2 * frame, size - 2 * frame, Fit::Crop, Filter::Bilinear)?;
        let mut framed = Image::filled(size, size, &color);
        for y in 0..inner.height() {
            for x in 0..inner.width() {
                framed.pixel_mut(x + frame, y + frame).copy_from_slice(inner.pixel(x, y));
            }
        }
        Ok(framed)
    }

    fn has_legend(&self) -> bool {
        self.class_names.len() > 1
    }

    fn width(&self) -> f64 {
        let names = self.class_names.iter().take(NAMED).map(|name| width(name, LABEL, Weight::Regular));
        let legend = if self.has_legend() { names.fold(0.0, f32::max).min(240.0) + 3.0 * LABEL } else { 0.0 };
        SIDE + 2.0 * PADDING + f64::from(legend)
    }

    fn height(&self) -> f64 {
        self.top() + SIDE + PADDING
    }

    fn top(&self) -> f64 {
        PADDING + if self.title.is_empty() { 0.0 } else { f64::from(TITLE * LINE_HEIGHT) + PADDING / 2.0 }
    }

    /// The legend's names, colors and disc positions.
    fn legend(&self) -> Vec<(String, Rgb, (f64, f64))> {
        if !self.has_legend() {
            return Vec::new();
        }
        let place = |row: usize| {
            let down = f64::from(LABEL * LINE_HEIGHT * 1.3) * row as f64;
            (PADDING + SIDE + f64::from(1.5 * LABEL), self.top() + f64::from(LABEL) + down)
        };
        let mut legend: Vec<_> = self
            .class_names
            .iter()
            .take(NAMED)
            .enumerate()
            .map(|(class, name)| (elide(name, LABEL, Weight::Regular, 240.0), self.color(class), place(class)))
            .collect();
        if self.class_names.len() > NAMED {
            legend.push((format!("and {} more", self.class_names.len() - NAMED), BACKGROUND, place(NAMED)));
        }
        legend
    }

    /// The color of a class: a categorical palette for up to ten classes, a rainbow for more.
    fn color(&self, class: usize) -> Rgb {
        let count = self.class_names.len();
        let color = match colorous::CATEGORY10.get(class) {
            Some(color) if count <= 10 => *color,
            _ => colorous::SINEBOW.eval_rational(class, count),
        };
        [color.r, color.g, color.b]
    }
}

/// Whether an image is grayscale with black edges.
fn is_ink_on_black(image: &Image) -> bool {
    let (width, height) = (image.width(), image.height());
    if image.channels() != 1 || width < 3 || height < 3 {
        return false;
    }
    let row = |y: usize| (0..width).map(move |x| (x, y));
    let column = |x: usize| (0..height).map(move |y| (x, y));
    let edge = row(0).chain(row(height - 1)).chain(column(0)).chain(column(width - 1));
    let (mut sum, mut count) = (0_usize, 0_usize);
    edge.for_each(|(x, y)| {
        sum += usize::from(image.pixel(x, y)[0]);
        count += 1;
    });
    sum < 16 * count
}

/// A paler version of a color.
fn pale(color: Rgb) -> Rgb {
    color.map(|value| 255 - (255 - value) / 3)
}

fn hex([r, g, b]: Rgb) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

#[cfg(test)]
mod tests;
