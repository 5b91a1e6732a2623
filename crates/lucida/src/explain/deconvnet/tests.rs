//! The deconvnet compared with a layer-by-layer implementation after the paper.

use super::*;
use crate::core::{Purpose, Rng};
use crate::nn::layers::{Conv2D, Conv2DTranspose, Dense, DepthwiseConv2D, Flatten, MaxPooling2D, Padding};
use crate::nn::{Layer, applications};

fn noise(len: usize) -> Vec<f32> {
    let mut rng = Rng::keyed(3, Purpose::Noise, 0);
    (0..len).map(|_| 2.0 * rng.uniform_f32() - 1.0).collect()
}

fn small() -> Network {
    let relu = ActivationKind::Relu;
    let layers: [Layer; 8] = [
        Conv2D::new(5, [3, 3]).padding(Padding::Same).activation(relu).into(),
        MaxPooling2D::default().into(),
        Conv2D::new(6, [3, 2]).activation(relu).into(),
        Conv2D::new(7, [3, 3]).padding(Padding::Same).strides([1, 2]).activation(relu).into(),
        MaxPooling2D::new([3, 3]).strides([2, 2]).padding(Padding::Same).into(),
        Conv2D::new(4, [2, 2]).activation(relu).into(),
        Flatten::new().into(),
        Dense::new(3).activation(ActivationKind::Softmax).into(),
    ];
    let mut network = Network::sequential("small", [20, 22, 3], layers, 5).unwrap();
    for weight in network.weights_mut().iter_mut().filter(|weight| weight.name().ends_with("bias")) {
        weight.values_mut().iter_mut().enumerate().for_each(|(i, value)| *value = 0.05 * (i % 3) as f32 - 0.03);
    }
    network
}

/// The forward pass of a layer, with what the projection needs: the switches of a pooling.
struct Up {
    output: Vec<f32>,
    switches: Vec<Option<usize>>,
}

fn at([_, width, channels]: [usize; 3], row: usize, column: usize, channel: usize) -> usize {
    (row * width + column) * channels + channel
}

/// The windows of an output pixel: for each position in the window, the pixel that it covers.
fn window(
    from: [usize; 3],
    place: [usize; 2],
    size: [usize; 2],
    strides: [usize; 2],
    padding: [usize; 2],
) -> Vec<([usize; 2], [usize; 2])> {
    let mut covered = Vec::new();
    for i in 0..size[0] {
        for j in 0..size[1] {
            let row = (place[0] * strides[0] + i).checked_sub(padding[0]).filter(|&row| row < from[0]);
            let column = (place[1] * strides[1] + j).checked_sub(padding[1]).filter(|&column| column < from[1]);
            if let (Some(row), Some(column)) = (row, column) {
                covered.push(([i, j], [row, column]));
            }
        }
    }
    covered
}

/// The windows of a layer: size, strides, and padding before, as in Keras.
fn geometry(layer: &Layer, from: [usize; 3]) -> ([usize; 2], [usize; 2], [usize; 2]) {
    let (size, strides, padding) = match layer {
        Layer::Conv2D(layer) => (layer.kernel_size, layer.strides, layer.padding),
        Layer::MaxPooling2D(layer) => (layer.pool_size, layer.strides, layer.padding),
        _ => unreachable!("no windows"),
    };
    let before = [0, 1].map(|axis| {
        let output = from[axis].div_ceil(strides[axis]);
        let needed = (output - 1) * strides[axis] + size[axis];
        if padding == Padding::Same { needed.saturating_sub(from[axis]) / 2 } else { 0 }
    });
    (size, strides, before)
}

