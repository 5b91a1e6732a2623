//! Converting LiteRT's operators to ONNX.
//!
//! Quantized activations are computed in 32-bit floats. The range of a quantized type is not emulated, because a score
//! outside of it would have no gradient; but a quantized output that cannot be negative implies a ReLU, which older
//! converters leave to the range.

use super::flatbuffer::Table;
use super::graph::{Builder, CHANNELS_FIRST, CHANNELS_LAST};
use super::parts;
use super::schema::{Operation, Pattern};
use crate::nn::onnx_graph::{OnnxAttribute, OnnxAttributes, OnnxValues};
use crate::weights::onnx::{Fault, ImportResult, unsupported};

/// The supported operators by number, with their conversion.
const OPERATORS: &[(i32, &str, Conversion)] = &[
    (0, "ADD", Conversion::Binary("Add")),
    (1, "AVERAGE_POOL_2D", Conversion::Own(pool)),
    (2, "CONCATENATION", Conversion::Own(concatenation)),
    (3, "CONV_2D", Conversion::Own(convolution)),
    (4, "DEPTHWISE_CONV_2D", Conversion::Own(depthwise)),
    (5, "DEPTH_TO_SPACE", Conversion::Own(depth)),
    (6, "DEQUANTIZE", Conversion::Same("Identity")),
    (9, "FULLY_CONNECTED", Conversion::Own(fully_connected)),
    (11, "L2_NORMALIZATION", Conversion::Own(unit)),
    (14, "LOGISTIC", Conversion::Same("Sigmoid")),
    (17, "MAX_POOL_2D", Conversion::Own(pool)),
    (18, "MUL", Conversion::Binary("Mul")),
    (19, "RELU", Conversion::Same("Relu")),
    (20, "RELU_N1_TO_1", Conversion::Clip(-1.0, 1.0)),
    (21, "RELU6", Conversion::Clip(0.0, 6.0)),
    (22, "RESHAPE", Conversion::Own(parts::reshape)),
    (23, "RESIZE_BILINEAR", Conversion::Own(resize)),
    (25, "SOFTMAX", Conversion::Own(softmax)),
    (26, "SPACE_TO_DEPTH", Conversion::Own(depth)),
    (28, "TANH", Conversion::Same("Tanh")),
    (34, "PAD", Conversion::Own(parts::pad)),
    (36, "GATHER", Conversion::Own(parts::gather)),
    (39, "TRANSPOSE", Conversion::Own(parts::transpose)),
    (40, "MEAN", Conversion::Reduce("ReduceMean")),
    (41, "SUB", Conversion::Binary("Sub")),
    (42, "DIV", Conversion::Binary("Div")),
    (43, "SQUEEZE", Conversion::Own(parts::squeeze)),
    (45, "STRIDED_SLICE", Conversion::Own(parts::strided_slice)),
    (47, "EXP", Conversion::Same("Exp")),
    (49, "SPLIT", Conversion::Own(parts::split)),
    (50, "LOG_SOFTMAX", Conversion::Same("LogSoftmax")),
    (53, "CAST", Conversion::Own(parts::cast)),
    (54, "PRELU", Conversion::Own(prelu)),
    (55, "MAXIMUM", Conversion::Binary("Max")),
    (56, "ARG_MAX", Conversion::Own(parts::arg_max)),
    (57, "MINIMUM", Conversion::Binary("Min")),
    (58, "LESS", Conversion::Same("Less")),
    (59, "NEG", Conversion::Same("Neg")),
    (60, "PADV2", Conversion::Own(parts::pad)),
    (61, "GREATER", Conversion::Same("Greater")),
    (62, "GREATER_EQUAL", Conversion::Same("GreaterOrEqual")),
    (63, "LESS_EQUAL", Conversion::Same("LessOrEqual")),
    (64, "SELECT", Conversion::Same("Where")),
    (65, "SLICE", Conversion::Own(parts::slice)),
    (67, "TRANSPOSE_CONV", Conversion::Own(transposed_convolution)),
    (69, "TILE", Conversion::Same("Tile")),
    (70, "EXPAND_DIMS", Conversion::Same("Unsqueeze")),
    (73, "LOG", Conversion::Same("Log")),
    (74, "SUM", Conversion::Reduce("ReduceSum")),
    (75, "SQRT", Conversion::Same("Sqrt")),
    (76, "RSQRT", Conversion::Own(rsqrt)),
    (77, "SHAPE", Conversion::Same("Shape")),
    (78, "POW", Conversion::Same("Pow")),
    (81, "REDUCE_PROD", Conversion::Reduce("ReduceProd")),
    (82, "REDUCE_MAX", Conversion::Reduce("ReduceMax")),
    (83, "PACK", Conversion::Own(parts::pack)),
    (88, "UNPACK", Conversion::Own(parts::unpack)),
    (89, "REDUCE_MIN", Conversion::Reduce("ReduceMin")),
    (92, "SQUARE", Conversion::Own(square)),
    (97, "RESIZE_NEAREST_NEIGHBOR", Conversion::Own(resize)),
    (98, "LEAKY_RELU", Conversion::Own(leaky_relu)),
    (99, "SQUARED_DIFFERENCE", Conversion::Own(square)),
    (100, "MIRROR_PAD", Conversion::Own(parts::mirror_pad)),
    (101, "ABS", Conversion::Same("Abs")),
    (102, "SPLIT_V", Conversion::Own(parts::split)),
    (106, "ADD_N", Conversion::Same("Sum")),
    (111, "ELU", Conversion::Same("Elu")),
    (114, "QUANTIZE", Conversion::Same("Identity")),
    (117, "HARD_SWISH", Conversion::Same("HardSwish")),
    (123, "SELECT_V2", Conversion::Same("Where")),
    (126, "BATCH_MATMUL", Conversion::Own(product)),
    (130, "BROADCAST_TO", Conversion::Same("Expand")),
    (150, "GELU", Conversion::Own(gelu)),
    (152, "RELU_0_TO_1", Conversion::Clip(0.0, 1.0)),
];

