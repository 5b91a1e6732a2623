//! The confusion matrix.

use super::canvas::Anchor;
use super::figure::{Paint, Style};
use super::text::{Weight, elide, width};
use super::{Figure, Rgb, more_readable};
use crate::{Error, Result};

/// The maximum number of classes.
const MAX_CLASSES: usize = 1000;

/// A confusion matrix to draw: rows are the true classes, columns the predicted ones.
///
/// A correct cell is blue, by its fraction of the row. A mistake is orange, by the square root of its fraction: one
/// misclassified digit in a thousand, which is what a reader looks for, would otherwise be nearly white. Recall is written
/// next to each row, precision below each column.
#[derive(Debug, Clone)]
#[must_use]
pub struct Confusion {
    names: Vec<String>,
    counts: Vec<u64>,
    title: String,
}

impl Confusion {
    /// A matrix of `names.len()` rows and columns; `counts` are in row-major order.
    ///
    /// # Errors
    /// [`Error::Argument`] when there are no classes or `counts` has another length; [`Error::Limit`] above 1000
    /// classes.
    pub fn new(names: Vec<String>, counts: Vec<u64>) -> Result<Self> {
        let classes = names.len();
        if classes > MAX_CLASSES {
            let (got, limit) = (classes as u64, MAX_CLASSES as u64);
            return Err(Error::Limit { what: "classes of a confusion matrix".into(), got, limit });
        }
        if classes == 0 || counts.len() != classes * classes {
            let got = counts.len();
            return Err(Error::argument(format!("a confusion matrix of {classes} classes cannot hold {got} counts")));
        }
        Ok(Self { names, counts, title: "Confusion matrix".into() })
    }

    /// Replaces the title, `Confusion matrix`; the accuracy is appended to it.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// The fraction of correct predictions; `None` without predictions.
    pub fn accuracy(&self) -> Option<f64> {
        let right = (0..self.names.len()).map(|i| self.count(i, i)).sum::<f64>();
        share(right, self.counts.iter().map(|&count| count as f64).sum())
    }

    fn count(&self, truth: usize, predicted: usize) -> f64 {
        self.counts[truth * self.names.len() + predicted] as f64
    }

    fn row_sum(&self, truth: usize) -> f64 {
        (0..self.names.len()).map(|predicted| self.count(truth, predicted)).sum()
    }

    fn column_sum(&self, predicted: usize) -> f64 {
        (0..self.names.len()).map(|truth| self.count(truth, predicted)).sum()
    }

    /// Renders the matrix as a vector figure.
    pub fn figure(&self) -> Figure {
        let n = self.names.len();
        let layout = Layout::new(&self.names);
        let Layout { cell, left, top, .. } = layout;
        let side = cell * n as f64;
        // The title of a small matrix may be wider than the matrix.
        let title = match self.accuracy() {
            Some(accuracy) => format!("{} · accuracy {:.2} %", self.title, 100.0 * accuracy),
            None => format!("{} · no predictions", self.title),
        };
        let needed = 32.0 + f64::from(width(&title, 16.0, Weight::Bold)).min(600.0);
        let full = (left + side + layout.margins + 16.0).max(needed);
        let mut figure = Figure::new(full, top + side + layout.margins.min(30.0) + layout.foot, title.clone());
        figure.text((16.0, 28.0), elide(&title, 16.0, Weight::Bold, 600.0), Style::new(16.0, Paint::Ink).bold());

        if layout.gap() == 0.0 {
            figure.rect(left, top, side, side, Paint::Faint);
        }
        for truth in 0..n {
            let row = self.row_sum(truth);
            for predicted in 0..n {
                let (x, y) = (left + cell * predicted as f64, top + cell * truth as f64);
                self.cell(&mut figure, &layout, (truth, predicted), row, (x, y));
            }
        }
        self.names(&mut figure, &layout);
        self.rates(&mut figure, &layout);
        figure
    }

