//! Samples for training and evaluation, batch by batch: images, or features that another network computed from them.

use crate::Result;
use crate::data::{Batch, Dataset, Loader, MixedSample, Preprocessing, Targets, batches};

/// Labeled inputs of a network, in a fixed order.
pub trait Samples {
    /// Number of samples.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Class names; a label is an index into them.
    fn class_names(&self) -> &[String];

    /// Label of a sample; 0 if [`targets`](Self::targets) are rows.
    fn label(&self, index: usize) -> usize;

    /// Kind of the targets; by default a class per sample.
    fn targets(&self) -> Targets {
        Targets::Classes(self.class_names().len())
    }

    /// Target row of a sample: one number per label or value, empty for classes.
    fn target(&self, _index: usize) -> &[f32] {
        &[]
    }

    /// What a message calls a sample: the file of its image where it has one, else its number.
    fn sample_name(&self, index: usize) -> String {
        format!("sample {index}")
    }

    /// Passes the samples at the positions `order` to `each` in batches of `batch_size`, until it returns `false`. With
    /// `pass`, samples are augmented as in that training pass. Returns whether all were processed.
    ///
    /// # Errors
    /// Those of reading the samples, and those of `each`.
    fn each(
        &self,
        pass: Option<u32>,
        order: &[usize],
        batch_size: usize,
        each: &mut dyn FnMut(Batch<'_>) -> Result<bool>,
    ) -> Result<bool>;
}

/// The images of a data set, preprocessed for a network. Images that are slow to load are prefetched while the previous
/// batch is computed.
#[derive(Clone, Copy)]
pub struct ImageSamples<'a> {
    set: &'a dyn Dataset,
    preprocessing: &'a Preprocessing,
    threads: usize,
}

impl<'a> ImageSamples<'a> {
    /// Creates samples of `set`; `threads` is the number of threads for prefetching.
    pub fn new(set: &'a dyn Dataset, preprocessing: &'a Preprocessing, threads: usize) -> Self {
        Self { set, preprocessing, threads }
    }
}

impl Samples for ImageSamples<'_> {
    fn len(&self) -> usize {
        self.set.len()
    }

    fn class_names(&self) -> &[String] {
        self.set.class_names()
    }

    fn label(&self, index: usize) -> usize {
        self.set.label(index)
    }

    fn targets(&self) -> Targets {
        self.set.targets()
    }

    fn target(&self, index: usize) -> &[f32] {
        self.set.target(index)
    }

    fn sample_name(&self, index: usize) -> String {
        self.set.image_name(index)
    }

    fn each(
        &self,
        pass: Option<u32>,
        order: &[usize],
        batch_size: usize,
        each: &mut dyn FnMut(Batch<'_>) -> Result<bool>,
    ) -> Result<bool> {
        if self.set.is_slow() {
            let loader = Loader::new(self.set, self.preprocessing).threads(self.threads);
            let loader = pass.map_or(loader, |pass| loader.training(pass));
            return loader.each(order, batch_size, each);
        }
        let image_len: usize = self.preprocessing.output_shape().iter().product();
        let most = batch_size.min(order.len());
        let (mut images, mut labels) = (vec![0.0; most * image_len], vec![0; most]);
        let mut targets: Vec<f32> = Vec::with_capacity(most * self.set.targets().row_len());
        let mixed: Vec<Option<MixedSample>> = vec![None; most];
        for indices in batches(order, batch_size)? {
            let count = indices.len();
            let (images, labels) = (&mut images[..count * image_len], &mut labels[..count]);
            self.set.fill_batch(indices, self.preprocessing, images, labels)?;
            targets.clear();
            targets.extend(indices.iter().flat_map(|&index| self.set.target(index)));
            if !each(Batch { indices, images, labels, targets: &targets, mixed: &mixed[..count] })? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
