//! Settings that a model's file lacks: previewed, used, saved and loaded again; and invalid ones.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Answer, Studio};
use lucida::nn::Network;
use lucida::nn::layers::{Conv2D, Dense, Flatten, Layer};
use lucida::weights::{IncludeTop, Model, ModelSettings, ModelSpec, save_model};
use serde_json::{Value, json};

/// Writes a classifier with three classes that ends in logits, without preprocessing or class names.
fn write_model(folder: &Path) -> PathBuf {
    let layers: [Layer; 3] = [Conv2D::new(4, [3, 3]).into(), Flatten::new().into(), Dense::new(3).into()];
    let path = folder.join("pets.safetensors");
    save_model(&Model::new(Network::sequential("pets", [12, 12, 3], layers, 7).unwrap()), &path).unwrap();
    path
}

/// Starts a studio with this model; with the same folder of runs, this is a restart.
fn over(runs: &Arc<tempfile::TempDir>, model: &Path) -> Studio {
    let spec = ModelSpec { top: IncludeTop::Optional, ..ModelSpec::new(model.to_str().unwrap()) };
    Studio::over(Arc::clone(runs), |options| options.model = Some(spec))
}

fn given() -> (tempfile::TempDir, PathBuf, Arc<tempfile::TempDir>, Studio) {
    let folder = tempfile::tempdir().unwrap();
    let model = write_model(folder.path());
    let runs = Arc::new(tempfile::tempdir().unwrap());
    let studio = over(&runs, &model);
    (folder, model, runs, studio)
}

const SETTINGS: &str = "/api/models/given/settings";

fn body(preprocessing: &str, classes: &str, task: Value, save: bool) -> Value {
    json!({ "settings": { "preprocessing": preprocessing, "classes": classes, "task": task }, "save": save })
}

fn put(studio: &Studio, path: &str, body: &Value) -> Answer {
    studio.ask("PUT", path, &["Content-Type: application/json"], body.to_string().as_bytes())
}

fn preview(studio: &Studio, preprocessing: &str, classes: &str, task: Value) -> Answer {
    let body = json!({
        "image": "cat",
        "settings": { "preprocessing": preprocessing, "classes": classes, "task": task }
    });
    studio.post(&format!("{SETTINGS}/preview"), &body.to_string())
}

/// The prediction for a drawing, with the plan that is kept between requests.
fn look(studio: &Studio) -> Value {
    let pixels: Vec<u8> = (0..12 * 12 * 3).map(|at| (at * 7 % 256) as u8).collect();
    let path = "/api/models/given/look?width=12&height=12&channels=3";
    studio.ask("POST", path, &[], &pixels).json()["probabilities"].clone()
}

