//! Training curves: a metric over the epochs, for training and validation.

use super::Figure;
use super::canvas::Anchor;
use super::figure::{Paint, Style};
use super::text::{Weight, elide, width};
use super::ticks::{ticks, whole_ticks};

const PANEL: (f64, f64) = (480.0, 330.0);
const LEFT: f64 = 76.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 62.0;
const BOTTOM: f64 = 50.0;
const TITLE: f64 = 16.0;
const LABEL: f64 = 12.0;
/// Up to this number of epochs, each has a dot.
const DOTS: usize = 30;

/// One chart: a metric over the epochs, in one or more series.
#[derive(Debug, Clone)]
#[must_use]
pub struct Panel {
    title: String,
    measure: String,
    series: Vec<(String, Vec<f64>)>,
    from_zero: bool,
    at_most: f64,
}

impl Panel {
    /// An empty chart; `measure` labels the y axis.
    pub fn new(title: impl Into<String>, measure: impl Into<String>) -> Self {
        let (title, measure) = (title.into(), measure.into());
        Self { title, measure, series: Vec::new(), from_zero: false, at_most: f64::INFINITY }
    }

    /// Adds a series with the values after epoch 1, 2, and so on. A NaN or infinite value leaves a gap.
    pub fn series<V: Copy + Into<f64>>(mut self, name: impl Into<String>, values: &[V]) -> Self {
        self.series.push((name.into(), values.iter().map(|&v| v.into()).collect()));
        self
    }

    /// Starts the y axis at zero if no value is negative; for a loss.
    pub fn from_zero(mut self) -> Self {
        self.from_zero = true;
        self
    }

    /// Ends the y axis at an upper bound of the metric, if no value exceeds it; 1 for an accuracy.
    pub fn at_most(mut self, bound: f64) -> Self {
        self.at_most = bound;
        self
    }

    fn epochs(&self) -> usize {
        self.series.iter().map(|(_, values)| values.len()).max().unwrap_or(0)
    }

    /// The chart, 480 by 330 pixels, with `epochs` epochs on its x axis and one of them marked.
    fn figure(&self, epochs: usize, marked: Option<usize>) -> Figure {
        let mut figure = Figure::new(PANEL.0, PANEL.1, format!("{} by epoch", self.title));
        let plot = Plot { low: 0.0, high: 1.0, epochs }.fitted(self);
        self.head(&mut figure, marked);
        self.axes(&mut figure, &plot);
        if let Some(epoch) = marked.filter(|&epoch| (1..=epochs).contains(&epoch)) {
            let x = plot.x(epoch);
            figure.dashes((x, TOP), (x, PANEL.1 - BOTTOM), 1.0, Paint::Muted);
        }
        for (index, (_, values)) in self.series.iter().enumerate() {
            let paint = Paint::Series(index);
            for run in runs(values) {
                let points: Vec<_> = run.iter().map(|&(epoch, value)| (plot.x(epoch), plot.y(value))).collect();
                for &(x, y) in points.iter().filter(|_| epochs <= DOTS || points.len() == 1) {
                    figure.disc(x, y, 2.75, paint);
                }
                if points.len() > 1 {
                    figure.line(points, 2.0, paint);
                }
            }
        }
        for (index, (_, values)) in self.series.iter().enumerate() {
            let value = marked.and_then(|epoch| values.get(epoch.checked_sub(1)?)).filter(|v| v.is_finite());
            if let (Some(epoch), Some(&value)) = (marked, value) {
                let (x, y) = (plot.x(epoch), plot.y(value));
                figure.disc(x, y, 5.5, Paint::Series(index));
                figure.disc(x, y, 3.5, Paint::Surface);
            }
        }
        figure
    }