fn up(network: &Network, node: usize, input: &[f32], from: [usize; 3]) -> Up {
    let layer = &network.nodes()[node];
    let to = layer.shape().as_image().unwrap();
    let (size, strides, padding) = geometry(layer.layer(), from);
    let mut output = vec![0.0; to.iter().product()];
    let mut switches = vec![None; output.len()];
    for row in 0..to[0] {
        for column in 0..to[1] {
            let covered = window(from, [row, column], size, strides, padding);
            for channel in 0..to[2] {
                let out = at(to, row, column, channel);
                if let Layer::MaxPooling2D(_) = layer.layer() {
                    let places = covered.iter().map(|&(_, [y, x])| at(from, y, x, channel));
                    let best = places.reduce(|best, place| if input[place] > input[best] { place } else { best });
                    switches[out] = best;
                    output[out] = input[best.unwrap()];
                    continue;
                }
                let kernel = network.weights()[layer.weights().start].values();
                let mut sum = f64::from(network.weights()[layer.weights().start + 1].values()[channel]);
                for &([i, j], [y, x]) in &covered {
                    for c in 0..from[2] {
                        let weight = kernel[((i * size[1] + j) * from[2] + c) * to[2] + channel];
                        sum += f64::from(weight) * f64::from(input[at(from, y, x, c)]);
                    }
                }
                output[out] = sum.max(0.0) as f32;
            }
        }
    }
    Up { output, switches }
}

/// The projection through one layer: unpool by the switches, or rectify and convolve with the transposed kernels.
fn down(network: &Network, node: usize, up: &Up, from: [usize; 3], signal: &[f32]) -> Vec<f32> {
    let layer = &network.nodes()[node];
    let to = layer.shape().as_image().unwrap();
    let (size, strides, padding) = geometry(layer.layer(), from);
    let mut below = vec![0.0; from.iter().product()];
    if let Layer::MaxPooling2D(_) = layer.layer() {
        for (value, switch) in signal.iter().zip(&up.switches) {
            below[switch.unwrap()] += value;
        }
        return below;
    }
    let kernel = network.weights()[layer.weights().start].values();
    for row in 0..to[0] {
        for column in 0..to[1] {
            for ([i, j], [y, x]) in window(from, [row, column], size, strides, padding) {
                for c in 0..from[2] {
                    for channel in 0..to[2] {
                        let rectified = signal[at(to, row, column, channel)].max(0.0);
                        let weight = kernel[((i * size[1] + j) * from[2] + c) * to[2] + channel];
                        below[at(from, y, x, c)] += rectified * weight;
                    }
                }
            }
        }
    }
    below
}

/// The projection as described in the paper, and the projected activation.
fn by_hand(network: &Network, layer: usize, target: Target, input: &[f32]) -> (f32, Vec<f32>) {
    let shape = |node: usize| network.nodes()[node].shape().as_image().unwrap();
    let mut ups: Vec<Up> = vec![Up { output: input.to_vec(), switches: Vec::new() }];
    for node in 1..=layer {
        ups.push(up(network, node, &ups[node - 1].output, shape(node - 1)));
    }
    let position = target.position.unwrap();
    let place = at(shape(layer), position[0], position[1], target.filter);
    let activation = ups[layer].output[place];
    let mut signal = vec![0.0; ups[layer].output.len()];
    signal[place] = activation;
    for node in (1..=layer).rev() {
        signal = down(network, node, &ups[node], shape(node - 1), &signal);
    }
    (activation, signal)
}

#[test]
fn it_is_the_rectified_pass_backward_layer_by_layer() {
    let network = small();
    let input = noise(20 * 22 * 3);
    let mut compared = 0;
    for node in 1..=6 {
        let name = network.nodes()[node].name();
        let mut deconvnet = Deconvnet::new(&network, name, 3, Cpu::detect()).unwrap();
        let [height, width, channels] = deconvnet.field().layout();
        let positions = [[0, 0], [height - 1, width - 1], [height / 2, width / 2]];
        for filter in 0..channels {
            let targets = positions.map(|position| Target { filter, position: Some(position) });
            let got = deconvnet.project(&network, &[input.as_slice(); 3], &targets).unwrap();
            for (projection, target) in got.iter().zip(targets) {
                let (activation, expected) = by_hand(&network, node, target, &input);
                assert!((projection.activation - activation).abs() <= 1e-5, "{name} {target:?}");
                assert_eq!(Some(projection.position), target.position);
                let largest = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
                for (&a, &b) in projection.values.iter().zip(&expected) {
                    assert!((a - b).abs() <= 1e-5 * largest.max(1e-3), "{name} {target:?}: {a}, by hand {b}");
                }
                compared += usize::from(largest > 0.0);
            }
        }
    }
    assert!(compared > 40, "{compared}");
}

