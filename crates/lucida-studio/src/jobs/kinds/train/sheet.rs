//! A sprite sheet: many small images in one file, of which the page shows parts.

use lucida::Result;
use lucida::data::{Dataset, Filter, Fit, Image};
use serde_json::{Value, json};

use crate::jobs::Handle;

/// Number of columns, and maximum side of a tile in pixels.
const COLUMNS: usize = 20;
const SIDE: usize = 64;

/// Saves images of a data set in one file; returns the name and the layout of the file.
pub(super) fn save(job: &Handle, name: &str, set: &dyn Dataset, indices: &[usize]) -> Result<Value> {
    let side = match set.image_shape() {
        Some([height, width, _]) => height.max(width).min(SIDE),
        None => SIDE,
    };
    let columns = COLUMNS.min(indices.len()).max(1);
    let rows = indices.len().div_ceil(columns).max(1);
    let mut sheet = Image::filled(columns * side, rows * side, &[0, 0, 0]);
    for (at, &index) in indices.iter().enumerate() {
        let tile = set.image(index)?.to_rgb().fit(side, side, Fit::Crop, Filter::default())?;
        let (left, top) = ((at % columns) * side, (at / columns) * side);
        for y in 0..side {
            for x in 0..side {
                sheet.pixel_mut(left + x, top + y).copy_from_slice(tile.pixel(x, y));
            }
        }
    }
    job.save(name, &sheet.png_bytes()?)?;
    Ok(json!({ "file": name, "side": side, "columns": columns }))
}
