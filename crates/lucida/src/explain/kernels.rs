//! Convolution kernels as images.

use std::borrow::Cow;

use super::sheet::{enlarged, hatched, paste, stack, zoom_to};
use crate::data::Image;
use crate::nn::layers::shape_in_groups;
use crate::nn::{Layer, Network};
use crate::plot::{Cell, Colormap, Grid, Normalize, Scope, color_scale, kernel_maps, short_number};
use crate::{Error, Result};

/// The size to which a kernel is enlarged.
const KERNEL: usize = 48;
/// The maximum width of a sheet.
const SHEET: usize = 1200;
/// The width of the color scale.
const SCALE: usize = 400;

/// The style of a kernel sheet.
#[derive(Debug, Clone, Copy)]
pub struct KernelStyle {
    /// The color map of kernels, unless they have three input channels, which are shown as RGB.
    pub colormap: Colormap,
    /// Whether the color range is shared by all kernels of the layer, or each kernel has its own.
    pub scope: Scope,
    /// The number of filters, starting at the first; `None` for all.
    pub filters: Option<usize>,
    /// The number of input channels, starting at the first; `None` for all.
    pub channels: Option<usize>,
}

impl Default for KernelStyle {
    /// Negative is blue, positive is red; 32 filters with 16 channels.
    fn default() -> Self {
        Self { colormap: Colormap::RdBuR, scope: Scope::Each, filters: Some(32), channels: Some(16) }
    }
}

/// The layers that have convolution kernels, in network order.
pub fn layers_with_kernels(network: &Network) -> Vec<&str> {
    let nodes = network.nodes().iter().enumerate();
    nodes.filter(|&(node, _)| kernel(network, node).is_some()).map(|(_, node)| node.name()).collect()
}

/// A sheet of the kernels of a layer. With one input channel: all filters side by side. With three: all filters in color.
/// With more: a row for each filter (several if the sheet would be too wide), a column for each input channel. The color
/// scale is below. A filter whose kernel is zero is hatched.
///
/// ```
/// use lucida::explain::{KernelStyle, kernel_sheet, layers_with_kernels};
/// use lucida::prelude::*;
///
/// let network = applications::mnist_cnn(42)?;
/// assert_eq!(layers_with_kernels(&network), ["conv2d", "conv2d_1", "conv2d_2"]);
/// let sheet = kernel_sheet(&network, "conv2d", &KernelStyle::default())?;
/// assert_eq!(sheet.channels(), 3);
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] when the layer does not exist (the nearest name is suggested) or has no kernels; [`Error::Limit`]
/// when the sheet would be too large.
pub fn kernel_sheet(network: &Network, layer: &str, style: &KernelStyle) -> Result<Image> {
    let node = network.find(layer)?;
    let Some((values, shape)) = kernel(network, node) else {
        let others = layers_with_kernels(network);
        let class_name = network.nodes()[node].layer().class_name();
        let hint = match others.as_slice() {
            [] => "no layer of this network has kernels".to_owned(),
            some => format!("these have: {}", some.join(", ")),
        };
        return Err(Error::argument(format!("layer {layer} ({class_name}) has no kernels; {hint}")));
    };
    let [height, width, inputs, outputs] = shape;
    let values = values.as_ref();
    let filters = style.filters.unwrap_or(outputs).min(outputs);
    let channels = style.channels.unwrap_or(inputs).min(inputs);
    // The range is that of all kernels, not only of those shown.
    let normalize = if inputs == 3 { Normalize::MinMax } else { Normalize::Symmetric };
    let maps = kernel_maps(values, shape, normalize, style.scope, style.colormap)?;
    let zoom = zoom_to(height.max(width), KERNEL);
    let dead = |filter: usize| values.iter().skip(filter).step_by(outputs).all(|&value| value == 0.0);
    let per_filter = if inputs == 3 { 1 } else { inputs };
    let alone = per_filter == 1;
    let columns = (SHEET / (width * zoom + 20)).clamp(1, 16);
    let columns = if alone { columns } else { channels.min(columns) };
    let mut cells = Vec::new();
    for filter in 0..filters {
        for input in 0..per_filter.min(channels) {
            let (image, remark) = match dead(filter) {
                true => (hatched(width, height, zoom), " dead"),
                false => (maps[filter * per_filter + input].clone(), ""),
            };
            let image = framed(&image, zoom)?;
            cells.push(match alone {
                true => Cell::new(image).caption(format!("{filter}{remark}")),
                false => Cell::new(image).caption(format!("{filter} · {input}{remark}")),
            });
        }
        // Each filter starts a row.
        while !alone && cells.len() % columns != 0 {
            cells.push(Cell::new(Image::filled(1, 1, &[255; 3])));
        }
    }
    let part = |shown: usize, all: usize, what: &str| {
        if shown < all { format!(", {shown} of {all} {what}") } else { String::new() }
    };
    let mut title = format!("{layer}  {width}x{height}, {outputs} filters over {inputs} channels");
    title += &part(filters, outputs, "filters");
    if !alone {
        title += &part(channels, inputs, "channels");
    }
    let grid = Grid::new(cells).columns(columns).margin(8).padding(14).text_size(10.0).title(title).render()?;
    match inputs {
        3 => Ok(grid),
        _ => stack(&[grid, scale(values, style)], 0, 0),
    }
}

