//! `embed`.

mod common;

use std::fs;

use common::{fail, names, run, shared, text};
use lucida::data::{Dataset, Image, Mnist};
use serde_json::Value;

#[test]
fn maps_tables_and_neighbors() {
    let folder = tempfile::tempdir().unwrap();
    let (model, out, digit) = (shared().run(), folder.path().join("out"), folder.path().join("digit.png"));
    let test = Mnist::test_only(shared().data()).unwrap();
    test.image(3).unwrap().save_png(&digit).unwrap();
    let data = format!("mnist:{}", shared().data().display());
    let arguments = ["embed", text(&model), "--data", &data, "--steps", "100", "--out", text(&out)];
    let with_neighbors = || arguments.into_iter().chain(["--neighbors", text(&digit), "--count", "4"]);
    let printed = run(with_neighbors());
    assert!(printed.starts_with("100 of 100 test digits of "), "{printed}");
    assert!(printed.contains(&format!("{}: most like\n  1.0000  test digit no. 3 (a", digit.display())), "{printed}");
    let expected = ["features.npy", "neighbors.png", "pca.png", "pca.svg", "points.csv", "tsne.png", "tsne.svg"];
    assert_eq!(names(&out), expected);
    let points = fs::read_to_string(out.join("points.csv")).unwrap();
    assert_eq!(points.lines().count(), 101);
    assert!(points.starts_with("file,class,pca_x,pca_y,tsne_x,tsne_y,digit_found\ntest digit 0,"), "{points}");
    let png = Image::open(out.join("tsne.png")).unwrap();
    assert!(png.width() > 1000 && png.height() > 1000);
    assert!(fs::read_to_string(out.join("tsne.svg")).unwrap().contains("<image "));

    assert!(fail(1, arguments).contains("pca.png already exists; use --force"));
    let bytes = fs::read(out.join("tsne.png")).unwrap();
    let answer: Value = serde_json::from_str(&run(with_neighbors().chain(["--json", "--force", "--csv"]))).unwrap();
    assert!(fs::read(out.join("tsne.png")).unwrap() == bytes, "the same seed gives the same map");
    assert_eq!((&answer["images"], &answer["pooled"]), (&100.into(), &false.into()));
    let nearest = answer["neighbors"][0]["nearest"].as_array().unwrap();
    assert_eq!((nearest.len(), &nearest[0]["class"]), (4, &test.label(3).to_string().into()));
    assert!(nearest.windows(2).all(|pair| pair[0]["likeness"].as_f64() >= pair[1]["likeness"].as_f64()));
    let table = fs::read_to_string(out.join("features.csv")).unwrap();
    assert_eq!(table.lines().next().unwrap().split(',').count(), 1 + answer["features"].as_u64().unwrap() as usize);
}

#[test]
fn folders_layers_and_what_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let (model, out, photos) = (shared().run(), folder.path().join("out"), folder.path().join("photos"));
    fs::create_dir(&photos).unwrap();
    let digits = Mnist::builtin().unwrap().train;
    for index in 0..8 {
        digits.image(index).unwrap().save_png(photos.join(format!("{index}.png"))).unwrap();
    }
    fs::write(photos.join("x.png"), "no image").unwrap();
    let base = ["embed", text(&model), "--data", text(&photos), "--out", text(&out), "--quiet"];
    run(base.into_iter().chain(["--layer", "conv2d_1", "--method", "pca"]));
    assert_eq!(names(&out), ["features.npy", "pca.png", "pca.svg", "points.csv", "skipped.csv"]);
    let again = || base.into_iter().chain(["--force"]);
    let message = fail(1, again().chain(["--layer", "conv2d_9"]));
    assert!(message.contains("has no layer \"conv2d_9\"; did you mean \"conv2d_"), "{message}");
    let message = fail(1, again().chain(["--neighbors", "none.png"]));
    // The former spelling of the option.
    assert_eq!(fail(1, again().chain(["--neighbours", "none.png"])), message);
    assert!(message.contains("none.png: cannot read"), "{message}");
    assert!(fail(1, again().chain(["--strict"])).contains("x.png: not an image"));
    for index in 1..8 {
        fs::remove_file(photos.join(format!("{index}.png"))).unwrap();
    }
    assert!(fail(1, again()).contains("PCA needs at least one component and two images"));
}
