//! Malicious files: each must give an error within a second.

use super::graphs::{Graph, int, ints};
use super::*;

fn tensor(dims: &[i64]) -> TensorProto {
    TensorProto { name: "w".into(), dims: dims.to_vec(), data_type: 1, ..Default::default() }
}

#[test]
fn tensors_of_terabytes_are_refused() {
    for dims in
        [&[1 << 40, 1 << 40][..], &[i64::MAX, 2], &[-1, 4], &[1 << 41], &[0, i64::MAX, i64::MAX], &[1 << 20, 1 << 19]]
    {
        let graph = Graph::new(&[0, 2]).tensor(tensor(dims)).then("Gemm", &["w"], vec![]);
        let (_folder, path) = graph.write();
        let message = load_model(&path).unwrap_err().to_string();
        assert!(message.contains("\"w\""), "{message}");
        if let Ok(inspection) = inspect(&path) {
            let _ = inspection.parameters();
        }
    }
    Graph::new(&[0, 1 << 40]).then("Relu", &[], vec![]).refused(&["limit"]);
    Graph::new(&[0, 1 << 24, 1 << 24, 1 << 24]).then("Relu", &[], vec![]).refused(&["too large"]);
    // Padding of terabytes, and a scale for each of very many channels.
    Graph::new(&[0, 1, 2, 2])
        .ints("p", &[0, 0, i64::MAX, 0, 0, 0, 0, 0])
        .then("Pad", &["p"], vec![])
        .refused(&["large"]);
    let wide = Graph::new(&[0, 1 << 24, 2, 2]).values("f", &[], vec![2.0]).then("Mul", &["f"], vec![]);
    wide.refused(&["channels"]);
    let kernel = vec![ints("kernel_shape", &[i64::MAX, i64::MAX]), ints("pads", &[i64::MAX; 4])];
    Graph::new(&[0, 1, 2, 2]).then("MaxPool", &[], kernel).refused(&["the_maxpool"]);
}

#[test]
fn lengths_that_lie_are_refused() {
    let (_folder, path) = Graph::new(&[0, 2])
        .tensor(TensorProto { raw_data: vec![1; 15].into(), ..tensor(&[2, 2]) })
        .then("Gemm", &["w"], vec![])
        .write();
    assert!(load_model(&path).unwrap_err().to_string().contains("needs 4 values"));
    // The graph declares more bytes than the file has.
    for len in [[0xff, 0xff, 0xff, 0xff, 0x0f].as_slice(), &[0xff; 9], &[0xff; 12], &[0x7f]] {
        fs::write(&path, [&[0x08, 0x08, 0x3a][..], len, &[0x0a, 0x00]].concat()).unwrap();
        let message = load_model(&path).unwrap_err().to_string();
        assert!(message.contains("ONNX model"), "{message}");
    }
}

