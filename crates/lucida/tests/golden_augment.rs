//! Compares affine transforms with `keras.preprocessing.image.apply_affine_transform`: `../shared/golden/README.md`.

mod common;

use common::{Expected, shared};
use lucida::data::{Affine, FillMode};
use serde_json::Value;

#[test]
fn affine_maps_are_those_of_keras() {
    let (Some(expected), Some(cases)) =
        (Expected::open("augment_expected.safetensors"), shared("golden/augment_cases.json"))
    else {
        return;
    };
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(cases).unwrap()).unwrap();
    let (shape, input) = expected.get("input");
    let shape = [shape[0], shape[1], shape[2]];
    let modes = [
        ("nearest", FillMode::Nearest),
        ("reflect", FillMode::Reflect),
        ("constant", FillMode::Constant),
        ("wrap", FillMode::Wrap),
    ];
    assert!(cases.len() >= 5);
    for (index, case) in cases.iter().enumerate() {
        let number = |name: &str| case[name].as_f64().unwrap();
        let map =
            Affine::new(number("theta"), [number("tx"), number("ty")], number("shear"), [number("zx"), number("zy")]);
        for (name, mode) in modes {
            let got = map.apply(&input, shape, mode, 0.0);
            let expected = expected.values(&format!("case{index}.{name}"));
            let worst = got.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            eprintln!("case {index} {name}: {worst:.1e}");
            assert!(got.len() == expected.len() && worst <= 1e-4, "case {index} {name}: {worst}");
        }
    }
}
