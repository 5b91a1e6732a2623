//! Tests that the OpenAPI description matches the handlers, and the mechanics the library's gradients.

mod overview;
mod schema;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use lucida::nn::layers::{ActivationKind, Dense, Flatten};
use lucida::nn::{Network, applications};
use lucida::style::{FeedForwardSize, FeedForwardStyle, transformation_network};
use lucida::weights::Model;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::openapi::DOCUMENT;
use crate::Options;
use crate::api::routes;
use crate::state::{Place, Studio};
use crate::web::{Guard, router};

fn studio() -> (tempfile::TempDir, Router) {
    let preprocessing = Some(lucida::data::Preprocessing::mnist());
    studio_with("digits", &Model { preprocessing, ..Model::new(applications::mnist_cnn(1).unwrap()) })
}

/// A studio with a model as the run of this name.
fn studio_with(name: &str, model: &Model) -> (tempfile::TempDir, Router) {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join(name);
    std::fs::create_dir(&run).unwrap();
    lucida::weights::save_model(model, run.join("model.safetensors")).unwrap();
    let studio = Arc::new(Studio::new(&Options::new(folder.path()), Place::Threads).unwrap());
    let router = router(&studio, Guard::new(7860, Vec::new(), None).unwrap());
    (folder, router)
}

async fn ask(
    router: &Router,
    method: Method,
    path: &str,
    kind: &str,
    body: impl Into<Body>,
) -> (StatusCode, String, Vec<u8>) {
    let request =
        Request::builder().method(method).uri(path).header("host", "127.0.0.1:7860").header("content-type", kind);
    let response = router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let kind =
        response.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let status = response.status();
    let is_stream = kind.starts_with("text/event-stream");
    let body = if is_stream { Vec::new() } else { to_bytes(response.into_body(), 64 << 20).await.unwrap().to_vec() };
    (status, kind, body)
}

/// A form with one file.
fn form_of(field: &str, name: &str, bytes: &[u8]) -> Vec<u8> {
    let head = format!("--b\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n\r\n");
    [head.as_bytes(), bytes, b"\r\n--b--\r\n"].concat()
}

/// Bytes of the file of a network with two styles.
fn style_network() -> Vec<u8> {
    let network = transformation_network(FeedForwardSize::Small, [32; 2], 7).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    FeedForwardStyle::new(network, ["waves", "night"]).unwrap().save(file.path()).unwrap();
    std::fs::read(file.path()).unwrap()
}

/// The bytes of an ONNX file.
fn onnx_model() -> Vec<u8> {
    let file = tempfile::Builder::new().suffix(".onnx").tempfile().unwrap();
    let model = lucida::weights::Model::new(lucida::nn::applications::mnist_cnn(1).unwrap());
    lucida::weights::save_model(&model, file.path()).unwrap();
    std::fs::read(file.path()).unwrap()
}

/// Method, path in the document, URL, content type, body, and expected status.
type Asked = (&'static str, &'static str, &'static str, &'static str, Vec<u8>, u16);

#[test]
fn the_description_names_all_routes_and_no_others() {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let described: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), path.clone()))
        })
        .collect();
    let served: BTreeSet<(String, String)> =
        routes().into_iter().map(|(method, path, _)| (method.to_string(), path.to_owned())).collect();
    assert_eq!(described, served);
    for (path, methods) in document["paths"].as_object().unwrap() {
        for operation in methods.as_object().unwrap().values() {
            let named: BTreeSet<&str> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|p| p["in"] == "path")
                .map(|p| p["name"].as_str().unwrap())
                .collect();
            let wanted: BTreeSet<&str> = path.split(['{', '}']).skip(1).step_by(2).collect();
            assert_eq!(named, wanted, "{path}");
        }
    }
}

