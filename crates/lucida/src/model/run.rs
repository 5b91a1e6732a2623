//! Arrays in, arrays out: running a network on inputs that are not images, or on the inputs that another program gave the
//! original model.

use std::borrow::Cow;

use crate::core::Array;
use crate::nn::{Network, Plan, Shape};
use crate::weights::{ArrayLayout, Model, Quantization};
use crate::{Cpu, Error, Result};

/// Samples per batch.
const BATCH: usize = 32;
/// Maximum bytes of activations, beyond which the batch is made smaller.
const MEMORY: usize = 1 << 30;

/// An input or output of a model, as declared in its file.
#[derive(Debug, Clone, PartialEq)]
pub struct ArraySpec {
    /// The name in the file; for Keras's and Lucida's files, the layer's name.
    pub name: String,
    /// The sizes of the axes; `None` is the batch.
    pub shape: Vec<Option<usize>>,
    /// The order of the axes of an image: `NCHW` (ONNX, PyTorch) or `NHWC` (Keras, Lucida); `NCL` for 1D data.
    pub axis_order: Option<&'static str>,
    /// The quantization of this tensor in a quantized file; the arrays of real numbers are dequantized.
    pub quantization: Option<Quantization>,
}

impl ArraySpec {
    fn of(layout: &ArrayLayout) -> Self {
        let batch = layout.batched.then_some(None);
        let shape = batch.into_iter().chain(layout.file_sizes().into_iter().map(Some)).collect();
        let quantization = layout.quantization;
        Self { name: layout.name.clone(), shape, axis_order: layout.axis_order(), quantization }
    }

    /// Dequantizes an int8 or uint8 array for a quantized tensor; other arrays are returned as they are.
    fn real<'a>(&self, array: &'a Array) -> Result<Cow<'a, Array>> {
        match self.quantization.filter(|_| array.is_bytes()) {
            None => Ok(Cow::Borrowed(array)),
            Some(Quantization { scale, zero }) => {
                let values = array.values().iter().map(|value| scale * (value - zero)).collect();
                Array::new(array.shape(), values).map(Cow::Owned)
            }
        }
    }

    /// The shape for a message: `(batch, 3, 224, 224)`.
    pub fn shape_text(&self) -> String {
        let sizes: Vec<String> =
            self.shape.iter().map(|size| size.map_or("batch".into(), |size| size.to_string())).collect();
        if let [one] = sizes.as_slice() { format!("({one},)") } else { format!("({})", sizes.join(", ")) }
    }
}

impl Model {
    /// The inputs, in the order of the file.
    pub fn inputs(&self) -> Vec<ArraySpec> {
        self.layouts.of_inputs(&self.network).iter().map(ArraySpec::of).collect()
    }

    /// The outputs, in the order of the file.
    pub fn outputs(&self) -> Vec<ArraySpec> {
        self.layouts.of_outputs(&self.network).iter().map(ArraySpec::of).collect()
    }

    /// Runs the network on arrays, one for each of its [`inputs`](Self::inputs), with the axis order of the model's file:
    /// for images, `[batch, channels, height, width]` in ONNX and PyTorch files, `[batch, height, width, channels]` in
    /// Keras and Lucida files. Returns an array for each of its [`outputs`](Self::outputs), in the same axis order. No
    /// preprocessing is applied: the values are the network's inputs. An int8 or uint8 array for a quantized input of a
    /// LiteRT file is interpreted as by the LiteRT interpreter, and dequantized.
    ///
    /// An array with batch size 1 is broadcast to the batch size of the others. Images may differ in height and width from
    /// the file's input shape, if no layer requires a fixed size.
    ///
    /// A model that was [loaded](Self::load) as a classifier may have got an added softmax, as its [notes](Self::notes)
    /// say; [`IncludeTop::Unchanged`](crate::weights::IncludeTop::Unchanged) leaves the outputs as they are in the file.
    ///
    /// ```
    /// use lucida::core::Array;
    /// use lucida::prelude::*;
    ///
    /// let model = Model::new(applications::mnist_cnn(42)?);
    /// let images = Array::new([2, 28, 28, 1], vec![0.5; 2 * 28 * 28])?;
    /// let outputs = model.run(&[images])?;
    /// assert_eq!(outputs[0].shape(), [2, 10]);
    /// # Ok::<(), lucida::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] names an input whose shape does not fit the network; [`Error::Limit`] as
    /// [`PlanBuilder::build`](crate::nn::PlanBuilder::build).
    pub fn run(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        run(self, inputs, Cpu::detect())
    }

