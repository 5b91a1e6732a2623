//! State shared by all requests.

use std::path::PathBuf;
use std::sync::Arc;

use lucida::data::Image;
use lucida::{Cpu, files};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::data::{Data, Named};
use crate::fast_networks::FastNetworks;
use crate::images::ImageStore;
use crate::jobs::Jobs;
use crate::models::{Loaded, Models};
use crate::problem::{Problem, Result};
use crate::{Limits, Options};

/// Where requests compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the threads of the server.
    #[cfg(feature = "server")]
    Threads,
    /// On the caller's thread.
    Caller,
}

/// The state of the studio.
pub(crate) struct Studio {
    pub(crate) cpu: Cpu,
    pub(crate) limits: Limits,
    /// Cache folder for the features of frozen networks.
    pub(crate) features: Option<PathBuf>,
    pub(crate) models: Models,
    pub(crate) data: Data,
    pub(crate) images: ImageStore,
    pub(crate) jobs: Jobs,
    pub(crate) fast_networks: FastNetworks,
    /// Where requests compute.
    #[cfg_attr(not(feature = "server"), expect(dead_code, reason = "there is one place only"))]
    place: Place,
    /// Permits to compute, to wait for computing, to upload, and to receive events.
    computing: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    uploads: Semaphore,
    #[cfg(feature = "server")]
    pub(crate) streams: Arc<Semaphore>,
}

impl Studio {
    pub(crate) fn new(options: &Options, place: Place) -> lucida::Result<Self> {
        let limits = options.limits.clone();
        files::create_folder(&options.runs)?;
        Ok(Self {
            cpu: options.cpu,
            features: options.features.clone(),
            models: Models::new(options.model.clone(), &options.runs),
            data: Data::new(options.data.clone(), options.cpu),
            images: ImageStore::open(options.runs.join("studio").join("images")),
            fast_networks: FastNetworks::open(options.runs.join("studio").join("style-networks")),
            jobs: Jobs::open(options.runs.join("studio"), limits.queue)?,
            place,
            computing: Arc::new(Semaphore::new(limits.computations)),
            waiting: Arc::new(Semaphore::new(limits.computations + limits.waiting)),
            uploads: Semaphore::new(limits.uploads),
            #[cfg(feature = "server")]
            streams: Arc::new(Semaphore::new(limits.streams)),
            limits,
        })
    }

    /// Runs a computation, once a permit is free: on a blocking thread of the server, if there is one.
    pub(crate) async fn compute<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let busy = || Problem::busy("the studio is busy; try again in a moment");
        let place = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| busy())?;
        let turn = Arc::clone(&self.computing).acquire_owned().await.map_err(|_| busy())?;
        let studio = Arc::clone(self);
        // The closure holds the permits: it keeps running, and counting, after its client has disconnected.
        let run = move || {
            let _held = (place, turn);
            work(&studio)
        };
        #[cfg(feature = "server")]
        if self.place == Place::Threads {
            let panicked = |_| Err(lucida::Error::Bug("a request ended in a panic".into()).into());
            return tokio::task::spawn_blocking(run).await.unwrap_or_else(panicked);
        }
        run()
    }

    /// Returns a permit to upload, which is held until the upload is stored.
    pub(crate) fn start_upload(&self) -> Result<SemaphorePermit<'_>> {
        self.uploads.try_acquire().map_err(|_| Problem::busy("others are uploading; try again in a moment"))
    }

    /// Returns the image with an identifier.
    pub(crate) fn image(&self, name: &str) -> Result<Arc<Image>> {
        let named = Named::parse(name)?;
        if let Some(image) = self.data.image(&named)? {
            return Ok(Arc::new(image));
        }
        let gone = "this image is no longer kept: choose or upload it again";
        self.images.get(name).ok_or_else(|| Problem::not_found(gone))
    }

    /// Returns an image as the preprocessed input of a model, `[height, width, channels]`.
    pub(crate) fn input(&self, model: &Loaded, name: &str) -> Result<Vec<f32>> {
        let image = self.image(name)?;
        let preprocessing = model.model.preprocessing()?;
        let mut input = vec![0.0; preprocessing.output_shape().iter().product()];
        preprocessing.apply(&image, &mut input)?;
        Ok(input)
    }
}