#[test]
fn settings_are_tried_used_saved_and_found_again() {
    let (_folder, model, runs, studio) = given();
    let file = model.with_file_name("pets.safetensors.lucida.json");
    let now = studio.get(SETTINGS).json();
    assert_eq!((&now["assumed"], &now["preprocessing"], &now["classes"]), (&true.into(), &"unit".into(), &3.into()));
    assert_eq!((&now["fixed"], &now["unsaved"]), (&Value::Null, &Value::Null));
    assert_eq!(now["file"], "pets.safetensors.lucida.json");
    assert_eq!(studio.get("/api/models/given").json()["assumed"], true);
    let before = look(&studio);

    // A preview changes nothing.
    let tried = preview(&studio, "caffe,pad", r#"{"dog": 1, "cat": 0, "owl": 2}"#, Value::Null).json();
    assert_eq!(tried["channels"][0]["name"], "Blue");
    assert!(tried["channels"][0]["low"].as_f64().unwrap() < -50.0, "{}", tried["channels"]);
    assert!(["cat", "dog", "owl"].contains(&tried["predictions"][0]["name"].as_str().unwrap()));
    assert_eq!(studio.get(SETTINGS).json(), now);
    assert_eq!(look(&studio), before);

    // Once used, settings apply to the model everywhere, until the studio ends.
    let used = put(&studio, SETTINGS, &body("raw,bgr", "cat\ndog\nowl", Value::Null, false)).json();
    assert_eq!((&used["assumed"], &used["preprocessing"]), (&false.into(), &"raw,bgr".into()));
    assert_ne!(look(&studio), before);
    let described = studio.get("/api/models/given").json();
    assert_eq!((&described["classes"], &described["assumed"]), (&json!(["cat", "dog", "owl"]), &false.into()));
    assert_eq!(studio.get("/api/models/given/prediction?image=cat").json()["classes"], described["classes"]);
    assert!(!file.exists());
    studio.stop();
    let studio = over(&runs, &model);
    assert_eq!(studio.get(SETTINGS).json(), now);

    // Once saved, they are found after a restart, and by the command line.
    let saved = put(&studio, SETTINGS, &body("tf,crop", "cat\ndog\nowl", Value::Null, true));
    assert_eq!(saved.status, 200, "{}", saved.text());
    studio.stop();
    let studio = over(&runs, &model);
    let found = studio.get(SETTINGS).json();
    assert_eq!((&found["assumed"], &found["preprocessing"]), (&false.into(), &"tf,crop".into()));
    assert_eq!(found["class_names"], json!(["cat", "dog", "owl"]));
    let opened = lucida::weights::open(&ModelSpec::new(model.to_str().unwrap())).unwrap();
    assert_eq!(opened.class_names, ["cat", "dog", "owl"]);

    // A settings file that changes is read again.
    ModelSettings::default().save(&model).unwrap();
    assert_eq!(studio.get(SETTINGS).json()["assumed"], true);
}

#[test]
fn what_was_computed_with_other_settings_is_computed_again() {
    let (_folder, _, _, studio) = given();
    let explain = r#"{"kind":"explain","model":"given","image":"cat","methods":["gradient"]}"#;
    let ask = || studio.wait_for(studio.post("/api/jobs", explain).json()["id"].as_str().unwrap())["id"].clone();
    let first = ask();
    assert_eq!(ask(), first);
    assert_eq!(put(&studio, SETTINGS, &body("raw", "", Value::Null, false)).status, 200);
    assert_ne!(ask(), first);
}

#[test]
fn the_task_decides_what_outputs_mean() {
    let (_folder, _, _, studio) = given();
    assert_eq!(studio.get(SETTINGS).json()["tasks"], json!(["classify", "multilabel", "regress", "features"]));
    let sum = |answer: &Value| {
        let predictions = answer["predictions"].as_array().unwrap();
        predictions.iter().map(|one| one["probability"].as_f64().unwrap()).sum::<f64>()
    };
    assert!((sum(&preview(&studio, "unit", "", Value::Null).json()) - 1.0).abs() < 1e-5);
    assert!((sum(&preview(&studio, "unit", "", "multilabel".into()).json()) - 1.0).abs() > 1e-3);
    let numbers = preview(&studio, "unit", "", "regress".into()).json();
    assert_eq!((&numbers["predictions"], numbers["outputs"].as_array().unwrap().len()), (&json!([]), 3));
    assert_eq!(put(&studio, SETTINGS, &body("unit", "", "regress".into(), false)).json()["task"], "regress");
    assert_eq!(studio.get("/api/models/given").json()["classes"], json!([]));
    assert_eq!(studio.get("/api/models/given/prediction?image=cat").json()["probabilities"], json!([]));
    // There is no prediction to explain, and no loss to backpropagate.
    let explain = r#"{"kind":"explain","model":"given","image":"cat","methods":["gradient"]}"#;
    assert_eq!(studio.post("/api/jobs", explain).status, 422);
    let layer = &studio.get("/api/models/given").json()["layers"][1]["name"];
    let mechanics = json!({
        "image": "cat", "layer": layer, "filter": 0, "position": [1, 1], "channel": 0, "place": [0, 0]
    });
    let mechanics = || studio.post("/api/models/given/mechanics", &mechanics.to_string()).json()["back"].clone();
    assert!(mechanics().is_null());
    // Back to the task that follows from the network.
    assert_eq!(put(&studio, SETTINGS, &body("unit", "", Value::Null, false)).json()["task"], Value::Null);
    assert_eq!(studio.get("/api/models/given").json()["classes"], json!(["0", "1", "2"]));
    assert!(!mechanics().is_null());
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let (folder, _, _, studio) = given();
    let before = studio.get(SETTINGS).json();
    let long = format!("{}\nb\nc", "a".repeat(201));
    let none = || Value::Null;
    for (bad, expected) in [
        (body("guess", "", none(), true), "guess"),
        (body("", "", none(), true), "unknown"),
        (body("unit,gray", "", none(), true), "channel"),
        (body("mean=1,2", "", none(), true), "mean and std"),
        (body("mean=0.5,std=0", "", none(), true), "std must be above 0"),
        (body("../../etc/passwd", "", none(), true), "unknown"),
        (body(&"unit,".repeat(50), "", none(), true), "200 characters"),
        (body("unit", "cat\ndog", none(), true), "2 given, 3 expected"),
        (body("unit", "cat\ndog\ndog", none(), true), "twice"),
        (body("unit", "[1, 2, 3]", none(), true), "not a list of names"),
        (body("unit", "{\"cat\": 0", none(), true), "not valid JSON"),
        (body("unit", &long, none(), true), "200 characters"),
        (body("unit", "", "guess".into(), true), "guess"),
        (
            json!({ "settings": { "preprocessing": "unit", "classes": "", "task": null }, "save": true, "path": "/tmp/x" }),
            "path",
        ),
        (json!([]), "request"),
    ] {
        let answer = put(&studio, SETTINGS, &bad);
        assert_eq!(answer.status, 400, "{bad}: {}", answer.text());
        let message = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(message.contains(expected), "{bad}: {message}");
        if let Some(settings) = bad.get("settings").filter(|_| bad.get("path").is_none()) {
            let body = json!({ "image": "cat", "settings": settings }).to_string();
            assert_eq!(studio.post(&format!("{SETTINGS}/preview"), &body).status, 400, "{bad}");
        }
    }
    assert_eq!(studio.ask("PUT", SETTINGS, &["Content-Type: application/json"], b"{").status, 400);
    assert_eq!(put(&studio, SETTINGS, &body("unit", &"a\n".repeat(600_000), none(), true)).status, 413);
    let good = body("unit", "", none(), true);
    for (id, status) in [("vgg16-builtin", 400), ("lenet5", 400), ("nothing", 404), ("%2Fetc%2Fpasswd", 404)] {
        assert_eq!(put(&studio, &format!("/api/models/{id}/settings"), &good).status, status, "{id}");
    }
    let image = json!({ "image": "/etc/passwd", "settings": good["settings"] }).to_string();
    assert_eq!(studio.post(&format!("{SETTINGS}/preview"), &image).status, 404);
    assert_eq!(studio.get(SETTINGS).json(), before);
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().map(|file| file.file_name()).collect();
    assert_eq!(files, ["pets.safetensors"]);
}

#[test]
fn a_model_without_a_file_or_in_a_folder_that_is_read_only_cannot_be_saved() {
    let (folder, _, _, studio) = given();
    let set = |readonly: bool| {
        let mut permissions = fs::metadata(folder.path()).unwrap().permissions();
        permissions.set_readonly(readonly);
        fs::set_permissions(folder.path(), permissions).unwrap();
    };
    set(true);
    let now = studio.get(SETTINGS).json();
    let refused = put(&studio, SETTINGS, &body("raw", "", Value::Null, true));
    let used = put(&studio, SETTINGS, &body("raw", "", Value::Null, false));
    set(false);
    assert_eq!(now["unsaved"], "the folder of the model is read-only");
    assert_eq!((refused.status, used.status), (400, 200), "{}", refused.text());
    assert!(studio.get(SETTINGS).json()["unsaved"].is_null());

    let builtin = ModelSpec { top: IncludeTop::Optional, ..ModelSpec::new("vgg16-builtin") };
    let studio = Studio::with(|options| options.model = Some(builtin));
    let now = studio.get(SETTINGS).json();
    assert_eq!((&now["unsaved"], &now["fixed"]), (&"vgg16-builtin is not stored in a file".into(), &Value::Null));
}

#[test]
fn a_run_keeps_what_else_it_knows() {
    let runs = Arc::new(tempfile::tempdir().unwrap());
    let run = runs.path().join("digits");
    fs::create_dir(&run).unwrap();
    let preprocessing = Some(lucida::data::Preprocessing::mnist());
    let model = Model { preprocessing, ..Model::new(lucida::nn::applications::mnist_cnn(1).unwrap()) };
    save_model(&model, run.join("model.safetensors")).unwrap();
    let studio = Studio::over(runs, |_| {});
    let path = "/api/models/run-digits/settings";
    assert_eq!(studio.get(path).json()["assumed"], false);
    let names = "zero\none\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine";
    let saved = put(&studio, path, &body("unit,gray,stretch", names, Value::Null, true));
    assert_eq!(saved.status, 200, "{}", saved.text());
    assert!(run.join("model.safetensors.lucida.json").exists());
    let described = studio.get("/api/models/run-digits").json();
    assert_eq!((&described["digits"], &described["classes"][7]), (&true.into(), &"seven".into()));
}

/// The gradients of a frozen layer, such as the base in transfer learning, are shown as well.
#[test]
fn a_frozen_convolution_has_gradients() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_model(folder.path());
    let gradients = || {
        let studio = over(&Arc::new(tempfile::tempdir().unwrap()), &path);
        let layer = &studio.get("/api/models/given").json()["layers"][1]["name"];
        let request = json!({
            "image": "cat", "layer": layer, "filter": 1, "position": [1, 1], "channel": 0, "place": [0, 0]
        });
        let answer = studio.post("/api/models/given/mechanics", &request.to_string());
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["back"]["kernel"].clone()
    };
    let expected = gradients();
    let mut model = lucida::weights::load_model(&path).unwrap();
    let layer = model.network.nodes()[1].name().to_owned();
    model.network.set_trainable(&layer, false).unwrap();
    save_model(&model, &path).unwrap();
    assert!(!lucida::weights::load_model(&path).unwrap().network.weights()[0].trainable());
    assert_eq!(gradients(), expected);
    assert!(expected.as_array().unwrap().iter().any(|gradient| gradient.as_f64() != Some(0.0)));
}
