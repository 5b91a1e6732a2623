//! Padding, pooling, resizing, and layers that rearrange values.

use lucida::nn::layers::{
    AdaptiveAveragePooling2D, AdaptiveMaxPooling2D, AveragePooling2D, CenterCrop, ChannelShuffle, Coordinates,
    Cropping2D, DepthOrder, DepthToSpace, GlobalAveragePooling2D, GlobalMaxPooling2D, Interpolation, Layer,
    MaxPooling2D, NearestMode, Pad2D, PadMode, Padding, Resize, Resizing, SpaceToDepth, UpSampling2D, ZeroPadding2D,
};
use lucida::nn::{Network, Shape};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::harness::{Case, cases};

/// Compares every case of a file with the corresponding `layer`.
fn check(file: &str, layer: impl Fn(&Case) -> Layer) {
    for case in cases(file) {
        case.check(&[], |shapes: &[Shape]| Network::sequential("one_layer", shapes[0].clone(), [layer(&case)], 1));
    }
}

fn unknown(case: &Case) -> Layer {
    panic!("{}: unknown operation {} of {}", case.name, case.op, case.framework)
}

/// Parses one number for all axes, or one each.
fn all<const N: usize>(value: &Value) -> [usize; N] {
    match value.as_u64() {
        Some(size) => [size as usize; N],
        None => of::<Vec<usize>>(value).try_into().unwrap(),
    }
}

/// Returns an argument, or its default.
fn or<const N: usize>(value: &Value, default: [usize; N]) -> [usize; N] {
    if value.is_null() { default } else { all(value) }
}

fn of<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_else(|problem| panic!("{value}: {problem}"))
}

fn flag(value: &Value, default: bool) -> bool {
    value.as_bool().unwrap_or(default)
}

#[test]
fn pad() {
    check("pad", |case| {
        let config = &case.config;
        match case.op.as_str() {
            "ZeroPadding2D" if config["padding"].is_u64() => ZeroPadding2D::new(all::<1>(&config["padding"])[0]).into(),
            "ZeroPadding2D" => ZeroPadding2D { padding: of(&config["padding"]) }.into(),
            "Cropping2D" => Cropping2D::new(of(&config["cropping"])).into(),
            "keras.ops.pad" => {
                let [_, rows, columns, _] = of::<[[i64; 2]; 4]>(&config["pad_width"]);
                Pad2D { padding: [rows, columns], mode: mode(config) }.into()
            }
            "pad" => {
                let [left, right, top, bottom] = of::<[i64; 4]>(&config["pad"]);
                Pad2D { padding: [[top, bottom], [left, right]], mode: mode(config) }.into()
            }
            _ => unknown(case),
        }
    });
}

fn mode(config: &Value) -> PadMode {
    match config["mode"].as_str().unwrap() {
        "constant" => PadMode::Constant(of(&config["value"])),
        mode => of(&mode.into()),
    }
}

#[test]
fn pool() {
    check("pool", |case| {
        let config = &case.config;
        let keras = case.framework == "keras";
        let size = all(&config[if keras { "pool_size" } else { "kernel_size" }]);
        let strides = all(&config[if keras { "strides" } else { "stride" }]);
        let padding = match config["padding"].as_str() {
            Some(name) => of(&name.into()),
            None => {
                let [rows, columns] = or(&config["padding"], [0, 0]);
                let [left, right, top, bottom] =
                    or(&config["pad_left_right_top_bottom"], [columns, columns, rows, rows]);
                Padding::Explicit([[top, bottom], [left, right]])
            }
        };
        let (dilation, ceil_mode) = (or(&config["dilation"], [1, 1]), flag(&config["ceil_mode"], false));
        match case.op.as_str() {
            "MaxPooling2D" | "MaxPool2d" => {
                MaxPooling2D { strides, padding, dilation, ceil_mode, ..MaxPooling2D::new(size) }.into()
            }
            "AveragePooling2D" | "AvgPool2d" => AveragePooling2D {
                strides,
                padding,
                ceil_mode,
                count_include_pad: flag(&config["count_include_pad"], !keras),
                divisor_override: config["divisor_override"].as_u64().map(|divisor| divisor as usize),
                ..AveragePooling2D::new(size)
            }
            .into(),
            _ => unknown(case),
        }
    });
}

#[test]
fn adaptive_pool() {
    check("adaptive_pool", |case| {
        let size = all(&case.config["output_size"]);
        match case.op.as_str() {
            "AdaptiveAvgPool2d" => AdaptiveAveragePooling2D::new(size).into(),
            "AdaptiveMaxPool2d" => AdaptiveMaxPooling2D::new(size).into(),
            _ => unknown(case),
        }
    });
}

