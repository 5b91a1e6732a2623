use super::*;
use crate::nn::applications::{self, Options};
use crate::train::{EpochRecord, Origin};

/// Images of two colors, including a duplicate and a damaged file.
fn images(folder: &std::path::Path) {
    for (class, color) in [("<cats>", [200, 40, 30]), ("dogs", [30, 60, 210])] {
        std::fs::create_dir_all(folder.join(class)).unwrap();
        for index in 0..10_u8 {
            let pixels = (0..40 * 30).flat_map(|p| color.map(|c: u8| c.wrapping_add((p % 7) as u8 * index))).collect();
            let image = Image::new(40, 30, 3, pixels).unwrap();
            image.save_png(folder.join(class).join(format!("{index}.png"))).unwrap();
        }
    }
    std::fs::write(folder.join("dogs/note.png"), "no image").unwrap();
    std::fs::copy(folder.join("dogs/3.png"), folder.join("dogs/copy.png")).unwrap();
}

#[test]
#[expect(clippy::too_many_lines, reason = "one report, section by section")]
fn everything_is_on_the_page() {
    let data = tempfile::tempdir().unwrap();
    images(data.path());
    let folder = Folder::builder(data.path()).split(0.4, 1).open().unwrap();
    let options = Options::default().size(32, 32).classes(2).seed(1);
    let model = Model {
        class_names: folder.class_names().to_vec(),
        ..Model::of_architecture(applications::find("basic-cnn").unwrap(), &options).unwrap()
    };
    let record = EpochRecord {
        epoch: 1,
        loss: 0.5,
        accuracy: Some(0.75),
        val_loss: Some(0.25),
        val_accuracy: Some(0.5),
        learning_rate: 1e-3,
        seconds: 90.0,
        ..EpochRecord::default()
    };
    let history = History { epochs: vec![record] };
    let origin = Origin {
        data: data.path().to_path_buf(),
        seed: 1,
        model: Some("basic-cnn".to_owned()),
        size: Some([32, 32]),
        command: Some("lucida train 'my <photos>'".to_owned()),
        feature_seconds: Some(16.0),
        ..Origin::default()
    };
    let augment = "flip,rotation=20".parse().unwrap();
    let report = |augment: &Augment| {
        let name = "Report of a <run>".to_owned();
        let cpu = Cpu::detect();
        let (origin, data) = (&origin, RunData::of_folder(&folder));
        RunReport { name, model: &model, history: &history, data, augment, origin, cpu }.make().unwrap()
    };
    let html = report(&augment).html();
    for part in [
        "Report of a &lt;run&gt;",
        "&lt;cats&gt; and dogs",
        "id=\"cell-0-",
        "<a href=\"#cell-",
        "Grad-CAM",
        "flip",
        "Skipped files: 1",
        "note.png",
        "Exact copies: 1",
        "copy.png",
        "Calibration",
        "ROC",
        // The time for the features of a frozen base is included.
        "106 s",
        "features of the frozen layers took 16 s",
        "Most confident mistakes",
        "macro average",
        "Few training images: 6 of &lt;cats&gt;, ",
        "Few images to evaluate on: 8. The 95 % confidence interval of the accuracy is ±",
        "32 x 32 pixels",
        "lucida train &#39;my &lt;photos&gt;&#39;",
        "data:image/jpeg;base64,",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert!(!html.contains("<script") && !html.contains("<cats>"));
    assert!(report(&Augment::default()).html().contains("They were not augmented"));
}

/// A network that predicts the first class for every image, evaluated on imbalanced images with leakage.
#[test]
fn what_makes_numbers_misleading_is_a_problem() {
    let data = tempfile::tempdir().unwrap();
    let write = |name: String, color: [u8; 3]| {
        let path = data.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        Image::filled(30, 30, &color).save_png(&path).unwrap();
    };
    (0..12).for_each(|i| write(format!("train/cats/{i}.png"), [200, 40, i]));
    (0..3).for_each(|i| write(format!("train/dogs/{i}.png"), [30, 60, i]));
    (0..4).for_each(|i| write(format!("validation/cats/{i}.png"), [210, 40, i]));
    (0..2).for_each(|i| write(format!("validation/dogs/{i}.png"), [30, 60, i]));
    let folder = Folder::builder(data.path()).open().unwrap();
    let options = Options::default().size(30, 30).classes(2).seed(1);
    let mut model = Model {
        class_names: folder.class_names().to_vec(),
        ..Model::of_architecture(applications::find("basic-cnn").unwrap(), &options).unwrap()
    };
    let last = model.network.output().unwrap().name().to_owned();
    let bias = model.network.weights_mut().iter_mut().find(|weight| *weight.name() == format!("{last}/bias"));
    bias.unwrap().values_mut().fill(-100.0);
    let (history, augment, origin) = (History::default(), Augment::default(), Origin::default());
    let name = "Report".to_owned();
    let cpu = Cpu::detect();
    let data = RunData::of_folder(&folder);
    let report = RunReport { name, model: &model, history: &history, data, augment: &augment, origin: &origin, cpu };
    let html = report.make().unwrap().html();
    for part in [
        "Imbalanced classes: 12 training images of cats, 3 of dogs.",
        "Never predicted: dogs.",
        "Leakage: 2 validation or test images are exact copies",
        "Few training images: 12 of cats, 3 of dogs.",
        "counts as 0: dogs.",
        // Precision is 0.8 for cats, 0 for dogs.
        "40.0 %",
    ] {
        assert!(html.contains(part), "{part}");
    }
    // Correct predictions are not listed among the mistakes.
    let mistakes = html.split("Most confident mistakes").last().unwrap().split("<section").next().unwrap();
    assert!(mistakes.contains("dogs → cats") && !mistakes.contains("cats/0.png"), "{mistakes}");
}
