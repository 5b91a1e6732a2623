//! `lucida data augment`

use std::path::Path;

use anyhow::Result;
use lucida::data::Image;
use lucida::plot::{Cell, Grid};
use serde::Serialize;

use super::{Context, refuse_folder_to};
use crate::cli::DataAugment;
use crate::cli::place::name_of;

/// Output of `--json`.
#[derive(Serialize)]
struct SheetJson<'a> {
    file: &'a Path,
    /// In the syntax of `--augment`.
    augment: String,
    /// Number of augmented examples per image.
    examples: usize,
}

/// Images per row of the sheet.
const COLUMNS: usize = 6;

pub(super) fn run(arguments: &DataAugment, context: Context) -> Result<()> {
    arguments.images.iter().try_for_each(|image| refuse_folder_to("data augment", image))?;
    let about = arguments.images.first().map_or_else(String::new, |image| name_of(image));
    let out = &arguments.place.of(&format!("{about}-augmented"), "png");
    let context = context.claim_image(out, arguments.place.force)?;
    let images = arguments.images.iter().map(Image::open).collect::<lucida::Result<Vec<_>>>()?;
    let (size, count) = (arguments.size as usize, arguments.count as usize);
    let examples = arguments.augment.examples(&images, size, count, arguments.seed)?;
    let cells = examples.into_iter().zip(&arguments.images).flat_map(|(examples, path)| {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        examples.into_iter().enumerate().map(move |(number, image)| {
            Cell::new(image).caption(if number == 0 { name.clone() } else { number.to_string() })
        })
    });
    let columns = COLUMNS.min(count + 1);
    let sheet =
        Grid::new(cells).columns(columns).padding(10).margin(8).title(arguments.augment.to_string()).render()?;
    sheet.save(out)?;
    if arguments.place.json {
        return context.output.json(&SheetJson { file: out, augment: arguments.augment.to_string(), examples: count });
    }
    context.output.also_written(out, "");
    Ok(())
}
