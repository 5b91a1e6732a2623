//! Writing a state dict in the zip format, like `torch.save(module.state_dict(), path)`.

use std::io::{self, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::nn::Network;
use crate::weights::modules::{Entry, entries, own_or_torchvision};
use crate::{Error, Result, files};

/// The alignment of storages, as in PyTorch, so that it can map them into memory.
const ALIGNMENT: u16 = 64;

/// Writes the weights of a network as a PyTorch state dict, for `torch.load(path, weights_only=True)`.
///
/// Networks that torchvision has get torchvision's names, so that its modules' `load_state_dict` accepts the file (for
/// InceptionV3, with `aux_logits=False`). Others have their layer names: `conv2d.weight`. Kernels are channels-first, as in
/// PyTorch. Only a part of a tensor is in memory at a time.
///
/// # Errors
/// [`Error::Unsupported`] when a layer takes several concatenated flattened images, which PyTorch orders differently;
/// [`Error::Io`] when the file cannot be written; an existing file is then unchanged.
pub fn save_weights(network: &Network, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let entries = entries(network, &own_or_torchvision(network))
        .map_err(|problem| Error::Unsupported(format!("{}: {problem}", path.display())))?;
    let pickle = pickle(network, &entries);
    files::write_atomic(path, |out| write(out, network, &entries, &pickle))
}

fn write(out: &mut dyn Write, network: &Network, entries: &[Entry], pickle: &[u8]) -> io::Result<()> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default())
        .with_alignment(ALIGNMENT);
    let mut archive = ZipWriter::new_stream(out);
    for (name, bytes) in [("archive/data.pkl", pickle), ("archive/byteorder", b"little"), ("archive/version", b"3\n")] {
        archive.start_file(name, options)?;
        archive.write_all(bytes)?;
    }
    for (number, entry) in entries.iter().enumerate() {
        let values = network.weights()[entry.weight].values();
        let large = values.len() as u64 > u64::from(u32::MAX) / 8;
        archive.start_file(format!("archive/data/{number}"), options.large_file(large))?;
        let mut bytes = Vec::new();
        entry.layout.to_torch(values, |values| {
            for values in values.chunks(1 << 14) {
                bytes.clear();
                values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
                archive.write_all(&bytes)?;
            }
            io::Result::Ok(())
        })?;
    }
    archive.finish()?;
    Ok(())
}

/// The pickle, in protocol 2: an `OrderedDict` with a `_rebuild_tensor_v2` for each name, whose storage is a persistent ID
/// `("storage", torch.FloatStorage, key, "cpu", count)`.
fn pickle(network: &Network, entries: &[Entry]) -> Vec<u8> {
    let mut out = b"\x80\x02ccollections\nOrderedDict\n)R(".to_vec();
    for (number, entry) in entries.iter().enumerate() {
        let shape = &entry.shapes[0];
        text(&mut out, &entry.name);
        out.extend_from_slice(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut out, "storage");
        out.extend_from_slice(b"ctorch\nFloatStorage\n");
        text(&mut out, &number.to_string());
        text(&mut out, "cpu");
        integer(&mut out, network.weights()[entry.weight].values().len());
        // The persistent ID, the offset, the shape.
        out.extend_from_slice(b"tQK\x00(");
        shape.iter().for_each(|&size| integer(&mut out, size));
        out.extend_from_slice(b"t(");
        for axis in 0..shape.len() {
            integer(&mut out, shape[axis + 1..].iter().product());
        }
        // The strides; `requires_grad` false; no hooks.
        out.extend_from_slice(b"t\x89ccollections\nOrderedDict\n)RtR");
    }
    out.extend_from_slice(b"u.");
    out
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn integer(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(b"\x8a\x08");
    out.extend_from_slice(&(number as i64).to_le_bytes());
}
