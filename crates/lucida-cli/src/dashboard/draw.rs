//! Drawing the dashboard.

use lucida::train::EpochRecord;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, BorderType, Chart, Dataset, Gauge, GraphType, Paragraph, Sparkline};

use super::board::{Board, Example, THUMBNAIL};
use crate::output::percent;

const TRAIN: Color = Color::Rgb(86, 180, 233);
const VALIDATION: Color = Color::Rgb(245, 137, 75);
const RIGHT: Color = Color::Rgb(53, 199, 154);
const WRONG: Color = Color::Rgb(255, 110, 100);
const MUTED: Color = Color::Rgb(140, 150, 165);
const BORDER: Color = Color::Rgb(70, 80, 95);
/// Terminal lines of an example: half its pixels, and two of text.
const EXAMPLE_HEIGHT: u16 = THUMBNAIL as u16 / 2 + 2;
const EXAMPLE_WIDTH: u16 = THUMBNAIL as u16 + 2;

/// Draws everything that fits on the screen.
pub(super) fn draw(frame: &mut Frame, board: &Board) {
    let area = frame.area();
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(2), Constraint::Fill(1), Constraint::Length(1)]).areas(area);
    draw_head(frame, head, board);
    let wide = area.width >= 100;
    let examples = 2 * EXAMPLE_WIDTH + 3;
    let [left, right] = if wide {
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(examples.max(39))]).areas(body)
    } else {
        [body, Rect::ZERO]
    };
    let [loss, accuracy, progress] =
        Layout::vertical([Constraint::Fill(1), Constraint::Fill(1), Constraint::Length(5)]).areas(left);
    let epochs = &board.history.epochs;
    let lines = |train: fn(&EpochRecord) -> Option<f64>, validation: fn(&EpochRecord) -> Option<f64>| {
        let points = |value: fn(&EpochRecord) -> Option<f64>| -> Vec<(f64, f64)> {
            epochs.iter().filter_map(|record| Some((record.epoch as f64, value(record)?))).collect()
        };
        [points(train), points(validation)]
    };
    let mut losses = lines(|record| Some(record.loss), |record| record.val_loss);
    let mut accuracies = lines(|record| record.accuracy, |record| record.val_accuracy);
    if let Some(report) = board.report.filter(|report| report.epoch > epochs.len()) {
        let at = report.epoch as f64 - 1.0 + report.step as f64 / report.steps.max(1) as f64;
        losses[0].push((at, report.loss));
        accuracies[0].extend(report.accuracy.map(|accuracy| (at, accuracy)));
    }
    draw_curves(frame, loss, "loss", &losses, board.epochs, false);
    draw_curves(frame, accuracy, "accuracy", &accuracies, board.epochs, true);
    draw_progress(frame, progress, board);
    if wide {
        let [facts, images] = Layout::vertical([Constraint::Length(11), Constraint::Fill(1)]).areas(right);
        draw_facts(frame, facts, board);
        draw_examples(frame, images, board);
    }
    let keys = if board.stopping {
        "stopping after this step and saving what there is"
    } else {
        "q stops and saves what there is"
    };
    frame.render_widget(Line::from(keys).style(Style::new().fg(MUTED)), foot);
}

fn block(title: &str) -> Block<'_> {
    let title = Span::styled(format!(" {title} "), Style::new().add_modifier(Modifier::BOLD));
    Block::bordered().border_type(BorderType::Rounded).border_style(Style::new().fg(BORDER)).title(title)
}

fn draw_head(frame: &mut Frame, area: Rect, board: &Board) {
    let title = Span::styled(board.title.as_str(), Style::new().add_modifier(Modifier::BOLD).fg(TRAIN));
    let facts = Span::styled(board.facts.as_str(), Style::new().fg(MUTED));
    frame.render_widget(Paragraph::new(vec![Line::from(title), Line::from(facts)]), area);
}

