//! TensorBoard event files.
//!
//! A file is a sequence of records: length (64 bits), checksum of the length, data, checksum of the data (all
//! little-endian). The data is a protocol buffer `Event { wall_time = 1, step = 2, file_version = 3, summary = 5 }`, whose
//! summary holds `Value { tag = 1, simple_value = 2 }`. The messages are encoded by hand, which takes less code than
//! generated bindings.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Callback, TrainingState};
use crate::core::{Detail, Step};
use crate::train::EpochRecord;
use crate::{Error, Result, files};

/// Writes event files for TensorBoard, like Keras's callback of this name: the loss of each step and the metrics of each
/// epoch. Training and validation have separate files in folders of these names, so TensorBoard plots both in one chart.
///
/// ```
/// use lucida::prelude::*;
///
/// # let temporary = tempfile::tempdir().unwrap();
/// # let folder = temporary.path();
/// # let digits = Mnist::builtin()?.train;
/// # let train = Subset::new(&digits, (0..256).collect())?;
/// # let validation = Subset::new(&digits, (256..320).collect())?;
/// # let output = Dense::new(10).activation(ActivationKind::Softmax);
/// # let network = Sequential::new("linear", [28, 28, 1]).add(Flatten::new()).add(output).build(42)?;
/// # let mut model = Model::new(network).with_preprocessing(Preprocessing::mnist());
/// let config = TrainConfig { epochs: 1, ..TrainConfig::default() };
/// let log = TensorBoard::create(folder)?; // to be opened with: tensorboard --logdir FOLDER
/// Trainer::new(config).callback(log).fit(&mut model, &train, Some(&validation))?;
/// for part in ["train", "validation"] {
///     assert_eq!(std::fs::read_dir(folder.join(part)).unwrap().count(), 1);
/// }
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug)]
pub struct TensorBoard {
    train: EventFile,
    validation: EventFile,
    /// Error of a step that could not be written; it ends training after the epoch.
    failed: Option<Error>,
}

impl TensorBoard {
    /// Creates files in `folder/train` and `folder/validation`, in addition to those of earlier runs.
    ///
    /// # Errors
    /// [`Error::Io`] when they cannot be created.
    pub fn create(folder: impl AsRef<Path>) -> Result<Self> {
        let create = |part: &str| EventFile::create(&folder.as_ref().join(part));
        Ok(Self { train: create("train")?, validation: create("validation")?, failed: None })
    }

    fn write_epoch(&mut self, record: &EpochRecord) -> Result<()> {
        let step = record.epoch as i64;
        let train = [
            ("epoch_loss", Some(record.loss)),
            ("epoch_accuracy", record.accuracy),
            ("epoch_learning_rate", Some(record.learning_rate)),
            ("epoch_seconds", Some(record.seconds)),
        ];
        self.train.scalars(step, &known(&train, &record.metrics))?;
        let validation = [
            ("epoch_loss", record.val_loss),
            ("epoch_accuracy", record.val_accuracy),
            ("epoch_weighted_loss", record.val_weighted_loss),
            ("epoch_f1", record.val_f1),
            ("epoch_auc", record.val_auc),
        ];
        let known = known(&validation, &record.val_metrics);
        if known.is_empty() { Ok(()) } else { self.validation.scalars(step, &known) }
    }
}

/// The values that are present, with their tags.
fn known(values: &[(&str, Option<f64>)], metrics: &BTreeMap<String, f64>) -> Vec<(String, f64)> {
    let values = values.iter().filter_map(|(tag, value)| Some(((*tag).to_owned(), (*value)?)));
    values.chain(metrics.iter().map(|(name, &value)| (format!("epoch_{name}"), value))).collect()
}

impl Callback for TensorBoard {
    fn update(&mut self, step: &Step<'_>) -> ControlFlow<()> {
        if let Detail::Training(report) = &step.detail
            && let Err(problem) = self.train.scalars(step.done as i64, &[("batch_loss".to_owned(), report.step_loss)])
        {
            self.failed = Some(problem);
        }
        ControlFlow::Continue(())
    }

