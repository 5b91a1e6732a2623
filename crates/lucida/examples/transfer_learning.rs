//! Trains a classifier on a folder of photos, with one subfolder per class, using the features of VGG16's first blocks.
//!
//! `cargo run --release -p lucida --example transfer_learning -- FOLDER [OUT.keras]`

use lucida::prelude::*;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, out @ ..] = arguments.as_slice() else {
        return Err(Error::argument("give a folder with a subfolder of photos for each class"));
    };
    let photos = Folder::builder(folder).split(0.2, 42).open()?;
    println!("{}", photos.summary());

    // A new head on the frozen base; only the head is trained.
    let base = Model::load("vgg16-builtin")?;
    let transfer = Transfer { head: "gap,dense:64,dropout:0.3".parse()?, ..Transfer::default() };
    let mut model = transfer.apply(base, photos.class_names(), 42)?.model;

    let config = TrainConfig { epochs: 20, learning_rate: 3e-4.into(), ..TrainConfig::default() };
    let progress = |step: &Step| {
        if step.unit == Unit::Epochs {
            eprintln!("epoch {} of {}", step.done, step.total.unwrap_or_default());
        }
        std::ops::ControlFlow::Continue(())
    };
    let mut trainer = Trainer::new(config).callback(EarlyStopping::new(5)).callback(progress);
    trainer.fit(&mut model, &photos.train, Some(&photos.validation))?;
    let evaluation = evaluate(&model, &photos.validation, Cpu::detect())?;
    println!("validation accuracy {:.3}", evaluation.accuracy);
    model.save(out.first().map_or("classifier.keras", String::as_str))
}