/// Draws a training and a validation curve over the epochs.
fn draw_curves(
    frame: &mut Frame,
    area: Rect,
    name: &str,
    [train, validation]: &[Vec<(f64, f64)>; 2],
    epochs: usize,
    bounded: bool,
) {
    let values = || train.iter().chain(validation).map(|point| point.1).filter(|value| value.is_finite());
    let (low, high) = values().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
    let margin = ((high - low) * 0.1).max(0.01);
    let (low, high) = ((low - margin).max(0.0), if bounded { (high + margin).min(1.0) } else { high + margin });
    let first = train.iter().chain(validation).map(|point| point.0).fold(1.0, f64::min);
    let last = (epochs as f64).max(first + 1.0);
    let series = |name, points, color| {
        Dataset::default()
            .name(name)
            .marker(Marker::Braille)
            .graph_type(GraphType::Line)
            .style(Style::new().fg(color))
            .data(points)
    };
    let muted = Style::new().fg(MUTED);
    let labels = |from: f64, to: f64, digits: usize| {
        [from, (from + to) / 2.0, to].map(|value| Span::styled(format!("{value:.digits$}"), muted))
    };
    let last_of =
        |points: &[(f64, f64)]| points.last().map_or_else(|| "–".to_owned(), |point| format!("{:.4}", point.1));
    let title = Line::from(vec![
        Span::styled(format!(" {name} "), Style::new().add_modifier(Modifier::BOLD)),
        Span::styled(format!("training {} ", last_of(train)), Style::new().fg(TRAIN)),
        Span::styled(format!("validation {} ", last_of(validation)), Style::new().fg(VALIDATION)),
    ]);
    let frame_of =
        Block::bordered().border_type(BorderType::Rounded).border_style(Style::new().fg(BORDER)).title(title);
    let chart = Chart::new(vec![series("training", train, TRAIN), series("validation", validation, VALIDATION)])
        .block(frame_of)
        .legend_position(None)
        .x_axis(Axis::default().style(Style::new().fg(BORDER)).bounds([first, last]).labels(labels(first, last, 0)))
        .y_axis(Axis::default().style(Style::new().fg(BORDER)).bounds([low, high]).labels(labels(low, high, 2)));
    frame.render_widget(chart, area);
}

fn draw_progress(frame: &mut Frame, area: Rect, board: &Board) {
    let inner = block("progress");
    let space = inner.inner(area);
    frame.render_widget(inner, area);
    let [epoch, all, text] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Fill(1)]).areas(space);
    let (step, steps, number) = board.report.map_or((0, 1, 1), |report| (report.step, report.steps, report.epoch));
    let part = |done: usize, total: usize| (done as f64 / total.max(1) as f64).clamp(0.0, 1.0);
    let gauge = |ratio: f64, label: String, color: Color| {
        let style = Style::new().fg(color).bg(Color::Rgb(38, 44, 54));
        Gauge::default()
            .ratio(ratio)
            .label(Span::styled(label, Style::new().fg(Color::White)))
            .gauge_style(style)
            .use_unicode(true)
    };
    frame.render_widget(gauge(part(step, steps), format!("step {step} of {steps}"), TRAIN), epoch);
    let done = (number - 1) * steps + step;
    frame.render_widget(
        gauge(part(done, board.epochs * steps), format!("epoch {number} of {}", board.epochs), RIGHT),
        all,
    );
    let left = board.seconds_left().map_or_else(|| "–".to_owned(), clock);
    let best = board.best.as_ref().map_or_else(
        || "no epoch yet".to_owned(),
        |best| match (best.val_loss, best.val_accuracy) {
            (Some(loss), Some(accuracy)) => {
                format!("best epoch {}: loss {loss:.4}, accuracy {}", best.epoch, percent(accuracy))
            }
            _ => format!("best epoch {}: loss {:.4}", best.epoch, best.loss),
        },
    );
    let elapsed = clock(board.started.elapsed().as_secs_f64());
    let line = Line::from(format!("{elapsed} gone, {left} left · {best}")).style(Style::new().fg(MUTED));
    frame.render_widget(line, text);
}

