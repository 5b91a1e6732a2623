//! What takes the place of downloads in a build without the feature `hub`: an error.

use super::part::Part;
use super::{Hub, PublishedFile};
use crate::core::Progress;
use crate::{Error, Result};

/// The error for a URL.
fn error(url: &str) -> Error {
    let problem = "this program was built without downloads (the feature `hub` of lucida)".to_owned();
    Error::Network { url: url.to_owned(), problem }
}

/// Instead of a download to the cache.
pub(super) fn download(hub: &Hub, file: &PublishedFile, _: &Part, _: &mut dyn Progress) -> Result<()> {
    Err(error(&hub.url(file)))
}

/// Instead of a download to memory.
pub(crate) fn fetch(url: &str, _: u64) -> Result<Vec<u8>> {
    Err(error(url))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::applications;
    use crate::weights::hub::published;

    #[test]
    fn the_error_says_what_to_download_and_where_to_save_it() {
        let folder = tempfile::tempdir().unwrap();
        let hub = Hub::new(folder.path(), "https://mirror.example").unwrap();
        let file = published(applications::find("vgg16").unwrap(), true).unwrap();
        let message = hub.fetch(file, &mut ()).unwrap_err().to_string();
        let (url, path) = (hub.url(file), hub.path(file));
        let advice = format!("or download {url} yourself and save it as {}", path.display());
        assert!(message.contains("without downloads") && message.ends_with(&advice), "{message}");
        assert!(fetch("https://mirror.example/list.txt", 10).is_err());
    }
}
