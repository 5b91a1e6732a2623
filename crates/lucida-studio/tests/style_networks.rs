//! Networks that stylize in one forward pass: results, training, and restarts.

mod common;

use std::time::Duration;

use common::{Answer, Studio, form};
use lucida::data::Image;
use lucida::style::{FeedForwardSize, FeedForwardStyle, transformation_network};
use serde_json::{Value, json};

/// Bytes of the file of a network with two styles.
fn two_styles() -> Vec<u8> {
    let network = transformation_network(FeedForwardSize::Small, [32; 2], 7).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    FeedForwardStyle::new(network, ["waves", "night"]).unwrap().save(file.path()).unwrap();
    std::fs::read(file.path()).unwrap()
}

fn open(studio: &Studio, name: &str, bytes: &[u8]) -> Answer {
    let head = ["Content-Type: multipart/form-data; boundary=b"];
    studio.ask("POST", "/api/style-networks", &head, &form("network", name, bytes))
}

fn pass(studio: &Studio, network: &str, query: &str) -> Answer {
    studio.get(&format!("/api/style-networks/{network}/pass?{query}"))
}

fn decoded(answer: &Answer) -> Image {
    assert_eq!(answer.status, 200, "{}", answer.text());
    Image::decode(&answer.body, std::path::Path::new("a.png"), &lucida::data::Limits::default()).unwrap()
}

#[test]
fn an_image_is_stylized_in_one_pass() {
    let studio = Studio::start();
    let answer = pass(&studio, "brushwork", "image=cat&size=96");
    assert!(answer.header("server-timing").unwrap().starts_with("pass;dur="), "{}", answer.head);
    let stylized = decoded(&answer);
    assert_eq!((stylized.width(), stylized.height()), (96, 64));
    // The same again, from the loaded network; with less strength; and with the colors of the photo.
    assert_eq!(decoded(&pass(&studio, "brushwork", "image=cat&size=96&mix=2")), stylized);
    let none = decoded(&pass(&studio, "brushwork", "image=cat&size=96&strength=0"));
    let half = decoded(&pass(&studio, "brushwork", "image=cat&size=96&strength=0.5"));
    let apart = |a: &Image, b: &Image| -> u64 {
        a.pixels().iter().zip(b.pixels()).map(|(&a, &b)| u64::from(a.abs_diff(b))).sum()
    };
    assert!(apart(&half, &none) * 3 / 2 < apart(&stylized, &none) && apart(&half, &none) > 0);
    assert!(apart(&decoded(&pass(&studio, "brushwork", "image=cat&size=96&keep_colors=true")), &stylized) > 0);
    // Raw pixels in, raw pixels out.
    let address = "/api/style-networks/brushwork/pass?width=96&height=64";
    let live = studio.ask("POST", address, &["Content-Type: application/octet-stream"], none.pixels());
    assert_eq!(live.status, 200, "{}", live.text());
    assert_eq!(live.body.len(), 96 * 64 * 3);
    assert_ne!(live.body, none.pixels());
    for (query, status, words) in [
        ("image=cat&size=4000", 422, "64 to 1024"),
        ("image=cat&strength=2", 422, "0 to 1"),
        ("image=cat&mix=1,1", 422, "2 weights for 1 style"),
        ("image=cat&mix=much", 422, "much"),
        ("image=cat&mix=0", 422, "above 0"),
        ("image=dog", 404, "no such image"),
    ] {
        let refused = pass(&studio, "brushwork", query);
        assert_eq!(refused.status, status, "{query}");
        assert!(refused.text().contains(words), "{query}: {}", refused.text());
    }
    assert_eq!(pass(&studio, "../0001", "image=cat").status, 404);
    let short = studio.ask("POST", address, &["Content-Type: application/octet-stream"], &[0; 10]);
    assert_eq!(short.status, 422, "{}", short.text());
}

