//! A chart of measured points: one quantity over another.

use super::Figure;
use super::canvas::Anchor;
use super::figure::{Paint, Style};
use super::text::{Weight, elide, width};
use super::ticks::ticks;

const SIZE: (f64, f64) = (480.0, 330.0);
const LEFT: f64 = 76.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 62.0;
const BOTTOM: f64 = 50.0;
const TITLE: f64 = 16.0;
const LABEL: f64 = 12.0;
/// Smaller than other labels, so that those of 15 bins do not overlap.
const POINT_LABEL: f64 = 9.0;

/// A line chart, with or without dots, over a linear or logarithmic x axis.
///
/// ```
/// use lucida::plot::Chart;
///
/// let chart = Chart::new("Training", "Epoch", "Loss")
///     .line("training", vec![(1.0, 0.9), (2.0, 0.5), (3.0, 0.3)])
///     .dots("validation", vec![(1.0, 1.0), (2.0, 0.7), (3.0, 0.6)]);
/// let svg = chart.figure().svg();
/// assert!(svg.contains("Epoch") && svg.contains("validation"));
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Chart {
    title: String,
    note: String,
    axes: [String; 2],
    series: Vec<Series>,
    logarithmic: bool,
    diagonal: bool,
    marked: Option<f64>,
    upright: Option<[f64; 2]>,
    level: Option<[f64; 2]>,
}

#[derive(Debug, Clone)]
struct Series {
    name: String,
    points: Vec<(f64, f64)>,
    dots: bool,
    /// A label for each point; empty if there are none.
    labels: Vec<String>,
}