/// Names of unsupported operators that occur in image networks.
const OTHERS: &[(i32, &str)] = &[
    (8, "FLOOR"),
    (13, "LOCAL_RESPONSE_NORMALIZATION"),
    (16, "LSTM"),
    (37, "BATCH_TO_SPACE_ND"),
    (38, "SPACE_TO_BATCH_ND"),
    (44, "UNIDIRECTIONAL_SEQUENCE_LSTM"),
    (48, "TOPK_V2"),
    (51, "DELEGATE"),
    (66, "SIN"),
    (79, "ARG_MIN"),
    (105, "REVERSE_V2"),
    (107, "GATHER_ND"),
    (118, "IF"),
    (119, "WHILE"),
    (120, "NON_MAX_SUPPRESSION_V4"),
    (121, "NON_MAX_SUPPRESSION_V5"),
    (129, "CALL_ONCE"),
    (132, "CONV_3D"),
    (142, "VAR_HANDLE"),
];

/// How an operator is converted to ONNX nodes.
#[derive(Clone, Copy)]
enum Conversion {
    /// One node with the same inputs.
    Same(&'static str),
    /// One node with the same two inputs, and an activation.
    Binary(&'static str),
    Clip(f32, f32),
    /// A reduction over the axes in the second input.
    Reduce(&'static str),
    Own(fn(&mut Builder, &Operation) -> ImportResult<()>),
}

/// Converts an operator.
///
/// # Errors
/// What is invalid or unsupported, with the names of the operator and its output tensor.
pub(super) fn add(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let Some(&output) = operation.outputs.first() else { return Ok(()) };
    let place = format!("operator {} that gives {}", name(operation), builder.shown(output));
    let found = OPERATORS.iter().find(|(code, ..)| *code == operation.code);
    let result = match (&operation.pattern, found) {
        (Some(Pattern::LayerNormalization), _) => layer_normalization(builder, operation),
        (&Some(Pattern::Repeated(times)), _) => repeated(builder, operation, times),
        (_, Some((_, _, conversion))) => conversion.add(builder, operation),
        (_, None) => unsupported(format!("is not supported{}", instead(operation))),
    };
    result.map_err(|fault| match fault {
        Fault::Bad(problem) => Fault::Bad(format!("{place}: {problem}")),
        Fault::Unsupported(problem) => Fault::Unsupported(format!("{place}: {problem}")),
    })
}

/// The name of an operator in messages.
pub(super) fn name(operation: &Operation) -> String {
    let known = OPERATORS.iter().map(|&(code, name, _)| (code, name)).chain(OTHERS.iter().copied());
    let mut found = known.into_iter().filter(|&(code, _)| code == operation.code);
    match found.next() {
        Some((_, name)) => name.into(),
        None if operation.code == 32 => format!("CUSTOM {:.80?}", operation.custom),
        None => format!("number {}", operation.code),
    }
}

/// Suggestions for an unsupported operator.
fn instead(operation: &Operation) -> String {
    match operation.code {
        32 if operation.custom.starts_with("Flex") => {
            ": convert the model with LiteRT's own operators alone (target_spec.supported_ops = [TFLITE_BUILTINS])"
                .into()
        }
        32 if operation.custom == "TFLite_Detection_PostProcess" => {
            ": export the model without the selection of boxes".into()
        }
        118 | 119 => ": control flow has no layer".into(),
        37 | 38 => " but around a convolution, which is then dilated".into(),
        _ => "; docs/models.md lists the operators that are".into(),
    }
}

impl Conversion {
    fn add(self, builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
        match self {
            Self::Own(add) => add(builder, operation),
            Self::Same(op_type) => {
                let inputs = operation.inputs.iter().flatten();
                let inputs = inputs.map(|&input| builder.value(input)).collect::<Result<_, _>>()?;
                let value = builder.node(op_type, inputs, vec![]);
                finish(builder, operation, value)
            }
            Self::Binary(op_type) => {
                let inputs = vec![input(builder, operation, 0)?, input(builder, operation, 1)?];
                let value = builder.node(op_type, inputs, vec![]);
                let fused = if matches!(op_type, "Max" | "Min") { 0 } else { options(operation).byte(0)? };
                activated(builder, operation, value, fused)
            }
            Self::Clip(min, max) => {
                let value = input(builder, operation, 0)?;
                let value = clipped(builder, value, min, max);
                finish(builder, operation, value)
            }
            Self::Reduce(op_type) => {
                let inputs = vec![input(builder, operation, 0)?, input(builder, operation, 1)?];
                let keep = options(operation).flag(0)?;
                let value = builder.node(op_type, inputs, vec![("keepdims", OnnxAttribute::Int(keep.into()))]);
                finish(builder, operation, value)
            }
        }
    }
}

/// The options of an operator, all of which have defaults.
pub(super) struct Options<'a>(Option<Table<'a>>);

pub(super) fn options<'a>(operation: &Operation<'a>) -> Options<'a> {
    Options(operation.options)
}

