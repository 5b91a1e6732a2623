//! A vector figure, to be written as SVG or rasterized.

use std::fmt::Write as _;
use std::path::Path;

use super::canvas::{Anchor, Canvas, Line};
use super::report::escape;
use super::text::Weight;
use super::{Rgb, check_size};
use crate::data::Image;
use crate::{Error, Result, files};

/// The fonts of SVG text. The layout uses the widths of the first, which is wider than the others.
const FONTS: &str = "DejaVu Sans, Verdana, system-ui, Helvetica, Arial, sans-serif";

/// Colors by their role, so that an HTML page can replace them with its theme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    /// The background.
    Surface,
    /// Titles and values.
    Ink,
    /// Labels.
    Muted,
    /// Grid lines.
    Rule,
    /// Empty cells and bars.
    Faint,
    /// The line of a series: the palette of Okabe and Ito, which color-blind readers can distinguish.
    Series(usize),
    /// A fixed color that encodes a value.
    Fixed(Rgb),
}

/// The colors of the series; a theme may override them.
const SERIES: [Rgb; 6] = [[0, 114, 178], [213, 94, 0], [0, 158, 115], [204, 121, 167], [230, 159, 0], [86, 180, 233]];

impl Paint {
    pub(super) fn rgb(self) -> Rgb {
        match self {
            Self::Surface => [255, 255, 255],
            Self::Ink => [27, 34, 44],
            Self::Muted => [86, 96, 110],
            Self::Rule => [226, 230, 235],
            Self::Faint => [245, 246, 248],
            Self::Series(index) => SERIES[index % SERIES.len()],
            Self::Fixed(rgb) => rgb,
        }
    }

    fn hex(self) -> String {
        let [r, g, b] = self.rgb();
        format!("#{r:02x}{g:02x}{b:02x}")
    }

    /// The color as CSS; if `themed`, a custom property with this color as fallback.
    fn css(self, themed: bool) -> String {
        let name = match self {
            _ if !themed => return self.hex(),
            Self::Surface => "surface".to_owned(),
            Self::Ink => "ink".to_owned(),
            Self::Muted => "muted".to_owned(),
            Self::Rule => "rule".to_owned(),
            Self::Faint => "page".to_owned(),
            Self::Series(index) => format!("series-{}", index % SERIES.len()),
            Self::Fixed(_) => return self.hex(),
        };
        format!("var(--{name},{})", self.hex())
    }
}

/// A drawn element. Lengths are in pixels at scale 1.
#[derive(Debug, Clone)]
pub(super) enum Mark {
    Rect { x: f64, y: f64, width: f64, height: f64, fill: Paint },
    Line { points: Vec<(f64, f64)>, width: f64, stroke: Paint, dashed: bool },
    Disc { x: f64, y: f64, radius: f64, fill: Paint },
    Text { x: f64, y: f64, text: String, size: f64, weight: Weight, anchor: Anchor, upwards: bool, fill: Paint },
}

/// A vector figure: curves, a matrix, bars. The same data gives the same bytes.
///
/// ```
/// # let temporary = tempfile::tempdir().unwrap();
/// # let folder = temporary.path();
/// use lucida::plot::Chart;
///
/// let figure = Chart::new("Square", "x", "y").line("x²", vec![(0.0, 0.0), (1.0, 1.0), (2.0, 4.0)]).figure();
/// figure.save_svg(folder.join("square.svg"))?;
/// let image = figure.image(2.0)?;
/// assert_eq!((image.width(), image.height()), (960, 660));
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Figure {
    width: f64,
    height: f64,
    label: String,
    marks: Vec<Mark>,
}

impl Figure {
    /// An empty figure; `label` is its text alternative.
    pub(super) fn new(width: f64, height: f64, label: impl Into<String>) -> Self {
        Self { width, height, label: label.into(), marks: Vec::new() }
    }

