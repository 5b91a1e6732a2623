//! Input arrays for a network: NumPy's `.npy` and `.npz`, and ONNX tensors.
#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use lucida::weights::read_arrays;

fuzz_target!(|bytes: &[u8]| {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("a file with the bytes");
    for (_, array) in read_arrays(file.path()).unwrap_or_default() {
        assert_eq!(array.shape().iter().product::<usize>(), array.values().len());
    }
});
