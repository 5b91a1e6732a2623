//! The catalogue of published weights.

use std::sync::LazyLock;

use crate::nn::applications::{self, Architecture};
use crate::{Error, Result};

/// A file of weights published by Keras or torchvision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedFile {
    /// The network, by its name in [`applications::ALL`].
    pub network: &'static str,
    /// Whether it includes the classifier.
    pub with_top: bool,
    /// The base URL of its publisher.
    pub address: &'static str,
    /// Its path relative to that URL, or to that of a mirror.
    pub path: &'static str,
    /// Its checksum, if the publisher lists one.
    pub checksum: Option<Checksum>,
    /// Its size in bytes, if known in advance.
    pub size: Option<u64>,
    /// Its size in bytes, exact or approximate.
    pub about: u64,
}

/// The expected hash of a file, in lower-case hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// An MD5, which Keras lists for most of its files.
    Md5(&'static str),
    /// A SHA-256 or its first digits: the names of torchvision's files have eight or ten.
    Sha256(&'static str),
}

impl Checksum {
    /// The known digits.
    pub fn digits(self) -> &'static str {
        match self {
            Self::Md5(digits) | Self::Sha256(digits) => digits,
        }
    }

    /// The name of the hash function: `MD5`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5(_) => "MD5",
            Self::Sha256(_) => "SHA-256",
        }
    }

    fn parse(text: &'static str) -> Option<Self> {
        let (name, digits) = text.split_once(':')?;
        match name {
            "md5" => Some(Self::Md5(digits)),
            "sha256" => Some(Self::Sha256(digits)),
            _ => None,
        }
    }
}

static PUBLISHED: LazyLock<Vec<PublishedFile>> = LazyLock::new(|| read(include_str!("catalogue.txt")));

/// All published files, grouped by network.
pub fn all_published() -> &'static [PublishedFile] {
    &PUBLISHED
}

/// Parses the catalogue. Invalid lines are skipped: a test counts them.
fn read(text: &'static str) -> Vec<PublishedFile> {
    let (mut files, mut publisher) = (Vec::new(), "");
    for line in text.lines() {
        if let Some(address) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            publisher = address;
        } else if !line.starts_with('#') {
            files.extend(read_line(line, publisher));
        }
    }
    files
}

fn read_line(line: &'static str, address: &'static str) -> Option<PublishedFile> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let [network, top, path, checksum, size] = columns[..] else { return None };
    let about = size.trim_start_matches('~').parse().ok()?;
    let size = (!size.starts_with('~')).then_some(about);
    Some(PublishedFile {
        network,
        with_top: top == "with",
        address,
        path,
        checksum: Checksum::parse(checksum),
        size,
        about,
    })
}

impl PublishedFile {
    /// The name of the file, in the cache and on the server.
    pub fn file_name(&self) -> &'static str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }

    /// The command to fetch it.
    pub fn command(&self) -> String {
        let top = if self.with_top && !self.is_only() { " --with-top" } else { "" };
        format!("lucida weights fetch {}{top}", self.network)
    }

    /// A description: `vgg16 without its classifier`.
    pub fn title(&self) -> String {
        format!("{} {} its classifier", self.network, if self.with_top { "with" } else { "without" })
    }

    /// The publisher.
    pub fn publisher(&self) -> &'static str {
        if self.address.contains("pytorch.org") { "torchvision" } else { "Keras" }
    }

    /// Its size in text form: `58.9 MB`, `about 102.5 MB`.
    pub fn size_text(&self) -> String {
        match self.size {
            Some(size) => megabytes(size),
            None => format!("about {}", megabytes(self.about)),
        }
    }

    /// Its size in bytes, exact or approximate: `58889256`, `about 102530810`.
    pub fn bytes_text(&self) -> String {
        if self.size.is_some() { self.about.to_string() } else { format!("about {}", self.about) }
    }

    /// Whether a file with this length in bytes can be the published one. If the size is approximate, HDF5's structure may
    /// add to it.
    pub(super) fn fits(&self, len: u64) -> bool {
        match self.size {
            Some(size) => len == size,
            None => (self.about - self.about / 20..=self.largest()).contains(&len),
        }
    }

    /// The maximum size in bytes.
    pub(super) fn largest(&self) -> u64 {
        self.size.unwrap_or(self.about + self.about / 4 + (1 << 20))
    }

    /// Whether it is its network's only file: torchvision publishes no weights without the classifier.
    fn is_only(&self) -> bool {
        all_published().iter().filter(|file| file.network == self.network).count() == 1
    }
}

