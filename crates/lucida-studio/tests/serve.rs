//! The prediction server: responses, access control, and limits.

mod common;

use std::io::Write;
use std::net::TcpStream;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::{Answer, Client, png_of, resident};
use lucida::Cpu;
use lucida::data::{ColorMode, Image, Preprocessing};
use lucida::model::{Predicted, Predictor};
use lucida::nn::Sequential;
use lucida::nn::layers::{ActivationKind, Conv2D, Dense, GlobalAveragePooling2D};
use lucida::weights::{Model, Task};
use lucida_studio::{PredictionServer, ServeOptions, ServeSummary};
use serde_json::{Value, json};

const NAMES: [&str; 7] = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu"];

/// A model with `NAMES` as its classes, labels or values.
fn model(activation: ActivationKind) -> Model {
    let network = Sequential::new("small", [24, 20, 3])
        .add(Conv2D::new(16, [3, 3]).activation(ActivationKind::Relu))
        .add(Conv2D::new(32, [3, 3]).activation(ActivationKind::Relu))
        .add(GlobalAveragePooling2D::new())
        .add(Dense::new(NAMES.len()).activation(activation))
        .build(3)
        .unwrap();
    Model::new(network).with_preprocessing(Preprocessing::unit(20, 24, ColorMode::Rgb)).with_class_names(NAMES)
}

/// An image that is different for each number.
fn image(number: usize) -> Image {
    let (width, height) = (31 + number % 5, 40);
    let pixels = (0..width * height * 3).map(|at| ((at * (number + 3)) % 251) as u8).collect();
    Image::new(width, height, 3, pixels).unwrap()
}

fn png(number: usize) -> Vec<u8> {
    image(number).png_bytes().unwrap()
}

struct Served {
    client: Client,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<ServeSummary>>,
}

impl Served {
    fn start() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut ServeOptions)) -> Self {
        Self::of(model(ActivationKind::Softmax), change)
    }

    fn of(model: Model, change: impl FnOnce(&mut ServeOptions)) -> Self {
        let mut options = ServeOptions { port: 0, ..ServeOptions::new("animals") };
        change(&mut options);
        let server = PredictionServer::bind(model, &options).unwrap();
        let client = Client::of(&server.address().url);
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let run = move || server.run(|| asked.load(Ordering::SeqCst), |_| {}).unwrap();
        Self { client, stop, thread: Some(std::thread::spawn(run)) }
    }

    fn stop(mut self) -> ServeSummary {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Deref for Served {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let (Some(thread), false) = (self.thread.take(), std::thread::panicking()) {
            thread.join().unwrap();
        }
    }
}

fn predict(client: &Client, path: &str, body: &[u8]) -> Answer {
    client.ask("POST", path, &["Content-Type: image/png"], body)
}

/// A form with files.
fn form(client: &Client, path: &str, files: &[(&str, &[u8])]) -> Answer {
    let mut body = Vec::new();
    for (name, bytes) in files {
        let head = format!("--b\r\nContent-Disposition: form-data; name=\"image\"; filename=\"{name}\"\r\n\r\n");
        body.extend([head.as_bytes(), bytes, b"\r\n"].concat());
    }
    body.extend(b"--b--\r\n");
    client.ask("POST", path, &["Content-Type: multipart/form-data; boundary=b"], &body)
}

/// The probabilities of a prediction in the order of `NAMES`, to the bit.
fn bits(prediction: &Value) -> Vec<u32> {
    let top = prediction["top"].as_array().unwrap();
    let of = |name: &&str| top.iter().find(|one| one["class"] == *name).unwrap()["probability"].as_f64().unwrap();
    NAMES.iter().map(|name| (of(name) as f32).to_bits()).collect()
}

/// The probabilities that the model predicts for images one at a time.
fn alone(count: usize) -> Vec<Vec<u32>> {
    let model = model(ActivationKind::Softmax);
    let mut predictor = Predictor::of_one(&model, Cpu::detect()).unwrap();
    (0..count)
        .map(|number| {
            let Predicted::Class(found) = predictor.predict(&image(number)).unwrap() else { panic!("no class") };
            found.probabilities.iter().map(|probability| probability.to_bits()).collect()
        })
        .collect()
}

