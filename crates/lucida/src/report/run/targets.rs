//! Reports for labels or values, which have no confusion matrix.

use super::{RunReport, counted, percent, problems, share, thousands};
use crate::Result;
use crate::data::Targets;
use crate::plot::{Chart, Content, Gallery, Report, Table};
use crate::train::{TargetEvaluation, evaluate_targets};

/// The number of images shown.
const WORST: usize = 12;
/// The maximum number of charts of values, and of curves of labels in one chart.
const CHARTS: usize = 8;

pub(super) fn make(report: &RunReport) -> Result<Report> {
    let set = report.set();
    let evaluation = evaluate_targets(report.model, set, report.cpu)?;
    let part = if report.data.test.is_some() { "test" } else { "validation" };
    let noun = if of_values(&evaluation) { "value" } else { "label" };
    let subtitle = format!(
        "{} predicts {}: trained on {}, evaluated on {}.",
        report.model.network.name(),
        counted(report.class_names().len(), noun),
        counted(report.data.train.len(), "image"),
        counted(set.len(), &format!("{part} image"))
    );
    let (by_target, charts) = match of_values(&evaluation) {
        true => ("Metrics by value", "Predictions"),
        false => ("Metrics by label", "ROC curves"),
    };
    Ok(Report::new(&report.name)
        .subtitle(subtitle)
        .section("Summary", in_short(report, &evaluation))
        .section("Learning curves", report.curves())
        .section(by_target, metrics(report, &evaluation))
        .section(charts, figures(report, &evaluation))
        .section("Largest errors", errors(report, &evaluation)?)
        .section("Training images", report.augmentation()?)
        .section("Data", problems::content_of_targets(report))
        .section("Architecture and settings", report.network())
        .footer(report.footer()))
}

fn of_values(evaluation: &TargetEvaluation) -> bool {
    matches!(evaluation.targets, Targets::Values(_))
}

fn number(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.4}"))
}

fn in_short(report: &RunReport, evaluation: &TargetEvaluation) -> Content {
    let metrics = evaluation.metrics.iter().map(|(name, value)| (in_words(name), format!("{value:.4}")));
    let loss = [("Loss".to_owned(), format!("{:.4}", evaluation.loss))];
    let facts = report.facts().into_iter().map(|(name, value)| (name.to_owned(), value));
    report.with_times(Content::new().facts(metrics.chain(loss).chain(facts)))
}