    /// Draws the title, the value at the marked epoch, and the legend.
    fn head(&self, figure: &mut Figure, marked: Option<usize>) {
        let mut x = PANEL.0 - RIGHT;
        for (index, (name, _)) in self.series.iter().enumerate().rev() {
            let name = elide(name, LABEL as f32, Weight::Regular, 150.0);
            x -= f64::from(width(&name, LABEL as f32, Weight::Regular));
            figure.text((x, 26.0), name, Style::new(LABEL, Paint::Ink));
            x -= 26.0;
            figure.line(vec![(x, 22.0), (x + 20.0, 22.0)], 3.0, Paint::Series(index));
            x -= 16.0;
        }
        let title = elide(&self.title, TITLE as f32, Weight::Bold, (x - LEFT) as f32);
        figure.text((LEFT, 27.0), title, Style::new(TITLE, Paint::Ink).bold());
        let best = self.series.last().and_then(|(name, values)| {
            let epoch = marked?;
            let value = values.get(epoch.checked_sub(1)?).filter(|value| value.is_finite())?;
            Some(format!("best epoch {epoch}: {name} {}", short(*value)))
        });
        if let Some(best) = best {
            let best = elide(&best, LABEL as f32, Weight::Regular, (PANEL.0 - LEFT - RIGHT) as f32);
            figure.text((LEFT, 46.0), best, Style::new(LABEL, Paint::Muted));
        }
    }

    fn axes(&self, figure: &mut Figure, plot: &Plot) {
        let (right, bottom) = (PANEL.0 - RIGHT, PANEL.1 - BOTTOM);
        let label = Style::new(LABEL, Paint::Muted);
        let middle = (LEFT + right) / 2.0;
        if plot.epochs == 0 {
            figure.text((middle, (TOP + bottom) / 2.0), "no epochs yet", label.anchor(Anchor::Middle));
        } else {
            for (value, text) in ticks(plot.low, plot.high, 8) {
                let y = plot.y(value);
                figure.line(vec![(LEFT, y), (right, y)], 1.0, Paint::Rule);
                figure.text((LEFT - 8.0, y + 0.36 * LABEL), text, label.anchor(Anchor::End));
            }
            for epoch in whole_ticks(1, plot.epochs, 11) {
                let x = plot.x(epoch);
                figure.line(vec![(x, bottom), (x, bottom + 5.0)], 1.0, Paint::Muted);
                figure.text((x, bottom + 19.0), epoch.to_string(), label.anchor(Anchor::Middle));
            }
        }
        figure.line(vec![(LEFT, bottom), (right, bottom)], 1.0, Paint::Muted);
        figure.text((middle, PANEL.1 - 11.0), "epoch", label.anchor(Anchor::Middle));
        let measure = elide(&self.measure, LABEL as f32, Weight::Regular, (bottom - TOP) as f32);
        figure.text((16.0, (TOP + bottom) / 2.0), measure, label.anchor(Anchor::Middle).upwards());
    }
}

/// Maps epochs and values to pixels.
struct Plot {
    low: f64,
    high: f64,
    epochs: usize,
}

impl Plot {
    /// Fits the y axis to all finite values of a panel.
    fn fitted(self, panel: &Panel) -> Self {
        let finite = panel.series.iter().flat_map(|(_, values)| values).copied().filter(|v| v.is_finite());
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if low > high {
            return self;
        }
        // Halved first: the difference of two finite numbers may overflow.
        let span = high / 2.0 - low / 2.0;
        let (middle, span) = (low / 2.0 + high / 2.0, span.max(low.abs().max(high.abs()) * 1e-3).max(1e-9));
        let (floor, ceiling) = ((middle - 1.1 * span).max(f64::MIN / 4.0), (middle + 1.1 * span).min(f64::MAX / 4.0));
        let from = if panel.from_zero && low >= 0.0 { 0.0 } else { floor };
        let to = if high <= panel.at_most { ceiling.min(panel.at_most) } else { ceiling };
        // If all values lie on the bound, the axis still needs a length.
        let from = if from < to { from } else { to - span };
        Self { low: from, high: to, ..self }
    }

    fn x(&self, epoch: usize) -> f64 {
        let (left, right) = (LEFT + 10.0, PANEL.0 - RIGHT - 10.0);
        match self.epochs {
            0 | 1 => (left + right) / 2.0,
            epochs => left + (right - left) * (epoch as f64 - 1.0) / (epochs as f64 - 1.0),
        }
    }

    fn y(&self, value: f64) -> f64 {
        let part = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        PANEL.1 - BOTTOM - part * (PANEL.1 - BOTTOM - TOP)
    }
}

