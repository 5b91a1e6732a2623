//! Jobs that were stored by an earlier version open, with all of their files.

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::Studio;

#[test]
fn jobs_of_an_earlier_version_open() {
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stored");
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut files = Vec::new();
    for id in ["0002", "0003", "0004", "0005", "0006"] {
        let copy = folder.path().join("studio").join(id);
        fs::create_dir_all(&copy).unwrap();
        for entry in fs::read_dir(stored.join(id)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            fs::copy(stored.join(id).join(&name), copy.join(&name)).unwrap();
            files.push((id, name));
        }
    }
    let studio = Studio::over(folder, |_| {});
    for (id, kind, key) in [
        ("0002", "train", "accuracy"),
        ("0003", "explain", "probability"),
        ("0004", "maximize", "value"),
        ("0005", "examples", "examples"),
        ("0006", "style", "steps"),
    ] {
        let job = studio.get(&format!("/api/jobs/{id}")).json();
        assert_eq!((&job["state"], &job["kind"]), (&"done".into(), &kind.into()), "{job}");
        assert!(!job["result"][key].is_null(), "{job}");
        assert!(!job["news"].as_array().unwrap().is_empty() || id == "0004" || id == "0005", "{job}");
        // The image that a page shows must be among the files, by the name that today's pages request.
        if let Some(image) = job["result"]["image"].as_str().or(job["result"]["picture"].as_str()) {
            assert_eq!(studio.get(&format!("/api/jobs/{id}/files/{image}")).status, 200, "{job}");
        }
    }
    for (id, name) in files.iter().filter(|(_, name)| name.ends_with(".png")) {
        assert_eq!(studio.get(&format!("/api/jobs/{id}/files/{name}")).status, 200, "{id}/{name}");
    }
    // The model of the training can be used.
    let models = studio.get("/api/models").json();
    assert!(models.as_array().unwrap().iter().any(|model| model["id"] == "job-0002"), "{models}");
    let look = studio.ask("POST", "/api/models/job-0002/look?width=28&height=28&channels=1", &[], &[0; 784]).json();
    assert_eq!(look["probabilities"].as_array().unwrap().len(), 10);
}