#[test]
fn files_are_opened_kept_and_removed() {
    let studio = Studio::start();
    let file = two_styles();
    let answer = open(&studio, "../two.lucida", &file);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let opened = answer.json();
    assert_eq!(opened["name"], "two.lucida");
    assert_eq!(opened["styles"], json!(["waves", "night"]));
    let id = opened["id"].as_str().unwrap().to_owned();
    // Opened again, it is the same network.
    assert_eq!(open(&studio, "again.lucida", &file).json(), opened);
    let studio = Studio::over(studio.stop(), |_| {});
    assert_eq!(studio.get("/api/style-networks").json()[1], opened);
    assert_eq!(decoded(&pass(&studio, &id, "image=cat&size=64&mix=0.5,0.5")).width(), 64);
    assert_eq!(pass(&studio, &id, "image=cat&size=64&mix=1").status, 422);
    let cat = &*lucida_assets::CAT.bytes().unwrap();
    for (name, bytes, words) in [
        ("cat.png", cat, "cat.png: is an image"),
        ("text.pth", b"not a network".as_slice(), "text.pth: "),
        ("cut.lucida", &file[..file.len() - 9], "cut.lucida: "),
        ("digits.lucida", &digits(), "color images"),
    ] {
        let refused = open(&studio, name, bytes);
        assert_eq!(refused.status, 422, "{name}: {}", refused.text());
        assert!(refused.text().contains(words), "{name}: {}", refused.text());
        let folder = studio.folder.path().to_str().unwrap();
        assert!(!refused.text().contains(folder), "{name}: {}", refused.text());
    }
    let left: Vec<_> = std::fs::read_dir(studio.folder.path().join("studio/style-networks")).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");
    for wrong in ["brushwork", "net-", "net-..%2F..%2F0001", "job-0001"] {
        assert_eq!(studio.ask("DELETE", &format!("/api/style-networks/{wrong}"), &[], &[]).status, 404, "{wrong}");
    }
    assert_eq!(studio.ask("DELETE", &format!("/api/style-networks/{id}"), &[], &[]).status, 204);
    assert_eq!(pass(&studio, &id, "image=cat").status, 404);
}

#[test]
fn a_file_that_is_too_large_is_refused() {
    let studio = Studio::with(|options| options.limits.upload_bytes = 10_000);
    let refused = open(&studio, "two.lucida", &two_styles());
    assert_eq!(refused.status, 413, "{}", refused.text());
    assert_eq!(open(&studio, "small.lucida", &[0; 100]).status, 422);
}

/// Bytes of the file of a network that is not a style network.
fn digits() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("digits.safetensors");
    let model = lucida::weights::Model::new(lucida::nn::applications::mnist_cnn(1).unwrap());
    lucida::weights::save_model(&model, &file).unwrap();
    std::fs::read(file).unwrap()
}

/// A network of another program has no style names, and is stored like the studio's own.
#[test]
fn a_network_of_another_program_is_opened() {
    let studio = Studio::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("brushwork.onnx");
    FeedForwardStyle::builtin().unwrap().save_onnx(&[1.0], &file).unwrap();
    let opened = open(&studio, "candy.onnx", &std::fs::read(file).unwrap());
    assert_eq!(opened.status, 201, "{}", opened.text());
    let opened = opened.json();
    assert_eq!((&opened["name"], &opened["styles"]), (&"candy.onnx".into(), &json!(["candy.onnx"])));
    let made = decoded(&pass(&studio, opened["id"].as_str().unwrap(), "image=cat&size=64"));
    let own = decoded(&pass(&studio, "brushwork", "image=cat&size=64"));
    let apart = made.pixels().iter().zip(own.pixels()).map(|(&a, &b)| a.abs_diff(b)).max();
    assert!(apart <= Some(2), "{apart:?}");
}

fn train(studio: &Studio, change: impl FnOnce(&mut Value)) -> Answer {
    let mut request = json!({ "kind": "style-train", "styles": [{ "image": "brushwork" }], "steps": 4 });
    change(&mut request);
    studio.post("/api/jobs", &request.to_string())
}

