//! Jobs through the API: results, event streams, and restarts.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::time::{Duration, Instant};

use common::Studio;
use serde_json::json;

const TRAIN: &str = r#"{"kind":"train","name":"Tiny","epochs":1,"batch_size":256,"learning_rate":0.002}"#;

#[test]
fn a_run_is_told_as_it_goes_and_survives_a_restart() {
    let studio = Studio::start();
    let mut stream = studio.connect();
    stream.write_all(format!("GET /api/events HTTP/1.1\r\nHost: {}\r\n\r\n", studio.host()).as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "event: hello"));
    let added = studio.post("/api/jobs", TRAIN);
    assert_eq!(added.status, 202, "{}", added.text());
    assert_eq!(added.json()["title"], "Tiny");
    // Read until the run has ended; the stream itself stays open, with keep-alive messages.
    let (mut events, late) = (Vec::<serde_json::Value>::new(), Instant::now() + Duration::from_secs(120));
    for line in lines {
        assert!(Instant::now() < late, "the run does not end: {:?}", events.last());
        events.extend(line.strip_prefix("data: ").and_then(|event| serde_json::from_str(event).ok()));
        let state = events.last().and_then(|event| event["job"]["state"].as_str()).unwrap_or("queued");
        if !["queued", "running"].contains(&state) {
            break;
        }
    }
    assert_eq!(events.last().map(|event| &event["job"]["state"]), Some(&"done".into()));
    let news: Vec<_> = events.iter().filter(|event| event["type"] == "news").collect();
    assert!(news.iter().enumerate().all(|(at, event)| event["at"] == at), "{news:?}");
    assert!(news.iter().any(|event| event["news"]["type"] == "epoch"));
    let job = studio.get("/api/jobs/0001").json();
    assert_eq!(job["state"], "done");
    assert!(job["result"]["accuracy"].as_f64().unwrap() > 0.8, "{}", job["result"]["accuracy"]);
    assert_eq!(job["news"].as_array().unwrap().len(), news.len());
    let confusion: u64 = job["result"]["confusion"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(confusion, 2000);
    let curves = studio.get("/api/jobs/0001/files/curves.png");
    assert!(curves.body.starts_with(b"\x89PNG"));

    // Another run is in progress when the studio ends.
    studio.post("/api/jobs", &TRAIN.replace("\"epochs\":1", "\"epochs\":1000"));
    let folder = studio.stop();
    let studio = Studio::over(folder, |_| {});
    assert_eq!(studio.get("/api/jobs/0001").json(), job);
    // It is interrupted, not cancelled.
    let interrupted = studio.get("/api/jobs/0002").json();
    assert_eq!(interrupted["state"], "interrupted");
    assert_eq!(interrupted["error"], "the studio was closed while this job was running");
    // The first run is listed as a model.
    let models = studio.get("/api/models").json();
    assert_eq!(models[0]["group"], "Runs");
    let look = studio.ask("POST", "/api/models/job-0001/look?width=28&height=28&channels=1", &[], &[0; 784]).json();
    assert_eq!(look["probabilities"].as_array().unwrap().len(), 10);
    assert_eq!(look["layers"][1]["shape"], serde_json::json!([28, 28, 24]));

    // A prediction is explained, and a filter's images are found; the same request again returns the same job.
    let explain = r#"{"kind":"explain","model":"job-0001","image":"digit-3","methods":["gradient","grad-cam","lrp"]}"#;
    let asked = studio.post("/api/jobs", explain).json();
    let explained = studio.wait_for(asked["id"].as_str().unwrap());
    assert_eq!(explained["state"], "done", "{explained}");
    assert_eq!(explained["news"].as_array().unwrap().len(), 3);
    assert!(explained["news"][0]["insertion"].is_number() && explained["files"][0] == "gradient.png");
    assert_eq!(studio.post("/api/jobs", explain).json()["id"], asked["id"]);
    let examples = r#"{"kind":"examples","model":"job-0001","layer":"conv2d_2","channel":1}"#;
    let found = studio.wait_for(studio.post("/api/jobs", examples).json()["id"].as_str().unwrap());
    assert_eq!(found["state"], "done", "{found}");
    assert_eq!(found["result"]["images"], 10_000);
    let climb = r#"{"kind":"maximize","model":"job-0001","layer":"conv2d","channel":2}"#;
    let made = studio.wait_for(studio.post("/api/jobs", climb).json()["id"].as_str().unwrap());
    assert_eq!(made["files"], serde_json::json!(["picture.png"]), "{made}");
}