/// Formats a metric's name: `mean_absolute_error` as `Mean absolute error`.
fn in_words(name: &str) -> String {
    let text = name.replace('_', " ").replace("r2", "R²").replace("f1", "F1");
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn metrics(report: &RunReport, evaluation: &TargetEvaluation) -> Content {
    let names = report.class_names().iter().enumerate();
    if of_values(evaluation) {
        let intro = "MAE is the mean absolute error, RMSE the root of the mean squared error, both in the unit of the value. R² \
                     is 1 for perfect predictions and 0 for always the mean.";
        let table = names.fold(Table::new(["value", "MAE", "RMSE", "R²"]), |table, (at, name)| {
            let scores = evaluation.value(at);
            table.row([name.clone(), number(Some(scores.mae)), number(Some(scores.rmse)), number(scores.r2)])
        });
        return Content::new().paragraph(intro).table(&table);
    }
    let intro = "A label is predicted where its probability is above one half; average precision and ROC AUC are over all \
                 thresholds.";
    let head = ["label", "images", "precision", "recall", "F1", "average precision", "ROC AUC"];
    let table = names.fold(Table::new(head), |table, (at, name)| {
        let scores = evaluation.label(at);
        table.row([
            name.clone(),
            thousands(scores.images),
            share(scores.precision),
            share(scores.recall),
            percent(scores.f1),
            number(scores.average_precision),
            number(scores.roc_auc),
        ])
    });
    Content::new().paragraph(intro).table(&table)
}

fn figures(report: &RunReport, evaluation: &TargetEvaluation) -> Content {
    let names = report.class_names();
    if of_values(evaluation) {
        let intro = "The mean prediction for images of about the same true value, a dot for each tenth of the images. On the \
                     straight line predictions are right.";
        let charts = names.iter().take(CHARTS).enumerate().map(|(at, name)| {
            let points = deciles(evaluation, at);
            let all = points.iter().flat_map(|&(x, y)| [x, y]);
            let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
            let line = vec![(low, low), (high, high)];
            Chart::new(name, "true value", "predicted").dots("mean prediction", points).line("right", line)
        });
        return Content::new().paragraph(intro).beside(charts.map(|chart| Content::new().figure(&chart.figure(), "")));
    }
    let intro = "The true positive rate of each label against its false positive rate for all thresholds; the dashed line is \
                 chance.";
    let chart = Chart::new("ROC", "false positive rate", "true positive rate").unit().diagonal();
    let chart = names
        .iter()
        .take(CHARTS)
        .enumerate()
        .fold(chart, |chart, (at, name)| chart.line(name, evaluation.roc_curve(at)));
    Content::new().paragraph(intro).figure(&chart.figure(), "")
}

/// The mean true value and mean prediction in each decile of the images, by true value.
fn deciles(evaluation: &TargetEvaluation, value: usize) -> Vec<(f64, f64)> {
    let mut pairs: Vec<(f32, f32)> = evaluation
        .truths
        .iter()
        .zip(&evaluation.outputs)
        .map(|(truth, output)| (truth[value], output[value]))
        .collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mean = |part: &[(f32, f32)]| {
        let count = part.len() as f64;
        let sums = part.iter().fold((0.0, 0.0), |(x, y), pair| (x + f64::from(pair.0), y + f64::from(pair.1)));
        (sums.0 / count, sums.1 / count)
    };
    pairs.chunks(pairs.len().div_ceil(10).max(1)).map(mean).collect()
}

/// The images with the largest errors: the absolute error of a label's probability, or that of a value divided by its RMSE.
fn errors(report: &RunReport, evaluation: &TargetEvaluation) -> Result<Content> {
    let names = report.class_names();
    let scale: Vec<f32> = match of_values(evaluation) {
        true => (0..names.len()).map(|at| (evaluation.value(at).rmse as f32).max(f32::MIN_POSITIVE)).collect(),
        false => vec![1.0; names.len()],
    };
    // The column with the largest error, and that error.
    let worst = |index: usize| {
        let (outputs, truths) = (&evaluation.outputs[index], &evaluation.truths[index]);
        let errors =
            outputs.iter().zip(truths).zip(&scale).map(|((output, truth), scale)| (output - truth).abs() / scale);
        errors.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0))
    };
    let mut order: Vec<(usize, (usize, f32))> =
        (0..evaluation.outputs.len()).map(|index| (index, worst(index))).collect();
    order.sort_by(|a, b| b.1.1.total_cmp(&a.1.1).then(a.0.cmp(&b.0)));
    let mut gallery = Gallery::new(1).photos();
    for &(index, (at, _)) in order.iter().take(WORST) {
        let (truth, output) = (evaluation.truths[index][at], evaluation.outputs[index][at]);
        let said = match of_values(evaluation) {
            true => format!("{}: {truth} → {output:.3}", names[at]),
            false if truth > 0.5 => format!("{} holds, {}", names[at], percent(output.into())),
            false => format!("{} does not hold, {}", names[at], percent(output.into())),
        };
        gallery = gallery.item(report.thumbnail(index)?, format!("{said}\n{}", report.data.name(index)), true);
    }
    let intro = match of_values(evaluation) {
        true => {
            "The images whose predictions are furthest from the true value, measured in RMSE: true value → prediction."
        }
        false => {
            "The images with the most confident mistakes: a label, whether it holds, and its predicted probability."
        }
    };
    Content::new().paragraph(&format!("{intro} Wrong labels in the data show up here first.")).gallery(&gallery)
}
