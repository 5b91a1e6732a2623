//! The images of a data set with the highest activations of each filter of a layer.
//!
//! The set is streamed through one plan in batches, and only the best few images per filter are kept: memory does not grow
//! with the set.

use std::sync::{Mutex, PoisonError};

use super::deconvnet::{check_filter, point, strongest};
use super::receptive_field::receptive_field;
use crate::core::progress::{Progress, Step, Unit, report};
use crate::data::{Dataset, Preprocessing};
use crate::nn::{Inference, Network, Plan};
use crate::{Cpu, Error, Result};

/// The maximum memory of the plan in bytes; a plan for a single image may exceed it.
const MEMORY: usize = 384 << 20;
/// The maximum batch size; larger ones gain nothing.
const BATCH: usize = 64;

/// A filter's strongest activation in an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TopActivation {
    /// The index of the image in its set.
    pub image: usize,
    /// The row and column of the activation in the layer's layout.
    pub position: [usize; 2],
    /// The activation.
    pub activation: f32,
}

/// The result of a search in a data set.
#[derive(Debug)]
pub struct TopActivations {
    /// For each requested filter, its strongest activations, at most one per image, strongest first; equal ones in image
    /// order. Zero activations are excluded: the list of a dead filter is empty.
    pub filters: Vec<Vec<TopActivation>>,
    /// The number of processed images.
    pub images: usize,
    /// Images that could not be read, with the error.
    pub skipped: Vec<(usize, Error)>,
}

/// A search for top activations.
#[derive(Debug, Clone, Copy)]
pub struct TopActivationQuery<'a> {
    /// The network.
    pub network: &'a Network,
    /// The preprocessing of images.
    pub preprocessing: &'a Preprocessing,
    /// The layer.
    pub layer: &'a str,
    /// The filters.
    pub filters: &'a [usize],
    /// The number of images to keep per filter.
    pub count: usize,
    /// Instruction set and threads.
    pub cpu: Cpu,
}

/// Finds the images of a data set with the highest activations of each filter of a layer. Progress is in [`Unit::Images`].
///
/// ```
/// use lucida::explain::{TopActivationQuery, top_activations};
/// use lucida::prelude::*;
///
/// let digits = Mnist::builtin()?.train;
/// let some = Subset::new(&digits, (0..64).collect())?;
/// let (network, preprocessing) = (applications::mnist_cnn(42)?, Preprocessing::mnist());
/// let cpu = Cpu::detect();
/// let query = TopActivationQuery {
///     network: &network, preprocessing: &preprocessing, layer: "conv2d_1", filters: &[0, 5], count: 3, cpu,
/// };
/// let found = top_activations(&query, &some, &mut ())?;
/// assert_eq!((found.filters.len(), found.images), (2, 64));
/// assert!(found.filters.iter().all(|top| top.is_sorted_by(|a, b| a.activation >= b.activation)));
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] when the layer (the nearest name is suggested) or a filter does not exist, or the set is empty; the
/// first image's error when none can be read; [`Error::Interrupted`] when `progress` requests a stop.
pub fn top_activations(
    query: &TopActivationQuery,
    set: &dyn Dataset,
    progress: &mut dyn Progress,
) -> Result<TopActivations> {
    let TopActivationQuery { network, layer, filters, count, cpu, .. } = *query;
    let field = receptive_field(network, layer)?;
    filters.iter().try_for_each(|&filter| check_filter(&field, filter))?;
    let point = point(network, layer)?;
    if set.is_empty() {
        return Err(Error::argument("there are no images"));
    }
    let layout = field.layout();
    let input_len = network.input_shape()?.len();
    let plan = Plan::builder(network).cpu(cpu).output(point);
    let mut inference = Inference::within(plan, BATCH.min(set.len()), MEMORY)?;
    let batch = inference.batch_size();
    let mut found = TopActivations { filters: vec![Vec::new(); filters.len()], images: 0, skipped: Vec::new() };
    for first in (0..set.len()).step_by(batch) {
        let images: Vec<usize> = (first..(first + batch).min(set.len())).collect();
        let mut outcomes = Vec::new();
        let outputs = inference.batch(images.len(), |inputs| {
            outcomes = fill(query, set, &images, inputs, input_len);
            Ok(())
        })?;
        for ((&image, outcome), values) in images.iter().zip(outcomes).zip(outputs) {
            if let Err(error) = outcome {
                found.skipped.push((image, error));
                continue;
            }
            found.images += 1;
            for (&filter, best) in filters.iter().zip(&mut found.filters) {
                let (position, activation) = strongest(values, layout, filter);
                keep(best, count, TopActivation { image, position, activation });
            }
        }
        report(progress, &Step::new(Unit::Images, first + images.len(), set.len()))?;
    }
    match found.images {
        0 => Err(found.skipped.swap_remove(0).1),
        _ => Ok(found),
    }
}

