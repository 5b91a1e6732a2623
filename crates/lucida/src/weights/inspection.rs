//! The contents of a file of weights.

/// A tensor in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name in the file.
    pub name: String,
    /// Its shape in the file.
    pub shape: Vec<usize>,
    /// The type of its values, in the format's own terms.
    pub dtype: String,
}

/// The contents of a file of weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// The format: `Lucida model`, `safetensors`.
    pub format: &'static str,
    /// The tensors, in the order of the file.
    pub tensors: Vec<TensorInfo>,
    /// Other metadata of the file.
    pub attributes: Vec<(String, String)>,
    /// The architecture as stored in the file, if any.
    pub architecture: Option<serde_json::Value>,
}

impl Inspection {
    /// The number of values in all tensors that can be weights, saturating. Integers (counters in PyTorch, shapes in a
    /// graph) and scalars (constants of a graph) are excluded.
    pub fn parameters(&self) -> usize {
        let is_weight = |tensor: &&TensorInfo| {
            let dtype = tensor.dtype.to_ascii_lowercase();
            !tensor.shape.is_empty() && !dtype.contains("int") && !dtype.contains("bool")
        };
        let of_tensor = |tensor: &TensorInfo| tensor.shape.iter().fold(1, |len: usize, &size| len.saturating_mul(size));
        self.tensors.iter().filter(is_weight).map(of_tensor).fold(0, usize::saturating_add)
    }
}