/// An enlarged kernel with a gray frame, because its white would blend with the sheet's.
fn framed(kernel: &Image, zoom: usize) -> Result<Image> {
    let kernel = enlarged(&kernel.to_rgb(), zoom)?;
    let mut framed = Image::filled(kernel.width() + 2, kernel.height() + 2, &[190, 195, 202]);
    paste(&mut framed, &kernel, 1, 1);
    Ok(framed)
}

/// The color scale of a sheet, with the padding of its grid.
fn scale(values: &[f32], style: &KernelStyle) -> Image {
    let most = values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    let (least, most) = match style.scope {
        Scope::Shared => (short_number(-most), short_number(most)),
        Scope::Each => ("-max".to_owned(), "max of |weight| in each kernel".to_owned()),
    };
    let scale = color_scale(SCALE, [255; 3], |part| style.colormap.rgb(part), [&least, "0", &most]);
    let mut padded = Image::filled(scale.width() + 2 * 14, scale.height() + 14, &[255; 3]);
    paste(&mut padded, &scale, 14, 0);
    padded
}

/// The kernel of a layer, if it is a 2D convolution: `[height, width, channels per group, filters]`.
fn kernel(network: &Network, node: usize) -> Option<(Cow<'_, [f32]>, [usize; 4])> {
    let node = &network.nodes()[node];
    let weights = &network.weights()[node.weights()];
    weights.iter().find_map(|weight| {
        let shape: [usize; 4] = shape_in_groups(node.layer(), weight).try_into().ok()?;
        if shape.contains(&0) {
            return None;
        }
        Some(match node.layer() {
            Layer::Conv2DTranspose(conv) => by_filters(weight.values(), shape, conv.groups),
            _ => (weight.values().into(), shape),
        })
    })
}

