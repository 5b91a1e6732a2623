//! The format before PyTorch 1.6: a sequence of pickles, then the storages.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};

use super::state::{RULES, State};
use crate::weights::model_file::OpenFile;
use crate::weights::pickle::{Node, Pickle, Rules, Value};

/// The magic number, 0x1950a86a20f9469cfc6c, as stored in the file.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The version of the format, of which there was only one.
const VERSION: i64 = 1001;

/// Whether a file with this start is from PyTorch before version 1.6: a pickle of the magic number.
pub(in crate::weights) fn is_legacy(start: &[u8]) -> bool {
    start.first() == Some(&0x80) && start.windows(MAGIC.len()).take(20).any(|window| window == MAGIC)
}

/// The state dict, and the offset of each of its storages, in a file that starts with these bytes.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(start: &[u8], file: &mut OpenFile) -> Result<(State, Vec<u64>), String> {
    // The pickles before and after the dictionary are small.
    let small = Rules { allowed: |_, _| false, ..RULES };
    let mut at = 0;
    let mut next = |rules| -> Result<Pickle, String> {
        let pickle = Pickle::read(&start[at..], rules)?;
        at += pickle.len;
        Ok(pickle)
    };
    if next(small)?.root != Value::Bytes(&MAGIC) {
        return Err("has another magic number than PyTorch's files".into());
    }
    match next(small)?.root {
        Value::Int(VERSION) => {}
        other => return Err(format!("is of version {other:?} of the format, not {VERSION}")),
    }
    let system = next(small)?;
    if let Some(Node::Dict(items)) = system.node(system.root)
        && items.contains(&(Value::Text("little_endian"), Value::Bool(false)))
    {
        return Err("was written on a big-endian machine, which is not supported".into());
    }
    let state = State::new(&next(RULES)?)?;
    let keys = next(small)?;
    let keys = keys.list(keys.root).ok_or("does not list its storages")?;
    let places = places(&state, keys, file, at as u64)?;
    Ok((state, places))
}

/// The offsets of the storages, which are in the order of the keys, each preceded by its length.
fn places(state: &State, keys: &[Value], file: &mut OpenFile, mut at: u64) -> Result<Vec<u64>, String> {
    let len = file.len();
    let indices = state.storages.iter().enumerate().map(|(index, storage)| (storage.key.as_str(), index));
    let indices: HashMap<&str, usize> = indices.collect();
    let mut places = vec![None; state.storages.len()];
    for key in keys {
        let Value::Text(key) = key else { return Err("has a storage whose key is not a text".into()) };
        let mut count = [0; 8];
        file.seek(SeekFrom::Start(at))
            .and_then(|_| file.read_exact(&mut count))
            .map_err(|_| format!("is cut short before storage {key:?}"))?;
        let count = u64::from_le_bytes(count);
        let Some(&index) = indices.get(key) else {
            // Its size is unknown, so what follows cannot be located.
            return Err(format!("has a storage, {key:?}, that nothing refers to"));
        };
        let storage = &state.storages[index];
        if count != storage.len {
            return Err(format!("has {count} values in storage {key:?}, where there should be {}", storage.len));
        }
        let end = count.checked_mul(storage.kind.size as u64).and_then(|bytes| (at + 8).checked_add(bytes));
        let end = end.filter(|&end| end <= len).ok_or_else(|| format!("is cut short in storage {key:?}"))?;
        places[index] = Some(at + 8);
        at = end;
    }
    let found = |(index, place): (usize, &Option<u64>)| {
        place.ok_or_else(|| format!("missing storage {:?}", state.storages[index].key))
    };
    places.iter().enumerate().map(found).collect()
}
