//! Limits on the resources that a file may use.

/// Limits for reading untrusted files; [`Limits::default`] suits almost all uses.
///
/// Sizes that a file *declares* are checked against these limits before anything is allocated for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The maximum size of a file in bytes. Default: 256 MiB.
    pub file_bytes: u64,
    /// The maximum unpacked size of a compressed data file in bytes. Default: 1 GiB.
    pub unpacked_bytes: u64,
    /// The maximum number of pixels of an image. Default: 100 million, a photo of 10,000 x 10,000.
    pub pixels: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file_bytes: 256 << 20, unpacked_bytes: 1 << 30, pixels: 100_000_000 }
    }
}