    fn cell(&self, figure: &mut Figure, layout: &Layout, at: (usize, usize), row: f64, (x, y): (f64, f64)) {
        let count = self.counts[at.0 * self.names.len() + at.1];
        let part = share(count as f64, row).unwrap_or(0.0);
        let fill = if at.0 == at.1 { right_color(part) } else { wrong_color(part) };
        let gap = layout.gap();
        if count > 0 || gap > 0.0 {
            let paint = if count == 0 { Paint::Faint } else { Paint::Fixed(fill) };
            figure.rect(x + gap / 2.0, y + gap / 2.0, layout.cell - gap, layout.cell - gap, paint);
        }
        let text = count.to_string();
        let size = (layout.cell * 0.34).min(13.0);
        let fits = |size: f64| f64::from(width(&text, size as f32, Weight::Regular)) <= layout.cell - 4.0;
        let size = [size, 11.0, 10.0, 9.0, 8.0, 7.0].into_iter().find(|&s| s <= size && s >= 7.0 && fits(s));
        if let Some(size) = size {
            let ink = match count {
                0 => Paint::Muted,
                _ => Paint::Fixed(more_readable(fill, [255; 3], [0; 3])),
            };
            let center = (x + layout.cell / 2.0, y + layout.cell / 2.0 + 0.36 * size);
            figure.text(center, text, Style::new(size, ink).anchor(Anchor::Middle));
        }
    }

    fn names(&self, figure: &mut Figure, layout: &Layout) {
        let Layout { cell, left, top, size, .. } = *layout;
        let middle = cell * self.names.len() as f64 / 2.0;
        let axis = Style::new(13.0, Paint::Muted).anchor(Anchor::Middle);
        figure.text((left + middle, 54.0), "predicted", axis);
        figure.text((left - 8.0 - layout.widest - 12.0, top + middle), "true", axis.upwards());
        let style = Style::new(size, Paint::Ink);
        for (index, name) in self.names.iter().enumerate() {
            let name = elide(name, size as f32, Weight::Regular, layout.longest as f32);
            let center = cell * (index as f64 + 0.5);
            let row = (left - 8.0, top + center + 0.36 * size);
            figure.text(row, name.clone(), style.anchor(Anchor::End));
            if layout.upwards {
                figure.text((left + center + 0.36 * size, top - 8.0), name, style.upwards());
            } else {
                figure.text((left + center, top - 8.0), name, style.anchor(Anchor::Middle));
            }
        }
    }

    /// Draws the recall to the right of each row and the precision below each column, where there is room for legible text.
    fn rates(&self, figure: &mut Figure, layout: &Layout) {
        if layout.margins == 0.0 {
            return;
        }
        let Layout { cell, left, top, .. } = *layout;
        let n = self.names.len();
        let side = cell * n as f64;
        let style = Style::new(11.0, Paint::Muted);
        let percent = |part: Option<f64>| part.map_or("–".to_owned(), |part| format!("{:.1}", 100.0 * part));
        for index in 0..n {
            let center = cell * (index as f64 + 0.5);
            let recall = percent(share(self.count(index, index), self.row_sum(index)));
            figure.text((left + side + 46.0, top + center + 4.0), recall, style.anchor(Anchor::End));
            let precision = percent(share(self.count(index, index), self.column_sum(index)));
            figure.text((left + center, top + side + 18.0), precision, style.anchor(Anchor::Middle));
        }
        figure.text((left + side + 46.0, top - 8.0), "recall %", style.anchor(Anchor::End));
        figure.text((left - 8.0, top + side + 18.0), "precision %", style.anchor(Anchor::End));
    }
}

/// Sizes in pixels.
struct Layout {
    cell: f64,
    left: f64,
    top: f64,
    /// The font size of the class names.
    size: f64,
    /// The maximum width of a class name.
    longest: f64,
    /// The width of the widest class name.
    widest: f64,
    /// Whether the column names are rotated to read upwards.
    upwards: bool,
    /// The space for recall and precision; 0 where they are omitted.
    margins: f64,
    foot: f64,
}

impl Layout {
    /// The gap between cells. Small cells have none, and empty ones among them are not drawn individually.
    fn gap(&self) -> f64 {
        if self.cell >= 14.0 { 2.0 } else { 0.0 }
    }

    fn new(names: &[String]) -> Self {
        let cell = match names.len() {
            0..=12 => 46.0,
            13..=20 => 38.0,
            21..=40 => 26.0,
            41..=100 => 14.0,
            _ => 9.0,
        };
        let size = f64::min(13.0, cell * 0.8);
        let longest = 140.0;
        let widest = names
            .iter()
            .map(|name| f64::from(width(name, size as f32, Weight::Regular)).min(longest))
            .fold(0.0, f64::max);
        let upwards = widest > cell - 4.0;
        let margins = if cell >= 38.0 { 62.0 } else { 0.0 };
        let label = if margins > 0.0 { widest.max(68.0) } else { widest };
        let head = if upwards { widest } else { size };
        Self { cell, left: 40.0 + label + 8.0, top: 68.0 + head, size, longest, widest, upwards, margins, foot: 16.0 }
    }
}

