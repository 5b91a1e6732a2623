//! The page of the demonstration.

use super::deconstruct::Deconstruction;
use super::{DemoResult, images};
use crate::Result;
use crate::nn::{summary, thousands};
use crate::plot::{Content, Gallery, Report, Table};

/// The report, with everything on one page. Its last section tells the time up to now.
pub(super) fn report(result: &DemoResult, deconstruct: &Deconstruction, taking_apart: f64) -> Result<Report> {
    let parts = result.parts();
    let subtitle = format!(
        "A convolutional network looked at {} handwritten digits for {} and learned to read them. Everything on this \
         page is about {} others, which it never saw while it learned.",
        thousands(parts.train.len()),
        duration(result.times.training),
        thousands(parts.held_out.len())
    );
    Ok(Report::new("How a network learned to read digits")
        .subtitle(subtitle)
        .section("In short", in_short(result))
        .section("First predictions", first_predictions(result)?)
        .section("How it learned", curves(result))
        .section("Confusion matrix", confusion(result)?)
        .section("The worst mistakes", mistakes(result)?)
        .section("What it looks for first", kernels(result)?)
        .section("Feature maps of a digit", deconstruct.maps()?)
        .section("Why it decided so", deconstruct.explanations()?)
        .section("Inputs that maximize the class scores", deconstruct.dreams()?)
        .section("Inputs that maximize its filters", deconstruct.filters()?)
        .section("Top activations of its filters", deconstruct.figure()?)
        .section("A network for photos", deconstruct.photo()?)
        .section("Style transfer", deconstruct.stylized()?)
        .section("The network", network(result))
        .section("The time it took", times(result, taking_apart))
        .footer(format!(
            "Made by lucida {} demo with seed {}. The digits are the first 10,000 training images of MNIST.",
            env!("CARGO_PKG_VERSION"),
            result.config.seed
        )))
}

fn in_short(result: &DemoResult) -> Content {
    let confusion = &result.evaluation.confusion;
    let (total, wrong) = (confusion.total(), confusion.total() - confusion.correct());
    let completed = result.training.history.epochs.len();
    let content = Content::new().facts([
        ("Digits read correctly", format!("{:.2} %", 100.0 * result.evaluation.accuracy)),
        ("Mistakes", format!("{} of {}", thousands(wrong as usize), thousands(total as usize))),
        ("Trained in", duration(result.times.training)),
        ("Parameters", thousands(result.model.network.parameters().0)),
        ("Best epoch", result.training.best_epoch.map_or("–".to_owned(), |best| format!("{best} of {completed}"))),
    ]);
    if !result.training.interrupted {
        return content;
    }
    content.paragraph(&format!(
        "The training was stopped after {completed} of {} epochs; this is what it had learned by then.",
        result.config.epochs
    ))
}

fn first_predictions(result: &DemoResult) -> Result<Content> {
    let intro = "The first digits that were held out, each with the class that the network gives it and the \
                 probability of that class. A mistake is red: the true class, then the predicted one.";
    Content::new().paragraph(intro).gallery(&gallery(images::predictions(result)?))
}

fn gallery(tiles: Vec<images::Tile>) -> Gallery {
    tiles.into_iter().fold(Gallery::new(3), |gallery, tile| gallery.item(tile.image, tile.lines.join("\n"), tile.wrong))
}

fn curves(result: &DemoResult) -> Content {
    let parts = result.parts();
    let intro = format!(
        "After each epoch, one pass over the {} training digits, the network is tried on {} digits for validation. The \
         epoch with the least validation loss is kept. While it trains, dropout silences a quarter of its last hidden \
         units, so that at first it does better on validation than in training.",
        thousands(parts.train.len()),
        thousands(parts.validation.len())
    );
    let figures = result.training.history.curves().figures();
    Content::new().paragraph(&intro).beside(figures.iter().map(|figure| Content::new().figure(figure, "")))
}