impl Options<'_> {
    pub(super) fn byte(&self, id: usize) -> Result<i8, String> {
        self.0.map_or(Ok(0), |table| table.byte(id))
    }

    pub(super) fn flag(&self, id: usize) -> Result<bool, String> {
        Ok(self.byte(id)? != 0)
    }

    pub(super) fn int(&self, id: usize, default: i32) -> Result<i64, String> {
        self.0.map_or(Ok(default), |table| table.int(id, default)).map(i64::from)
    }

    pub(super) fn ints(&self, id: usize) -> Result<Vec<i64>, String> {
        let values = self.0.map_or(Ok(Vec::new()), |table| table.ints(id))?;
        Ok(values.into_iter().map(i64::from).collect())
    }

    fn float(&self, id: usize, default: f32) -> Result<f32, String> {
        self.0.map_or(Ok(default), |table| table.float(id, default))
    }

    /// A pair of sizes, vertical and horizontal; the file has the horizontal one first.
    fn pair(&self, width: usize) -> Result<OnnxAttribute, String> {
        Ok(OnnxAttribute::Ints(vec![self.int(width + 1, 1)?, self.int(width, 1)?]))
    }

    /// The padding with this number.
    fn padding(&self) -> Result<(&'static str, OnnxAttribute), String> {
        let same = self.byte(0)? == 0;
        Ok(("auto_pad", OnnxAttribute::Text(if same { "SAME_UPPER" } else { "VALID" })))
    }
}