    /// As [`run`](Self::run), with inputs and outputs identified by their names in the file.
    ///
    /// ```
    /// use lucida::core::Array;
    /// use lucida::prelude::*;
    ///
    /// let model = Model::new(Sequential::new("line", [3]).add(Dense::new(1)).build(42)?);
    /// let name = model.inputs()[0].name.clone();
    /// let outputs = model.run_named(&[(&name, Array::new([4, 3], vec![0.0; 12])?)])?;
    /// assert_eq!((outputs[0].0.as_str(), outputs[0].1.shape()), ("dense", &[4, 1][..]));
    /// # Ok::<(), lucida::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`run`](Self::run); [`Error::Argument`] names an input that is missing, given twice, or unknown.
    pub fn run_named(&self, inputs: &[(&str, Array)]) -> Result<Vec<(String, Array)>> {
        let given = inputs.iter().map(|(name, array)| (Some((*name).to_owned()), array.clone())).collect();
        let outputs = self.run(&arrange(&self.inputs(), "input", given)?)?;
        Ok(self.outputs().into_iter().map(|output| output.name).zip(outputs).collect())
    }
}

/// Arranges arrays in the order of a model's inputs or outputs (`what`): by name if all have one, otherwise in the given
/// order.
///
/// # Errors
/// [`Error::Argument`] lists what the model has, with shapes, when the names or the number of arrays do not match.
pub fn arrange(specs: &[ArraySpec], what: &str, given: Vec<(Option<String>, Array)>) -> Result<Vec<Array>> {
    let list = || {
        let each: Vec<String> = specs.iter().map(described).collect();
        format!("the model has the {what}{} {}", if each.len() == 1 { "" } else { "s" }, each.join(", "))
    };
    let refuse = |problem: String| Err(Error::argument(format!("{problem}; {}", list())));
    // A single array needs no name, and another program's name for it does not matter.
    let named = given.iter().all(|(name, _)| name.is_some()) && !(given.len() == 1 && specs.len() == 1);
    if let Some(unknown) = given
        .iter()
        .filter_map(|(name, _)| name.as_ref())
        .find(|name| named && specs.iter().all(|spec| spec.name != **name))
    {
        return refuse(format!("there is no {what} {unknown:?}"));
    }
    if !named {
        if given.len() != specs.len() {
            return refuse(format!("{} for {} {what}s", counted_arrays(given.len()), specs.len()));
        }
        return real(specs, given.into_iter().map(|(_, array)| array));
    }
    let mut places: Vec<Option<Array>> = vec![None; specs.len()];
    for (name, array) in given {
        let place = specs.iter().position(|spec| Some(&spec.name) == name.as_ref()).unwrap_or_default();
        if places[place].replace(array).is_some() {
            return refuse(format!("{what} {:?} is given twice", specs[place].name));
        }
    }
    match places.iter().position(Option::is_none) {
        Some(missing) => refuse(format!("{what} {:?} is missing", specs[missing].name)),
        None => real(specs, places.into_iter().flatten()),
    }
}

fn real(specs: &[ArraySpec], arrays: impl Iterator<Item = Array>) -> Result<Vec<Array>> {
    specs.iter().zip(arrays).map(|(spec, array)| spec.real(&array).map(Cow::into_owned)).collect()
}

fn counted_arrays(count: usize) -> String {
    if count == 1 { "1 array".into() } else { format!("{count} arrays") }
}

/// An input or output for a message: `data (batch, 3, 224, 224) NCHW`.
fn described(spec: &ArraySpec) -> String {
    let order = spec.axis_order.map(|order| format!(" {order}")).unwrap_or_default();
    format!("{:?} {}{order}", spec.name, spec.shape_text())
}

/// As [`Model::run`], with a choice of instruction set and threads.
///
/// # Errors
/// As [`Model::run`].
pub fn run(model: &Model, inputs: &[Array], cpu: Cpu) -> Result<Vec<Array>> {
    let specs = model.inputs();
    if inputs.len() != specs.len() {
        let list: Vec<String> = specs.iter().map(described).collect();
        let (got, list) = (counted_arrays(inputs.len()), list.join(", "));
        return Err(Error::argument(format!("{got} for {} inputs: {list}", specs.len())));
    }
    let inputs = specs.iter().zip(inputs).map(|(spec, array)| spec.real(array)).collect::<Result<Vec<_>>>()?;
    let network = fitting(model, &inputs)?;
    let layouts = model.layouts.of_inputs(&network);
    let count = batch_of(&layouts, &inputs)?;
    let outputs = model.layouts.of_outputs(&network);
    let mut plan = Plan::builder(&network).cpu(cpu).build_within(BATCH.min(count), MEMORY)?;
    let mut results: Vec<Vec<f32>> =
        (0..outputs.len()).map(|index| Vec::with_capacity(count * plan.output_shape(index).len())).collect();
    for first in (0..count).step_by(plan.capacity()) {
        let now = plan.capacity().min(count - first);
        plan.set_batch(now);
        for (place, node) in network.inputs().enumerate() {
            let name = network.nodes()[node].name();
            let at = layouts.iter().position(|layout| layout.layer.as_deref() == Some(name));
            let at = at.ok_or_else(|| Error::Bug(format!("input {name} has no layout")))?;
            fill(&layouts[at], &inputs[at], first..first + now, plan.input_mut_at(place));
        }
        plan.forward(&network)?;
        for (index, (layout, result)) in outputs.iter().zip(&mut results).enumerate() {
            let values = plan.output(index);
            let start = result.len();
            result.resize(start + values.len(), 0.0);
            layout.to_file(now, values, &mut result[start..]);
        }
    }
    let shaped = |(layout, values): (&ArrayLayout, Vec<f32>)| {
        let shape: Vec<usize> = layout.batched.then_some(count).into_iter().chain(layout.file_sizes()).collect();
        Array::new(shape, values)
    };
    outputs.iter().zip(results).map(shaped).collect()
}