fn draw_facts(frame: &mut Frame, area: Rect, board: &Board) {
    let inner = block("throughput");
    let space = inner.inner(area);
    frame.render_widget(inner, area);
    let [text, line] = Layout::vertical([Constraint::Length(5), Constraint::Fill(1)]).areas(space);
    let row = |name: &str, value: String| {
        Line::from(vec![Span::styled(format!("{name:<16}"), Style::new().fg(MUTED)), Span::raw(value)])
    };
    let rate = board.rate();
    let report = board.report;
    let rows = vec![
        row("images/s", format!("{rate:.0}")),
        row(
            "ms/step",
            report
                .filter(|_| rate > 0.0)
                .map_or("–".to_owned(), |r| format!("{:.0}", 1000.0 * r.samples as f64 / rate)),
        ),
        row("learning rate", report.map_or("–".to_owned(), |report| format!("{:.2e}", report.learning_rate))),
        row("loss of step", report.map_or("–".to_owned(), |report| format!("{:.4}", report.step_loss))),
        row("epochs done", format!("{} of {}", board.history.epochs.len(), board.epochs)),
    ];
    frame.render_widget(Paragraph::new(rows), text);
    // The current, incomplete second would look like a drop.
    let seen = board.throughput.len().saturating_sub(1);
    let first = seen.saturating_sub(usize::from(line.width));
    let values: Vec<u64> = board.throughput.iter().take(seen).skip(first).copied().collect();
    frame.render_widget(Sparkline::default().data(values).style(Style::new().fg(TRAIN)), line);
}

/// Draws as many examples as fit.
fn draw_examples(frame: &mut Frame, area: Rect, board: &Board) {
    let inner = block("validation images");
    let space = inner.inner(area);
    frame.render_widget(inner, area);
    let columns = space.width / EXAMPLE_WIDTH;
    let rows = space.height / EXAMPLE_HEIGHT;
    for (number, example) in board.examples.iter().take(usize::from(columns * rows)).enumerate() {
        let (row, column) = (number as u16 / columns, number as u16 % columns);
        let at = Rect {
            x: space.x + column * EXAMPLE_WIDTH + 1,
            y: space.y + row * EXAMPLE_HEIGHT,
            width: THUMBNAIL as u16,
            height: EXAMPLE_HEIGHT,
        };
        draw_example(frame, at, example, &board.class_names);
    }
}

/// Draws an image in half blocks, two pixels per character, with the prediction below.
fn draw_example(frame: &mut Frame, area: Rect, example: &Example, class_names: &[String]) {
    let image = &example.image;
    let color = |x: usize, y: usize| match *image.pixel(x, y) {
        [r, g, b] => Color::Rgb(r, g, b),
        _ => Color::Black,
    };
    let mut lines: Vec<Line> = (0..image.height() / 2)
        .map(|row| {
            let cell = |x| Span::styled("▀", Style::new().fg(color(x, 2 * row)).bg(color(x, 2 * row + 1)));
            Line::from((0..image.width()).map(cell).collect::<Vec<_>>())
        })
        .collect();
    let name = |class: usize| class_names.get(class).map_or("?", String::as_str);
    lines.push(match example.prediction {
        None => Line::from(name(example.label).to_owned()).style(Style::new().fg(MUTED)),
        Some((class, probability)) => {
            let (mark, style) = if class == example.label { ("✓", RIGHT) } else { ("✗", WRONG) };
            let short: String = name(class).chars().take(THUMBNAIL - 7).collect();
            Line::from(format!("{mark} {short} {:.0} %", 100.0 * probability)).style(Style::new().fg(style))
        }
    });
    frame.render_widget(Paragraph::new(lines), area);
}

/// A duration as `7 s`, `2:05 min` or `1:02 h`.
fn clock(seconds: f64) -> String {
    let whole = seconds.ceil() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{}:{:02} min", whole / 60, whole % 60),
        _ => format!("{}:{:02} h", whole / 3600, whole / 60 % 60),
    }
}