#[test]
fn global_pool() {
    check("global_pool", |case| {
        let keepdims = flag(&case.config["keepdims"], false) || flag(&case.config["keepdim"], false);
        match case.op.as_str() {
            "GlobalAveragePooling2D" | "mean" => GlobalAveragePooling2D { keepdims }.into(),
            "GlobalMaxPooling2D" | "amax" => GlobalMaxPooling2D { keepdims }.into(),
            _ => unknown(case),
        }
    });
}

#[test]
fn pixel_shuffle() {
    check("pixel_shuffle", |case| {
        let size = |name: &str| all::<1>(&case.config[name])[0];
        match case.op.as_str() {
            "tf.nn.depth_to_space" => DepthToSpace::new(size("block_size")).into(),
            "tf.nn.space_to_depth" => SpaceToDepth::new(size("block_size")).into(),
            "PixelShuffle" => DepthToSpace::new(size("upscale_factor")).order(DepthOrder::ColumnFirst).into(),
            "PixelUnshuffle" => SpaceToDepth::new(size("downscale_factor")).order(DepthOrder::ColumnFirst).into(),
            _ => unknown(case),
        }
    });
}

#[test]
fn channel_shuffle() {
    check("channel_shuffle", |case| match case.op.as_str() {
        "ChannelShuffle" => ChannelShuffle::new(all::<1>(&case.config["groups"])[0]).into(),
        _ => unknown(case),
    });
}

#[test]
fn resize() {
    check("resize", |case| match (case.framework.as_str(), case.op.as_str()) {
        ("keras", _) => keras_resize(case),
        ("torch", "interpolate") => torch_resize(case),
        ("onnxruntime", "Resize") => onnx_resize(case),
        _ => unknown(case),
    });
}

fn keras_resize(case: &Case) -> Layer {
    let config = &case.config;
    let interpolation = || of(&config["interpolation"]);
    match case.op.as_str() {
        "UpSampling2D" => UpSampling2D::new(all(&config["size"])).interpolation(interpolation()).into(),
        "CenterCrop" => CenterCrop::new(of(&config["height"]), of(&config["width"])).into(),
        "Resizing" => Resizing {
            interpolation: interpolation(),
            antialias: flag(&config["antialias"], false),
            aspect_ratio: of(&json!(if flag(&config["crop_to_aspect_ratio"], false) { "crop" } else { "stretch" })),
            ..Resizing::new(of(&config["height"]), of(&config["width"]))
        }
        .into(),
        _ => unknown(case),
    }
}

/// PyTorch's `interpolate`. With `antialias`, bicubic interpolation uses Pillow's coefficient.
fn torch_resize(case: &Case) -> Layer {
    let config = &case.config;
    let resize = match config["scale_factor"].as_f64() {
        Some(factor) => Resize::by([factor as f32; 2]),
        None => Resize::to_size(all(&config["size"])),
    };
    let antialias = flag(&config["antialias"], false);
    let corners = flag(&config["align_corners"], false);
    let coordinates = if corners { Coordinates::AlignCorners } else { Coordinates::HalfPixel };
    let nearest =
        |coordinates, nearest| Resize { interpolation: Interpolation::Nearest, coordinates, nearest, ..resize };
    match config["mode"].as_str().unwrap() {
        "nearest" => nearest(Coordinates::Asymmetric, NearestMode::Floor),
        "nearest-exact" => nearest(Coordinates::HalfPixel, NearestMode::RoundPreferCeil),
        mode => Resize {
            interpolation: of(&mode.into()),
            coordinates,
            antialias,
            cubic_coefficient: if antialias { -0.5 } else { -0.75 },
            ..resize
        },
    }
    .into()
}

fn onnx_resize(case: &Case) -> Layer {
    let config = &case.config;
    let [.., height, width] = all::<4>(&config["sizes"]);
    let resize =
        Resize { coordinates: of(&config["coordinate_transformation_mode"]), ..Resize::to_size([height, width]) };
    match config["mode"].as_str().unwrap() {
        "nearest" => {
            Resize { interpolation: Interpolation::Nearest, nearest: of(&config["nearest_mode"]), ..resize }.into()
        }
        "linear" => resize.into(),
        "cubic" => {
            let cubic_coefficient = of(&config["cubic_coeff_a"]);
            Resize { interpolation: Interpolation::Bicubic, cubic_coefficient, ..resize }.into()
        }
        _ => unknown(case),
    }
}