/// Reorders the kernel of a transposed convolution, `[height, width, filters per group, channels]`, to that of other
/// convolutions.
fn by_filters(
    values: &[f32],
    [rows, columns, outputs, inputs]: [usize; 4],
    groups: usize,
) -> (Cow<'static, [f32]>, [usize; 4]) {
    let (inputs, filters) = (inputs / groups, outputs * groups);
    let value = |index: usize| {
        let (tap, channel, filter) = (index / filters / inputs, index / filters % inputs, index % filters);
        let (group, output) = (filter / outputs, filter % outputs);
        values[(tap * outputs + output) * inputs * groups + group * inputs + channel]
    };
    ((0..values.len()).map(value).collect(), [rows, columns, inputs, filters])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::applications;
    use crate::nn::layers::{Conv2D, Conv2DTranspose, DepthwiseConv2D, Flatten};

    #[test]
    fn sheets_of_gray_color_and_deep_kernels() {
        let mut network = applications::mnist_cnn(2).unwrap();
        assert_eq!(layers_with_kernels(&network), ["conv2d", "conv2d_1", "conv2d_2"]);
        let style = KernelStyle::default();
        let whole = kernel_sheet(&network, "conv2d", &style).unwrap();
        assert!(whole.width() > 16 * 48 && whole.height() > 2 * 48);
        // The kernel of filter 0 is zeroed.
        let values = network.weights_mut()[0].values_mut();
        values.iter_mut().step_by(24).for_each(|value| *value = 0.0);
        let dead = kernel_sheet(&network, "conv2d", &style).unwrap();
        assert_ne!(dead, whole);
        let deep = kernel_sheet(&network, "conv2d_1", &KernelStyle { filters: Some(3), ..style }).unwrap();
        assert!(deep.width() > 16 * 48 && deep.height() < 4 * 80, "{}x{}", deep.width(), deep.height());
        let all = KernelStyle { filters: None, channels: None, scope: Scope::Shared, ..style };
        let wide = kernel_sheet(&network, "conv2d_2", &all).unwrap();
        assert!(wide.height() > 64 * 48 && wide.width() <= SHEET, "{} wide", wide.width());
        assert_eq!(wide.pixel(2, 2), [255; 3], "white ground, as all sheets");
        // The color scale, from blue to red, is below the kernels.
        let row = wide.height() - 14 - 18 - 5;
        let [blue, red] = [20, 400].map(|x| wide.pixel(x, row));
        assert!(blue[2] > blue[0] + 60 && red[0] > red[2] + 60, "{blue:?} {red:?}");

        let color = Network::sequential("color", [9, 9, 3], [Layer::from(Conv2D::new(4, [5, 3]))], 1).unwrap();
        assert!(kernel_sheet(&color, "conv2d", &style).unwrap().width() > 4 * 27);
    }

    #[test]
    fn kernels_of_other_convolutions_are_by_filters_over_channels() {
        let layers = [
            Layer::from(DepthwiseConv2D::new([3, 3]).depth_multiplier(2)),
            Conv2DTranspose::new(6, [2, 2]).groups(2).into(),
        ];
        let mut network = Network::sequential("other", [9, 9, 4], layers, 1).unwrap();
        let (_, shape) = kernel(&network, 1).unwrap();
        assert_eq!(shape, [3, 3, 1, 8], "each filter over one channel");
        // `[height, width, filters per group, channels]`: filter 4 is the second of group 1, whose channels are 4 to 7.
        let index = network.weights().iter().position(|weight| weight.name() == "conv2d_transpose/kernel").unwrap();
        let values = network.weights_mut()[index].values_mut();
        values.fill(0.0);
        values[(3 * 3 + 1) * 8 + 4 + 2] = 1.0;
        let (values, shape) = kernel(&network, 2).unwrap();
        assert_eq!(shape, [2, 2, 4, 6]);
        assert_eq!(values.iter().position(|&value| value == 1.0), Some((3 * 4 + 2) * 6 + 4));
        assert!(kernel_sheet(&network, "conv2d_transpose", &KernelStyle::default()).is_ok());
    }

    #[test]
    fn layers_without_kernels_are_refused_and_others_named() {
        let network = applications::mnist_cnn(2).unwrap();
        let refused = |layer: &str| kernel_sheet(&network, layer, &KernelStyle::default()).unwrap_err().to_string();
        let message = refused("dense");
        assert!(message.contains("dense (Dense)") && message.contains("conv2d, conv2d_1, conv2d_2"), "{message}");
        assert!(refused("conv2d_3").contains("did you mean \"conv2d_"));
        let flat = Network::sequential("flat", [4, 4, 1], [Layer::from(Flatten::new())], 1).unwrap();
        assert!(layers_with_kernels(&flat).is_empty());
        assert!(kernel_sheet(&flat, "flatten", &KernelStyle::default()).is_err());
    }
}
