//! Loads a model of any supported format, classifies a photo, and shows with Grad-CAM which pixels the prediction depends
//! on.
//!
//! `cargo run --release -p lucida --example load_and_explain -- MODEL PHOTO [OUT.png]`; MODEL is a Keras, PyTorch, ONNX or
//! Lucida file, a run folder, or the name of a known network with local weights.

use lucida::prelude::*;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, photo, out @ ..] = arguments.as_slice() else {
        return Err(Error::argument("give a model and a photo"));
    };
    let model = Model::load(model)?;
    let photo = Image::open(photo)?;

    let prediction = &model.predict(std::slice::from_ref(&photo))?[0];
    if let Predicted::Class(found) = prediction {
        for &class in found.ranking().iter().take(5) {
            println!("{:.4}  {}", found.probabilities[class], model.class_name(class));
        }
    }

    let preprocessing = model.preprocessing()?;
    let mut input = vec![0.0; preprocessing.output_shape().iter().product()];
    preprocessing.apply(&photo, &mut input)?;
    let mut explainer = Explainer::new(&model, &ExplainConfig::default())?;
    let (class, _) = explainer.predict(&input)?;
    let map = explainer.explain(&input, class, Method::GradCam)?;
    let out = out.first().map_or("grad-cam.png", String::as_str);
    overlay(&preprocessing.to_image(&input)?, &map)?.save_png(out)
}