fn share(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

fn mix(from: Rgb, to: Rgb, part: f64) -> Rgb {
    [0, 1, 2].map(|c| (f64::from(from[c]) + (f64::from(to[c]) - f64::from(from[c])) * part).round() as u8)
}

/// The color of correct cells, from pale to deep blue.
fn right_color(share: f64) -> Rgb {
    mix([226, 238, 248], [8, 81, 156], share.clamp(0.0, 1.0))
}

/// The color of mistakes, from pale to deep orange, by the square root of the fraction.
fn wrong_color(share: f64) -> Rgb {
    mix([254, 241, 228], [196, 62, 6], share.clamp(0.0, 1.0).sqrt())
}

#[cfg(test)]
mod tests {
    use super::super::contrast;
    use super::super::figure::Mark;
    use super::*;

    fn names(n: usize) -> Vec<String> {
        (0..n).map(|i| i.to_string()).collect()
    }

    fn texts(figure: &Figure) -> Vec<String> {
        let text = |mark: &Mark| if let Mark::Text { text, .. } = mark { Some(text.clone()) } else { None };
        figure.marks().iter().filter_map(text).collect()
    }

    #[test]
    fn counts_names_and_rates_are_written() {
        let figure = Confusion::new(names(2), vec![90, 10, 40, 60]).unwrap().figure();
        let texts = texts(&figure);
        for expected in ["90", "10", "40", "60", "true", "predicted", "90.0", "60.0", "69.2", "85.7"] {
            assert!(texts.iter().any(|text| text == expected), "{expected} in {texts:?}");
        }
        assert!(texts.contains(&"Confusion matrix · accuracy 75.00 %".to_owned()), "{texts:?}");
    }

    #[test]
    fn counts_can_be_read_on_every_cell() {
        for step in 0..=1000 {
            let part = f64::from(step) / 1000.0;
            for fill in [right_color(part), wrong_color(part)] {
                let best = contrast(fill, more_readable(fill, [255; 3], [0; 3]));
                assert!(best >= 4.5, "{best} on {fill:?} at {part}");
            }
        }
    }

    #[test]
    fn a_correct_cell_is_blue_and_a_mistake_orange() {
        let image = Confusion::new(names(2), vec![99, 1, 0, 100]).unwrap().figure().image(1.0).unwrap();
        let layout = Layout::new(&names(2));
        let corner = |row: f64, column: f64| {
            let (x, y) = (layout.left + column * layout.cell + 4.0, layout.top + row * layout.cell + 4.0);
            image.pixel(x as usize, y as usize).to_vec()
        };
        let (right, wrong, none) = (corner(0.0, 0.0), corner(0.0, 1.0), corner(1.0, 0.0));
        assert!(right[2] > right[0] + 100, "{right:?}");
        assert!(wrong[0] > wrong[2] + 30, "{wrong:?}");
        assert_eq!(none, Paint::Faint.rgb());
    }

    #[test]
    fn all_sizes_and_empty_rows_are_drawn() {
        for n in [1, 2, 10, 15, 37, 100, 150] {
            let long = (0..n).map(|i| format!("a rather long class name, number {i}")).collect();
            for names in [names(n), long] {
                let confusion = Confusion::new(names, vec![0; n * n]).unwrap();
                assert_eq!(confusion.accuracy(), None);
                let figure = confusion.figure();
                assert!(!figure.svg().contains("NaN"));
                assert!(figure.image(1.0).unwrap().width() > 50);
            }
        }
        let huge = Confusion::new(names(2), vec![u64::MAX; 4]).unwrap();
        assert_eq!(huge.accuracy(), Some(0.5));
        huge.figure();
    }

    #[test]
    fn wrong_lengths_are_refused() {
        assert!(matches!(Confusion::new(names(3), vec![0; 8]), Err(Error::Argument(_))));
        assert!(matches!(Confusion::new(names(0), vec![]), Err(Error::Argument(_))));
        assert!(matches!(Confusion::new(names(1001), vec![]), Err(Error::Limit { .. })));
    }
}
