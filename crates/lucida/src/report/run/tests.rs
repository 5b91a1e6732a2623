use super::*;
use crate::nn::zoo::{self, Options};
use crate::train::EpochRecord;

/// Pictures of two colours, with a copy and a damaged file among them.
fn pictures(folder: &std::path::Path) {
    for (class, colour) in [("<cats>", [200, 40, 30]), ("dogs", [30, 60, 210])] {
        std::fs::create_dir_all(folder.join(class)).unwrap();
        for index in 0..10_u8 {
            let pixels = (0..40 * 30).flat_map(|p| colour.map(|c: u8| c.wrapping_add((p % 7) as u8 * index))).collect();
            let picture = Picture::new(40, 30, 3, pixels).unwrap();
            picture.save_png(&folder.join(class).join(format!("{index}.png"))).unwrap();
        }
    }
    std::fs::write(folder.join("dogs/note.png"), "no picture").unwrap();
    std::fs::copy(folder.join("dogs/3.png"), folder.join("dogs/copy.png")).unwrap();
}

#[test]
fn everything_is_on_the_page() {
    let data = tempfile::tempdir().unwrap();
    pictures(data.path());
    let folder = Folder::builder(data.path()).split(0.4, 1).open().unwrap();
    let options = Options::default().size(32, 32).classes(2).seed(1);
    let model = Model {
        class_names: folder.class_names().to_vec(),
        ..Model::of_architecture(zoo::find("basic-cnn").unwrap(), &options).unwrap()
    };
    let record = EpochRecord {
        epoch: 1,
        loss: 0.5,
        accuracy: 0.75,
        val_loss: Some(0.25),
        val_accuracy: Some(0.5),
        learning_rate: 1e-3,
        seconds: 90.0,
    };
    let history = History { epochs: vec![record] };
    let augment = "flip,rotation=20".parse().unwrap();
    let report = |augment: &Augment| {
        let name = "Report of a <run>".to_owned();
        let cpu = Cpu::detect();
        RunReport { name, model: &model, history: &history, folder: &folder, augment, seed: 1, cpu }.make().unwrap()
    };
    let html = report(&augment).html();
    for part in [
        "Report of a &lt;run&gt;",
        "&lt;cats&gt; and dogs",
        "id=\"cell-0-",
        "<a href=\"#cell-",
        "Grad-CAM",
        "flip",
        "Files that were skipped: 1",
        "note.png",
        "Exact copies: 1",
        "copy.png",
        "Calibration",
        "ROC",
        "90 s",
        "data:image/jpeg;base64,",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert!(!html.contains("<script") && !html.contains("<cats>"));
    assert!(report(&Augment::default()).html().contains("They were not augmented"));
}