#[test]
fn a_projection_stays_in_its_field_and_the_strongest_is_chosen() {
    let network = applications::mnist_cnn(4).unwrap();
    let input: Vec<f32> = noise(784).iter().map(|value| value.abs()).collect();
    let mut deconvnet = Deconvnet::new(&network, "conv2d_2", 64, Cpu::detect()).unwrap();
    let layout = deconvnet.field().layout();
    let values = deconvnet.activations(&network, &input).unwrap().to_vec();
    for (filter, first) in (0..layout[2]).map(|filter| (filter, strongest(&values, layout, filter))) {
        let target = Target { filter, position: None };
        let projection = deconvnet.project(&network, &[&input], &[target]).unwrap().remove(0);
        assert_eq!((projection.position, projection.activation), first);
        let most = values[filter..].iter().step_by(layout[2]).fold(0.0_f32, |most, &value| most.max(value));
        assert_eq!(projection.activation, most);
        let field = deconvnet.field().at(projection.position).unwrap();
        let inside = |index: usize| {
            let (row, column) = ((index / 28) as i64, (index % 28) as i64);
            (field.rows.start..field.rows.end).contains(&row)
                && (field.columns.start..field.columns.end).contains(&column)
        };
        assert!(projection.values.iter().enumerate().all(|(index, &value)| value == 0.0 || inside(index)));
        assert_eq!(projection.values.iter().any(|&value| value != 0.0), most > 0.0);
    }
    let filters = strongest_filters(&values, layout, 5);
    let strengths: Vec<f32> = filters.iter().map(|&filter| strongest(&values, layout, filter).1).collect();
    assert!(strengths.is_sorted_by(|a, b| a >= b));
    let greatest = values.iter().fold(0.0_f32, |most, &value| most.max(value));
    assert_eq!(strengths[0], greatest);
}

#[test]
fn classes_are_projected_from_before_the_softmax() {
    let network = applications::mnist_cnn(4).unwrap();
    let mut deconvnet = Deconvnet::new(&network, "dense_1", 1, Cpu::detect()).unwrap();
    let input: Vec<f32> = noise(784).iter().map(|value| value.abs()).collect();
    let sum: f32 = deconvnet.activations(&network, &input).unwrap().iter().sum();
    assert!((sum - 1.0).abs() > 1e-3, "these are probabilities");
    assert!(deconvnet.project(&network, &[&input], &[Target { filter: 9, position: Some([0, 0]) }]).is_ok());
}

#[test]
fn peaks_are_higher_than_their_neighbors() {
    let values = [1.0, 0.0, 3.0, 0.0, 0.0, 0.0, 2.0, 2.0, f32::NAN, 0.0, 0.0, 0.0];
    assert_eq!(peaks(&values, [3, 4, 1], 0, 9), [[0, 2], [0, 0]]);
    assert_eq!(peaks(&values, [3, 4, 1], 0, 1), [[0, 2]]);
    assert!(peaks(&[0.0; 4], [2, 2, 1], 0, 9).is_empty());
    assert_eq!(peaks(&[5.0, 5.0, 5.0, 5.0], [2, 2, 1], 0, 9), [[0, 0]]);
}

#[test]
fn mistakes_are_refused() {
    let network = applications::mnist_cnn(4).unwrap();
    let result = |layer: &str| Deconvnet::new(&network, layer, 2, Cpu::detect());
    assert!(result("conv2d_7").unwrap_err().to_string().contains("did you mean \"conv2d_"));
    assert!(result("input_layer").unwrap_err().to_string().contains("is the input"));
    let mut deconvnet = result("conv2d").unwrap();
    let input = vec![0.0; 784];
    let mut refused = |inputs: &[&[f32]], filter: usize, position| {
        deconvnet.project(&network, inputs, &[Target { filter, position }]).unwrap_err().to_string()
    };
    assert!(refused(&[&input], 24, None).contains("layer conv2d has no filter 24: its filters are 0 to 23"));
    assert!(refused(&[&input], 0, Some([28, 0])).contains("(28, 0)"));
    assert!(refused(&[&input[1..]], 0, None).contains("783"));
    assert!(refused(&[], 0, None).contains("0 images"));
}

