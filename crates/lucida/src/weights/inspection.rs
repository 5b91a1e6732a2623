//! What is in a file of weights.

/// A tensor in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name in the file.
    pub name: String,
    /// Its shape in the file.
    pub shape: Vec<usize>,
    /// The type of its values, as the format calls it.
    pub dtype: String,
}

/// What is in a file of weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// The format: `Lucida model`, `safetensors`.
    pub format: &'static str,
    /// The tensors, in the order of the file.
    pub tensors: Vec<TensorInfo>,
    /// What else the file says about itself.
    pub attributes: Vec<(String, String)>,
    /// The architecture, if the file has one, as the format writes it.
    pub architecture: Option<serde_json::Value>,
}

impl Inspection {
    /// The number of values in all tensors that can be weights; the largest number when it is larger than that. Integers
    /// (counters of PyTorch's, shapes in a graph) and single numbers (constants of a graph) are none.
    pub fn parameters(&self) -> usize {
        let is_weight = |tensor: &&TensorInfo| {
            let dtype = tensor.dtype.to_ascii_lowercase();
            !tensor.shape.is_empty() && !dtype.contains("int") && !dtype.contains("bool")
        };
        let of_tensor = |tensor: &TensorInfo| tensor.shape.iter().fold(1, |len: usize, &size| len.saturating_mul(size));
        self.tensors.iter().filter(is_weight).map(of_tensor).fold(0, usize::saturating_add)
    }
}
