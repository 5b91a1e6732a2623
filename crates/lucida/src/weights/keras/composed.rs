//! Keras operations that become several layers.

use serde_json::{Map, Value};

use super::config::Reader;
use crate::nn::keras_config::KerasConfig;
use crate::nn::layers::{
    Activation, ActivationKind, Concatenate, GlobalAveragePooling2D, GlobalMaxPooling2D, MatMul, Maximum, Multiply,
    Permute, Rescaling, Reshape, Subtract, UnitNormalization,
};
use crate::nn::{Layer, Shape};
use crate::{Error, Result};

impl Reader {
    /// Adds the layers of a composed operation and returns the last one; `None` for other operations.
    pub(super) fn composed(
        &mut self,
        name: &str,
        class: &str,
        options: &Map<String, Value>,
        inputs: &[usize],
    ) -> Result<Option<usize>> {
        let shape = self.builder.shape(inputs[0]).clone();
        let mut notes = Vec::new();
        let mut config = KerasConfig::new(options, &shape, &mut notes);
        let bad = |problem: String| Error::layer(name, problem);
        match (class, inputs) {
            ("Absolute", &[input]) => {
                let negative = self.part(name, Rescaling::new(-1.0, 0.0), &[input])?;
                self.last(name, Maximum::new(), &[input, negative])
            }
            ("Mean" | "Max" | "Min" | "Sum", &[input]) => {
                config.must_be("initial", &[]).map_err(bad)?;
                let Some(axes) = config.axes("axis").map_err(bad)? else {
                    return Err(bad(format!("{class} over all axes, the batch among them, is not supported")));
                };
                let keepdims = config.flag("keepdims", false).map_err(bad)?;
                // Over the pixels of an image, these are layers.
                if matches!(class, "Mean" | "Max") && shape.as_image().is_some() && axes == [0, 1] {
                    return Ok(None);
                }
                self.reduced(name, class, input, &axes, keepdims).map(Some)
            }
            ("Stack", inputs) => self.stacked(name, config.get("axis"), inputs).map(Some),
            ("Std" | "Var", &[input]) => {
                let Some(axes) = config.axes("axis").map_err(bad)? else {
                    return Err(bad(format!("{class} over all axes, the batch among them, is not supported")));
                };
                let keepdims = config.flag("keepdims", false).map_err(bad)?;
                let mean = self.reduced(&format!("{name}_mean"), "Mean", input, &axes, true)?;
                let distance = self.part(name, Subtract::new(), &[input, mean])?;
                let square = self.part(name, Multiply::new(), &[distance, distance])?;
                if class == "Var" {
                    return self.reduced(name, "Mean", square, &axes, keepdims).map(Some);
                }
                let variance = self.reduced(&format!("{name}_variance"), "Mean", square, &axes, keepdims)?;
                self.last(name, Activation::new(ActivationKind::Power { exponent: 0.5 }), &[variance])
            }
            // Vectors of length one: their product is the cosine similarity.
            ("Dot", &[a, b]) if options.get("normalize") == Some(&Value::Bool(true)) => {
                let flat = |node: usize| self.builder.shape(node).as_flat().is_some();
                if !(flat(a) && flat(b)) {
                    return Err(bad("normalize=true is supported of vectors alone".into()));
                }
                let a = self.part(name, UnitNormalization::new(), &[a])?;
                let b = self.part(name, UnitNormalization::new(), &[b])?;
                self.last(name, MatMul::new(), &[a, b])
            }
            _ => Ok(None),
        }
    }

    /// Stacks tensors along a new axis, which is an index into the result's axes, including the batch.
    fn stacked(&mut self, name: &str, axis: Option<&Value>, inputs: &[usize]) -> Result<usize> {
        let sizes = self.builder.shape(inputs[0]).sizes().to_vec();
        let (axis, rank) = (axis.and_then(Value::as_i64).unwrap_or(0), sizes.len() as i64 + 1);
        let place = usize::try_from(if axis < 0 { axis + rank } else { axis - 1 }).ok();
        let place = place.filter(|&place| place <= sizes.len());
        let place = place.ok_or_else(|| Error::layer(name, format!("Stack along axis {axis} is not supported")))?;
        let mut wide = sizes;
        wide.insert(place, 1);
        let parts = inputs.iter().map(|&input| self.shaped(name, input, &wide)).collect::<Result<Vec<_>>>()?;
        match parts.as_slice() {
            &[only] => Ok(only),
            parts => {
                let name = self.free_name(name);
                self.builder.add_named(name, Concatenate::along(place as isize + 1), parts)
            }
        }
    }

    /// A mean, maximum, minimum or sum over some axes of a sample: a global pooling of an image whose pixels are these
    /// axes.
    fn reduced(&mut self, name: &str, kind: &str, input: usize, axes: &[usize], keepdims: bool) -> Result<usize> {
        let sizes = self.builder.shape(input).sizes().to_vec();
        let kept: Vec<usize> = (0..sizes.len()).filter(|axis| !axes.contains(axis)).collect();
        let len = |axes: &[usize]| axes.iter().map(|&axis| sizes[axis]).product::<usize>();
        let order: Vec<usize> = axes.iter().chain(&kept).map(|axis| axis + 1).collect();
        let mut node = input;
        if !order.is_sorted() {
            node = self.part(name, Permute::new(order), &[node])?;
        }
        node = self.shaped(name, node, &[len(axes), 1, len(&kept)])?;
        if kind == "Min" {
            node = self.part(name, Rescaling::new(-1.0, 0.0), &[node])?;
        }
        let pooling: Layer = match kind {
            "Max" | "Min" => GlobalMaxPooling2D::new().into(),
            _ => GlobalAveragePooling2D::new().into(),
        };
        node = self.part(name, pooling, &[node])?;
        match kind {
            "Min" => node = self.part(name, Rescaling::new(-1.0, 0.0), &[node])?,
            "Sum" => node = self.part(name, Rescaling::new(len(axes) as f32, 0.0), &[node])?,
            _ => {}
        }
        let left: Vec<usize> = match keepdims {
            true => (0..sizes.len()).map(|axis| if axes.contains(&axis) { 1 } else { sizes[axis] }).collect(),
            false => kept.iter().map(|&axis| sizes[axis]).collect(),
        };
        // One number per sample is a vector of length one.
        let left = if left.is_empty() { vec![1] } else { left };
        let sizes: Vec<i64> = left.iter().map(|&size| size as i64).collect();
        let name = self.free_name(name);
        self.builder.add_named(name, Reshape::new(sizes), &[node])
    }

    fn shaped(&mut self, name: &str, node: usize, sizes: &[usize]) -> Result<usize> {
        if *self.builder.shape(node) == Shape::from(sizes) {
            return Ok(node);
        }
        let sizes: Vec<i64> = sizes.iter().map(|&size| size as i64).collect();
        self.part(name, Reshape::new(sizes), &[node])
    }

    /// Adds an intermediate layer with its own name.
    pub(super) fn part(&mut self, name: &str, layer: impl Into<Layer>, inputs: &[usize]) -> Result<usize> {
        let name = self.free_name(&format!("{name}_part"));
        self.builder.add_named(name, layer, inputs)
    }

    fn last(&mut self, name: &str, layer: impl Into<Layer>, inputs: &[usize]) -> Result<Option<usize>> {
        let name = self.free_name(name);
        self.builder.add_named(name, layer, inputs).map(Some)
    }
}