/// The shape of an array without its batch.
fn sample_sizes<'a>(layout: &ArrayLayout, array: &'a Array) -> &'a [usize] {
    if layout.batched { array.shape().get(1..).unwrap_or_default() } else { array.shape() }
}

/// The network for inputs of these shapes: the model's own, or one resized for another image size.
fn fitting<'a>(model: &'a Model, inputs: &[Cow<Array>]) -> Result<Cow<'a, Network>> {
    let layouts = model.layouts.of_inputs(&model.network);
    let mut network = Cow::Borrowed(&model.network);
    for (layout, array) in layouts.iter().zip(inputs) {
        let found = sample_sizes(layout, array);
        let ranks = array.shape().len() == layout.axes.len() + usize::from(layout.batched);
        if ranks && found == layout.file_sizes() {
            continue;
        }
        let spec = ArraySpec::of(layout);
        let misfit = |why: String| {
            let (name, got) = (&spec.name, array.shape_text());
            let order = spec.axis_order.map(|order| format!(" ({order})")).unwrap_or_default();
            Error::argument(format!(
                "input {name:?} has shape {got}; the network takes {}{order}{why}",
                spec.shape_text()
            ))
        };
        let Some([height, width]) = image_size(layout, found).filter(|_| ranks) else {
            let missing = layout.batched && array.shape() == layout.file_sizes();
            return Err(misfit(if missing { ": the batch axis is missing".into() } else { String::new() }));
        };
        let resized = model.network.clone().with_input_size(height, width);
        network = Cow::Owned(resized.map_err(|problem| misfit(format!(", and no other size: {problem}")))?);
    }
    Ok(network)
}

/// Height and width of an image whose shape differs from the network's input in these alone.
fn image_size(layout: &ArrayLayout, found: &[usize]) -> Option<[usize; 2]> {
    let places = match layout.axis_order()? {
        "NCHW" => [1, 2, 0],
        "NHWC" => [0, 1, 2],
        _ => return None,
    };
    let [height, width, channels] = places.map(|place| found.get(place).copied());
    let same_channels = channels == layout.file_sizes().get(places[2]).copied();
    Some([height?, width?]).filter(|size| same_channels && !size.contains(&0))
}

/// The batch size: that of every input whose batch size is not 1.
fn batch_of(layouts: &[ArrayLayout], inputs: &[Cow<Array>]) -> Result<usize> {
    let mut count = 1;
    for (layout, array) in layouts.iter().zip(inputs).filter(|(layout, _)| layout.batched) {
        match array.shape()[0] {
            0 => {
                return Err(Error::argument(format!("input {:?} has no samples: {}", layout.name, array.shape_text())));
            }
            1 => {}
            batch if count == 1 || count == batch => count = batch,
            batch => {
                let name = &layout.name;
                return Err(Error::argument(format!("input {name:?} has {batch} samples, another has {count}")));
            }
        }
    }
    Ok(count)
}

