//! What a network is trained on and tried on, batch by batch: images, or the features that another network has computed
//! from them.

use crate::Result;
use crate::data::{Batch, Dataset, Loader, Mixed, Preprocessing, Targets, batches};

/// Labeled inputs of a network, in a fixed order.
pub trait Samples {
    /// The number of samples.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of the classes; a label is an index into them.
    fn class_names(&self) -> &[String];

    /// The class of a sample; 0 where [`targets`](Self::targets) are rows.
    fn label(&self, index: usize) -> usize;

    /// The kind of the targets; a class for each sample by default.
    fn targets(&self) -> Targets {
        Targets::Classes(self.class_names().len())
    }

    /// The row of targets of a sample: one number for each label or value, none for classes.
    fn target(&self, _index: usize) -> &[f32] {
        &[]
    }

    /// What a message calls a sample: the file of its image where it has one, else its number.
    fn sample_name(&self, index: usize) -> String {
        format!("sample {index}")
    }

    /// Hands the samples of an order to `each`, `batch_size` at once, until it returns `false`: as they are, or as they are
    /// trained on in a pass over the data. Returns whether all were handed over.
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

/// The images of a data set, prepared for a network. Those that are slow to make are made ahead, while the batch before is
/// computed.
#[derive(Clone, Copy)]
pub struct ImageSamples<'a> {
    set: &'a dyn Dataset,
    preprocessing: &'a Preprocessing,
    threads: usize,
}

impl<'a> ImageSamples<'a> {
    /// The images of `set`, prepared so, on `threads` threads where they are prefetched.
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
        let mixed: Vec<Option<Mixed>> = vec![None; most];
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
