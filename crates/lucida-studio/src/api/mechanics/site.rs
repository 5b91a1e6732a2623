//! A convolution of a network: its shapes, and the indices of its values.

use lucida::nn::layers::Conv2D;
use lucida::nn::{Layer, Network};

use super::{CHANGES, ConvolutionRequest};
use crate::problem::{Problem, Result};

/// A convolution, its nodes and its shapes.
pub(super) struct ConvolutionSite<'a> {
    pub(super) conv: &'a Conv2D,
    pub(super) node: usize,
    pub(super) from: usize,
    pub(super) padding: [usize; 2],
    pub(super) input: [usize; 3],
    pub(super) output: [usize; 3],
}

impl<'a> ConvolutionSite<'a> {
    pub(super) fn find(network: &'a Network, node: usize) -> Result<Self> {
        let this = &network.nodes()[node];
        let (Layer::Conv2D(conv), &[from]) = (this.layer(), this.inputs()) else {
            return Err(Problem::invalid(format!(
                "{} is not a convolution: choose a convolutional layer",
                this.name()
            )));
        };
        if conv.groups != 1 || conv.dilation_rate != [1, 1] {
            let problem = "has groups or a dilation: choose a convolution over all channels and neighboring pixels";
            return Err(Problem::invalid(format!("{} {problem}", this.name())));
        }
        let shapes = network.nodes()[from].shape().as_image().zip(this.shape().as_image());
        let (input, output) = shapes.ok_or_else(|| Problem::invalid("the input of the layer is not an image"))?;
        let axis = |axis| conv.padding.resolve(axis, input[axis], conv.kernel_size[axis], conv.strides[axis]);
        let padding = axis(0).zip(axis(1)).map(|(rows, columns)| [rows.0, columns.0]);
        let padding = padding.ok_or_else(|| Problem::invalid("the kernel does not fit the input"))?;
        Ok(Self { conv, node, from, padding, input, output })
    }

    /// Returns the row and column of the input where the patch of a position begins.
    pub(super) fn corner(&self, position: [usize; 2]) -> [i64; 2] {
        [0, 1].map(|axis| (position[axis] * self.conv.strides[axis]) as i64 - self.padding[axis] as i64)
    }

    /// Returns a pixel of the input; zero in the padding.
    pub(super) fn pixel(&self, values: &[f32], at: [i64; 2], channel: usize) -> f32 {
        let inside = (0..self.input[0] as i64).contains(&at[0]) && (0..self.input[1] as i64).contains(&at[1]);
        let index = |at: [i64; 2]| (at[0] as usize * self.input[1] + at[1] as usize) * self.input[2] + channel;
        if inside { values[index(at)] } else { 0.0 }
    }

    pub(super) fn weight(&self, kernel: &[f32], [row, column]: [usize; 2], channel: usize, filter: usize) -> f32 {
        kernel[((row * self.conv.kernel_size[1] + column) * self.input[2] + channel) * self.output[2] + filter]
    }

    /// All [row, column] of the kernel, row by row.
    pub(super) fn places(&self) -> impl Iterator<Item = [usize; 2]> + use<> {
        let [rows, columns] = self.conv.kernel_size;
        (0..rows).flat_map(move |row| (0..columns).map(move |column| [row, column]))
    }

    pub(super) fn check(&self, request: &ConvolutionRequest) -> Result<()> {
        let [rows, columns] = self.conv.kernel_size;
        let [height, width, filters] = self.output;
        let fits = request.filter < filters
            && request.channel < self.input[2]
            && request.position[0] < height
            && request.position[1] < width
            && request.place[0] < rows
            && request.place[1] < columns
            && request.changes.len() <= CHANGES
            && request.changes.iter().all(|change| {
                change.row < rows
                    && change.column < columns
                    && change.channel < self.input[2]
                    && change.value.is_finite()
            });
        let channels = self.input[2];
        fits.then_some(()).ok_or_else(|| {
            Problem::invalid(format!(
                "there is no such place: the layer has {filters} maps of {height}x{width} and kernels of {rows}x{columns} \
                 over {channels} channels"
            ))
        })
    }
}