fn confusion(result: &DemoResult) -> Result<Content> {
    let intro = "A row for each true digit, a column for each answer. Blue on the diagonal is right; orange is a \
                 mistake, the stronger the more often it was made.";
    let figure = images::confusion(result)?.figure();
    let confusion = &result.evaluation.confusion;
    let share = |share: Option<f64>| share.map_or("–".to_owned(), |share| format!("{:.1} %", 100.0 * share));
    let head = Table::new(["digit", "images", "precision", "recall", "F1"]);
    let table = (0..confusion.classes()).fold(head, |table, class| {
        table.row([
            result.class_name(class).to_owned(),
            thousands(confusion.support(class) as usize),
            share(confusion.precision(class)),
            share(confusion.recall(class)),
            share(confusion.f1(class)),
        ])
    });
    let caption = "Precision: of the answers with this digit, how many are right. Recall: of the images of this digit, \
                   how many were found.";
    let parts = [Content::new().figure(&figure, ""), Content::new().table(&table).paragraph(caption)];
    Ok(Content::new().paragraph(intro).beside(parts))
}

fn mistakes(result: &DemoResult) -> Result<Content> {
    let tiles = images::mistakes(result)?;
    if tiles.is_empty() {
        return Ok(Content::new().paragraph("There are none: every digit was read correctly."));
    }
    let intro = "The misclassified digits, the most confident mistake first: the true class, the predicted class, and \
                 its probability.";
    Content::new().paragraph(intro).gallery(&gallery(tiles))
}

fn kernels(result: &DemoResult) -> Result<Content> {
    let intro = "The first layer slides these small windows over the image and answers where the ink fits their \
                 pattern: red wants ink, blue wants none, white does not care. Edges of every direction, lines and \
                 corners have come out of random numbers.";
    let gallery = images::kernels(result)?
        .into_iter()
        .enumerate()
        .fold(Gallery::new(22), |gallery, (number, kernel)| gallery.item(kernel, format!("{number}"), false));
    Content::new().paragraph(intro).gallery(&gallery)
}

fn network(result: &DemoResult) -> Content {
    let intro = "Each convolution looks for patterns in the maps of the one before, each pooling halves the resolution, \
                 and the dense layers weigh what was found.";
    Content::new().paragraph(intro).preformatted("Layers of the network", summary(&result.model.network).trim_end())
}

fn times(result: &DemoResult, taking_apart: f64) -> Content {
    let (settings, times) = (&result.config, &result.times);
    let parts = result.parts();
    let epochs = result.training.history.epochs.len();
    let digits = epochs * parts.train.len();
    let row = |what: String, seconds: f64| [what, format!("{seconds:.2}")];
    let table = Table::new(["what", "seconds"])
        .row(row("Unpacking and splitting the digits".to_owned(), times.reading))
        .row(row(format!("Training for {epochs} epochs, with validation"), times.training))
        .row(row(format!("Reading the {} digits held out", thousands(parts.held_out.len())), times.evaluating))
        .row(row("Explaining this network and the one for photos".to_owned(), taking_apart))
        .row(row("All, with the drawing of this page".to_owned(), result.seconds_so_far()));
    let speed = digits as f64 / times.training.max(1e-9);
    Content::new().table(&table).paragraph(&format!(
        "In batches of {}, at {} digits a second, on {} with the instruction set {}.",
        settings.batch_size,
        thousands(speed.round() as usize),
        match settings.cpu.threads() {
            1 => "one thread".to_owned(),
            threads => format!("{threads} threads"),
        },
        settings.cpu.isa().name()
    ))
}

/// A time in words: `12.3 seconds`, `2 minutes 5 seconds`.
fn duration(seconds: f64) -> String {
    if seconds < 99.95 {
        return format!("{seconds:.1} seconds");
    }
    let whole = seconds.round() as u64;
    format!("{} min {} s", whole / 60, whole % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_words() {
        assert_eq!(
            [0.04, 12.34, 99.94, 125.4].map(duration),
            ["0.0 seconds", "12.3 seconds", "99.9 seconds", "2 min 5 s"]
        );
    }
}