/// The index of an operator's input tensor.
pub(super) fn input_tensor(operation: &Operation, index: usize) -> ImportResult<usize> {
    match operation.inputs.get(index) {
        Some(&Some(tensor)) => Ok(tensor),
        _ => Err(Fault::Bad(format!("input {} is missing", index + 1))),
    }
}

/// An input.
pub(super) fn input(builder: &mut Builder, operation: &Operation, index: usize) -> ImportResult<String> {
    Ok(builder.value(input_tensor(operation, index)?)?)
}

/// The shape of an input; an error if it has another number of axes.
fn sizes<const N: usize>(builder: &Builder, operation: &Operation, index: usize) -> ImportResult<[i32; N]> {
    let tensor = builder.tensor(input_tensor(operation, index)?);
    match tensor.shape.as_slice().try_into() {
        Ok(sizes) => Ok(sizes),
        Err(_) => unsupported(format!("of an input {} of shape {:?} is not supported", index + 1, tensor.shape)),
    }
}

/// An image input, transposed for ONNX's operators.
fn image(builder: &mut Builder, operation: &Operation, index: usize) -> ImportResult<String> {
    sizes::<4>(builder, operation, index)?;
    let value = input(builder, operation, index)?;
    Ok(builder.transposed(&value, &CHANNELS_FIRST))
}

/// Adds an operator on images, and returns its output channels-last.
fn on_images(builder: &mut Builder, op_type: &str, inputs: Vec<String>, attributes: OnnxAttributes) -> String {
    let value = builder.node(op_type, inputs, attributes);
    builder.transposed(&value, &CHANNELS_LAST)
}

/// Finishes an operator without an activation by setting its first output.
pub(super) fn finish(builder: &mut Builder, operation: &Operation, value: String) -> ImportResult<()> {
    builder.set(operation.outputs[0], value);
    Ok(())
}

/// Finishes an operator with an activation, given by number; that of a quantized output may be implied by its range.
fn activated(builder: &mut Builder, operation: &Operation, value: String, fused: i8) -> ImportResult<()> {
    let limits = limits(builder, operation.outputs[0]);
    let value = match (fused, limits) {
        // A limit within half a step of 6 is that of ReLU6.
        (0, Some([0.0, most, scale])) if (most - 6.0).abs() <= scale / 2.0 => clipped(builder, value, 0.0, 6.0),
        (0, Some([0.0, ..])) | (1, _) => builder.node("Relu", vec![value], vec![]),
        (0, _) => value,
        (2, _) => clipped(builder, value, -1.0, 1.0),
        (3, _) => clipped(builder, value, 0.0, 6.0),
        (4, _) => builder.node("Tanh", vec![value], vec![]),
        (other, _) => return unsupported(format!("with the activation number {other} is not supported")),
    };
    finish(builder, operation, value)
}

/// The range of a quantized tensor, and its scale.
fn limits(builder: &Builder, tensor: usize) -> Option<[f32; 3]> {
    let tensor = builder.tensor(tensor);
    let (scale, zero) = tensor.step()?;
    let (least, most) = match tensor.type_name() {
        "UINT8" => (0.0, 255.0),
        "INT8" => (-128.0, 127.0),
        _ => return None,
    };
    Some([(least - zero) * scale, (most - zero) * scale, scale])
}

fn clipped(builder: &mut Builder, value: String, min: f32, max: f32) -> String {
    let inputs = vec![value, builder.number(min), builder.number(max)];
    builder.node("Clip", inputs, vec![])
}