/// The plan stays within its memory limit, but holds at least one image.
#[test]
fn the_batch_is_bounded_by_memory() {
    let network = applications::find("vgg16").unwrap().build(&applications::Options::without_top()).unwrap();
    let deconvnet = Deconvnet::new(&network, "block2_conv1", 1000, Cpu::detect()).unwrap();
    assert!((1..64).contains(&deconvnet.capacity()), "{}", deconvnet.capacity());
    assert!(deconvnet.plan.memory() <= MEMORY);
}

/// A grouped or depthwise convolution equals a full one with zeros in its kernel, a transposed one with stride 1 equals one
/// with a flipped kernel: their projections are the same.
#[test]
fn other_convolutions_project_as_plain_ones_that_compute_the_same() {
    let relu = ActivationKind::Relu;
    let conv = |filters| Conv2D::new(filters, [3, 3]).padding(Padding::Same).activation(relu);
    let others: [Layer; 4] = [
        conv(4).into(),
        conv(6).groups(2).into(),
        DepthwiseConv2D::new([3, 3]).padding(Padding::Same).activation(relu).into(),
        Conv2DTranspose::new(5, [3, 3]).padding(Padding::Same).activation(relu).into(),
    ];
    let plain: [Layer; 4] = [conv(4).into(), conv(6).into(), conv(6).into(), conv(5).into()];
    let other = Network::sequential("other", [8, 9, 2], others, 5).unwrap();
    let mut network = Network::sequential("plain", [8, 9, 2], plain, 5).unwrap();
    let kernels: Vec<Vec<f32>> = [0, 2, 4, 6].map(|index| other.weights()[index].values().to_vec()).into();
    let fill = |weight: &mut Vec<f32>, channels: usize, filters: usize, value: &dyn Fn([usize; 3]) -> f32| {
        for (index, weight) in weight.iter_mut().enumerate() {
            *weight = value([index / filters / channels, index / filters % channels, index % filters]);
        }
    };
    type Expanded<'a> = Box<dyn Fn([usize; 3]) -> f32 + 'a>;
    let expanded: [(usize, usize, Expanded); 4] = [
        (2, 4, Box::new(|[tap, c, f]| kernels[0][(tap * 2 + c) * 4 + f])),
        (4, 6, Box::new(|[tap, c, f]| if c / 2 == f / 3 { kernels[1][(tap * 2 + c % 2) * 6 + f] } else { 0.0 })),
        (6, 6, Box::new(|[tap, c, f]| if c == f { kernels[2][tap * 6 + c] } else { 0.0 })),
        (6, 5, Box::new(|[tap, c, f]| kernels[3][((8 - tap) * 5 + f) * 6 + c])),
    ];
    for (layer, (channels, filters, value)) in expanded.iter().enumerate() {
        let mut values = network.weights()[2 * layer].values().to_vec();
        fill(&mut values, *channels, *filters, value);
        network.weights_mut()[2 * layer].values_mut().copy_from_slice(&values);
    }
    let input = noise(8 * 9 * 2);
    let project = |network: &Network| {
        let last = network.output().unwrap().name();
        let mut deconvnet = Deconvnet::new(network, last, 5, Cpu::detect()).unwrap();
        let targets = [0, 1, 2, 3, 4].map(|filter| Target { filter, position: Some([4, 3]) });
        deconvnet.project(network, &[input.as_slice(); 5], &targets).unwrap()
    };
    let mut active = 0;
    for (a, b) in project(&other).iter().zip(&project(&network)) {
        assert!((a.activation - b.activation).abs() < 1e-5);
        let largest = b.values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        active += usize::from(largest > 0.0);
        assert!(a.values.iter().zip(&b.values).all(|(a, b)| (a - b).abs() <= 1e-5 * largest.max(1e-3)));
    }
    assert!(active > 1, "{active}");
}