/// Calls every operation, and checks the response against its schema.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one studio, operation by operation")]
async fn answers_are_as_described() {
    let (_folder, router) = studio();
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let mechanics = json!({ "image": "digit-0", "layer": "conv2d_1", "filter": 3, "position": [4, 5], "channel": 1, "place": [0, 1] });
    let form = form_of("image", "a.png", &lucida::data::Image::filled(9, 9, &[1]).png_bytes().unwrap());
    let network = form_of("network", "mine.lucida", &style_network());
    let model = form_of("model", "mine.onnx", &onnx_model());
    let pass = "/api/style-networks/{network}/pass";
    let none = Vec::new;
    let maximize = json!({ "kind": "maximize", "model": "lenet5", "layer": "conv2d", "channel": 0 });
    let style =
        json!({ "kind": "style", "content": "cat", "styles": [{ "image": "brushwork", "weight": 1 }], "size": 64 });
    let style_train =
        json!({ "kind": "style-train", "styles": [{ "image": "brushwork" }], "steps": 5, "size": "small" });
    let train = json!({ "kind": "train", "data": "digits", "epochs": 1, "batch_size": 64, "learning_rate": 0.001 });
    let chosen = json!({ "preprocessing": "unit", "classes": "", "task": null });
    let preview = json!({ "image": "digit-0", "settings": chosen });
    let change = |save: bool| json!({ "settings": chosen, "save": save }).to_string().into_bytes();
    let settings = "/api/models/{model}/settings";
    let embedding = "/api/models/{model}/embedding";
    let inputs = "/api/models/{model}/layers/{layer}/channels/{channel}/inputs";
    let operation = "/api/models/{model}/layers/{layer}/channels/{channel}/operation";
    let asked: Vec<Asked> = vec![
        ("GET", settings, "/api/models/run-digits/settings", "", none(), 200),
        ("GET", settings, "/api/models/vgg16-builtin/settings", "", none(), 200),
        ("PUT", settings, "/api/models/run-digits/settings", "application/json", change(false), 200),
        ("PUT", settings, "/api/models/lenet5/settings", "application/json", change(true), 400),
        (
            "POST",
            "/api/models/{model}/settings/preview",
            "/api/models/run-digits/settings/preview",
            "application/json",
            preview.to_string().into(),
            200,
        ),
        ("GET", "/api/openapi.json", "/api/openapi.json", "", none(), 200),
        ("GET", "/api/data", "/api/data", "", none(), 200),
        ("GET", "/api/models", "/api/models", "", none(), 200),
        ("GET", "/api/models/{model}", "/api/models/inception-v3", "", none(), 200),
        ("GET", "/api/models/{model}", "/api/models/nothing", "", none(), 404),
        ("GET", "/api/models/{model}/images", "/api/models/run-digits/images?count=3", "", none(), 200),
        ("GET", embedding, "/api/models/run-digits/embedding?count=20", "", none(), 200),
        ("GET", embedding, "/api/models/job-0001@2/embedding", "", none(), 404),
        ("GET", embedding, "/api/models/lenet5/embedding?count=0", "", none(), 200),
        ("GET", embedding, "/api/models/vgg16-builtin/embedding", "", none(), 422),
        ("GET", "/api/models/{model}/seen", "/api/models/vgg16-builtin/seen?image=cat", "", none(), 200),
        ("GET", "/api/models/{model}/seen", "/api/models/vgg16-builtin/seen?image=digit-99999", "", none(), 404),
        ("GET", "/api/models/{model}/prediction", "/api/models/run-digits/prediction?image=digit-1", "", none(), 200),
        (
            "POST",
            "/api/models/{model}/look",
            "/api/models/run-digits/look?width=28&height=28&channels=1",
            "application/octet-stream",
            vec![9; 784],
            200,
        ),
        (
            "POST",
            "/api/models/{model}/look",
            "/api/models/run-digits/look?width=0&height=28&channels=1",
            "application/octet-stream",
            none(),
            422,
        ),
        (
            "POST",
            "/api/models/{model}/mechanics",
            "/api/models/run-digits/mechanics",
            "application/json",
            mechanics.to_string().into(),
            200,
        ),
        (
            "POST",
            "/api/models/{model}/mechanics",
            "/api/models/run-digits/mechanics",
            "application/json",
            b"{".to_vec(),
            400,
        ),
        ("GET", "/api/models/{model}/methods", "/api/models/run-digits/methods", "", none(), 200),
        ("GET", "/api/models/{model}/layers/{layer}", "/api/models/run-digits/layers/conv2d_1", "", none(), 200),
        ("GET", "/api/models/{model}/layers/{layer}", "/api/models/run-digits/layers/dense_9", "", none(), 404),
        (
            "GET",
            "/api/models/{model}/layers/{layer}/maps",
            "/api/models/run-digits/layers/conv2d/maps?image=digit-0&count=5",
            "",
            none(),
            200,
        ),
        (
            "GET",
            "/api/models/{model}/layers/{layer}/kernels",
            "/api/models/run-digits/layers/conv2d/kernels",
            "",
            none(),
            200,
        ),
        (
            "GET",
            "/api/models/{model}/layers/{layer}/kernels",
            "/api/models/run-digits/layers/dense/kernels",
            "",
            none(),
            404,
        ),
        (
            "GET",
            "/api/models/{model}/layers/{layer}/channels/{channel}",
            "/api/models/run-digits/layers/conv2d/channels/3?image=digit-0",
            "",
            none(),
            200,
        ),
        (
            "GET",
            "/api/models/{model}/layers/{layer}/channels/{channel}/deconv",
            "/api/models/run-digits/layers/conv2d_1/channels/3/deconv?image=digit-0",
            "",
            none(),
            200,
        ),
        (
            "GET",
            "/api/models/{model}/overview",
            "/api/models/run-digits/overview?image=digit-0&layers=input_layer,conv2d,dense,dense_1&maps=4&side=9",
            "",
            none(),
            200,
        ),
        (
            "GET",
            "/api/models/{model}/overview",
            "/api/models/run-digits/overview?image=digit-0&layers=conv2d,dense_9",
            "",
            none(),
            404,
        ),
        (
            "GET",
            inputs,
            "/api/models/run-digits/layers/conv2d_1/channels/3/inputs?kernels=2&image=digit-0",
            "",
            none(),
            200,
        ),
        ("GET", inputs, "/api/models/run-digits/layers/conv2d_1/channels/48/inputs", "", none(), 404),
        (
            "GET",
            operation,
            "/api/models/run-digits/layers/conv2d_1/channels/3/operation?image=digit-0&at=4,5",
            "",
            none(),
            200,
        ),
        (
            "GET",
            operation,
            "/api/models/run-digits/layers/conv2d/channels/3/operation?image=digit-0&at=4",
            "",
            none(),
            422,
        ),
        (
            "GET",
            operation,
            "/api/models/run-digits/layers/conv2d/channels/3/operation?image=digit-0&at=28,0",
            "",
            none(),
            422,
        ),
        (
            "GET",
            operation,
            "/api/models/run-digits/layers/conv2d/channels/3/operation?image=digit-0&input=1",
            "",
            none(),
            422,
        ),
        ("POST", "/api/models", "/api/models", "multipart/form-data; boundary=b", model, 201),
        (
            "POST",
            "/api/models",
            "/api/models",
            "multipart/form-data; boundary=b",
            form_of("model", "cat.onnx", &lucida_assets::CAT.bytes().unwrap()),
            422,
        ),
        ("DELETE", "/api/models/{model}", "/api/models/run-digits", "", none(), 404),
        ("GET", "/api/models/{model}/look", "/api/models/run-digits/look?image=digit-1", "", none(), 200),
        ("GET", "/api/models/{model}/look", "/api/models/run-digits/look?image=nothing", "", none(), 404),
        ("POST", "/api/images", "/api/images", "multipart/form-data; boundary=b", form, 201),
        ("GET", "/api/images", "/api/images", "", none(), 200),
        ("GET", "/api/images/{image}", "/api/images/cat?side=64", "", none(), 200),
        ("GET", "/api/images/{image}", "/api/images/dog", "", none(), 404),
        ("GET", "/api/style-networks", "/api/style-networks", "", none(), 200),
        ("POST", "/api/style-networks", "/api/style-networks", "multipart/form-data; boundary=b", network, 201),
        (
            "POST",
            "/api/style-networks",
            "/api/style-networks",
            "multipart/form-data; boundary=b",
            form_of("network", "cat.png", &lucida_assets::CAT.bytes().unwrap()),
            422,
        ),
        ("DELETE", "/api/style-networks/{network}", "/api/style-networks/brushwork", "", none(), 404),
        (
            "GET",
            pass,
            "/api/style-networks/brushwork/pass?image=cat&size=96&strength=0.5&keep_colors=true",
            "",
            none(),
            200,
        ),
        ("GET", pass, "/api/style-networks/brushwork/pass?image=cat&size=9", "", none(), 422),
        ("GET", pass, "/api/style-networks/nothing/pass?image=cat", "", none(), 404),
        (
            "POST",
            pass,
            "/api/style-networks/brushwork/pass?width=24&height=20&mix=1",
            "application/octet-stream",
            vec![90; 24 * 20 * 3],
            200,
        ),
        (
            "POST",
            pass,
            "/api/style-networks/brushwork/pass?width=24&height=20",
            "application/octet-stream",
            none(),
            422,
        ),
        ("GET", "/api/events", "/api/events", "", none(), 200),
        ("POST", "/api/jobs", "/api/jobs", "application/json", maximize.to_string().into(), 202),
        ("POST", "/api/jobs", "/api/jobs", "application/json", b"{}".to_vec(), 422),
        ("GET", "/api/jobs", "/api/jobs", "", none(), 200),
        ("GET", "/api/jobs/{job}", "/api/jobs/0001", "", none(), 200),
        ("GET", "/api/jobs/{job}/files/{file}", "/api/jobs/0001/files/nothing.png", "", none(), 404),
        ("DELETE", "/api/jobs/{job}", "/api/jobs/0001", "", none(), 409),
        ("POST", "/api/jobs/{job}/resume", "/api/jobs/0001/resume", "", none(), 409),
        ("POST", "/api/jobs/{job}/cancel", "/api/jobs/0001/cancel", "", none(), 200),
        ("POST", "/api/jobs/{job}/resume", "/api/jobs/0001/resume", "", none(), 409),
        ("POST", "/api/jobs", "/api/jobs", "application/json", style.to_string().into(), 202),
        ("POST", "/api/jobs", "/api/jobs", "application/json", train.to_string().into(), 202),
        ("POST", "/api/jobs", "/api/jobs", "application/json", style_train.to_string().into(), 202),
        ("POST", "/api/jobs/{job}/cancel", "/api/jobs/0003/cancel", "", none(), 200),
        ("POST", "/api/jobs/{job}/resume", "/api/jobs/0003/resume", "", none(), 202),
        ("DELETE", "/api/jobs/{job}", "/api/jobs/0001", "", none(), 204),
    ];
    let mut reached = BTreeSet::new();
    for (method, route, path, kind, body, expected) in asked {
        let (status, kind, body) = ask(&router, method.parse().unwrap(), path, kind, body).await;
        assert_eq!(status.as_u16(), expected, "{method} {path}: {}", String::from_utf8_lossy(&body));
        let described = &document["paths"][route][method.to_lowercase()]["responses"][expected.to_string()];
        assert!(described.is_object(), "{method} {route} does not say that it answers {expected}");
        reached.insert((method.to_owned(), route.to_owned()));
        if expected == 204 {
            continue;
        }
        let kind = kind.split(';').next().unwrap();
        let content = &described["content"][kind];
        assert!(content.is_object(), "{method} {route} does not say that it answers {kind}");
        if kind == "application/json" {
            let answer: Value = serde_json::from_slice(&body).unwrap();
            schema::check(&answer, &content["schema"], &document, &format!("{method} {path}"));
        }
    }
    let all: BTreeSet<_> =
        routes().into_iter().map(|(method, path, _)| (method.to_string(), path.to_owned())).collect();
    assert_eq!(reached, all);
}