    fn epoch_end(&mut self, state: &mut TrainingState<'_>) -> Result<()> {
        if let Some(problem) = self.failed.take() {
            return Err(problem);
        }
        state.record().map_or(Ok(()), |record| self.write_epoch(record))
    }
}

#[derive(Debug)]
struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    fn create(folder: &Path) -> Result<Self> {
        files::create_folder(folder)?;
        let seconds = now() as u64;
        // Several runs may start within the same second.
        for number in 0_u32.. {
            let path =
                folder.join(format!("events.out.tfevents.{seconds:010}.lucida.{}.{number}", files::process_id()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    let mut events = Self { path, file };
                    events.write(&[field_bytes(3, b"brain.Event:2")])?;
                    return Ok(events);
                }
                Err(problem) if problem.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(problem) => return Err(Error::io(path, "create", problem)),
            }
        }
        Err(Error::Bug("there are more numbers than files".to_owned()))
    }

    fn scalars(&mut self, step: i64, values: &[(String, f64)]) -> Result<()> {
        let value = |(tag, value): &(String, f64)| {
            let fields = [field_bytes(1, tag.as_bytes()), field_f32(2, *value as f32)].concat();
            field_bytes(1, &fields)
        };
        let summary: Vec<u8> = values.iter().flat_map(value).collect();
        self.write(&[field_varint(2, step as u64), field_bytes(5, &summary)])
    }

    /// Appends an event with the current time and these fields.
    fn write(&mut self, fields: &[Vec<u8>]) -> Result<()> {
        let mut event = vec![1 << 3 | 1];
        event.extend(now().to_le_bytes());
        event.extend(fields.concat());
        let done = self.file.write_all(&record(&event));
        done.map_err(|source| Error::io(&self.path, "write", source))
    }
}

/// Seconds since the Unix epoch.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

fn record(bytes: &[u8]) -> Vec<u8> {
    let len = (bytes.len() as u64).to_le_bytes();
    [&len[..], &masked_crc(&len).to_le_bytes(), bytes, &masked_crc(bytes).to_le_bytes()].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn field_varint(number: u8, value: u64) -> Vec<u8> {
    [vec![number << 3], varint(value)].concat()
}

fn field_f32(number: u8, value: f32) -> Vec<u8> {
    [&[number << 3 | 5][..], &value.to_le_bytes()].concat()
}

fn field_bytes(number: u8, bytes: &[u8]) -> Vec<u8> {
    [vec![number << 3 | 2], varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// Checksum of a record: CRC-32C, rotated and offset, so that checksums of data that contains checksums stay effective.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), computed bit by bit: records are short.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::History;

    /// The test vectors of RFC 3720, appendix B.4.
    #[test]
    fn the_checksum_is_that_of_the_rfc() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn records_and_fields_have_their_form() {
        assert_eq!(varint(300), [0xac, 0x02]);
        assert_eq!(field_f32(2, 1.0), [0x15, 0, 0, 0x80, 0x3f]);
        let record = record(b"abc");
        assert_eq!((record.len(), &record[..8], &record[12..15]), (19, &3_u64.to_le_bytes()[..], &b"abc"[..]));
    }

    #[test]
    fn runs_of_one_second_have_files_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let record = EpochRecord {
            epoch: 1,
            loss: 0.5,
            accuracy: Some(0.75),
            val_loss: Some(0.25),
            val_accuracy: None,
            learning_rate: 1e-3,
            seconds: 1.0,
            ..EpochRecord::default()
        };
        let history = History { epochs: vec![record] };
        let network = crate::nn::applications::mnist_cnn(0).unwrap();
        for _ in 0..2 {
            let mut events = TensorBoard::create(folder.path()).unwrap();
            events.epoch_end(&mut TrainingState::new(&history, &network)).unwrap();
        }
        for part in ["train", "validation"] {
            assert_eq!(std::fs::read_dir(folder.path().join(part)).unwrap().count(), 2);
        }
    }
}