    pub(super) fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, fill: Paint) {
        self.marks.push(Mark::Rect { x, y, width, height, fill });
    }

    pub(super) fn line(&mut self, points: Vec<(f64, f64)>, width: f64, stroke: Paint) {
        self.marks.push(Mark::Line { points, width, stroke, dashed: false });
    }

    /// A dashed straight line.
    pub(super) fn dashes(&mut self, from: (f64, f64), to: (f64, f64), width: f64, stroke: Paint) {
        self.marks.push(Mark::Line { points: vec![from, to], width, stroke, dashed: true });
    }

    pub(super) fn disc(&mut self, x: f64, y: f64, radius: f64, fill: Paint) {
        self.marks.push(Mark::Disc { x, y, radius, fill });
    }

    pub(super) fn text(&mut self, (x, y): (f64, f64), text: impl Into<String>, style: Style) {
        let Style { size, weight, anchor, upwards, fill } = style;
        self.marks.push(Mark::Text { x, y, text: text.into(), size, weight, anchor, upwards, fill });
    }

    /// Draws another figure with its top left corner at `(left, top)`.
    pub(super) fn place(&mut self, other: Self, left: f64, top: f64) {
        for mut mark in other.marks {
            match &mut mark {
                Mark::Rect { x, y, .. } | Mark::Disc { x, y, .. } | Mark::Text { x, y, .. } => {
                    *x += left;
                    *y += top;
                }
                Mark::Line { points, .. } => points.iter_mut().for_each(|p| *p = (p.0 + left, p.1 + top)),
            }
            self.marks.push(mark);
        }
    }

    /// Width in pixels at scale 1.
    pub fn width(&self) -> f64 {
        self.width
    }

    /// Height in pixels at scale 1.
    pub fn height(&self) -> f64 {
        self.height
    }

    /// The text alternative of the figure.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The figure as an SVG file with a white background.
    pub fn svg(&self) -> String {
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}", self.element(false))
    }

    /// The figure as an inline `svg` element, whose colors an HTML page sets by the custom properties `--surface`, `--ink`,
    /// `--muted`, `--rule`, `--page` and `--series-0` to `--series-5`.
    pub fn inline_svg(&self) -> String {
        self.element(true)
    }

    fn element(&self, themed: bool) -> String {
        let (width, height, label) = (number(self.width), number(self.height), escape(&self.label));
        let namespace = if themed { "" } else { "xmlns=\"http://www.w3.org/2000/svg\" " };
        let mut svg = format!(
            "<svg {namespace}viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" \
             aria-label=\"{label}\" font-family=\"{FONTS}\">\n<title>{label}</title>\n"
        );
        if !themed {
            let fill = Paint::Surface.hex();
            let _ = writeln!(svg, "<rect width=\"{width}\" height=\"{height}\" fill=\"{fill}\"/>");
        }
        for mark in &self.marks {
            write_mark(&mut svg, mark, themed);
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// Writes the figure as an SVG file.
    ///
    /// # Errors
    /// [`Error::Io`] names `path`.
    pub fn save_svg(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        files::write_bytes(path, self.svg().as_bytes())
    }

    /// Rasterizes the figure on white as an RGB image, `scale` times as large.
    ///
    /// # Errors
    /// [`Error::Argument`] when `scale` is not above 0, [`Error::Limit`] when the image would be too large.
    pub fn image(&self, scale: f64) -> Result<Image> {
        if !scale.is_finite() || scale <= 0.0 {
            return Err(Error::argument(format!("the scale of a figure is {scale}; it must be above 0")));
        }
        let (width, height) = ((self.width * scale).ceil() as usize, (self.height * scale).ceil() as usize);
        check_size("figure", width, height)?;
        let mut canvas = Canvas::new(width, height, Paint::Surface.rgb());
        let to = |v: f64| (v * scale) as f32;
        let at = |&(x, y): &(f64, f64)| (to(x), to(y));
        for mark in &self.marks {
            match mark {
                Mark::Rect { x, y, width, height, fill } => {
                    canvas.rect((to(*x), to(*y)), (to(x + width), to(y + height)), fill.rgb());
                }
                Mark::Line { points, width, stroke, dashed } => {
                    let pieces = if *dashed { dashes(points) } else { vec![points.clone()] };
                    for piece in pieces {
                        let points: Vec<_> = piece.iter().map(at).collect();
                        canvas.line(&points, to(*width), stroke.rgb());
                    }
                }
                Mark::Disc { x, y, radius, fill } => canvas.disc((to(*x), to(*y)), to(*radius), fill.rgb()),
                Mark::Text { x, y, text, size, weight, anchor, upwards, fill } => {
                    let line = Line { text, size: to(*size), weight: *weight, anchor: *anchor, upwards: *upwards };
                    canvas.text(&line, (to(*x), to(*y)), fill.rgb());
                }
            }
        }
        Ok(canvas.into_image())
    }

    /// The drawn elements, for the tests of text contrast.
    #[cfg(test)]
    pub(super) fn marks(&self) -> &[Mark] {
        &self.marks
    }
}

/// The style of a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) size: f64,
    pub(super) weight: Weight,
    pub(super) anchor: Anchor,
    pub(super) upwards: bool,
    pub(super) fill: Paint,
}

impl Style {
    pub(super) fn new(size: f64, fill: Paint) -> Self {
        Self { size, weight: Weight::Regular, anchor: Anchor::Start, upwards: false, fill }
    }

    pub(super) fn bold(self) -> Self {
        Self { weight: Weight::Bold, ..self }
    }

    pub(super) fn anchor(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }

    pub(super) fn upwards(self) -> Self {
        Self { upwards: true, ..self }
    }
}

fn write_mark(svg: &mut String, mark: &Mark, themed: bool) {
    // `var()` must be in a style: some renderers ignore it in an attribute.
    let paint = |what: &str, paint: Paint| match themed {
        true => format!("style=\"{what}:{}\"", paint.css(true)),
        false => format!("{what}=\"{}\"", paint.css(false)),
    };
    let _ = match mark {
        Mark::Rect { x, y, width, height, fill } => writeln!(
            svg,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" {}/>",
            number(*x),
            number(*y),
            number(*width),
            number(*height),
            paint("fill", *fill)
        ),
        Mark::Line { points, width, stroke, dashed } => {
            let points: Vec<_> = points.iter().map(|(x, y)| format!("{},{}", number(*x), number(*y))).collect();
            writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" {} stroke-width=\"{}\" stroke-linejoin=\"round\" \
                 stroke-linecap=\"{}\"{}/>",
                points.join(" "),
                paint("stroke", *stroke),
                number(*width),
                if points.len() > 2 { "round" } else { "butt" },
                if *dashed { format!(" stroke-dasharray=\"{DASH}\"") } else { String::new() },
            )
        }
        Mark::Disc { x, y, radius, fill } => writeln!(
            svg,
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" {}/>",
            number(*x),
            number(*y),
            number(*radius),
            paint("fill", *fill)
        ),
        Mark::Text { x, y, text, size, weight, anchor, upwards, fill } => {
            let (x, y) = (number(*x), number(*y));
            let bold = if *weight == Weight::Bold { " font-weight=\"bold\"" } else { "" };
            let anchor = match anchor {
                Anchor::Start => "",
                Anchor::Middle => " text-anchor=\"middle\"",
                Anchor::End => " text-anchor=\"end\"",
            };
            let turn = if *upwards { format!(" transform=\"rotate(-90 {x} {y})\"") } else { String::new() };
            let (size, fill, text) = (number(*size), paint("fill", *fill), escape(text));
            writeln!(svg, "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\"{bold}{anchor}{turn} {fill}>{text}</text>")
        }
    };
}

/// The length of a dash, and of the gap after it.
const DASH: f64 = 4.0;

/// Splits a straight line into dashes.
fn dashes(points: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
    let [from, to] = *points else { return vec![points.to_vec()] };
    let length = (to.0 - from.0).hypot(to.1 - from.1);
    let at = |along: f64| {
        let part = (along / length).min(1.0);
        (from.0 + (to.0 - from.0) * part, from.1 + (to.1 - from.1) * part)
    };
    let count = (length / (2.0 * DASH)).ceil() as usize;
    (0..count).map(|i| 2.0 * DASH * i as f64).map(|start| vec![at(start), at(start + DASH)]).collect()
}

/// A coordinate with at most two decimals.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [(1.0, "1"), (0.5, "0.5"), (-0.001, "0"), (100.0, "100"), (12.346, "12.35")] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn dashes_follow_the_line_to_its_end() {
        let level = dashes(&[(1.0, 2.0), (11.0, 2.0)]);
        assert_eq!(level, [[(1.0, 2.0), (5.0, 2.0)], [(9.0, 2.0), (11.0, 2.0)]]);
        assert!(dashes(&[(1.0, 2.0), (1.0, 2.0)]).is_empty());
    }

    #[test]
    fn svg_and_image_show_the_same() {
        let mut figure = Figure::new(20.0, 10.0, "a <square>");
        figure.rect(2.0, 2.0, 4.0, 4.0, Paint::Series(0));
        figure.text((1.0, 9.0), "a & b", Style::new(8.0, Paint::Ink).bold());
        let svg = figure.svg();
        assert!(svg.contains("<rect x=\"2\" y=\"2\" width=\"4\" height=\"4\" fill=\"#0072b2\"/>"), "{svg}");
        assert!(svg.contains(">a &amp; b</text>") && svg.contains("aria-label=\"a &lt;square&gt;\""), "{svg}");
        assert!(figure.inline_svg().contains("style=\"fill:var(--series-0,#0072b2)\""));
        let image = figure.image(2.0).unwrap();
        assert_eq!((image.width(), image.height(), image.channels()), (40, 20, 3));
        assert_eq!(image.pixel(4, 4), [0, 114, 178]);
        assert_eq!(image.pixel(13, 4), [255; 3]);
    }

    #[test]
    fn absurd_scales_are_refused() {
        let figure = Figure::new(20.0, 10.0, "");
        for scale in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(figure.image(scale), Err(Error::Argument(_))));
        }
        assert!(matches!(figure.image(1e6), Err(Error::Limit { .. })));
    }
}