/// The published weights of a network, or those with the classifier if there are none without it.
///
/// # Errors
/// [`Error::Argument`] when none are published.
pub fn published(network: &Architecture, with_top: bool) -> Result<&'static PublishedFile> {
    let mut files = all_published().iter().filter(|file| file.network == network.name);
    files
        .clone()
        .find(|file| file.with_top == with_top)
        .or_else(|| files.find(|file| file.with_top))
        .ok_or_else(|| Error::argument(format!("there are no published weights of {}", network.name)))
}

/// The published weights whose absence caused an error.
pub fn published_for(error: &Error) -> Option<&'static PublishedFile> {
    let (network, with_top) = match error {
        Error::NotFetched { network, with_top, .. } => (network, *with_top),
        Error::NoClassifier { network, .. } => (network, true),
        _ => return None,
    };
    published(applications::find(network).ok()?, with_top).ok()
}

/// The names of networks with published weights.
pub fn networks() -> Vec<&'static str> {
    let has = |network: &&Architecture| all_published().iter().any(|file| file.network == network.name);
    applications::ALL.iter().filter(has).map(|network| network.name).collect()
}

/// Formats a number of bytes: `58.9 MB`.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_line_is_a_file() {
        let lines = include_str!("catalogue.txt").lines().filter(|line| !line.starts_with(['#', '[']));
        assert_eq!(lines.count(), all_published().len());
        let names: HashSet<_> = all_published().iter().map(PublishedFile::file_name).collect();
        assert_eq!(names.len(), all_published().len(), "two files would have one place in the cache");
    }

    #[test]
    fn every_file_is_of_a_known_network_and_of_its_size() {
        // Torchvision's files contain training-only parts, or 16-bit values.
        let other_sizes = ["inception-v3-torch", "googlenet", "wide-resnet50-2", "wide-resnet101-2"];
        for file in all_published() {
            let network = applications::find(file.network).unwrap();
            assert_eq!(published(network, file.with_top).unwrap(), file);
            assert_eq!(network.name, file.network);
            assert!(file.address.starts_with("https://") && !file.path.starts_with('/'), "{file:?}");
            match file.checksum {
                Some(Checksum::Md5(digits)) => assert_eq!(digits.len(), 32),
                Some(Checksum::Sha256(digits)) => assert!([8, 10, 64].contains(&digits.len()), "{digits}"),
                None => assert!(file.network.starts_with("mobilenet"), "{file:?}"),
            }
            let digits = file.checksum.map_or("", Checksum::digits);
            assert!(digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{file:?}");
            // Four bytes per parameter, plus a few percent for the structure.
            let parameters = if file.with_top { Some(network.parameters) } else { network.parameters_without_top };
            let floats = 4 * parameters.unwrap() as u64;
            let about = if file.size.is_some() {
                floats..=floats + floats / 100
            } else {
                floats - floats / 50..=floats + floats / 50
            };
            assert!(about.contains(&file.about) || other_sizes.contains(&file.network), "{file:?}");
            assert!(file.fits(file.about) && !file.fits(file.about / 2) && !file.fits(2 * file.about + (1 << 20)));
            let says_so = ["notop", "no_top", "no-top"].iter().any(|part| file.path.contains(part));
            assert_eq!(says_so, !file.with_top, "{file:?}");
            // Torchvision's file names end with the first digits of the checksum.
            if file.publisher() == "torchvision" {
                assert!(file.path.ends_with(&format!("-{digits}.pth")), "{file:?}");
            }
        }
    }

    #[test]
    fn all_networks_of_keras_and_torchvision_have_files() {
        let without: Vec<_> = applications::ALL
            .iter()
            .filter(|network| published(network, true).is_err())
            .map(|known| known.name)
            .collect();
        assert_eq!(
            without,
            [
                "mnist-cnn",
                "lenet5",
                "basic-cnn",
                "unet",
                "efficientnet-lite0",
                "efficientnet-lite1",
                "efficientnet-lite2",
                "efficientnet-lite3",
                "efficientnet-lite4"
            ]
        );
        assert_eq!(networks().len(), applications::ALL.len() - without.len());
        let message = published(applications::find("lenet5").unwrap(), true).unwrap_err().to_string();
        assert!(message.contains("lenet5"), "{message}");
        // A network's only file needs no option, whichever variant is requested.
        let resnet = published(applications::find("resnet50").unwrap(), false).unwrap();
        assert_eq!((resnet.with_top, resnet.command().as_str()), (true, "lucida weights fetch resnet50"));
        assert_eq!(resnet.size_text(), "about 102.5 MB");
        let vgg = published(applications::find("vgg16").unwrap(), true).unwrap();
        assert_eq!(
            (vgg.command().as_str(), vgg.size_text().as_str()),
            ("lucida weights fetch vgg16 --with-top", "553.5 MB")
        );
    }
}