/// Waits until a run has reported this many epochs, and returns all its events.
fn epochs_of(studio: &Studio, id: &str, count: usize) -> Vec<u64> {
    for _ in 0..2400 {
        let job = studio.get(&format!("/api/jobs/{id}")).json();
        let news = job["news"].as_array().unwrap();
        let epochs: Vec<u64> =
            news.iter().filter(|told| told["type"] == "epoch").map(|told| told["epoch"].as_u64().unwrap()).collect();
        if epochs.len() >= count || !["queued", "running"].contains(&job["state"].as_str().unwrap()) {
            return epochs;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("no epochs");
}

#[test]
fn a_run_goes_on_after_a_stop_and_after_a_restart() {
    let studio = Studio::start();
    studio.post("/api/jobs", &TRAIN.replace("\"epochs\":1", "\"epochs\":3"));
    epochs_of(&studio, "0001", 1);
    assert_eq!(studio.post("/api/jobs/0001/resume", "").status, 409);
    studio.post("/api/jobs/0001/cancel", "");
    let stopped = studio.wait_for("0001");
    assert_eq!(stopped["state"], "cancelled");
    let studio = Studio::over(studio.stop(), |_| {});
    assert_eq!(studio.post("/api/jobs/0001/resume", "").status, 202);
    let job = studio.wait_for("0001");
    assert_eq!((&job["state"], &job["result"]["epochs"]), (&"done".into(), &3.into()), "{}", job["error"]);
    assert_eq!(epochs_of(&studio, "0001", 3), [1, 2, 3]);
    assert!(job["started"].as_f64() > stopped["started"].as_f64());
    assert_eq!(studio.post("/api/jobs/0001/resume", "").status, 409);
    assert_eq!(studio.post("/api/jobs/0002/resume", "").status, 404);
}

/// How well the classes of an embedding are separated: the variance of their means by the mean variance within them.
fn separation(embedding: &serde_json::Value) -> f64 {
    let images = embedding["images"].as_array().unwrap();
    let points: Vec<(u64, [f64; 2])> = images
        .iter()
        .map(|image| (image["class"].as_u64().unwrap(), serde_json::from_value(image["point"].clone()).unwrap()))
        .collect();
    let (mut between, mut within) = (0.0, 0.0);
    for class in 0..10 {
        let own: Vec<[f64; 2]> = points.iter().filter(|(of, _)| *of == class).map(|(_, point)| *point).collect();
        let mean = [0, 1].map(|axis| own.iter().map(|point| point[axis]).sum::<f64>() / own.len() as f64);
        between += own.len() as f64 * (mean[0].powi(2) + mean[1].powi(2));
        within += own.iter().map(|point| (point[0] - mean[0]).powi(2) + (point[1] - mean[1]).powi(2)).sum::<f64>();
    }
    between / within
}

#[test]
fn a_run_after_each_epoch_is_a_model() {
    let studio = Studio::start();
    studio.post("/api/jobs", &TRAIN.replace("\"epochs\":1", "\"epochs\":3"));
    let job = studio.wait_for("0001");
    assert_eq!(job["state"], "done", "{job}");
    let kept: Vec<_> = job["news"].as_array().unwrap().iter().filter_map(|news| news.get("kept")).collect();
    assert_eq!(kept, [&json!([0]), &json!([0, 1]), &json!([0, 1, 2]), &json!([0, 1, 2, 3])]);
    let models = studio.get("/api/models").text();
    assert!(models.contains("job-0001") && !models.contains('@'), "{models}");
    assert_eq!(studio.get("/api/models/job-0001@3").json()["name"], "Run 0001, epoch 3");
    assert_eq!(studio.get("/api/models/job-0001@4").status, 404);
    // The best epoch has the weights of the run's model, and the others do not.
    let of = |model: &str| {
        studio.get(&format!("/api/models/{model}/prediction?image=digit-5")).json()["probabilities"].clone()
    };
    let best = job["result"]["best_epoch"].as_u64().unwrap();
    let same: Vec<u64> = (0..=3).filter(|epoch| of(&format!("job-0001@{epoch}")) == of("job-0001")).collect();
    assert_eq!(same, [best]);
    // Training separates the classes.
    let embedding = |epoch: u64| studio.get(&format!("/api/models/job-0001@{epoch}/embedding?count=400")).json();
    let (before, after) = (embedding(0), embedding(best));
    assert_eq!((&before["title"], &before["layer"]), (&"the validation digits".into(), &"dense".into()));
    let ids = |embedding: &serde_json::Value| -> Vec<String> {
        embedding["images"].as_array().unwrap().iter().map(|image| image["id"].to_string()).collect()
    };
    assert_eq!(ids(&before), ids(&after));
    assert_eq!(ids(&before).len(), 400);
    assert!(separation(&after) > 2.0 * separation(&before), "{} {}", separation(&before), separation(&after));
    // Other pages take it as any model.
    let explain = r#"{"kind":"explain","model":"job-0001@1","image":"digit-3","methods":["gradient"]}"#;
    let explained = studio.wait_for(studio.post("/api/jobs", explain).json()["id"].as_str().unwrap());
    assert_eq!(explained["state"], "done", "{explained}");
    // The epochs are removed with their run.
    let folder = studio.folder.path().join("studio/0001");
    assert!(folder.join("epochs/0003.safetensors").exists());
    assert_eq!(studio.ask("DELETE", "/api/jobs/0001", &[], &[]).status, 204);
    assert!(!folder.exists());
    assert_eq!(studio.get("/api/models/job-0001@3").status, 404);
}

/// A run that was stopped and resumed saves the same epochs as one that was not, byte by byte.
#[test]
fn a_resumed_run_continues_its_epochs() {
    let studio = Studio::start();
    let request = TRAIN.replace("\"epochs\":1", "\"epochs\":3");
    studio.post("/api/jobs", &request);
    epochs_of(&studio, "0001", 1);
    studio.post("/api/jobs/0001/cancel", "");
    assert_eq!(studio.wait_for("0001")["state"], "cancelled");
    let studio = Studio::over(studio.stop(), |_| {});
    studio.post("/api/jobs/0001/resume", "");
    studio.post("/api/jobs", &request);
    studio.wait_for("0001");
    assert_eq!(studio.wait_for("0002")["state"], "done");
    let file = |job: &str, name: &str| std::fs::read(studio.folder.path().join("studio").join(job).join(name)).unwrap();
    for name in [
        "model.safetensors",
        "epochs/0000.safetensors",
        "epochs/0001.safetensors",
        "epochs/0002.safetensors",
        "epochs/0003.safetensors",
    ] {
        assert!(file("0001", name) == file("0002", name), "{name}");
    }
    assert_ne!(file("0001", "epochs/0002.safetensors"), file("0001", "epochs/0003.safetensors"));
}

/// Photos of two classes: with a bright upper half, and with a bright lower half.
fn photos() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (class, above) in [("above", true), ("below", false)] {
        std::fs::create_dir(folder.path().join(class)).unwrap();
        for number in 0..12_u8 {
            let mut image = lucida::data::Image::filled(32, 32, &[20, 20 + number, 40]);
            for (x, y) in (0..32).flat_map(|x| (0..32).map(move |y| (x, y))).filter(|&(_, y)| (y < 16) == above) {
                image.pixel_mut(x, y).copy_from_slice(&[200 + number, 160, 8 * number]);
            }
            image.save_png(folder.path().join(class).join(format!("{number}.png"))).unwrap();
        }
    }
    folder
}

#[test]
fn photos_of_a_folder_are_learned() {
    let photos = photos();
    let cache = tempfile::tempdir().unwrap();
    let studio = Studio::with(|options| {
        options.data = Some(lucida_studio::Source::Folder(photos.path().to_owned()));
        options.features = Some(cache.path().to_owned());
    });
    let known = studio.get("/api/data").json();
    assert!(known["photos"].as_str().unwrap().ends_with(": photos of 2 classes"), "{known}");
    let ask = |network: &str| {
        let request = format!(
            r#"{{"kind":"train","data":"photos","network":"{network}","epochs":2,"batch_size":4,"learning_rate":0.001}}"#
        );
        studio.post("/api/jobs", &request)
    };
    assert_eq!(ask("alexandria").status, 422);
    for (network, is_frozen) in [("basic-cnn", false), ("vgg16-builtin", true)] {
        let asked = ask(network);
        assert_eq!(asked.status, 202, "{}", asked.text());
        let job = studio.wait_for(asked.json()["id"].as_str().unwrap());
        assert_eq!(job["state"], "done", "{network}: {}", job["error"]);
        assert_eq!(job["result"]["classes"], serde_json::json!(["above", "below"]));
        assert!(job["result"]["accuracy"].as_f64().unwrap() > 0.7, "{network}: {}", job["result"]["accuracy"]);
        let model = format!("job-{}", job["id"].as_str().unwrap());
        let said = studio.get(&format!("/api/models/{model}/prediction?image=photo-0")).json();
        assert_eq!(said["classes"], serde_json::json!(["above", "below"]));
        assert!(said["probabilities"][0].as_f64().unwrap() > 0.5, "{network}: {said}");
        // The features of a frozen base are the same after each epoch.
        let start = &job["news"][0];
        assert_eq!((start["kept"] == json!([0]), start["not_kept"].is_string()), (!is_frozen, is_frozen), "{start}");
        let embedding = studio.get(&format!("/api/models/{model}@2/embedding?count=10"));
        assert_eq!(embedding.status, if is_frozen { 404 } else { 200 }, "{}", embedding.text());
    }
}

#[test]
fn an_image_is_stylized() {
    let studio = Studio::start();
    let ask = |size: usize, more: &str| {
        let styles = r#"[{"image":"brushwork","weight":1}]"#;
        let body = format!(r#"{{"kind":"style","content":"cat","styles":{styles},"size":{size}{more}}}"#);
        studio.post("/api/jobs", &body)
    };
    assert_eq!(ask(5000, "").status, 422);
    assert_eq!(ask(96, r#","keep":-1"#).status, 422);
    let asked = ask(96, r#","effort":0.1"#);
    assert_eq!(asked.status, 202, "{}", asked.text());
    let job = studio.wait_for("0001");
    assert_eq!(job["state"], "done", "{}", job["error"]);
    assert_eq!(job["result"]["width"].as_u64().max(job["result"]["height"].as_u64()), Some(96));
    let file = |name: &str| studio.get(&format!("/api/jobs/0001/files/{name}")).body;
    assert!(file("painting.png").starts_with(b"\x89PNG") && file("content.png").starts_with(b"\x89PNG"));
    let news = job["news"].as_array().unwrap();
    assert!(file(news[0]["file"].as_str().unwrap()).starts_with(b"\x89PNG"));
    assert!(job["result"]["style"].as_f64().unwrap() < news[0]["style"].as_f64().unwrap(), "{job}");
}

/// A link to a removed job must not lead to another job, even after a restart.
#[test]
fn the_number_of_a_removed_job_is_not_used_again() {
    let studio = Studio::start();
    let add = |studio: &Studio| {
        let id = studio.post("/api/jobs", TRAIN).json()["id"].as_str().unwrap().to_owned();
        studio.post(&format!("/api/jobs/{id}/cancel"), "{}");
        studio.wait_for(&id);
        id
    };
    assert_eq!(add(&studio), "0001");
    assert_eq!(add(&studio), "0002");
    assert_eq!(studio.ask("DELETE", "/api/jobs/0002", &[], &[]).status, 204);
    assert_eq!(add(&studio), "0003");
    assert_eq!(studio.ask("DELETE", "/api/jobs/0003", &[], &[]).status, 204);
    let studio = Studio::over(studio.stop(), |_| {});
    assert_eq!(add(&studio), "0004");
}

/// When the studio ends, a running and a queued style transfer become interrupted.
#[test]
fn an_interrupted_style_transfer_can_only_start_again() {
    let studio = Studio::start();
    let request =
        r#"{"kind":"style","content":"cat","styles":[{"image":"brushwork","weight":1}],"size":128,"effort":4}"#;
    for _ in 0..2 {
        assert_eq!(studio.post("/api/jobs", request).status, 202);
    }
    for _ in 0..2000 {
        if studio.get("/api/jobs/0001").json()["state"] == "running" {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let studio = Studio::over(studio.stop(), |_| {});
    for (id, when) in [("0001", "while this job was running"), ("0002", "before this job started")] {
        let job = studio.get(&format!("/api/jobs/{id}")).json();
        assert_eq!(job["state"], "interrupted", "{job}");
        assert_eq!(job["error"], format!("the studio was closed {when}"));
        let refused = studio.post(&format!("/api/jobs/{id}/resume"), "");
        assert_eq!(refused.status, 409);
        assert!(refused.text().contains("start this job again"), "{}", refused.text());
    }
}

/// Uploads are listed and served after a restart; other names than their identifiers are not found.
#[test]
fn uploads_are_kept() {
    let studio = Studio::start();
    let png = lucida::data::Image::filled(30, 20, &[200, 100, 50]).png_bytes().unwrap();
    let id = studio.upload(&png).json()["id"].as_str().unwrap().to_owned();
    let studio = Studio::over(studio.stop(), |_| {});
    assert_eq!(studio.get("/api/images").json(), serde_json::json!([{ "id": id }]));
    assert_eq!(studio.get(&format!("/api/images/{id}")).status, 200);
    for wrong in
        ["up-", "up-..%2Fjob", "up-..%2F..%2F0001%2Fjob", "up-ABCDEF0123456789ABCDEF01", "up-0123456789abcdef01234567"]
    {
        assert_eq!(studio.get(&format!("/api/images/{wrong}")).status, 404, "{wrong}");
    }
}

/// A damaged photo is skipped and counted.
#[test]
fn broken_photos_are_counted() {
    let folder = photos();
    let class = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    std::fs::write(class.join("broken.png"), "not an image").unwrap();
    let data = folder.path().to_owned();
    let studio = Studio::with(|options| options.data = Some(lucida_studio::Source::Folder(data)));
    let request = r#"{"kind":"train","data":"photos","epochs":1,"batch_size":16,"learning_rate":0.001}"#;
    let job = studio.wait_for(studio.post("/api/jobs", request).json()["id"].as_str().unwrap());
    assert_eq!(job["state"], "done", "{job}");
    assert_eq!(job["news"][0]["skipped"], 1, "{}", job["news"][0]);
}