/// The inputs of a convolution, with the kernel transposed by `order` to (filter, channel, row, column).
fn with_kernel(builder: &mut Builder, operation: &Operation, order: [usize; 4]) -> ImportResult<Vec<String>> {
    let image = image(builder, operation, 0)?;
    sizes::<4>(builder, operation, 1)?;
    let kernel = input(builder, operation, 1)?;
    let kernel = builder.transposed(&kernel, &order);
    with_bias(builder, operation, 2, vec![image, kernel])
}

fn with_bias(
    builder: &mut Builder,
    operation: &Operation,
    index: usize,
    inputs: Vec<String>,
) -> ImportResult<Vec<String>> {
    let bias = operation.inputs.get(index).copied().flatten();
    let bias = bias.map(|tensor| builder.value(tensor)).transpose()?;
    Ok(inputs.into_iter().chain(bias).collect())
}

/// The padding and the dilation of a convolution, whose dilation is in option `id`.
fn window(operation: &Operation, id: usize) -> ImportResult<OnnxAttributes> {
    let options = options(operation);
    Ok(match operation.pattern {
        Some(Pattern::Dilated { rates, pads: [[top, bottom], [left, right]] }) => vec![
            ("pads", OnnxAttribute::Ints(vec![top, left, bottom, right])),
            ("dilations", OnnxAttribute::Ints(rates.to_vec())),
        ],
        _ => vec![options.padding()?, ("dilations", options.pair(id)?)],
    })
}

fn convolution(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let (channels, of_kernel) = (sizes::<4>(builder, operation, 0)?[3], sizes::<4>(builder, operation, 1)?[3]);
    let groups = if of_kernel > 0 { channels / of_kernel } else { 1 };
    let inputs = with_kernel(builder, operation, CHANNELS_FIRST)?;
    let mut attributes = window(operation, 4)?;
    attributes.push(("strides", options(operation).pair(1)?));
    attributes.push(("group", OnnxAttribute::Int(groups.into())));
    let value = on_images(builder, "Conv", inputs, attributes);
    activated(builder, operation, value, options(operation).byte(3)?)
}

fn depthwise(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let channels = sizes::<4>(builder, operation, 0)?[3];
    let inputs = with_kernel(builder, operation, [3, 0, 1, 2])?;
    let mut attributes = window(operation, 5)?;
    attributes.push(("strides", options(operation).pair(1)?));
    attributes.push(("group", OnnxAttribute::Int(channels.into())));
    let value = on_images(builder, "Conv", inputs, attributes);
    activated(builder, operation, value, options(operation).byte(4)?)
}

fn transposed_convolution(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let image = image(builder, operation, 2)?;
    sizes::<4>(builder, operation, 1)?;
    let kernel = input(builder, operation, 1)?;
    let kernel = builder.transposed(&kernel, &[3, 0, 1, 2]);
    let inputs = with_bias(builder, operation, 3, vec![image, kernel])?;
    let options = options(operation);
    let mut attributes = vec![options.padding()?, ("strides", options.pair(1)?)];
    // The first input is the output shape, which the file has for each tensor.
    let shape = &builder.tensor(operation.outputs[0]).shape;
    if let &[_, height, width, _] = shape.as_slice()
        && height.min(width) > 0
    {
        attributes[0].1 = OnnxAttribute::Text("SAME_UPPER");
        attributes.push(("output_shape", OnnxAttribute::Ints(vec![height.into(), width.into()])));
    }
    let value = on_images(builder, "ConvTranspose", inputs, attributes);
    activated(builder, operation, value, options.byte(3)?)
}

