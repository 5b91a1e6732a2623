//! Splits a large canvas into overlapping tiles.
//!
//! The cores of the tiles cover the canvas exactly once. Each tile extends beyond its core by a halo of half of the largest
//! receptive field. Therefore the features over the core equal those of the whole canvas, and so do the gradients, which
//! reach into the halo: their sum over the tiles is the gradient of the whole canvas, and there are no seams.

/// A tile, in pixels of the canvas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::style) struct Tile {
    /// Its first row and column.
    pub(in crate::style) origin: [usize; 2],
    /// The rows and columns of its core, as ranges.
    pub(in crate::style) core: [[usize; 2]; 2],
}

/// Splits a canvas into tiles of one size. `phase` shifts their boundaries. All arguments are multiples of the unit; a tile
/// that is smaller than the canvas must be larger than two halos.
pub(in crate::style) fn tiles(canvas: [usize; 2], tile: [usize; 2], halo: usize, phase: [usize; 2]) -> Vec<Tile> {
    let rows = spans(canvas[0], tile[0], halo, phase[0]);
    let columns = spans(canvas[1], tile[1], halo, phase[1]);
    let across = |&(y, rows): &(usize, [usize; 2])| {
        columns.iter().map(move |&(x, columns)| Tile { origin: [y, x], core: [rows, columns] }).collect::<Vec<_>>()
    };
    rows.iter().flat_map(across).collect()
}

/// Start of each tile along one axis, and start and end of its core.
fn spans(len: usize, tile: usize, halo: usize, phase: usize) -> Vec<(usize, [usize; 2])> {
    if tile >= len {
        return vec![(0, [0, len])];
    }
    let step = tile - 2 * halo;
    let mut found = Vec::new();
    let mut start = 0;
    while start < len {
        let end = if start == 0 { step - phase % step } else { start + step }.min(len);
        found.push((start.saturating_sub(halo).min(len - tile), [start, end]));
        start = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_cover_the_canvas_once_and_halos_surround_them() {
        for (len, tile, halo, phase) in [(64, 64, 16, 0), (640, 192, 32, 0), (640, 192, 32, 48), (208, 192, 80, 16)] {
            let spans = spans(len, tile, halo, phase);
            let mut next = 0;
            for (start, [from, to]) in spans {
                assert_eq!(from, next);
                assert!(to > from && start + tile.min(len) <= len);
                let (left, right) = (from - start, start + tile.min(len) - to);
                assert!(left >= halo || start == 0, "{left}");
                assert!(right >= halo || start + tile >= len, "{right}");
                next = to;
            }
            assert_eq!(next, len);
        }
        assert_eq!(tiles([64, 128], [64, 64], 16, [0, 0]).len(), 4);
    }
}
