use super::*;

const ANYTHING: Rules = Rules { opcodes: 2000, allowed: |_, _| true };
const NOTHING: Rules = Rules { allowed: |_, _| false, ..ANYTHING };

#[test]
fn what_would_run_is_a_note_or_refused_by_name() {
    // `posix.system("touch x")`, with both opcodes for names.
    for pickle in [
        &b"\x80\x02cposix\nsystem\nX\x07\0\0\0touch x\x85R."[..],
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x07touch x\x85R.",
    ] {
        let read = Pickle::read(pickle, ANYTHING).unwrap();
        let Some(Node::Call(call)) = read.node(read.root) else { panic!("{read:?}") };
        assert_eq!(read.called(call, "posix", "system").unwrap(), [Value::Text("touch x")]);
        let problem = Pickle::read(pickle, NOTHING).unwrap_err();
        assert_eq!(problem, "would run code: posix.system; refused");
    }
}

#[test]
fn what_was_stored_is_the_same_value_and_not_a_copy() {
    // d = {}; [d, d] with d["a"] = 5 set afterwards; and a cyclic list.
    let read = Pickle::read(b"\x80\x02]q\x00}q\x01h\x01\x8c\x01aK\x05s0h\x01h\x01\x86e.", ANYTHING);
    assert!(read.unwrap_err().contains("no mark"));
    let read = Pickle::read(b"\x80\x02}q\x01\x8c\x01aK\x05s0h\x01h\x01\x86.", ANYTHING).unwrap();
    let [one, two] = read.list(read.root).unwrap() else { panic!("{read:?}") };
    assert_eq!(one, two);
    assert_eq!(read.node(*one), Some(&Node::Dict(vec![(Value::Text("a"), Value::Int(5))])));
    let read = Pickle::read(b"]\x94h\x00a.", ANYTHING).unwrap();
    assert_eq!(read.list(read.root).unwrap(), [read.root]);
}

#[test]
fn numbers_and_texts() {
    let value = |pickle: &'static [u8]| Pickle::read(pickle, ANYTHING).unwrap().root;
    assert_eq!(value(b"J\xff\xff\xff\xff."), Value::Int(-1));
    assert_eq!(value(b"M\xe9\x03."), Value::Int(1001));
    assert_eq!(value(b"\x8a\x02\x00\x80."), Value::Int(-32768));
    assert_eq!(value(b"\x8a\x00."), Value::Int(0));
    assert_eq!(value(b"\x8a\x09123456789."), Value::Bytes(b"123456789"));
    assert_eq!(value(b"G\x3f\xf8\0\0\0\0\0\0."), Value::Real(1.5));
    assert_eq!(value(b"U\x02ab."), Value::Text("ab"));
    assert_eq!(value(b"U\x02\xff\xfe."), Value::Bytes(b"\xff\xfe"));
    // Bytes after the end are ignored.
    let read = Pickle::read(b"N.and more", ANYTHING).unwrap();
    assert_eq!((read.root, read.len), (Value::Nothing, 2));
}

#[test]
fn damaged_pickles_are_refused() {
    for (pickle, expected) in [
        (&b""[..], "cut short"),
        (b"\x80\x04", "cut short"),
        (b"\x80\x04.", "stack is empty"),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff.", "cut short"),
        (b"X\xff\xff\xff\xff.", "cut short"),
        (b"h\x05.", "refers to value 5"),
        (b"Nr\xff\xff\xff\xff.", "stores value 4294967295"),
        (b"t.", "no mark"),
        (b"N(0t.", "no mark"),
        (b"Na.", "stack is empty"),
        (b"NNa.", "not a list"),
        (b"}Na.", "not a list"),
        (b"]NNs.", "not a dictionary"),
        (b"]Nb.", "not called"),
        (b"NN\x93.", "not a text"),
        (b"cposix", "cut short"),
        (b"i", "opcode 0x69"),
    ] {
        let problem = Pickle::read(pickle, ANYTHING).unwrap_err();
        assert!(problem.contains(expected), "{pickle:?}: {problem}");
    }
    let many = [&[b'N'; 3000][..], b"."].concat();
    assert!(Pickle::read(&many, ANYTHING).unwrap_err().contains("2000 opcodes"));
}

#[test]
fn values_nested_as_deep_as_there_are_opcodes_do_no_harm() {
    let rules = Rules { opcodes: 1_000_000, ..ANYTHING };
    let pickle = [&b"]"[..], &vec![0x85; 900_000], b"."].concat();
    assert_eq!(Pickle::read(&pickle, rules).unwrap().len, 900_002);
}
