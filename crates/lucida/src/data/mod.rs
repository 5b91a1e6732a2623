//! Data sets and pictures.

mod picture;

pub use picture::Picture;
