//! The sizes of a convolution, and the passes it is prepared for.

/// The sizes of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dShape {
    /// Input height in pixels.
    pub height: usize,
    /// Input width in pixels.
    pub width: usize,
    /// Input channels.
    pub channels: usize,
    /// Output channels.
    pub filters: usize,
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Vertical and horizontal stride.
    pub strides: [usize; 2],
    /// Vertical and horizontal dilation: the distance between neighboring taps of the kernel, in pixels; 1 for a plain
    /// convolution.
    pub dilation: [usize; 2],
    /// Number of groups that channels and filters are split into, in order; each filter is over the channels of its group
    /// only. Must divide both. The kernel has `channels / groups` input channels. Equal to `channels` for a depthwise
    /// convolution.
    pub groups: usize,
    /// Zero padding at the top and left; that at the bottom and right follows from the output size.
    pub padding: [usize; 2],
    /// Output height and width.
    pub output: [usize; 2],
}

impl Conv2dShape {
    /// A dense layer.
    pub fn dense(inputs: usize, units: usize) -> Self {
        Self {
            height: 1,
            width: 1,
            channels: inputs,
            filters: units,
            kernel: [1, 1],
            strides: [1, 1],
            dilation: [1, 1],
            groups: 1,
            padding: [0, 0],
            output: [1, 1],
        }
    }

    /// The same with strides no larger than the image, its border and the kernel together: a window that is farther away
    /// reads zeros alone as well. The direct pass to the input has a part for each position modulo the strides.
    pub(super) fn with_near_windows(self) -> Self {
        let size = [self.height, self.width];
        let strides = [0, 1].map(|axis| {
            let reach = self.kernel[axis].saturating_sub(1).saturating_mul(self.dilation[axis]).saturating_add(1);
            self.strides[axis].min(size[axis].saturating_add(self.padding[axis]).saturating_add(reach))
        });
        Self { strides, ..self }
    }

    /// Floats of one input image.
    pub fn input_len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Floats of one output image.
    pub fn output_len(&self) -> usize {
        self.output[0] * self.output[1] * self.filters
    }

    /// Floats of the kernel.
    pub fn kernel_len(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.group_channels() * self.filters
    }

    /// Input channels of a group.
    pub(crate) fn group_channels(&self) -> usize {
        self.channels / self.groups
    }

    /// Filters of a group.
    pub(crate) fn group_filters(&self) -> usize {
        self.filters / self.groups
    }
}

/// The passes that a [`Conv2d`](super::Conv2d) is prepared for, in addition to the forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conv2dGradients {
    /// The gradient with respect to the input.
    pub input: bool,
    /// The gradient with respect to the kernel.
    pub kernel: bool,
}