/// Reads images into a batch on all threads, because decoding takes as long as a small network. An image that cannot be
/// read is left blank.
fn fill(
    query: &TopActivationQuery,
    set: &dyn Dataset,
    images: &[usize],
    input: &mut [f32],
    input_len: usize,
) -> Vec<Result<()>> {
    let outcomes: Vec<_> = images.iter().map(|_| Mutex::new(Ok(()))).collect();
    query.cpu.parallel_chunks(&mut input[..images.len() * input_len], input_len, |index, place| {
        let outcome = set.fill(images[index], query.preprocessing, place);
        if outcome.is_err() {
            place.fill(0.0);
        }
        *outcomes[index].lock().unwrap_or_else(PoisonError::into_inner) = outcome;
    });
    outcomes.into_iter().map(|outcome| outcome.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}

/// Inserts an activation into the sorted list of the `count` strongest, if it is among them.
fn keep(best: &mut Vec<TopActivation>, count: usize, new: TopActivation) {
    if !new.activation.is_finite() || new.activation == 0.0 {
        return;
    }
    let place = best.partition_point(|old| old.activation >= new.activation);
    if place < count {
        best.truncate(count - 1);
        best.insert(place, new);
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::data::{Image, LabeledImages, Mnist, Subset};
    use crate::nn::applications;

    fn query<'a>(
        network: &'a Network,
        preprocessing: &'a Preprocessing,
        filters: &'a [usize],
    ) -> TopActivationQuery<'a> {
        TopActivationQuery { network, preprocessing, layer: "conv2d_1", filters, count: 9, cpu: Cpu::detect() }
    }

    #[test]
    fn the_best_nine_are_those_of_a_full_sort() {
        let mut network = applications::mnist_cnn(8).unwrap();
        // Filter 5 is dead.
        let bias = network.weights_mut().iter_mut().find(|weight| weight.name() == "conv2d_1/bias").unwrap();
        bias.values_mut()[5] = -1e3;
        let preprocessing = Preprocessing::mnist();
        let set = Subset::new(Mnist::builtin().unwrap().train, (100..300).collect()).unwrap();
        let filters: Vec<usize> = (0..48).rev().collect();
        let mut told = Vec::new();
        let mut tell = |step: &Step<'_>| {
            told.push(step.done);
            ControlFlow::Continue(())
        };
        let found = top_activations(&query(&network, &preprocessing, &filters), &set, &mut tell).unwrap();
        assert_eq!((found.images, found.skipped.len()), (200, 0));
        assert!(told.is_sorted() && told.last() == Some(&200), "{told:?}");

        let mut plan = Plan::builder(&network).output("conv2d_1").build().unwrap();
        let layout = plan.output_shape(0).as_image().unwrap();
        let mut all: Vec<Vec<(f32, usize)>> = vec![Vec::new(); layout[2]];
        for image in 0..set.len() {
            set.fill(image, &preprocessing, plan.input_mut()).unwrap();
            plan.forward(&network).unwrap();
            for (filter, all) in all.iter_mut().enumerate() {
                let values = plan.output(0)[filter..].iter().step_by(layout[2]);
                all.push((values.fold(f32::NEG_INFINITY, |most, &value| most.max(value)), image));
            }
        }
        for (&filter, best) in filters.iter().zip(&found.filters) {
            let mut sorted = all[filter].clone();
            sorted.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            sorted.truncate(9);
            if filter == 5 {
                assert!(best.is_empty());
                continue;
            }
            let got: Vec<(f32, usize)> = best.iter().map(|best| (best.activation, best.image)).collect();
            assert_eq!(got, sorted, "filter {filter}");
            for best in best {
                set.fill(best.image, &preprocessing, plan.input_mut()).unwrap();
                plan.forward(&network).unwrap();
                let at = (best.position[0] * layout[1] + best.position[1]) * layout[2] + filter;
                assert_eq!(plan.output(0)[at], best.activation);
            }
        }
    }

    /// A set in which some images cannot be read.
    struct UnreadableImages(LabeledImages, fn(usize) -> bool);

    impl Dataset for UnreadableImages {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn image_shape(&self) -> Option<[usize; 3]> {
            None
        }

        fn class_names(&self) -> &[String] {
            self.0.class_names()
        }

        fn label(&self, index: usize) -> usize {
            self.0.label(index)
        }

        fn image(&self, index: usize) -> Result<Image> {
            if (self.1)(index) { Err(Error::file("bad.jpg", "is damaged")) } else { self.0.image(index) }
        }
    }

    fn few(bad: fn(usize) -> bool) -> UnreadableImages {
        let pixels = (0..7 * 784).map(|i| (i * 31 % 256) as u8).collect();
        UnreadableImages(LabeledImages::new([28, 28, 1], pixels, vec![0; 7], vec!["a".into()]).unwrap(), bad)
    }

    #[test]
    fn images_that_cannot_be_read_are_skipped_and_named() {
        let (network, preprocessing) = (applications::mnist_cnn(8).unwrap(), Preprocessing::mnist());
        let query = query(&network, &preprocessing, &[0, 1]);
        let found = top_activations(&query, &few(|index| index % 3 == 1), &mut ()).unwrap();
        assert_eq!(found.images, 5);
        assert_eq!(found.skipped.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 4]);
        assert!(found.filters.iter().flatten().all(|best| best.image % 3 != 1));
        let error = top_activations(&query, &few(|_| true), &mut ()).unwrap_err();
        assert_eq!(error.to_string(), "bad.jpg: is damaged");
    }

    #[test]
    fn mistakes_and_interruptions() {
        let (network, preprocessing) = (applications::mnist_cnn(8).unwrap(), Preprocessing::mnist());
        let set = few(|_| false);
        let asked = |query: TopActivationQuery| top_activations(&query, &set, &mut ()).unwrap_err().to_string();
        assert!(asked(query(&network, &preprocessing, &[48])).contains("conv2d_1 has no filter 48"));
        let nowhere = TopActivationQuery { layer: "conv2d_11", ..query(&network, &preprocessing, &[0]) };
        assert!(asked(nowhere).contains("did you mean \"conv2d_1\""));
        let mut stop = |_: &Step<'_>| ControlFlow::Break(());
        let stopped = top_activations(&query(&network, &preprocessing, &[0]), &set, &mut stop);
        assert!(matches!(stopped, Err(Error::Interrupted)));
        let none = Subset::new(&set.0, Vec::new()).unwrap();
        assert!(top_activations(&query(&network, &preprocessing, &[0]), &none, &mut ()).is_err());
    }
}