fn fully_connected(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let options = options(operation);
    if options.byte(1)? != 0 {
        return unsupported("with shuffled weights is not supported: convert the model again");
    }
    let [_, inputs] = sizes(builder, operation, 1)?;
    let (value, kernel) = (input(builder, operation, 0)?, input(builder, operation, 1)?);
    let shape = builder.tensor(input_tensor(operation, 0)?).shape.clone();
    let sample = shape.iter().skip(1).try_fold(1_i32, |product, &size| product.checked_mul(size));
    let value = if shape.len() <= 2 || sample == Some(inputs) && !options.flag(2)? {
        let flat = if shape.len() == 2 { value } else { builder.node("Flatten", vec![value], vec![]) };
        let inputs = with_bias(builder, operation, 2, vec![flat, kernel])?;
        builder.node("Gemm", inputs, vec![("transB", OnnxAttribute::Int(1))])
    } else {
        // Along the last axis.
        let kernel = builder.transposed(&kernel, &[1, 0]);
        let product = builder.node("MatMul", vec![value, kernel], vec![]);
        match with_bias(builder, operation, 2, vec![product.clone()])? {
            sum if sum.len() == 2 => builder.node("Add", sum, vec![]),
            _ => product,
        }
    };
    activated(builder, operation, value, options.byte(0)?)
}

/// `BATCH_MATMUL`
fn product(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let options = options(operation);
    let (value, mut kernel) = (input(builder, operation, 0)?, input(builder, operation, 1)?);
    if options.flag(0)? {
        return unsupported("of a transposed input is not supported");
    }
    if options.flag(1)? {
        sizes::<2>(builder, operation, 1)?;
        kernel = builder.transposed(&kernel, &[1, 0]);
    }
    let value = builder.node("MatMul", vec![value, kernel], vec![]);
    finish(builder, operation, value)
}

fn pool(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let image = image(builder, operation, 0)?;
    let options = options(operation);
    let attributes = vec![options.padding()?, ("strides", options.pair(1)?), ("kernel_shape", options.pair(3)?)];
    let op_type = if operation.code == 1 { "AveragePool" } else { "MaxPool" };
    let value = on_images(builder, op_type, vec![image], attributes);
    // It has the range of its input.
    match options.byte(5)? {
        0 => finish(builder, operation, value),
        fused => activated(builder, operation, value, fused),
    }
}

fn concatenation(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let inputs = operation.inputs.iter().flatten().map(|&input| builder.value(input)).collect::<Result<_, _>>()?;
    let options = options(operation);
    let value = builder.node("Concat", inputs, vec![("axis", OnnxAttribute::Int(options.int(0, 0)?))]);
    match options.byte(1)? {
        0 => finish(builder, operation, value),
        fused => activated(builder, operation, value, fused),
    }
}

fn depth(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let image = image(builder, operation, 0)?;
    let block = vec![("blocksize", OnnxAttribute::Int(options(operation).int(0, 0)?))];
    let op_type = if operation.code == 5 { "DepthToSpace" } else { "SpaceToDepth" };
    let value = on_images(builder, op_type, vec![image], block);
    finish(builder, operation, value)
}

fn resize(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let nearest = operation.code == 97;
    let (value, size) = (input(builder, operation, 0)?, input(builder, operation, 1)?);
    let (options, first) = (options(operation), if nearest { 0 } else { 2 });
    let (corners, centers) = (options.flag(first)?, options.flag(first + 1)?);
    let coordinates = match (corners, centers) {
        (true, _) => "align_corners",
        (false, true) if nearest => "tf_half_pixel_for_nn",
        (false, true) => "half_pixel",
        (false, false) => "asymmetric",
    };
    let mode = if nearest { "nearest" } else { "linear" };
    let attributes = vec![
        ("axes", OnnxAttribute::ints([1, 2])),
        ("mode", OnnxAttribute::Text(mode)),
        ("coordinate_transformation_mode", OnnxAttribute::Text(coordinates)),
        ("nearest_mode", OnnxAttribute::Text(if corners { "round_prefer_ceil" } else { "floor" })),
    ];
    let value = builder.node("Resize", vec![value, String::new(), String::new(), size], attributes);
    finish(builder, operation, value)
}