#[test]
fn millions_of_empty_messages_are_refused() {
    let (_folder, path) = Graph::new(&[0, 2]).write();
    // Nodes of two bytes each.
    let nodes = [0x0a, 0x00].repeat(1_500_000);
    let mut length = Vec::new();
    prost::encoding::encode_varint(nodes.len() as u64, &mut length);
    fs::write(&path, [&[0x08, 0x08, 0x3a][..], &length, &nodes].concat()).unwrap();
    let start = Instant::now();
    assert!(matches!(load_model(&path), Err(Error::Limit { .. })));
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[test]
fn graphs_that_turn_back_are_refused() {
    let mut graph = Graph::new(&[0, 2]).then("Relu", &[], vec![]).then("Tanh", &[], vec![]);
    graph.graph().node[0].input = vec!["t1".into()];
    graph.refused(&["the_relu", "cycle"]);
    let mut graph = Graph::new(&[0, 2]).then("Relu", &[], vec![]);
    graph.graph().node[0].input = vec!["t0".into()];
    graph.refused(&["cycle"]);
}

#[test]
fn nesting_is_not_followed() {
    // Ten thousand nested graphs in attributes of nodes.
    let mut inner = Vec::new();
    for _ in 0..10_000 {
        for key in [0x0a, 0x2a, 0x32] {
            let mut outer = vec![key];
            prost::encoding::encode_varint(inner.len() as u64, &mut outer);
            outer.extend(&inner);
            inner = outer;
        }
    }
    let (_folder, path) = Graph::new(&[0, 2]).write();
    let mut bytes = vec![0x08, 0x08, 0x3a];
    prost::encoding::encode_varint(inner.len() as u64, &mut bytes);
    bytes.extend(&inner);
    fs::write(&path, bytes).unwrap();
    assert!(load_model(&path).is_err());
}

#[test]
fn doubling_is_stopped() {
    // Channels, axes, and constants that double or grow with each node.
    let mut graph = Graph::new(&[0, 2, 5, 5]);
    for _ in 0..80 {
        graph = graph.then("Concat", &[], vec![int("axis", 1)]);
        let node = graph.graph().node.last_mut().unwrap();
        node.input.push(node.input[0].clone());
    }
    graph.refused(&["too large"]);
    let mut graph = Graph::new(&[0, 2]).ints("a", &[0; 16]);
    for _ in 0..1000 {
        graph = graph.then("Unsqueeze", &["a"], vec![]);
    }
    graph.refused(&["axes"]);
    let mut graph = Graph::new(&[0, 2]).ints("a", &[2, 2]);
    let mut last = "a".to_owned();
    for index in 0..60 {
        let output = format!("c{index}");
        let (input, attribute) = (vec![last.clone(), last], vec![int("axis", 0)]);
        let op_type = "Concat".into();
        graph.graph().node.push(NodeProto {
            input,
            output: vec![output.clone()],
            op_type,
            attribute,
            ..Default::default()
        });
        last = output;
    }
    graph.then("Reshape", &["c59"], vec![]).refused(&["Concat"]);
}

#[test]
fn a_large_weight_that_is_moved_again_and_again_is_refused() {
    let mut graph = Graph::new(&[0, 100]).floats("w0", &[100, 100]);
    for index in 0..5000 {
        let (input, output) = (vec![format!("w{index}")], vec![format!("w{}", index + 1)]);
        let attribute = vec![ints("perm", &[1, 0])];
        graph.graph().node.push(NodeProto {
            input,
            output,
            op_type: "Transpose".into(),
            attribute,
            ..Default::default()
        });
    }
    graph.then("Gemm", &["w5000"], vec![]).refused(&["Transpose", "known values"]);
}

#[test]
fn weights_of_one_number_are_limited() {
    let fill = |dims: &[i64]| Graph::new(&[0, 2]).ints("s", dims).node("ConstantOfShape", &["s"], "w", vec![]);
    for dims in [&[2, 1 << 40][..], &[2, 1 << 28], &[i64::MAX, i64::MAX], &[0, i64::MAX, i64::MAX], &[-2, 2]] {
        fill(dims).then("Gemm", &["w"], vec![]).refused(&["the_constantofshape"]);
    }
    // Many tensors in total, and a single one used repeatedly.
    let mut graph = fill(&[2, 1 << 20]);
    for index in 0..200 {
        graph = graph.node("ConstantOfShape", &["s"], &format!("w{index}"), vec![]);
    }
    graph.then("Gemm", &["w"], vec![]).refused(&["the_constantofshape", "values together"]);
    let mut graph = Graph::new(&[0, 1 << 22]).ints("s", &[1 << 22]).node("ConstantOfShape", &["s"], "w", vec![]);
    for _ in 0..1000 {
        graph = graph.then("BatchNormalization", &["w", "w", "w", "w"], vec![]);
    }
    graph.refused(&["parameters of the network"]);
    // A shape of terabytes, from few values.
    let expand = Graph::new(&[0, 2]).floats("c", &[2, 1]).ints("s", &[2, 1 << 39]);
    expand.node("Expand", &["c", "s"], "w", vec![]).then("Gemm", &["w"], vec![]).refused(&["known values"]);
    let tile = Graph::new(&[0, 2]).floats("c", &[2, 1]).ints("s", &[1 << 62, 4]);
    tile.node("Tile", &["c", "s"], "w", vec![]).then("Gemm", &["w"], vec![]).refused(&["known values"]);
    let range = Graph::new(&[0, 2]).ints("a", &[i64::MIN]).ints("b", &[i64::MAX]).ints("c", &[1]);
    range.node("Range", &["a", "b", "c"], "w", vec![]).then("Gemm", &["w"], vec![]).refused(&["from each other"]);
}

fn external(entries: &[(&str, &str)]) -> Graph {
    let external_data =
        entries.iter().map(|&(key, value)| StringStringEntryProto { key: key.into(), value: value.into() }).collect();
    let tensor = TensorProto { external_data, data_location: 1, ..tensor(&[2, 2]) };
    Graph::new(&[0, 2]).tensor(tensor).then("Gemm", &["w"], vec![])
}

#[test]
fn values_in_another_file_are_read() {
    let (folder, path) = external(&[("location", "weights.bin"), ("offset", "4"), ("length", "16")]).write();
    let values: Vec<u8> = [9.0_f32, 1.0, 2.0, 3.0, 4.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    fs::write(folder.path().join("weights.bin"), values).unwrap();
    let network = load_model(&path).unwrap().network;
    assert_eq!(network.weights()[0].values(), [1.0, 2.0, 3.0, 4.0]);
    fs::write(folder.path().join("weights.bin"), [0; 16]).unwrap();
    let message = load_model(&path).unwrap_err().to_string();
    assert!(message.contains("weights.bin") && message.contains("16 bytes from byte 4"), "{message}");
}

#[test]
fn values_outside_the_folder_are_refused() {
    for location in ["../weights.bin", "/etc/hostname", "a/../../weights.bin", "", ".", "none.bin"] {
        external(&[("location", location)]).refused(&["\"w\"", "another file"]);
    }
    for (key, value) in [
        ("offset", "-1"),
        ("length", "99999999999999999999"),
        ("length", "1099511627776"),
        ("offset", "18446744073709551615"),
    ] {
        let (folder, path) = external(&[("location", "weights.bin"), (key, value)]).write();
        fs::write(folder.path().join("weights.bin"), [0; 16]).unwrap();
        assert!(load_model(&path).is_err(), "{key} {value}");
    }
    #[cfg(unix)]
    {
        let (folder, path) = external(&[("location", "link.bin")]).write();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), [0; 16]).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), folder.path().join("link.bin")).unwrap();
        let message = load_model(&path).unwrap_err().to_string();
        assert!(message.contains("leads out"), "{message}");
    }
}