impl Chart {
    /// An empty chart with these labels of the x and the y axis.
    pub fn new(title: impl Into<String>, level: impl Into<String>, upright: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            note: String::new(),
            axes: [level.into(), upright.into()],
            series: Vec::new(),
            logarithmic: false,
            diagonal: false,
            marked: None,
            upright: None,
            level: None,
        }
    }

    /// Sets the text under the title.
    pub fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    /// Adds a line through points sorted by x; NaN is skipped.
    pub fn line(self, name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        self.add(Series { name: name.into(), points, dots: false, labels: Vec::new() })
    }

    /// Adds a line with a dot at each point.
    pub fn dots(self, name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        self.labeled_dots(name, points, Vec::new())
    }

    /// Adds a line with a dot and a label at each point.
    pub fn labeled_dots(self, name: impl Into<String>, points: Vec<(f64, f64)>, labels: Vec<String>) -> Self {
        self.add(Series { name: name.into(), points, dots: true, labels })
    }

    fn add(mut self, series: Series) -> Self {
        self.series.push(series);
        self
    }

    /// Makes the x axis logarithmic.
    pub fn logarithmic(self) -> Self {
        Self { logarithmic: true, ..self }
    }

    /// Draws the dashed diagonal from corner to corner.
    pub fn diagonal(self) -> Self {
        Self { diagonal: true, ..self }
    }

    /// Marks a position on the x axis with a vertical line.
    pub fn mark(self, at: f64) -> Self {
        Self { marked: Some(at), ..self }
    }

    /// Sets both axes to 0..1.
    pub fn unit(self) -> Self {
        Self { upright: Some([0.0, 1.0]), level: Some([0.0, 1.0]), ..self }
    }

    /// The chart, 480 by 330 pixels.
    pub fn figure(&self) -> Figure {
        let mut figure =
            Figure::new(SIZE.0, SIZE.1, format!("{}: {} against {}", self.title, self.axes[1], self.axes[0]));
        let (right, bottom) = (SIZE.0 - RIGHT, SIZE.1 - BOTTOM);
        let seen = |&(x, y): &(f64, f64)| x.is_finite() && y.is_finite() && !(self.logarithmic && x <= 0.0);
        let scale = |x: f64| if self.logarithmic { x.log10() } else { x };
        let all = || self.series.iter().flat_map(|series| series.points.iter().filter(|point| seen(point)));
        let [from, to] = self.level.unwrap_or_else(|| span(all().map(|point| scale(point.0)), 0.0));
        let [low, high] = self.upright.unwrap_or_else(|| span(all().map(|point| point.1), 0.06));
        let x = |value: f64| LEFT + (right - LEFT) * ((scale(value) - from) / (to - from)).clamp(0.0, 1.0);
        let y = |value: f64| bottom - (bottom - TOP) * ((value - low) / (high - low)).clamp(0.0, 1.0);

        self.head(&mut figure);
        let label = Style::new(LABEL, Paint::Muted);
        for (value, text) in ticks(low, high, 8) {
            figure.line(vec![(LEFT, y(value)), (right, y(value))], 1.0, Paint::Rule);
            figure.text((LEFT - 8.0, y(value) + 0.36 * LABEL), text, label.anchor(Anchor::End));
        }
        for (value, text) in self.level_ticks(from, to) {
            let x = LEFT + (right - LEFT) * (value - from) / (to - from);
            figure.line(vec![(x, bottom), (x, bottom + 5.0)], 1.0, Paint::Muted);
            figure.text((x, bottom + 19.0), text, label.anchor(Anchor::Middle));
        }
        figure.line(vec![(LEFT, bottom), (right, bottom)], 1.0, Paint::Muted);
        figure.text(((LEFT + right) / 2.0, SIZE.1 - 11.0), &self.axes[0], label.anchor(Anchor::Middle));
        figure.text((16.0, (TOP + bottom) / 2.0), &self.axes[1], label.anchor(Anchor::Middle).upwards());
        if self.diagonal {
            figure.dashes((LEFT, bottom), (right, TOP), 1.0, Paint::Muted);
        }
        if let Some(at) = self.marked {
            figure.dashes((x(at), TOP), (x(at), bottom), 1.5, Paint::Muted);
        }
        for (index, series) in self.series.iter().enumerate() {
            let points: Vec<_> = series.points.iter().filter(|p| seen(p)).map(|&(a, b)| (x(a), y(b))).collect();
            if series.dots {
                points.iter().for_each(|&(x, y)| figure.disc(x, y, 3.5, Paint::Series(index)));
            }
            let labeled = series.points.iter().zip(&series.labels).filter(|(point, _)| seen(point));
            for (&(a, b), text) in labeled {
                // Above the dot, or below it at the top of the chart.
                let above = if y(b) - TOP < LABEL { POINT_LABEL + 6.0 } else { -7.0 };
                let style = Style::new(POINT_LABEL, Paint::Muted).anchor(Anchor::Middle);
                figure.text((x(a), y(b) + above), text, style);
            }
            if points.len() > 1 {
                figure.line(points, 2.0, Paint::Series(index));
            }
        }
        figure
    }

    fn level_ticks(&self, from: f64, to: f64) -> Vec<(f64, String)> {
        if !self.logarithmic {
            return ticks(from, to, 8);
        }
        let step = (((to - from) / 8.0).ceil() as i32).max(1);
        let powers = (from.ceil() as i32..=to.floor() as i32).step_by(step as usize);
        powers.map(|power| (f64::from(power), format!("1e{power}"))).collect()
    }

    /// Draws the title, the note, and the legend if there are several series.
    fn head(&self, figure: &mut Figure) {
        let mut x = SIZE.0 - RIGHT;
        if self.series.len() > 1 {
            for (index, series) in self.series.iter().enumerate().rev() {
                let name = elide(&series.name, LABEL as f32, Weight::Regular, 110.0);
                x -= f64::from(width(&name, LABEL as f32, Weight::Regular));
                figure.text((x, 26.0), name, Style::new(LABEL, Paint::Ink));
                x -= 26.0;
                figure.line(vec![(x, 22.0), (x + 20.0, 22.0)], 3.0, Paint::Series(index));
                x -= 16.0;
            }
        }
        let title = elide(&self.title, TITLE as f32, Weight::Bold, (x - LEFT) as f32);
        figure.text((LEFT, 27.0), title, Style::new(TITLE, Paint::Ink).bold());
        let note = elide(&self.note, LABEL as f32, Weight::Regular, (SIZE.0 - LEFT - RIGHT) as f32);
        figure.text((LEFT, 46.0), note, Style::new(LABEL, Paint::Muted));
    }
}

/// The minimum and maximum of the values, extended at both ends by `margin` times their difference.
fn span(values: impl Iterator<Item = f64>, margin: f64) -> [f64; 2] {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    if low > high {
        return [0.0, 1.0];
    }
    let half = ((high / 2.0 - low / 2.0) * (1.0 + 2.0 * margin)).max(low.abs().max(high.abs()) * 1e-6).max(1e-9);
    let middle = low / 2.0 + high / 2.0;
    [(middle - half).max(f64::MIN / 4.0), (middle + half).min(f64::MAX / 4.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charts_of_anything_can_be_drawn() {
        let points = vec![(1e-6, 0.7), (1e-4, 0.5), (f64::NAN, 1.0), (1e-2, f64::INFINITY), (1e-1, 3.0)];
        let svg =
            Chart::new("Rates", "learning rate", "loss").logarithmic().mark(1e-3).line("a", points.clone()).figure();
        let svg = svg.svg();
        assert!(svg.contains("1e-4") && svg.contains("learning rate") && !svg.contains("NaN"), "{svg}");
        let unit =
            Chart::new("Calibration", "confidence", "accuracy").unit().diagonal().dots("b", points).dots("c", vec![]);
        assert!(!unit.figure().svg().contains("inf"));
        assert!(!Chart::new("None", "x", "y").line("a", vec![]).figure().svg().contains("NaN"));
        Chart::new("One", "x", "y").line("a", vec![(2.0, 2.0)]).figure().image(1.0).unwrap();
    }
}
