//! Networks that stylize in one forward pass: the built-in one, those trained in the studio, and those opened from files.
//!
//! The most recently used networks stay loaded, with a plan for their image size, so that moving a slider or streaming a
//! camera costs one forward pass and neither file access nor planning.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lucida::data::{Image, memory_to_keep};
use lucida::nn::counted;
use lucida::style::{
    BRUSHWORK, FeedForwardMasks, FeedForwardRequest, FeedForwardStyle, FeedForwardTransfer, StylizerConfig,
};
use lucida::{Cpu, Error, files};
use serde::{Deserialize, Serialize};

use crate::identifiers::{is_identifier, of_content};
use crate::jobs::Jobs;
use crate::models::written;
use crate::problem::{Problem, Result};

/// Prefix of the identifiers of opened networks.
const PREFIX: &str = "net";
/// Limits on loaded networks: their number and the total pixels of their plans. If one plan alone is larger, it is still
/// kept. A pixel takes about 0.4 kilobytes with the small network, and twice that with the base network.
const READY: usize = 4;
const PIXELS: usize = 1_200_000;
/// Maximum number of opened networks, and maximum number of parameters of each.
const COUNT: usize = 32;
const PARAMETERS: usize = 30_000_000;
/// Maximum size in bytes of the note stored next to an opened network.
const NOTE_BYTES: u64 = 64 << 10;
/// Maximum length of a network's name in characters.
const NAME: usize = 60;

/// A network of the list.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FastNetwork {
    /// Identifier in requests.
    pub(crate) id: String,
    /// Display name.
    pub(crate) name: String,
    /// Group in the list.
    group: &'static str,
    /// Names of its styles; if there is only one, the name of the network.
    styles: Vec<String>,
    /// Its file; `None` for the built-in network.
    #[serde(skip)]
    file: Option<PathBuf>,
}

/// Metadata of an opened network, stored next to its file.
#[derive(Serialize, Deserialize)]
struct Note {
    name: String,
    styles: Vec<String>,
}

/// Key of a loaded network and its plan.
#[derive(Debug, Clone, PartialEq)]
struct Key {
    network: String,
    /// Modification time of its file in nanoseconds: a training job overwrites it repeatedly.
    written: u128,
    /// Height and width of the photo, and the longer side of the result if it is resized.
    photo: [usize; 2],
    size: Option<usize>,
}

/// All style networks, and the loaded ones, the most recently used last.
pub(crate) struct FastNetworks {
    folder: PathBuf,
    ready: Mutex<Vec<(Key, FeedForwardTransfer)>>,
    /// Serializes opening files.
    adding: Mutex<()>,
}

impl FastNetworks {
    /// Opens the networks of a folder, which is created once there is something to store.
    pub(crate) fn open(folder: PathBuf) -> Self {
        Self { folder, ready: Mutex::default(), adding: Mutex::default() }
    }

    /// All networks: the built-in one, the trained ones, then the opened ones, each group newest first.
    pub(crate) fn list(&self, jobs: &Jobs) -> Vec<FastNetwork> {
        own(jobs).chain(self.opened()).collect()
    }

    /// Finds a network of the list. Only its own note is read, since a camera looks it up for each frame.
    pub(crate) fn find(&self, jobs: &Jobs, id: &str) -> Result<FastNetwork> {
        let found = match is_opened(id) {
            true => self.opened_as(id),
            false => own(jobs).find(|network| network.id == id),
        };
        found.ok_or_else(|| Problem::not_found("there is no such style network"))
    }

    /// The opened network with this identifier.
    fn opened_as(&self, id: &str) -> Option<FastNetwork> {
        let note = files::read_limited(self.note(id), NOTE_BYTES).ok()?;
        let Note { name, styles } = serde_json::from_slice(&note).ok()?;
        Some(FastNetwork::new(id.to_owned(), name, "Opened", styles, Some(self.file(id))))
    }

    fn opened(&self) -> Vec<FastNetwork> {
        let of = |entry: fs::DirEntry| {
            let name = entry.file_name();
            let network = self.opened_as(name.to_str()?.strip_suffix(".json").filter(|id| is_opened(id))?)?;
            Some((written(&entry.path()), network))
        };
        let mut found: Vec<_> = fs::read_dir(&self.folder).into_iter().flatten().flatten().filter_map(of).collect();
        found.sort_by(|(a, one), (b, other)| b.cmp(a).then_with(|| one.id.cmp(&other.id)));
        found.into_iter().map(|(_, network)| network).collect()
    }

    fn file(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.lucida"))
    }

