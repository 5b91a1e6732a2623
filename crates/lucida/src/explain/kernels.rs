//! The kernels of a convolution as images: what a network has learned, as it is.

use super::sheet::{enlarged, hatched, paste, stack, zoom_to};
use crate::data::Image;
use crate::nn::{Network, Weight};
use crate::plot::{Cell, Colormap, Grid, Normalize, Scope, color_scale, kernel_maps, short_number};
use crate::{Error, Result};

/// The size to which a kernel is enlarged.
const KERNEL: usize = 48;
/// The width that a sheet has at most.
const SHEET: usize = 1200;
/// The width of the color scale.
const SCALE: usize = 400;

/// How kernels are shown.
#[derive(Debug, Clone, Copy)]
pub struct KernelStyle {
    /// The colors of kernels that are not over three channels; those are shown in color.
    pub colormap: Colormap,
    /// Whether equal colors are equal values in all kernels of the layer, or each kernel uses all colors.
    pub scope: Scope,
    /// Number of filters from the first on; `None` for all.
    pub filters: Option<usize>,
    /// Number of input channels from the first on; `None` for all.
    pub channels: Option<usize>,
}

impl Default for KernelStyle {
    /// Blue is negative, red positive; 32 filters, over 16 channels.
    fn default() -> Self {
        Self { colormap: Colormap::RdBuR, scope: Scope::Each, filters: Some(32), channels: Some(16) }
    }
}

/// The layers that have kernels to look at, in their order.
pub fn layers_with_kernels(network: &Network) -> Vec<&str> {
    let nodes = network.nodes().iter().enumerate();
    nodes.filter(|&(node, _)| kernel(network, node).is_some()).map(|(_, node)| node.name()).collect()
}

/// The kernels of a layer. Over one channel: each filter, side by side. Over three: each filter in color. Over more: a row
/// for each filter (several where the sheet would be too wide), a column for each input channel. Below is the color scale. A
/// filter whose kernel is zero everywhere is hatched.
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
/// [`Error::Argument`] when there is no such layer (the nearest name is suggested), or it has no kernels;
/// [`Error::Limit`] when the sheet would be too large.
pub fn kernel_sheet(network: &Network, layer: &str, style: &KernelStyle) -> Result<Image> {
    let node = network.find(layer)?;
    let Some((weight, shape)) = kernel(network, node) else {
        let others = layers_with_kernels(network);
        let class_name = network.nodes()[node].layer().class_name();
        let hint = match others.as_slice() {
            [] => "no layer of this network has kernels".to_owned(),
            some => format!("these have: {}", some.join(", ")),
        };
        return Err(Error::argument(format!("layer {layer} ({class_name}) has no kernels; {hint}")));
    };
    let [height, width, inputs, outputs] = shape;
    let filters = style.filters.unwrap_or(outputs).min(outputs);
    let channels = style.channels.unwrap_or(inputs).min(inputs);
    // The extents are those of all that there is, not of the part that is shown.
    let normalize = if inputs == 3 { Normalize::MinMax } else { Normalize::Symmetric };
    let maps = kernel_maps(weight.values(), shape, normalize, style.scope, style.colormap)?;
    let zoom = zoom_to(height.max(width), KERNEL);
    let dead = |filter: usize| weight.values().iter().skip(filter).step_by(outputs).all(|&value| value == 0.0);
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
        // Each filter begins a row.
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
        _ => stack(&[grid, scale(weight.values(), style)], 0, 0),
    }
}

/// A kernel enlarged, with a gray frame: its white must not be lost on the sheet's.
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

/// A layer's kernel, if it has one over images: (row, column, channel, filter).
fn kernel(network: &Network, node: usize) -> Option<(&Weight, [usize; 4])> {
    let weights = &network.weights()[network.nodes()[node].weights()];
    weights.iter().find_map(|weight| {
        let shape: [usize; 4] = weight.shape().try_into().ok()?;
        (shape.iter().product::<usize>() > 0).then_some((weight, shape))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::layers::{Conv2D, Flatten};
    use crate::nn::{Layer, applications};

    #[test]
    fn sheets_of_gray_color_and_deep_kernels() {
        let mut network = applications::mnist_cnn(2).unwrap();
        assert_eq!(layers_with_kernels(&network), ["conv2d", "conv2d_1", "conv2d_2"]);
        let style = KernelStyle::default();
        let whole = kernel_sheet(&network, "conv2d", &style).unwrap();
        assert!(whole.width() > 16 * 48 && whole.height() > 2 * 48);
        // Filter 0 loses its kernel.
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
        // The scale runs from blue to red below the kernels.
        let row = wide.height() - 14 - 18 - 5;
        let [blue, red] = [20, 400].map(|x| wide.pixel(x, row));
        assert!(blue[2] > blue[0] + 60 && red[0] > red[2] + 60, "{blue:?} {red:?}");

        let color = Network::sequential("color", [9, 9, 3], [Layer::from(Conv2D::new(4, [5, 3]))], 1).unwrap();
        assert!(kernel_sheet(&color, "conv2d", &style).unwrap().width() > 4 * 27);
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
