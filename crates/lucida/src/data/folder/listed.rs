//! Image folders whose files are read on demand.

use super::layout::{FoundFile, FoundPart, Layout};
use super::set::{FolderSet, ImageFile};
use super::{FolderBuilder, Skipped, no_images, skipped};
use crate::{Cpu, Error, Result};

impl FolderBuilder<'_> {
    /// Finds the images that [`FolderBuilder::open_set`] would open, by their names alone: for a single image, or a single
    /// pass, checking all files in advance would only cost time. Reading an incomplete image is then an error. Also returns
    /// skipped entries.
    ///
    /// # Errors
    /// [`Error::File`] when the path is not a folder, or the folder is empty.
    pub fn list(self) -> Result<(FolderSet, Vec<Skipped>)> {
        let Layout { parts, mut skipped } = Layout::find(&self.path)?.including_strays();
        let (_, found) =
            parts.into_iter().next_back().ok_or_else(|| Error::Bug("a folder without a part".to_owned()))?;
        skipped::sort(&mut skipped);
        let FoundPart { path, class_names, classified, kind, files: found } = found;
        if found.is_empty() {
            return Err(no_images(&self.path, &skipped));
        }
        let unread = |FoundFile { path, label, row, group }| ImageFile {
            path,
            label,
            row,
            group,
            len: 0,
            digest: [0; 16],
            kept: None,
        };
        let files = found.into_iter().map(unread).collect();
        let cpu = self.cpu.unwrap_or_else(Cpu::detect);
        let set = FolderSet { root: path, files, class_names, classified, kind, limits: self.limits, cpu, kept: None };
        Ok((set, skipped))
    }
}
