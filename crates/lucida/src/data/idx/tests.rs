use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;

fn idx(dims: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dims.len() as u8];
    bytes.extend(dims.iter().flat_map(|size| size.to_be_bytes()));
    bytes.extend(data);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn parsed(bytes: &[u8], content: Content) -> Result<Idx> {
    parse(bytes, Path::new("x.idx"), content, &Limits::default())
}

/// The error message, which must be one line that starts with the file name.
fn message(bytes: &[u8], content: Content) -> String {
    let message = parsed(bytes, content).unwrap_err().to_string();
    assert!(message.starts_with("x.idx: ") && !message.contains('\n'), "{message}");
    message["x.idx: ".len()..].to_owned()
}

#[test]
fn plain_and_gzipped_are_the_same() {
    let bytes = idx(&[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
    let expected = Idx { dims: vec![2, 1, 3], data: vec![1, 2, 3, 4, 5, 6] };
    assert_eq!(parsed(&bytes, Content::Images).unwrap(), expected);
    assert_eq!(parsed(&gzip(&bytes), Content::Any).unwrap(), expected);
    assert_eq!(parsed(&idx(&[2], &[7, 8]), Content::Labels).unwrap().data, [7, 8]);
}

#[test]
fn what_is_no_idx_file_is_named() {
    assert_eq!(message(b"", Content::Any), "is empty, not an IDX file");
    assert_eq!(
        message(b"hello world", Content::Images),
        "not an IDX file: it starts with 68 65 6c 6c, expected 00 00 08 03"
    );
    assert!(message(&gzip(b"hello world"), Content::Any).starts_with("not an IDX file: it starts with 68 65"));
    assert!(message(&[0, 0, 8, 0], Content::Any).contains("starts with 00 00 08 00"));
    assert_eq!(message(&[0, 0, 8], Content::Any), "is cut short: its IDX header ends after 3 bytes");
    assert_eq!(message(&[0, 0, 8, 1, 0, 0], Content::Any), "is cut short: its IDX header ends after 6 bytes");
}

#[test]
fn images_and_labels_are_not_confused() {
    let (images, labels) = (idx(&[1, 1, 1], &[0]), idx(&[1], &[0]));
    assert_eq!(
        message(&labels, Content::Images),
        "is mislabeled: it holds labels (magic 00 00 08 01) where images (00 00 08 03) were expected"
    );
    assert_eq!(
        message(&images, Content::Labels),
        "is mislabeled: it holds images (magic 00 00 08 03) where labels (00 00 08 01) were expected"
    );
    assert!(message(&idx(&[1, 1], &[0]), Content::Images).contains("an array of 2 dimensions"));
}

#[test]
fn other_elements_are_unsupported() {
    let error = parsed(&[0, 0, 0x0d, 1, 0, 0, 0, 0], Content::Labels).unwrap_err();
    assert!(matches!(error, Error::Unsupported(_)));
    assert!(error.to_string().starts_with("x.idx: holds 32-bit floats (IDX type 0x0d)"), "{error}");
}

#[test]
fn a_wrong_length_is_counted() {
    let bytes = idx(&[2, 2, 2], &[0; 8]);
    assert_eq!(message(&bytes[..19], Content::Images), "is cut short: it holds 3 of the 8 bytes that it declares");
    let long = [&bytes[..], &[0; 5]].concat();
    assert_eq!(message(&long, Content::Images), "holds more than the 8 bytes that it declares");
    assert_eq!(message(&gzip(&long), Content::Images), "holds more than the 8 bytes that it declares");
}

#[test]
fn a_header_of_terabytes_allocates_nothing() {
    for dims in [vec![60_000, 40_000, 4_000], vec![u32::MAX; 200]] {
        let error = parsed(&idx(&dims, &[]), Content::Any).unwrap_err();
        assert!(matches!(error, Error::Limit { limit, .. } if limit == 1 << 30), "{error}");
        assert!(error.to_string().starts_with("x.idx: size in bytes that the IDX header declares: "), "{error}");
    }
}

#[test]
fn a_gzip_bomb_is_not_unpacked() {
    let zeros = vec![0; 4 << 20];
    let limits = Limits { unpacked_bytes: 1 << 20, ..Limits::default() };
    let honest = gzip(&idx(&[4 << 20], &zeros));
    let error = parse(&honest, Path::new("x.idx"), Content::Labels, &limits).unwrap_err();
    assert!(matches!(error, Error::Limit { got: 4_194_304, limit: 1_048_576, .. }), "{error}");
    let lying = gzip(&idx(&[16], &zeros));
    assert!(message(&lying, Content::Labels).contains("more than the 16 bytes"));
}

#[test]
fn a_damaged_gzip_stream_is_told_from_a_short_one() {
    let noise: Vec<u8> = (0..5000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let packed = gzip(&idx(&[5000], &noise));
    let cut = message(&packed[..packed.len() / 2], Content::Labels);
    assert!(cut.starts_with("is cut short: its gzip stream ends after"), "{cut}");
    assert!(message(&packed[..5], Content::Labels).contains("cut short"));
    let mut wrong_checksum = packed.clone();
    let at = packed.len() - 6;
    wrong_checksum[at] ^= 1;
    let corrupt = message(&wrong_checksum, Content::Labels);
    assert!(corrupt.starts_with("is damaged: its gzip stream is corrupt after 5008 unpacked bytes"), "{corrupt}");
}

#[test]
fn a_file_is_read_within_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels");
    std::fs::write(&path, idx(&[3], &[1, 2, 3])).unwrap();
    assert_eq!(read(&path, Content::Labels, &Limits::default()).unwrap().data, [1, 2, 3]);
    let limits = Limits { file_bytes: 10, ..Limits::default() };
    assert!(matches!(read(&path, Content::Labels, &limits), Err(Error::Limit { got: 11, limit: 10, .. })));
    let missing = read(folder.path().join("none"), Content::Any, &Limits::default()).unwrap_err();
    assert!(matches!(missing, Error::Io { action: "read", .. }));
    assert!(matches!(read(folder.path(), Content::Any, &Limits::default()), Err(Error::File { .. })));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parsed(&bytes, Content::Any);
        let _ = parsed(&[&[0, 0, 8], &bytes[..]].concat(), Content::Any);
        let _ = parsed(&[&[0x1f, 0x8b, 8, 0], &bytes[..]].concat(), Content::Images);
    }

    #[test]
    fn what_is_parsed_is_what_was_written(dims in prop::collection::vec(0_u32..6, 1..5), seed: u8, packed: bool) {
        let data: Vec<u8> = (0..dims.iter().product()).map(|i| (i as u8).wrapping_mul(31) ^ seed).collect();
        let bytes = if packed { gzip(&idx(&dims, &data)) } else { idx(&dims, &data) };
        let got = parsed(&bytes, Content::Any).unwrap();
        prop_assert_eq!(got.dims, dims.iter().map(|&size| size as usize).collect::<Vec<_>>());
        prop_assert_eq!(got.data, data);
    }

    #[test]
    fn a_mutated_file_is_refused_or_whole(
        at in 0_usize..100, value: u8, cut in 0_usize..100, packed: bool,
    ) {
        let mut bytes = idx(&[4, 5, 4], &[9; 80]);
        if packed {
            bytes = gzip(&bytes);
        }
        let at = at % bytes.len();
        bytes[at] = value;
        bytes.truncate(bytes.len() - cut % bytes.len());
        if let Ok(got) = parsed(&bytes, Content::Any) {
            prop_assert_eq!(got.data.len(), got.dims.iter().product::<usize>());
        }
    }
}
