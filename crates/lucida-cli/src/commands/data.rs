//! `lucida data`

use std::path::Path;

use anyhow::{Result, bail};
use lucida::data::{Dataset, LabeledImages, Mnist};
use lucida::nn::thousands;
use lucida::plot::{Cell, Grid, braille};
use serde::Serialize;

use super::{Context, augment};
use crate::cli::{Data, DataShow, SetName};

/// Digits per row in a terminal: five of 14 characters each, with gaps, fit into 80 columns.
const ABREAST: usize = 5;
const GAP: &str = "  ";
/// Threshold above which a pixel is drawn.
const INK: u8 = 96;

/// Output of `--json`.
#[derive(Serialize)]
struct DigitsJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a Path>,
    /// Number of digits in the data set.
    digits: usize,
    /// Labels of the digits shown.
    labels: Vec<&'a str>,
}

impl<'a> DigitsJson<'a> {
    fn of(set: &'a LabeledImages, count: usize, file: Option<&'a Path>) -> Self {
        let labels = (0..count).map(|index| set.class_names()[set.label(index)].as_str()).collect();
        Self { file, digits: set.len(), labels }
    }
}

pub(super) fn run(arguments: &Data, context: Context) -> Result<()> {
    match arguments {
        Data::Show(arguments) => show(arguments, context),
        Data::Augment(arguments) => augment::run(arguments, context),
    }
}

fn show(arguments: &DataShow, context: Context) -> Result<()> {
    let SetName::Mnist = arguments.set;
    let context = match &arguments.out {
        Some(path) => context.claim_image(path, arguments.force)?,
        None => context,
    };
    let (set, origin) = load(arguments)?;
    let count = arguments.first as usize;
    if count > set.len() {
        bail!("--first {count}: there are only {} {origin}", thousands(set.len()));
    }
    let heading = format!("The first {} of {} {origin}", thousands(count), thousands(set.len()));
    match &arguments.out {
        Some(path) => {
            strip(&set, count, path)?;
            if arguments.json {
                return context.output.json(&DigitsJson::of(&set, count, Some(path)));
            }
            context.output.also_written(path, &heading.to_lowercase());
            Ok(())
        }
        None if arguments.json => context.output.json(&DigitsJson::of(&set, count, None)),
        None => context.output.result(&format!("{heading}\n\n{}", digits_as_text(&set, count)?)),
    }
}

fn load(arguments: &DataShow) -> Result<(LabeledImages, String)> {
    Ok(match &arguments.data {
        None => (Mnist::builtin()?.train, "built-in digits".to_owned()),
        Some(folder) if arguments.test => (Mnist::test_only(folder)?, format!("test digits of {}", folder.display())),
        Some(folder) => (Mnist::train_only(folder)?, format!("training digits of {}", folder.display())),
    })
}

/// Writes an image of the digits with their labels.
fn strip(set: &LabeledImages, count: usize, path: &Path) -> Result<()> {
    let cells = (0..count).map(|index| {
        let label = &set.class_names()[set.label(index)];
        Ok(Cell::new(set.image(index)?).caption(label))
    });
    let cells = cells.collect::<lucida::Result<Vec<_>>>()?;
    let grid = Grid::new(cells).columns(10).zoom(2).padding(10).margin(8).text_size(14.0).render()?;
    Ok(grid.save(path)?)
}

/// The digits as text, each with its label below.
fn digits_as_text(set: &LabeledImages, count: usize) -> Result<String> {
    let indices: Vec<usize> = (0..count).collect();
    let mut text = String::new();
    for row in indices.chunks(ABREAST) {
        let drawings =
            row.iter().map(|&index| Ok(braille(&set.image(index)?, INK))).collect::<lucida::Result<Vec<_>>>()?;
        for line in 0..drawings.iter().map(Vec::len).max().unwrap_or(0) {
            let parts: Vec<&str> = drawings.iter().filter_map(|lines| lines.get(line)).map(String::as_str).collect();
            text += &format!("{}\n", parts.join(GAP));
        }
        let labels: Vec<_> = row.iter().map(|&index| format!("{:^14}", set.class_names()[set.label(index)])).collect();
        text += &format!("{}\n\n", labels.join(GAP).trim_end());
    }
    text.truncate(text.trim_end().len());
    Ok(text)
}