/// Waits until a training has published a preview.
fn wait_for_preview(studio: &Studio, id: &str) -> Value {
    for _ in 0..2400 {
        let job = studio.get(&format!("/api/jobs/{id}")).json();
        let has = job["news"].as_array().unwrap().iter().any(|news| news["type"] == "preview");
        if has || !["queued", "running"].contains(&job["state"].as_str().unwrap()) {
            return job;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("no preview");
}

#[test]
fn a_network_is_trained_stopped_and_resumed() {
    let studio = Studio::start();
    let style = Image::filled(80, 60, &[200, 100, 50]).png_bytes().unwrap();
    let style = studio.upload(&style).json()["id"].clone();
    let asked = train(&studio, |request| {
        request["steps"] = json!(40);
        request["styles"] = json!([{ "image": "brushwork" }, { "image": style, "name": "rust" }]);
    });
    assert_eq!(asked.status, 202, "{}", asked.text());
    assert_eq!(asked.json()["title"], "brushwork, rust");
    // The network can be used during the training.
    let job = wait_for_preview(&studio, "0001");
    assert!(job["files"].as_array().unwrap().contains(&json!("style.lucida")), "{job}");
    let network = studio.get("/api/style-networks").json()[1].clone();
    assert_eq!(network["id"], "job-0001");
    assert_eq!(network["styles"], json!(["brushwork", "rust"]));
    assert_eq!(decoded(&pass(&studio, "job-0001", "image=cat&size=64&mix=1,3")).width(), 64);
    studio.post("/api/jobs/0001/cancel", "");
    let stopped = studio.wait_for("0001");
    assert_eq!((&stopped["state"], &stopped["result"]["stopped"]), (&"cancelled".into(), &true.into()), "{stopped}");
    let steps = stopped["result"]["steps"].as_u64().unwrap();
    assert!((1..40).contains(&steps), "{steps}");
    // It survives a restart, even if the uploaded style image is gone.
    let folder = studio.stop();
    std::fs::remove_dir_all(folder.path().join("studio/images")).unwrap();
    let studio = Studio::over(folder, |_| {});
    assert_eq!(studio.get("/api/style-networks").json()[1], network);
    assert_eq!(pass(&studio, "job-0001", "image=cat&size=64").status, 200);
    assert_eq!(studio.post("/api/jobs/0001/resume", "").status, 202);
    let done = studio.wait_for("0001");
    assert_eq!((&done["state"], &done["result"]["steps"]), (&"done".into(), &40.into()), "{}", done["error"]);
    assert!(done["result"]["seconds_per_step"].as_f64().unwrap() > 0.0);
    let news = done["news"].as_array().unwrap();
    let of = |kind: &str| news.iter().filter(|news| news["type"] == kind).collect::<Vec<_>>();
    assert_eq!((of("start").len(), &of("loss").last().unwrap()["step"]), (1, &json!(40)));
    assert!(of("loss").iter().all(|point| point["style"].as_f64().unwrap() > 0.0));
    for name in ["photos.jpg", done["result"]["picture"].as_str().unwrap()] {
        let file = studio.get(&format!("/api/jobs/0001/files/{name}"));
        assert_eq!((file.status, file.header("content-type")), (200, Some("image/jpeg")), "{name}");
    }
    assert_eq!(studio.ask("DELETE", "/api/jobs/0001", &[], &[]).status, 204);
    assert_eq!(pass(&studio, "job-0001", "image=cat").status, 404);
}

#[test]
fn trainings_that_cannot_be_are_refused() {
    let studio = Studio::start();
    let refused = |words: &str, change: &dyn Fn(&mut Value)| {
        let answer = train(&studio, change);
        assert_eq!(answer.status / 100, 4, "{words}: {}", answer.text());
        assert!(answer.text().contains(words), "{words}: {}", answer.text());
    };
    refused("1 to 4 styles", &|request| request["styles"] = json!([]));
    refused("1 to 4 styles", &|request| request["styles"] = json!(vec![json!({ "image": "cat" }); 5]));
    refused("1 to 100000 steps", &|request| request["steps"] = json!(0));
    refused("content weight", &|request| request["content_weight"] = json!(-1));
    refused("two styles have the name", &|request| {
        request["styles"] = json!([{ "image": "cat", "name": "a" }, { "image": "brushwork", "name": "a" }]);
    });
    refused("--data DIR", &|request| request["photos"] = json!("folder"));
    refused("no longer kept", &|request| request["styles"] = json!([{ "image": "up-0123456789abcdef01234567" }]));
    refused("unknown variant", &|request| request["size"] = json!("huge"));
    refused("unknown field", &|request| request["file"] = json!("/etc/passwd"));
}

#[test]
fn photos_of_a_folder_are_trained_on() {
    let photos = tempfile::tempdir().unwrap();
    std::fs::write(photos.path().join("a.png"), lucida_assets::CAT.bytes().unwrap()).unwrap();
    std::fs::write(photos.path().join("b.png"), "not an image").unwrap();
    let studio = Studio::with(|options| options.data = Some(lucida_studio::Source::Folder(photos.path().to_owned())));
    let known = studio.get("/api/data").json();
    assert!(known["style_photos"].as_str().unwrap().ends_with(": 2 photos"), "{known}");
    assert!(known["style_seconds"]["base"].as_f64() > known["style_seconds"]["small"].as_f64(), "{known}");
    train(&studio, |request| request["photos"] = json!("folder"));
    let job = studio.wait_for("0001");
    assert_eq!((&job["state"], &job["result"]["skipped"]), (&"done".into(), &1.into()), "{job}");
    assert_eq!(job["news"][0]["photos"], 2);
}
