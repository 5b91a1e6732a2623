//! Matrix products for convolutions and dense layers.
//!
//! After Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008): the right-hand side is packed
//! once into panels as wide as a tile, and a micro-kernel multiplies a few rows with one panel, keeping all its sums in
//! registers. Unlike there the left-hand side is not packed at all: a row is given by the addresses of its segments
//! ([`Segment`]), so the rows of a convolution are read directly from the image, one segment per row of the filter (Dukhan,
//! "The Indirect Convolution Algorithm", 2019).
//!
//! ```text
//!               panel 0    panel 1               one panel: k rows of `width` vectors, one after the other
//!             +---------+---------+- - -
//!           k |  packed |         |              the depth k is cut into blocks, so that a block of a panel
//!             |         |         |              (512 x 64 floats, 128 KiB) stays in L2 while the rows pass
//!   +----+    +---------+---------+- - -
//! m |row | -> |  tile   |
//!   +----+    +---------+
//! ```

mod epilogue;
mod panels;
mod prefetch;
mod strided;
mod sweep;
mod tile;
mod transposed;

pub(crate) use epilogue::{Epilogue, TileTarget, UNBOUNDED};
pub(crate) use panels::{PackedMatrix, PackedWriter, Panel, panels, panels_of};
pub(crate) use prefetch::{Lines, Prefetcher};
pub(crate) use strided::{Left, Right, Strided, strided, strided_ahead};
pub(crate) use sweep::{GemmJob, KBlock, TileAddr, depth_blocks, sweep};
pub(crate) use tile::{FEW_ROWS, MAX_ROWS, Segment, load_row, load_vector, store_row, store_vector};
pub(crate) use transposed::{Region, Transposed, transposed};