/// The runs of consecutive finite values, each value with its epoch.
fn runs(values: &[f64]) -> Vec<Vec<(usize, f64)>> {
    let all: Vec<_> = values.iter().enumerate().map(|(i, &value)| (i + 1, value)).collect();
    all.split(|(_, value)| !value.is_finite()).filter(|run| !run.is_empty()).map(<[_]>::to_vec).collect()
}

/// A value with four decimals, or in scientific notation where these would all be zero.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 | 0.001..1e5 => format!("{value:.4}"),
        _ => format!("{value:.2e}"),
    }
}

/// Charts side by side over the same epochs.
///
/// ```
/// use lucida::plot::{Curves, Panel};
///
/// let panel = Panel::new("Loss", "loss").series("training", &[0.9, 0.5, 0.3]).from_zero();
/// let figure = Curves::new().panel(panel).best_epoch(Some(3)).figure();
/// assert!(figure.svg().contains("training"));
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Curves {
    panels: Vec<Panel>,
    marked: Option<usize>,
}

impl Curves {
    /// An empty figure.
    pub fn new() -> Self {
        Self::default()
    }

    /// Accuracy on the left and loss on the right, each for training and validation, with a mark at the epoch with the
    /// lowest validation loss (or training loss, without validation). Only the loss if there are no accuracies.
    pub fn accuracy_and_loss<V: Copy + Into<f64>>(
        accuracy: &[V],
        val_accuracy: &[V],
        loss: &[V],
        val_loss: &[V],
    ) -> Self {
        let with = |panel: Panel, training: &[V], validation: &[V]| {
            let panel = panel.series("training", training);
            if validation.is_empty() { panel } else { panel.series("validation", validation) }
        };
        let judged = if val_loss.is_empty() { loss } else { val_loss };
        let judged: Vec<f64> = judged.iter().map(|&v| v.into()).collect();
        let mut panels = vec![with(Panel::new("Loss", "loss").from_zero(), loss, val_loss)];
        if !accuracy.is_empty() || loss.is_empty() {
            panels.insert(0, with(Panel::new("Accuracy", "accuracy").at_most(1.0), accuracy, val_accuracy));
        }
        Self { panels, marked: least(&judged) }
    }

    /// Adds a chart.
    pub fn panel(mut self, panel: Panel) -> Self {
        self.panels.push(panel);
        self
    }

    /// Marks an epoch, counted from 1, as the best; `None` marks none.
    pub fn best_epoch(mut self, epoch: Option<usize>) -> Self {
        self.marked = epoch;
        self
    }

    /// Each chart as its own figure, 480 by 330 pixels, for HTML that places them side by side as space permits.
    pub fn figures(&self) -> Vec<Figure> {
        let epochs = self.panels.iter().map(Panel::epochs).max().unwrap_or(0);
        self.panels.iter().map(|panel| panel.figure(epochs, self.marked)).collect()
    }

    /// All charts in a row.
    pub fn figure(&self) -> Figure {
        let figures = self.figures();
        let titles: Vec<_> = self.panels.iter().map(|panel| panel.title.to_lowercase()).collect();
        let label = format!("Learning curves: {}", titles.join(", "));
        let mut row = Figure::new(PANEL.0 * figures.len().max(1) as f64, PANEL.1, label);
        for (index, figure) in figures.into_iter().enumerate() {
            row.place(figure, index as f64 * PANEL.0, 0.0);
        }
        row
    }
}

/// The epoch, counted from 1, with the smallest finite value; the first one if several are equal.
fn least(values: &[f64]) -> Option<usize> {
    let finite = values.iter().enumerate().filter(|(_, value)| value.is_finite());
    finite.min_by(|a, b| a.1.total_cmp(b.1)).map(|(index, _)| index + 1)
}

#[cfg(test)]
mod tests {
    use super::super::figure::Mark;
    use super::*;

    fn texts(figure: &Figure) -> Vec<String> {
        let text = |mark: &Mark| if let Mark::Text { text, .. } = mark { Some(text.clone()) } else { None };
        figure.marks().iter().filter_map(text).collect()
    }