    fn note(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    /// Opens the bytes of a file and stores the network under an identifier derived from their hash. `name` is the name of
    /// the file.
    pub(crate) fn add(&self, name: &str, bytes: &[u8], cpu: Cpu) -> Result<FastNetwork> {
        let id = of_content(PREFIX, &[bytes]);
        let _one = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = self.opened();
        if let Some(known) = opened.iter().find(|network| network.id == id) {
            return Ok(known.clone());
        }
        if opened.len() >= COUNT {
            return Err(Problem::invalid(format!(
                "{} are already open: remove one that is not needed",
                counted(opened.len(), "style network")
            )));
        }
        let style = self.read(&id, name, bytes)?;
        let parameters = style.model(&vec![1.0; style.names().len()])?.network.parameters().0;
        if parameters > PARAMETERS {
            return Err(Problem::invalid(format!(
                "{name}: has {parameters} parameters; at most {PARAMETERS} are allowed"
            )));
        }
        // This fails if the network only takes images of a fixed size.
        let transfer = FeedForwardTransfer::new(style, FeedForwardRequest::default(), config(cpu))?;
        transfer.style().save(self.file(&id))?;
        let shown = Path::new(name).file_name().unwrap_or_default().to_string_lossy();
        let note = Note { name: shown.chars().take(NAME).collect(), styles: transfer.style().names().to_vec() };
        let text = serde_json::to_vec(&note).map_err(|error| Error::Bug(error.to_string()))?;
        files::write_bytes(self.note(&id), &text)?;
        Ok(FastNetwork::new(id.clone(), note.name, "Opened", note.styles, Some(self.file(&id))))
    }

    /// Reads the bytes as a file in a folder of its own, so that references to other files cannot be resolved.
    fn read(&self, id: &str, name: &str, bytes: &[u8]) -> Result<FeedForwardStyle> {
        let folder = self.folder.join(format!("opening-{id}"));
        files::create_folder(&folder)?;
        let path = folder.join("network");
        let style = files::write_bytes(&path, bytes).and_then(|()| FeedForwardStyle::open(&path));
        // A leftover folder does no harm.
        let _ = fs::remove_dir_all(&folder);
        style.map_err(|error| Problem::from(error).renamed(&path.display().to_string(), name))
    }

    /// Removes an opened network.
    pub(crate) fn remove(&self, id: &str) -> Result<()> {
        if !is_opened(id) || !self.note(id).exists() {
            return Err(Problem::not_found("there is no such style network among the opened ones"));
        }
        for file in [self.note(id), self.file(id)] {
            fs::remove_file(&file).map_err(|error| Error::io(&file, "remove", error))?;
        }
        Ok(())
    }

    /// Stylizes a photo; returns the result and the time of the forward pass.
    pub(crate) fn stylize(
        &self,
        network: &FastNetwork,
        photo: &Image,
        request: FeedForwardRequest,
        cpu: Cpu,
    ) -> Result<(Image, Duration)> {
        let key = Key {
            network: network.id.clone(),
            written: network.file.as_deref().map_or(0, written),
            photo: [photo.height(), photo.width()],
            size: request.size,
        };
        let mut transfer = self.take(network, &key, cpu)?;
        let started = Instant::now();
        let result = transfer
            .set_request(request)
            .and_then(|()| transfer.transfer(photo, FeedForwardMasks::default(), &mut ()))
            .and_then(|canvas| canvas.to_image());
        let taken = started.elapsed();
        self.put(key, transfer);
        Ok((result?, taken))
    }

    /// Takes a network with a plan for this key, if one is loaded. Concurrent requests each take their own.
    fn take(&self, network: &FastNetwork, key: &Key, cpu: Cpu) -> Result<FeedForwardTransfer> {
        let style = {
            let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(at) = ready.iter().position(|(other, _)| other == key) {
                return Ok(ready.remove(at).1);
            }
            let is_same = |other: &Key| (&other.network, other.written) == (&key.network, key.written);
            ready.iter().find(|(other, _)| is_same(other)).map(|(_, transfer)| transfer.style().clone())
        };
        let style = style.map_or_else(|| network.open(), Ok)?;
        Ok(FeedForwardTransfer::new(style, FeedForwardRequest::default(), config(cpu))?)
    }

    fn put(&self, key: Key, transfer: FeedForwardTransfer) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        // Drop plans of earlier versions of the file.
        ready.retain(|(other, _)| other.network != key.network || other.written == key.written);
        ready.push((key, transfer));
        let pixels = |ready: &[(Key, _)]| ready.iter().map(|(key, _)| key.pixels()).sum::<usize>();
        while ready.len() > READY || (ready.len() > 1 && pixels(&ready) > PIXELS) {
            ready.remove(0);
        }
    }
}

impl Key {
    /// Approximate number of pixels of the result.
    fn pixels(&self) -> usize {
        let [height, width] = self.photo;
        self.size.map_or(height * width, |longer| longer * longer * height.min(width) / height.max(width).max(1))
    }
}

impl FastNetwork {
    fn new(id: String, name: String, group: &'static str, styles: Vec<String>, file: Option<PathBuf>) -> Self {
        let styles = if styles.len() > 1 { styles } else { vec![name.clone()] };
        Self { id, name, group, styles, file }
    }

    fn open(&self) -> Result<FeedForwardStyle> {
        Ok(match &self.file {
            Some(file) => FeedForwardStyle::open(file)?,
            None => FeedForwardStyle::builtin()?,
        })
    }
}

/// The built-in network, then the trained ones, newest first.
fn own(jobs: &Jobs) -> impl Iterator<Item = FastNetwork> {
    let builtin = FastNetwork::new(BRUSHWORK.to_owned(), "Brush strokes".to_owned(), "Built in", vec![], None);
    let trained = jobs
        .style_networks()
        .into_iter()
        .map(|job| FastNetwork::new(format!("job-{}", job.id), job.title, "Trained", job.styles, Some(job.file)));
    std::iter::once(builtin).chain(trained)
}

fn config(cpu: Cpu) -> StylizerConfig {
    StylizerConfig { memory: Some(memory_to_keep()), cpu }
}

/// Whether a text is the identifier of an opened network.
fn is_opened(id: &str) -> bool {
    is_identifier(PREFIX, id)
}
