//! The probabilities of one prediction as a bar chart.

use super::Figure;
use super::canvas::Anchor;
use super::figure::{Paint, Style};
use super::text::{Weight, elide, width};
use crate::{Error, Result};

const ROW: f64 = 24.0;
const BAR: f64 = 14.0;
const LENGTH: f64 = 220.0;
const SIZE: f64 = 12.0;
const LONGEST: f64 = 160.0;

/// A bar for each class, with the most probable one highlighted.
///
/// ```
/// use lucida::plot::Bars;
///
/// let bars = Bars::new([("cat", 0.7), ("dog", 0.2), ("fox", 0.1)])?.top(2).truth("cat");
/// let svg = bars.figure().svg();
/// assert!(svg.contains("cat") && !svg.contains("fox"));
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Bars {
    classes: Vec<(String, f64)>,
    truth: Option<String>,
    title: String,
}

impl Bars {
    /// Classes with their probabilities, 0 to 1, in the given order. A value that is not finite is written as text, without
    /// a bar.
    ///
    /// # Errors
    /// [`Error::Argument`] when there are no classes.
    pub fn new<N: Into<String>, P: Into<f64>>(classes: impl IntoIterator<Item = (N, P)>) -> Result<Self> {
        let classes: Vec<_> = classes.into_iter().map(|(name, part)| (name.into(), part.into())).collect();
        if classes.is_empty() {
            return Err(Error::argument("bars need at least one class"));
        }
        Ok(Self { classes, truth: None, title: String::new() })
    }

    /// Keeps the `count` most probable classes, most probable first.
    pub fn top(mut self, count: usize) -> Self {
        // NaN sorts last; the sort is stable for equal values.
        let key = |part: f64| if part.is_nan() { f64::NEG_INFINITY } else { part };
        self.classes.sort_by(|a, b| key(b.1).total_cmp(&key(a.1)));
        self.classes.truncate(count.max(1));
        self
    }

    /// Sets the true class: if the most probable class differs, it is drawn in the color of a mistake.
    pub fn truth(mut self, name: impl Into<String>) -> Self {
        self.truth = Some(name.into());
        self
    }

    /// Sets the title above the bars.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Renders the chart as a vector figure.
    pub fn figure(&self) -> Figure {
        let names: Vec<_> =
            self.classes.iter().map(|(name, _)| elide(name, SIZE as f32, Weight::Regular, LONGEST as f32)).collect();
        let widest = names.iter().map(|name| f64::from(width(name, SIZE as f32, Weight::Bold))).fold(0.0, f64::max);
        let left = 12.0 + widest + 10.0;
        let top = if self.title.is_empty() { 8.0 } else { 36.0 };
        let full = left + LENGTH + 74.0;
        let label = if self.title.is_empty() { "Probabilities by class" } else { self.title.as_str() };
        let mut figure = Figure::new(full, top + ROW * names.len() as f64 + 8.0, label);
        let title = elide(&self.title, 14.0, Weight::Bold, (full - 24.0) as f32);
        figure.text((12.0, 24.0), title, Style::new(14.0, Paint::Ink).bold());

        let most =
            self.classes.iter().map(|(_, part)| *part).filter(|p| p.is_finite()).fold(f64::NEG_INFINITY, f64::max);
        let likeliest = self.classes.iter().position(|(_, part)| *part == most);
        for (index, ((name, part), shown)) in self.classes.iter().zip(names).enumerate() {
            let y = top + ROW * index as f64;
            let baseline = y + ROW / 2.0 + 0.36 * SIZE;
            let first = Some(index) == likeliest;
            let wrong = self.truth.as_ref().is_some_and(|truth| truth != name);
            let fill = match (first, wrong) {
                (true, false) => Paint::Series(0),
                (true, true) => Paint::Series(1),
                (false, _) => Paint::Muted,
            };
            let style = Style::new(SIZE, if first { Paint::Ink } else { Paint::Muted });
            let style = if first { style.bold() } else { style };
            figure.text((left - 10.0, baseline), shown, style.anchor(Anchor::End));
            figure.rect(left, y + (ROW - BAR) / 2.0, LENGTH, BAR, Paint::Rule);
            let length = if part.is_finite() { part.clamp(0.0, 1.0) * LENGTH } else { 0.0 };
            if length > 0.0 {
                figure.rect(left, y + (ROW - BAR) / 2.0, length, BAR, fill);
            }
            figure.text((left + LENGTH + 64.0, baseline), percent(*part), style.anchor(Anchor::End));
        }
        figure
    }
}

fn percent(part: f64) -> String {
    if part.is_finite() { format!("{:.2} %", 100.0 * part) } else { part.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_the_probabilities() {
        let bars = Bars::new([("cat", 0.75_f32), ("dog", 0.25)]).unwrap().truth("cat");
        let svg = bars.figure().svg();
        assert!(svg.contains("width=\"165\" height=\"14\" fill=\"#0072b2\""), "{svg}");
        assert!(svg.contains("width=\"55\" height=\"14\""), "{svg}");
        assert!(svg.contains(">75.00 %<") && svg.contains(">25.00 %<"));
        assert!(bars.truth("dog").figure().svg().contains("width=\"165\" height=\"14\" fill=\"#d55e00\""));
    }

    #[test]
    fn the_likeliest_come_first_and_nan_last() {
        let bars = Bars::new([("a", f64::NAN), ("b", 0.1), ("c", 0.6), ("d", 0.1)]).unwrap();
        let order: Vec<_> = bars.clone().top(9).classes.into_iter().map(|(name, _)| name).collect();
        assert_eq!(order, ["c", "b", "d", "a"]);
        assert_eq!(bars.clone().top(0).classes.len(), 1);
        assert!(bars.figure().svg().contains(">NaN<"));
        assert!(Bars::new(Vec::<(String, f32)>::new()).is_err());
    }
}