    /// Checks that all coordinates lie within the figure.
    fn assert_inside(figure: &Figure) {
        for mark in figure.marks() {
            let points = match mark {
                Mark::Line { points, .. } => points.clone(),
                Mark::Rect { x, y, .. } | Mark::Disc { x, y, .. } | Mark::Text { x, y, .. } => vec![(*x, *y)],
            };
            for (x, y) in points {
                let inside = (0.0..=figure.width()).contains(&x) && (0.0..=figure.height()).contains(&y);
                assert!(inside, "({x}, {y}) of {mark:?}");
            }
        }
    }

    #[test]
    fn the_best_epoch_is_that_of_the_least_validation_loss() {
        let curves =
            Curves::accuracy_and_loss(&[0.9, 0.95, 0.97], &[0.91, 0.96, 0.955], &[0.3, 0.2, 0.1], &[0.3, 0.15, 0.16]);
        let figure = curves.figure();
        assert_inside(&figure);
        let texts = texts(&figure);
        for expected in ["Accuracy", "Loss", "epoch", "accuracy", "loss", "training", "validation", "1", "2", "3"] {
            assert!(texts.iter().any(|text| text == expected), "{expected} in {texts:?}");
        }
        assert!(texts.contains(&"best epoch 2: validation 0.9600".to_owned()), "{texts:?}");
        assert!(texts.contains(&"best epoch 2: validation 0.1500".to_owned()), "{texts:?}");
        assert_eq!(figure.svg(), curves.figure().svg());
        assert_eq!((figure.width(), figure.height()), (960.0, 330.0));
    }

    #[test]
    fn odd_histories_are_drawn_within_the_figure() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        let histories: [&[f64]; 9] = [
            &[],
            &[0.5],
            &[0.5, 0.6],
            &[nan, nan],
            &[0.1, nan, inf, 0.2, -inf],
            &[1.0; 5],
            &[0.0; 5],
            &[f64::MAX, -f64::MAX],
            &[1e-300, 1e300],
        ];
        for a in histories {
            for b in histories {
                let figure = Curves::accuracy_and_loss(a, b, b, a).figure();
                assert_inside(&figure);
                assert!(!figure.svg().contains("NaN") && !figure.svg().contains("inf"), "{a:?} {b:?}");
            }
        }
        assert!(
            texts(&Curves::accuracy_and_loss::<f64>(&[], &[], &[], &[]).figure()).contains(&"no epochs yet".into())
        );
        assert_inside(&Curves::new().figure());
        let beyond = Curves::new().panel(Panel::new("a", "b").series("c", &[1.0, 2.0])).best_epoch(Some(9));
        assert_inside(&beyond.figure());
        assert_inside(&beyond.best_epoch(Some(0)).figure());
    }

    #[test]
    fn a_gap_splits_the_line_and_epochs_are_never_fractions() {
        assert_eq!(runs(&[1.0, f64::NAN, 2.0, 3.0]), [vec![(1, 1.0)], vec![(3, 2.0), (4, 3.0)]]);
        for epochs in [1, 2, 3, 7, 20, 150, 1000] {
            let values = vec![0.5_f32; epochs];
            let figure = Curves::new().panel(Panel::new("T", "m").series("s", &values)).figure();
            let bottom = PANEL.1 - BOTTOM + 19.0;
            let mut labels = Vec::new();
            for mark in figure.marks() {
                if let Mark::Text { y, text, .. } = mark
                    && *y == bottom
                {
                    labels.push(text.parse::<usize>().unwrap());
                }
            }
            assert!((1..=11).contains(&labels.len()), "{labels:?}");
        }
    }

    #[test]
    fn an_accuracy_never_shows_more_than_one() {
        let plot =
            Plot { low: 0.0, high: 1.0, epochs: 2 }.fitted(&Panel::new("", "").at_most(1.0).series("", &[0.9, 1.0]));
        assert_eq!(plot.high, 1.0);
        let plot = plot.fitted(&Panel::new("", "").at_most(1.0).series("", &[1.0, 1.0]));
        assert!(plot.low < 1.0 && plot.high == 1.0);
        let plot = plot.fitted(&Panel::new("", "").from_zero().series("", &[0.3, 0.1]));
        assert_eq!(plot.low, 0.0);
    }
}