#[test]
fn an_image_is_predicted_as_by_the_command() {
    let server = Served::start();
    let answer = predict(&server, "/predict?top=7", &png(0));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{}", answer.text());
    let json = answer.json();
    assert_eq!(json["model"], "animals");
    let found = &json["predictions"][0];
    assert_eq!(bits(found), alone(1)[0]);
    assert_eq!((&found["class"], &found["probability"]), (&found["top"][0]["class"], &found["top"][0]["probability"]));
    assert_eq!(json.as_object().unwrap().len(), 2);
    // Several content types are accepted for a body, and the number of classes can be chosen.
    for kind in ["image/jpeg", "application/octet-stream", "application/x-www-form-urlencoded"] {
        let answer = server.ask("POST", "/predict?top=2", &[&format!("Content-Type: {kind}")], &png(0));
        assert_eq!(answer.json()["predictions"][0]["top"].as_array().unwrap().len(), 2, "{kind}");
    }
    assert_eq!(predict(&server, "/predict", &png(0)).json()["predictions"][0]["top"].as_array().unwrap().len(), 5);
    assert_eq!(server.ask("POST", "/predict", &[], &png(0)).status, 200);
}

#[test]
fn a_form_has_several_images_and_bad_ones_among_them() {
    let server = Served::with(|options| options.batch_size = 4);
    let (alone, images) = (alone(9), (0..9).map(png).collect::<Vec<_>>());
    let names: Vec<String> = (0..9).map(|number| format!("{number}.png")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().zip(&images).map(|(name, png)| (name.as_str(), &png[..])).collect();
    let json = form(&server, "/predict?top=7", &files).json();
    let found = json["predictions"].as_array().unwrap();
    assert_eq!(found.len(), 9);
    for (number, found) in found.iter().enumerate() {
        assert_eq!((&found["image"], bits(found)), (&json!(names[number]), alone[number].clone()));
    }
    let mixed = [files[0], ("notes.txt", b"some notes"), files[1]];
    let answer = form(&server, "/predict", &mixed);
    let json = answer.json();
    assert_eq!((answer.status, json["predictions"].as_array().unwrap().len()), (200, 2));
    assert_eq!(json["errors"][0]["image"], "notes.txt");
    assert!(json["errors"][0]["error"].as_str().unwrap().starts_with("notes.txt: not an image"), "{json}");
    let bad = form(&server, "/predict", &mixed[1..2]);
    assert_eq!(bad.status, 400, "{}", bad.text());
    assert!(bad.json()["error"].as_str().unwrap().starts_with("notes.txt: not an image"));
    assert_eq!(form(&server, "/predict", &[]).status, 400);
}

#[test]
fn labels_values_and_digits() {
    let labels = Served::of(model(ActivationKind::Sigmoid), |_| {});
    let json = predict(&labels, "/predict?top=3", &png(0)).json();
    let found = &json["predictions"][0];
    assert!(found["labels"].is_array() && found["top"].as_array().unwrap().len() == 3, "{json}");
    assert_eq!(labels.get("/model").json()["task"], "multilabel");

    let regression = Model { task: Some(Task::Regress), ..model(ActivationKind::Linear) };
    let values = Served::of(regression, |_| {});
    let json = predict(&values, "/predict", &png(0)).json();
    assert_eq!(json["predictions"][0]["values"].as_array().unwrap().len(), 7);
    assert_eq!(values.get("/model").json()["task"], "regress");

    let network = lucida::nn::applications::mnist_cnn(1).unwrap();
    let digits = Served::of(Model::new(network).with_preprocessing(Preprocessing::mnist()), |_| {});
    let blank = Image::filled(30, 30, &[255]).png_bytes().unwrap();
    assert_eq!(predict(&digits, "/predict", &blank).json()["predictions"][0]["digit_found"], false);
}

#[test]
fn features_are_not_served() {
    let features = Model { task: Some(Task::Features), ..model(ActivationKind::Linear) };
    let options = ServeOptions { port: 0, ..ServeOptions::new("features") };
    assert!(PredictionServer::bind(features, &options).err().unwrap().to_string().contains("features"));
    // A port that is in use.
    let server = Served::start();
    let taken = ServeOptions { port: server.address.port(), ..ServeOptions::new("animals") };
    let message = PredictionServer::bind(model(ActivationKind::Softmax), &taken).err().unwrap().to_string();
    assert!(message.starts_with(&format!("cannot listen on 127.0.0.1:{}", taken.port)), "{message}");
    assert!(message.contains("--port"), "{message}");
}

#[test]
fn what_is_wrong_with_a_request_is_said() {
    let server = Served::start();
    let check = |answer: Answer, status: u16, words: &str| {
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(answer.status == status && error.contains(words), "{}: {error}", answer.status);
    };
    check(predict(&server, "/predict", b""), 400, "empty");
    check(predict(&server, "/predict", b"garbage"), 400, "not an image");
    check(predict(&server, "/predict", &png(0)[..100]), 400, "truncated PNG image");
    check(predict(&server, "/predict", &png_of(100_000, 100_000)), 413, "100000x100000");
    check(predict(&server, "/predict", b"\0\0\0\x18ftypheic\0\0\0\0"), 415, "HEIC");
    check(server.ask("POST", "/predict", &["Content-Type: application/json"], b"{}"), 415, "application/json");
    check(predict(&server, "/predict?top=0", &png(0)), 400, "top");
    check(predict(&server, "/predict?tpo=3", &png(0)), 400, "top=N");
    let boundary = "Content-Type: multipart/form-data; boundary=b";
    check(server.ask("POST", "/predict", &[boundary], b"no boundary at all"), 400, "multipart");
    check(server.ask("POST", "/predict", &["Content-Type: multipart/form-data"], b"x"), 400, "boundary");
    let text = b"--b\r\nContent-Disposition: form-data; name=\"top\"\r\n\r\n3\r\n--b--\r\n";
    check(server.ask("POST", "/predict", &[boundary], text), 400, "no file");
    check(server.get("/nothing"), 404, "/nothing");
    check(server.get("/predict"), 405, "GET");
    check(server.ask("OPTIONS", "/predict", &[], b""), 405, "OPTIONS");
    // The decoder panics on this file.
    check(predict(&server, "/predict", include_bytes!("../../lucida/tests/pictures/damaged-cmyk.jpg")), 400, "decode");
    let head = server.ask("HEAD", "/healthz", &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(server.get("/healthz").json(), json!({ "status": "ok" }));
}

#[test]
fn the_server_describes_itself() {
    let server = Served::with(|options| options.batch_size = 3);
    let json = server.get("/model").json();
    assert_eq!(json["class_names"], json!(NAMES));
    assert_eq!(
        (&json["task"], &json["input"], &json["batch_size"]),
        (&json!("classify"), &json!([24, 20, 3]), &json!(3))
    );
    let page = server.get("/").text();
    for part in ["lucida serve animals", "7 classes", "/metrics", "curl --data-binary @photo.jpg http://127.0.0.1:"] {
        assert!(page.contains(part), "{page}");
    }
    assert_eq!(predict(&server, "/predict", &png(0)).status, 200);
    assert_eq!(predict(&server, "/predict", b"x").status, 400);
    assert_eq!(server.get("/made-up").status, 404);
    let answer = server.get("/metrics");
    assert!(answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let text = answer.text();
    for line in [
        "# TYPE lucida_requests_total counter",
        "lucida_requests_total{path=\"/predict\",status=\"200\"} 1",
        "lucida_requests_total{path=\"/predict\",status=\"400\"} 1",
        "lucida_requests_total{path=\"other\",status=\"404\"} 1",
        "lucida_queue_images 0",
        "lucida_images_total 1",
        "lucida_batch_images_count 1",
        "lucida_batch_images_bucket{le=\"1\"} 1",
        "lucida_predict_seconds_count 2",
        "lucida_forward_seconds_count 1",
        "lucida_model_info{name=\"animals\"} 1",
    ] {
        assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
    }
    assert_eq!(server.stop(), ServeSummary { images: 1, batches: 1 });
}

#[test]
fn a_key_is_asked_for() {
    let server = Served::with(|options| options.key = Some("open-sesame".to_owned()));
    let with = |header: &str| server.ask("POST", "/predict", &[header, "Content-Type: image/png"], &png(0));
    for header in ["X: y", "Authorization: Bearer open-sesam", "Authorization: open-sesame", "Authorization: Basic x"] {
        let answer = with(header);
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{header}");
    }
    assert_eq!(with("Authorization: Bearer open-sesame").status, 200);
    for path in ["/", "/model", "/metrics", "/nothing"] {
        assert_eq!(server.get(path).status, 401, "{path}");
    }
    // The health check needs no key.
    assert_eq!(server.get("/healthz").status, 200);
    // With a key, a proxy may use any host name.
    let proxied =
        "GET /model HTTP/1.1\r\nHost: models.example\r\nAuthorization: Bearer open-sesame\r\nConnection: close\r\n\r\n";
    assert_eq!(server.raw(proxied.as_bytes()).status, 200);
}

#[test]
fn without_a_key_pages_of_other_sites_are_kept_out() {
    let server = Served::with(|options| options.hosts = vec!["gpu.lan".to_owned()]);
    let host = |host: &str| {
        server.raw(format!("GET /model HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).status
    };
    // The port may be mapped by a container.
    assert_eq!(["127.0.0.1:9000", "localhost", "gpu.lan:8080", "evil.example"].map(host), [200, 200, 200, 421]);
    let from = |header: &str| server.ask("POST", "/predict", &[header], &png(0)).status;
    assert_eq!([from("Origin: http://evil.example"), from("Sec-Fetch-Site: cross-site")], [403, 403]);
}

#[test]
fn the_queue_and_the_bodies_have_limits() {
    let server = Served::with(|options| options.limits.queue = 2);
    let files = [("a", &png(0)[..]), ("b", &png(1)[..]), ("c", &png(2)[..])];
    assert_eq!(form(&server, "/predict", &files[..2]).status, 200);
    assert_eq!(form(&server, "/predict", &files).status, 413);
    // Many at the same time: some are rejected, the others answered.
    let client = *server;
    let threads: Vec<_> = (0..48).map(|_| std::thread::spawn(move || predict(&client, "/predict", &png(0)))).collect();
    let answers: Vec<Answer> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(answers.iter().any(|answer| answer.status == 200));
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{}", answer.text());
    }

    let server = Served::with(|options| options.limits.answer = Duration::ZERO);
    // Large enough that decoding takes longer than the resolution of the clock.
    let large = Image::filled(3000, 2000, &[1, 2, 3]).png_bytes().unwrap();
    let late = predict(&server, "/predict", &large);
    assert!(late.status == 504 && late.text().contains("no prediction within"), "{}", late.text());

    let server = Served::with(|options| {
        options.limits.body_bytes = 64 << 10;
        options.limits.held_bytes = 100 << 10;
    });
    assert_eq!(predict(&server, "/predict", &vec![0; 65 << 10]).status, 413);
    // In chunks, the size is not declared.
    let mut stream = start(&server, "Transfer-Encoding: chunked\r\n");
    stream.write_all(&[b"11000\r\n", &vec![0; 0x11000][..], b"\r\n"].concat()).unwrap();
    assert_eq!(Answer::read(&mut stream).status, 413);
    // Each request takes up what it has sent, not what it has declared.
    let mut slow: Vec<TcpStream> = (0..3).map(|_| start(&server, "Content-Length: 60000\r\n")).collect();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(predict(&server, "/predict", &png(0)).status, 200);
    for stream in &mut slow[..2] {
        stream.write_all(&[0; 51_000]).unwrap();
    }
    std::thread::sleep(Duration::from_millis(300));
    let busy = predict(&server, "/predict", &png(0));
    assert_eq!((busy.status, busy.header("retry-after")), (503, Some("1")), "{}", busy.text());
    drop(slow);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(predict(&server, "/predict", &png(0)).status, 200);
}

/// Sends the head of a request to `/predict`.
fn start(client: &Client, more: &str) -> TcpStream {
    let mut stream = client.connect();
    let head = format!("POST /predict HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{more}\r\n", client.host());
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

#[test]
fn slow_clients_lose_their_place() {
    let server = Served::with(|options| {
        options.limits.head = Duration::from_millis(500);
        options.limits.body = Duration::from_millis(700);
        options.limits.connections = 20;
    });
    let started = Instant::now();
    let mut slow: Vec<_> = (0..10).map(|_| start(&server, "Content-Length: 1000\r\n")).collect();
    let mut heads: Vec<_> = (0..10).map(|_| server.connect()).collect();
    for stream in &mut heads {
        stream.write_all(b"POST /pre").unwrap();
    }
    // All connections are in use, and are freed soon.
    assert_eq!(predict(&server, "/predict", &png(0)).status, 200);
    assert!(started.elapsed() < Duration::from_secs(20));
    for stream in &mut slow {
        assert_eq!(Answer::read(stream).status, 408);
    }
    for stream in &mut heads {
        assert!(matches!(Answer::read(stream).status, 0 | 408));
    }
}

#[test]
fn requests_in_progress_are_answered_at_the_end() {
    let server = Served::start();
    let png = png(0);
    let mut waiting = start(&server, &format!("Content-Length: {}\r\n", png.len()));
    waiting.write_all(&png[..50]).unwrap();
    let idle = server.connect();
    std::thread::sleep(Duration::from_millis(300));
    server.stop.store(true, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(500));
    assert!(TcpStream::connect(server.address).is_err(), "no new connections");
    waiting.write_all(&png[50..]).unwrap();
    assert_eq!(Answer::read(&mut waiting).status, 200);
    let started = Instant::now();
    assert_eq!(server.stop().images, 1);
    assert!(started.elapsed() < Duration::from_secs(10), "an idle connection is not waited for");
    drop(idle);
}

/// Valid, invalid and hostile requests at the same time: every response is right.
#[test]
fn under_load_every_answer_is_right() {
    const CLIENTS: usize = 24;
    const REQUESTS: usize = 40;
    let server = Served::with(|options| options.batch_size = 8);
    let (alone, images) = (Arc::new(alone(16)), Arc::new((0..16).map(png).collect::<Vec<_>>()));
    let before = resident();
    let client = *server;
    let threads: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (alone, images) = (Arc::clone(&alone), Arc::clone(&images));
            std::thread::spawn(move || {
                (0..REQUESTS).map(|turn| one(&client, number, turn, &alone, &images)).sum::<u64>()
            })
        })
        .collect();
    let good: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    if let (Some(before), Some(after)) = (before, resident()) {
        assert!(after - before < 300 << 20, "{} MiB", (after - before) >> 20);
    }
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("lucida_queue_images 0\n"), "{metrics}");
    let summary = server.stop();
    assert_eq!(summary.images, good);
    assert!(summary.batches < summary.images, "nothing was batched: {summary:?}");
}

/// Sends a valid or an invalid request; returns the number of predictions.
fn one(client: &Client, number: usize, turn: usize, alone: &[Vec<u32>], images: &[Vec<u8>]) -> u64 {
    let at = (number * 7 + turn) % images.len();
    match (number + turn) % 8 {
        0 => assert_eq!(predict(client, "/predict", b"garbage").status, 400),
        1 => assert_eq!(predict(client, "/predict", &png_of(90_000, 90_000)).status, 413),
        // Disconnects before the end of the body.
        2 => drop(start(client, &format!("Content-Length: {}\r\n", images[at].len())).write_all(&images[at][..80])),
        3 => {
            let other = (at + 1) % images.len();
            let files = [("a", &images[at][..]), ("bad", b"bad"), ("b", &images[other][..])];
            let json = form(client, "/predict?top=7", &files).json();
            let found = json["predictions"].as_array().unwrap();
            assert_eq!(found.iter().map(bits).collect::<Vec<_>>(), [alone[at].clone(), alone[other].clone()]);
            return 2;
        }
        _ => {
            let answer = predict(client, "/predict?top=7", &images[at]);
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(bits(&answer.json()["predictions"][0]), alone[at]);
            return 1;
        }
    }
    0
}
