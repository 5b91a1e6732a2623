//! `lucida data augment`

use anyhow::Result;
use lucida::data::Picture;
use lucida::plot::{Cell, Grid};

use super::Context;
use crate::cli::DataAugment;

/// Pictures side by side on the sheet.
const COLUMNS: usize = 6;

pub(super) fn run(arguments: &DataAugment, context: Context) -> Result<()> {
    let context = context.claim_file(&arguments.out, arguments.force)?;
    let pictures = arguments.images.iter().map(|path| Picture::open(path)).collect::<lucida::Result<Vec<_>>>()?;
    let (size, count) = (arguments.size as usize, arguments.count as usize);
    let examples = arguments.augment.examples(&pictures, size, count, arguments.seed)?;
    let cells = examples.into_iter().zip(&arguments.images).flat_map(|(examples, path)| {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        examples.into_iter().enumerate().map(move |(number, picture)| {
            Cell::new(picture).caption(if number == 0 { name.clone() } else { number.to_string() })
        })
    });
    let columns = COLUMNS.min(count + 1);
    let sheet =
        Grid::new(cells).columns(columns).padding(10).margin(8).title(arguments.augment.to_string()).render()?;
    sheet.save_png(&arguments.out)?;
    context.output.info(&format!("Written to {}", arguments.out.display()));
    Ok(())
}