async fn mechanics(router: &Router, question: Value) -> Value {
    let body = question.to_string();
    let (status, _, body) =
        ask(router, Method::POST, "/api/models/run-digits/mechanics", "application/json", body).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}

fn near(a: f64, b: f64, what: &str) {
    assert!((a - b).abs() <= 1e-4 * a.abs().max(b.abs()).max(1e-3), "{what}: {a} and {b}");
}

/// The sums for display agree with the library's forward and backward pass.
#[tokio::test(flavor = "multi_thread")]
async fn the_numbers_of_the_mechanics_add_up() {
    let (_folder, router) = studio();
    for (layer, filter, position, channel) in
        [("conv2d", 5, [9, 14], 0), ("conv2d_1", 7, [0, 6], 11), ("conv2d_2", 1, [6, 6], 3)]
    {
        for place in [[0, 0], [1, 1], [2, 1]] {
            let question = json!({ "image": "digit-0", "layer": layer, "filter": filter, "position": position, "channel": channel, "place": place, "class": 3 });
            let answer = mechanics(&router, question.clone()).await;
            let sum: f64 = answer["channel_sums"].as_array().unwrap().iter().map(|sum| sum.as_f64().unwrap()).sum();
            near(sum + answer["bias"].as_f64().unwrap(), answer["sum"].as_f64().unwrap(), "the sum");
            near(answer["sum"].as_f64().unwrap().max(0.0), answer["output"].as_f64().unwrap(), "the ReLU");
            let back = &answer["back"];
            let at = place[0] * 3 + place[1];
            if back["pixel"].is_null() {
                continue;
            }
            // The gradient of the pixel through all filters.
            let through: f64 =
                back["pixel_filter_sums"].as_array().unwrap().iter().map(|sum| sum.as_f64().unwrap()).sum();
            near(through, back["patch"][at].as_f64().unwrap(), "dL/dX");
            let terms = back["pixel_terms"].as_array().unwrap().iter();
            let own: f64 = terms.map(|term| term["gradient"].as_f64().unwrap() * term["value"].as_f64().unwrap()).sum();
            near(own, back["pixel_filter_sums"][filter].as_f64().unwrap(), "dL/dX through the filter");
            // The gradient of the weight by finite differences. A change moves some values across the kink of a ReLU or
            // changes the maximum of a pooling window, mostly in one direction only: the other one gives the slope.
            let loss = async |step: f64| {
                let value = answer["kernel"][at].as_f64().unwrap() + step;
                let mut changed = question.clone();
                changed["changes"] =
                    json!([{ "row": place[0], "column": place[1], "channel": channel, "value": value }]);
                mechanics(&router, changed).await["back"]["loss"].as_f64().unwrap()
            };
            let gradient = back["kernel"][at].as_f64().unwrap();
            let here = back["loss"].as_f64().unwrap();
            let mut slopes = Vec::new();
            for step in [1e-2, -1e-2, 1e-3, -1e-3] {
                slopes.push((loss(step).await - here) / step);
            }
            assert!(
                slopes.iter().any(|slope| (slope - gradient).abs() < 1e-4 + 0.01 * gradient.abs()),
                "dL/dK of {layer} at {place:?}: {slopes:?} and {gradient}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn places_that_do_not_exist_are_refused() {
    let (_folder, router) = studio();
    let good = json!({ "image": "digit-0", "layer": "conv2d", "filter": 0, "position": [0, 0], "channel": 0, "place": [0, 0] });
    let changes = [
        ("filter", json!(24)),
        ("position", json!([28, 0])),
        ("channel", json!(1)),
        ("place", json!([0, 3])),
        ("class", json!(10)),
        ("layer", json!("dense")),
        ("changes", json!([{ "row": 3, "column": 0, "channel": 0, "value": 1 }])),
    ];
    for (name, value) in changes {
        let mut question = good.clone();
        question[name] = value;
        let (status, ..) =
            ask(&router, Method::POST, "/api/models/run-digits/mechanics", "application/json", question.to_string())
                .await;
        assert_eq!(status, 422, "{name}");
    }
}

/// With two features, a PCA only rotates: the distances of the points are those of the features, as another route computes them.
#[tokio::test(flavor = "multi_thread")]
async fn points_of_an_embedding_are_as_far_apart_as_their_features() {
    let layers =
        [Flatten::new().into(), Dense::new(2).into(), Dense::new(10).activation(ActivationKind::Softmax).into()];
    let network = Network::sequential("flat", [28, 28, 1], layers, 5).unwrap();
    let preprocessing = Some(lucida::data::Preprocessing::mnist());
    let (_folder, router) = studio_with("flat", &Model { preprocessing, ..Model::new(network) });
    let get = async |path: String| -> Value {
        let (status, _, body) = ask(&router, Method::GET, &path, "", Vec::new()).await;
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    };
    let embedding = get("/api/models/run-flat/embedding?count=12".into()).await;
    assert_eq!((&embedding["layer"], &embedding["features"]), (&json!("dense"), &json!(2)));
    let explained: f64 = embedding["explained"].as_array().unwrap().iter().map(|part| part.as_f64().unwrap()).sum();
    assert!((explained - 1.0).abs() < 1e-6, "{explained}");
    let mut both: Vec<([f64; 2], [f64; 2])> = Vec::new();
    for image in embedding["images"].as_array().unwrap() {
        let id = image["id"].as_str().unwrap();
        let maps = get(format!("/api/models/run-flat/layers/dense/maps?image={id}")).await;
        let features = serde_json::from_value::<[f64; 2]>(
            maps["low"].as_array().zip(maps["high"].as_array()).map(|(low, high)| json!([low[0], high[0]])).unwrap(),
        )
        .unwrap();
        // Least and most are sorted: the byte of the first unit tells which is which.
        let first_is_low = maps["data"].as_str().unwrap().starts_with("AP");
        let features = if first_is_low { features } else { [features[1], features[0]] };
        both.push((serde_json::from_value(image["point"].clone()).unwrap(), features));
        let label = get(format!("/api/models/run-flat/seen?image={id}")).await["label"].clone();
        assert_eq!(embedding["classes"][image["class"].as_u64().unwrap() as usize], label);
    }
    assert_eq!(both.len(), 12);
    let distance = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
    for (point, features) in &both {
        let (found, expected) = (distance(*point, both[0].0), distance(*features, both[0].1));
        assert!((found - expected).abs() < 1e-4 * (1.0 + expected), "{found} {expected}");
    }
}