/// Repeats each row and column of an image.
fn repeated(builder: &mut Builder, operation: &Operation, times: [i64; 2]) -> ImportResult<()> {
    let value = input(builder, operation, 0)?;
    let factors = builder.constant(&[2], OnnxValues::Floats(times.map(|times| times as f32).to_vec()));
    let attributes = vec![
        ("axes", OnnxAttribute::ints([1, 2])),
        ("mode", OnnxAttribute::Text("nearest")),
        ("coordinate_transformation_mode", OnnxAttribute::Text("asymmetric")),
        ("nearest_mode", OnnxAttribute::Text("floor")),
    ];
    let value = builder.node("Resize", vec![value, String::new(), factors], attributes);
    finish(builder, operation, value)
}

fn softmax(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let mut value = input(builder, operation, 0)?;
    let beta = options(operation).float(0, 0.0)?;
    if beta != 1.0 && beta != 0.0 {
        let factor = builder.number(beta);
        value = builder.node("Mul", vec![value, factor], vec![]);
    }
    let value = builder.node("Softmax", vec![value], vec![]);
    finish(builder, operation, value)
}

fn unit(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let value = input(builder, operation, 0)?;
    let value = builder.node("LpNormalization", vec![value], vec![]);
    activated(builder, operation, value, options(operation).byte(0)?)
}

fn leaky_relu(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let value = input(builder, operation, 0)?;
    let slope = options(operation).float(0, 0.0)?;
    let value = builder.node("LeakyRelu", vec![value], vec![("alpha", OnnxAttribute::Float(slope))]);
    finish(builder, operation, value)
}

fn gelu(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let value = input(builder, operation, 0)?;
    let kind = if options(operation).flag(0)? { "tanh" } else { "none" };
    let value = builder.node("Gelu", vec![value], vec![("approximate", OnnxAttribute::Text(kind))]);
    finish(builder, operation, value)
}

fn prelu(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let slopes = &builder.tensor(input_tensor(operation, 1)?).shape;
    let value = if let (&[_, _, _], true) = (slopes.as_slice(), slopes.iter().filter(|&&size| size != 1).count() > 1) {
        // One slope per value.
        let (image, slopes) = (image(builder, operation, 0)?, input(builder, operation, 1)?);
        let slopes = builder.transposed(&slopes, &[2, 0, 1]);
        on_images(builder, "PRelu", vec![image, slopes], vec![])
    } else {
        let inputs = vec![input(builder, operation, 0)?, input(builder, operation, 1)?];
        builder.node("PRelu", inputs, vec![])
    };
    finish(builder, operation, value)
}

/// `SQUARE` and `SQUARED_DIFFERENCE`
fn square(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let mut value = input(builder, operation, 0)?;
    if operation.code == 99 {
        let other = input(builder, operation, 1)?;
        value = builder.node("Sub", vec![value, other], vec![]);
    }
    let two = builder.number(2.0);
    let value = builder.node("Pow", vec![value, two], vec![]);
    finish(builder, operation, value)
}

fn rsqrt(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let value = input(builder, operation, 0)?;
    if builder.is_constant(input_tensor(operation, 0)?) {
        let root = builder.node("Sqrt", vec![value], vec![]);
        let value = builder.node("Reciprocal", vec![root], vec![]);
        return finish(builder, operation, value);
    }
    let exponent = builder.number(-0.5);
    let value = builder.node("Pow", vec![value, exponent], vec![]);
    finish(builder, operation, value)
}

/// Inputs x, gamma, and beta; the fourth one is epsilon.
fn layer_normalization(builder: &mut Builder, operation: &Operation) -> ImportResult<()> {
    let (value, epsilon) = (input(builder, operation, 0)?, input_tensor(operation, 3)?);
    let inputs = vec![value, input(builder, operation, 1)?];
    let inputs = with_bias(builder, operation, 2, inputs)?;
    let attributes = vec![("epsilon", OnnxAttribute::Float(builder.known_number(epsilon)?))];
    let value = builder.node("LayerNormalization", inputs, attributes);
    finish(builder, operation, value)
}
