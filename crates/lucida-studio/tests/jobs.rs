//! Jobs through the API: results, streams of events, and what a restart leaves.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::time::{Duration, Instant};

use common::Studio;

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
    // Until the run has ended; the stream itself goes on, and keeps itself alive.
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

    // Another run is at work when the studio ends.
    studio.post("/api/jobs", &TRAIN.replace("\"epochs\":1", "\"epochs\":1000"));
    let folder = studio.stop();
    let studio = Studio::over(folder, |_| {});
    assert_eq!(studio.get("/api/jobs/0001").json(), job);
    assert!(["cancelled", "interrupted"].contains(&studio.get("/api/jobs/0002").json()["state"].as_str().unwrap()));
    // The run is a model now.
    let models = studio.get("/api/models").json();
    assert_eq!(models[0]["group"], "Runs");
    let look = studio.ask("POST", "/api/models/job-0001/look?width=28&height=28&channels=1", &[], &[0; 784]).json();
    assert_eq!(look["probabilities"].as_array().unwrap().len(), 10);
    assert_eq!(look["layers"][1]["shape"], serde_json::json!([28, 28, 24]));

    // A decision is explained, a filter searched for; asking again gives the same.
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
