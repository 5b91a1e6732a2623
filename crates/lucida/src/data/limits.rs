//! What a file may cost before it is refused.

/// Limits on what is read from a file that nobody vouches for; [`Limits::default`] is meant to be left alone.
///
/// The sizes that a file *declares* are compared with these before anything is allocated for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of a file, as it is on the disk. Default: 256 MiB.
    pub file_bytes: u64,
    /// The most bytes that a compressed data file may unpack to. Default: 1 GiB.
    pub unpacked_bytes: u64,
    /// The most pixels of an image. Default: 100 million, as of a photo of 10,000 x 10,000.
    pub pixels: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file_bytes: 256 << 20, unpacked_bytes: 1 << 30, pixels: 100_000_000 }
    }
}
