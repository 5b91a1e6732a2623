//! Axis orders: channels-first in PyTorch, channels-last in Keras.
//!
//! | | PyTorch | here |
//! | --- | --- | --- |
//! | kernel of a convolution | (filter, channel, row, column) | (row, column, channel, filter) |
//! | kernel of a depthwise convolution | (filter, 1, row, column) | (row, column, channel, multiplier) |
//! | kernel of a transposed convolution | (channel, filter, row, column) | (row, column, filter, channel) |
//! | kernel of a dense layer | (unit, feature) | (feature, unit) |
//! | features of a flattened image | channel, row, column | row, column, channel |
//!
//! So a kernel matrix is transposed, (output, input) to (input, output), and if its inputs are the values of an image or of
//! a window, they are transposed as well, (channel, pixel) to (pixel, channel). A large kernel is converted in pieces, so
//! that it is never in memory twice.

/// Maximum number of values buffered for a piece.
const PIECE: usize = 1 << 21;
/// Maximum number of outputs per piece, whose values are written next to each other.
const MOST_ROWS: usize = 64;

/// The order of the values of a PyTorch tensor here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::weights) enum Layout {
    /// Unchanged.
    Same,
    /// (output, channel, pixel) in PyTorch, (pixel, channel, output) here.
    Turned { outputs: usize, channels: usize, pixels: usize },
}

impl Layout {
    /// The number of outputs converted at once, and of values for each.
    fn piece(self) -> (usize, usize) {
        match self {
            Self::Same => (1, 1),
            Self::Turned { outputs, channels, pixels } => {
                let row = channels * pixels;
                ((PIECE / row.max(1)).clamp(1, MOST_ROWS).min(outputs.max(1)), row)
            }
        }
    }

    /// For the inputs in PyTorch's order, their positions here in a row of inputs.
    fn inputs(channels: usize, pixels: usize) -> impl Iterator<Item = usize> {
        (0..channels).flat_map(move |channel| (0..pixels).map(move |pixel| pixel * channels + channel))
    }

    /// Passes on values in PyTorch's order, in pieces.
    pub(in crate::weights) fn to_torch<E>(
        self,
        values: &[f32],
        mut take: impl FnMut(&[f32]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Self::Turned { outputs, channels, pixels } = self else { return take(values) };
        let (rows, row) = self.piece();
        let mut piece = vec![0.0; rows * row];
        for first in (0..outputs).step_by(rows) {
            let count = rows.min(outputs - first);
            for (there, here) in Self::inputs(channels, pixels).enumerate() {
                let from = &values[here * outputs + first..][..count];
                for (output, &value) in from.iter().enumerate() {
                    piece[output * row + there] = value;
                }
            }
            take(&piece[..count * row])?;
        }
        Ok(())
    }
}

/// Receives values in PyTorch's order, in pieces, and stores them in the order used here.
pub(super) struct Filling<'a> {
    layout: Layout,
    to: &'a mut [f32],
    /// The number of values stored.
    done: usize,
    /// Values waiting for the rest of their piece.
    waiting: Vec<f32>,
}

impl<'a> Filling<'a> {
    pub(super) fn new(layout: Layout, to: &'a mut [f32]) -> Self {
        Self { layout, to, done: 0, waiting: Vec::new() }
    }

    /// Receives the next values; excess ones are ignored.
    pub(super) fn take(&mut self, mut values: &[f32]) {
        let Layout::Turned { outputs, .. } = self.layout else {
            let len = values.len().min(self.to.len() - self.done);
            self.to[self.done..self.done + len].copy_from_slice(&values[..len]);
            self.done += len;
            return;
        };
        let (rows, row) = self.layout.piece();
        while !values.is_empty() && row > 0 && self.done < self.to.len() {
            let count = rows.min(outputs - self.done / row);
            let wanted = (count * row - self.waiting.len()).min(values.len());
            self.waiting.extend_from_slice(&values[..wanted]);
            values = &values[wanted..];
            if self.waiting.len() == count * row {
                self.turn(count, row);
            }
        }
    }

    /// Stores a piece of `count` outputs.
    fn turn(&mut self, count: usize, row: usize) {
        let Layout::Turned { outputs, channels, pixels } = self.layout else { return };
        let first = self.done / row;
        for (there, here) in Layout::inputs(channels, pixels).enumerate() {
            let to = &mut self.to[here * outputs + first..][..count];
            for (output, value) in to.iter_mut().enumerate() {
                *value = self.waiting[output * row + there];
            }
        }
        self.waiting.clear();
        self.done += count * row;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_where_they_belong_and_come_back() {
        for [outputs, channels, pixels] in [[1, 1, 1], [2, 3, 4], [150, 7, 9], [65, 1, 6], [3, 2, 1], [64, 5, 2]] {
            let layout = Layout::Turned { outputs, channels, pixels };
            let torch: Vec<f32> = (0..outputs * channels * pixels).map(|i| i as f32).collect();
            let mut here = vec![-1.0; torch.len()];
            let mut filling = Filling::new(layout, &mut here);
            torch.chunks(13).for_each(|values| filling.take(values));
            for output in 0..outputs {
                for channel in 0..channels {
                    for pixel in 0..pixels {
                        let value = torch[(output * channels + channel) * pixels + pixel];
                        assert_eq!(here[(pixel * channels + channel) * outputs + output], value);
                    }
                }
            }
            let mut back = Vec::new();
            let keep = |values: &[f32]| {
                back.extend_from_slice(values);
                Ok::<(), ()>(())
            };
            layout.to_torch(&here, keep).unwrap();
            assert_eq!(back, torch);
        }
    }

    #[test]
    fn too_many_values_and_none_do_no_harm() {
        let mut here = vec![0.0; 4];
        let mut filling = Filling::new(Layout::Turned { outputs: 2, channels: 2, pixels: 1 }, &mut here);
        filling.take(&[]);
        filling.take(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        filling.take(&[6.0]);
        assert_eq!(here, [1.0, 3.0, 2.0, 4.0]);
    }
}