/// Writes samples of an array to an input of the network; a single sample is repeated.
fn fill(layout: &ArrayLayout, array: &Array, samples: std::ops::Range<usize>, to: &mut [f32]) {
    let len = Shape::from(layout.file_sizes().as_slice()).len();
    if array.values().len() == len {
        to.chunks_exact_mut(len.max(1)).for_each(|to| layout.to_network(1, array.values(), to));
    } else {
        layout.to_network(samples.len(), &array.values()[len * samples.start..len * samples.end], to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::layers::{Add, Conv2D, Dense, Flatten, GlobalAveragePooling2D, Input};
    use crate::weights::ArrayLayouts;

    fn array(shape: &[usize]) -> Array {
        let len = shape.iter().product::<usize>();
        Array::new(shape, (0..len).map(|index| ((index * 7) % 11) as f32).collect()).unwrap()
    }

    /// A network on two vectors of two numbers, with their sum and difference as outputs.
    fn two_inputs() -> Model {
        let mut builder = Network::builder("two");
        let a = builder.add_named("a", Input::new(Shape::flat(2)), &[]).unwrap();
        let b = builder.add_named("b", Input::new(Shape::flat(2)), &[]).unwrap();
        let sum = builder.add_named("sum", Add::new(), &[a, b]).unwrap();
        let three = builder.add_named("three", Add::new(), &[sum, a]).unwrap();
        Model::new(builder.build(&[three, sum], 1).unwrap())
    }

    #[test]
    fn several_inputs_and_outputs_by_order_and_by_name() {
        let model = two_inputs();
        let (a, b) = (Array::new([2, 2], vec![1.0, 2.0, 3.0, 4.0]), Array::new([1, 2], vec![10.0, 20.0]));
        let (a, b) = (a.unwrap(), b.unwrap());
        let found = model.run(&[a.clone(), b.clone()]).unwrap();
        assert_eq!(found[1].values(), [11.0, 22.0, 13.0, 24.0]);
        assert_eq!(found[0].values(), [12.0, 24.0, 16.0, 28.0]);
        let named = model.run_named(&[("b", b.clone()), ("a", a.clone())]).unwrap();
        assert_eq!((named[0].0.as_str(), &named[0].1), ("three", &found[0]));
        assert_eq!((named[1].0.as_str(), &named[1].1), ("sum", &found[1]));
        let problem = |inputs: &[(&str, Array)]| model.run_named(inputs).unwrap_err().to_string();
        assert!(
            problem(&[("a", a.clone())]).contains("input \"b\" is missing; the model has the inputs \"a\" (batch, 2)")
        );
        assert!(problem(&[("a", a.clone()), ("a", a.clone())]).contains("given twice"));
        assert!(problem(&[("a", a.clone()), ("c", a.clone())]).contains("there is no input \"c\""));
        assert!(model.run(std::slice::from_ref(&a)).unwrap_err().to_string().starts_with("1 array for 2 inputs"));
        let three = model.run(&[a, array(&[3, 2])]).unwrap_err().to_string();
        assert_eq!(three, "input \"b\" has 3 samples, another has 2");
    }

    #[test]
    fn images_have_the_order_of_the_file_and_any_size_that_fits() {
        let layers = [Conv2D::new(4, [3, 3]).into(), GlobalAveragePooling2D::new().into()];
        let here = Model::new(Network::sequential("any", [8, 6, 2], layers, 3).unwrap());
        let layouts = ArrayLayouts::channels_first(&here.network);
        let first = Model { layouts, ..here.clone() };
        assert_eq!(here.inputs()[0].axis_order, Some("NHWC"));
        assert_eq!(
            (first.inputs()[0].axis_order, first.inputs()[0].shape_text()),
            (Some("NCHW"), "(batch, 2, 8, 6)".into())
        );
        for [height, width] in [[8, 6], [5, 9]] {
            let image = array(&[2, height, width, 2]);
            let mut values = vec![0.0; image.values().len()];
            crate::core::array::permute(image.shape(), &[0, 3, 1, 2], image.values(), &mut values);
            let turned = Array::new([2, 2, height, width], values).unwrap();
            assert_eq!(here.run(&[image]).unwrap(), first.run(&[turned]).unwrap());
        }
        let message = first.run(&[array(&[2, 8, 6, 2])]).unwrap_err().to_string();
        assert_eq!(message, "input \"input_layer\" has shape (2, 8, 6, 2); the network takes (batch, 2, 8, 6) (NCHW)");
        let message = first.run(&[array(&[2, 8, 6])]).unwrap_err().to_string();
        assert!(message.ends_with(": the batch axis is missing"), "{message}");
        let message = here.run(&[Array::new([0, 8, 6, 2], vec![]).unwrap()]).unwrap_err().to_string();
        assert!(message.contains("has no samples"), "{message}");
        let fixed = Network::sequential("fixed", [4, 4, 1], [Flatten::new().into(), Dense::new(2).into()], 3).unwrap();
        let message = Model::new(fixed).run(&[array(&[1, 5, 4, 1])]).unwrap_err().to_string();
        assert!(message.contains("no other size") && message.contains("dense/kernel"), "{message}");
    }

    #[test]
    fn many_samples_are_run_in_batches() {
        let network = Network::sequential("line", [3], [Dense::new(2).into()], 3).unwrap();
        let model = Model::new(network);
        let all = array(&[75, 3]);
        let found = model.run(std::slice::from_ref(&all)).unwrap().remove(0);
        for row in [0, 31, 32, 74] {
            let one = Array::new([1, 3], all.values()[3 * row..][..3].to_vec()).unwrap();
            let one = model.run(&[one]).unwrap().remove(0);
            let far = |(a, b): (&f32, &f32)| (a - b).abs() > 1e-4;
            assert!(!one.values().iter().zip(&found.values()[2 * row..]).any(far), "{row}");
        }
    }
}
