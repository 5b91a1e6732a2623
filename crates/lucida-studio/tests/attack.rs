//! Hostile requests: each is rejected with the right status, and the studio still serves.

mod common;

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use common::{Answer, Studio, png_of};

#[test]
fn only_hosts_that_cannot_be_somebody_elses() {
    let studio = Studio::start();
    let port = studio.address.port();
    let with_host = |host: &str| {
        studio.raw(format!("GET /api/models HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).status
    };
    assert_eq!(with_host(&studio.host()), 200);
    assert_eq!(with_host(&format!("localhost:{port}")), 200);
    for host in ["evil.example", "127.0.0.1", "127.0.0.1.evil.example", "localhost"] {
        assert_eq!(with_host(host), 421, "{host}");
        assert_eq!(with_host(&format!("{host}:1")), 421, "{host}:1");
    }
    assert_eq!(with_host(&format!("evil.example:{port}")), 421);
    assert_eq!(studio.raw(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").status, 400);
    let twice =
        format!("GET / HTTP/1.1\r\nHost: {0}\r\nHost: evil.example\r\nConnection: close\r\n\r\n", studio.host());
    assert_eq!(studio.raw(twice.as_bytes()).status, 400);
    let absolute = format!("GET http://evil.example/ HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", studio.host());
    assert_eq!(studio.raw(absolute.as_bytes()).status, 400);
}

#[test]
fn pages_of_other_sites_are_refused() {
    let studio = Studio::start();
    let body = br#"{"kind":"train","epochs":1,"batch_size":64,"learning_rate":0.001}"#;
    let json = "Content-Type: application/json";
    for origin in ["http://evil.example", "null", "http://localhost:1", "https://127.0.0.1"] {
        let origin = format!("Origin: {origin}");
        assert_eq!(studio.ask("POST", "/api/jobs", &[json, &origin], body).status, 403, "{origin}");
        assert_eq!(studio.ask("GET", "/api/models", &[&origin], &[]).status, 403, "{origin}");
    }
    for site in ["cross-site", "same-site"] {
        let site = format!("Sec-Fetch-Site: {site}");
        assert_eq!(studio.ask("POST", "/api/jobs", &[json, &site], body).status, 403);
        assert_eq!(studio.ask("GET", "/api/images/cat", &[&site, "Sec-Fetch-Mode: no-cors"], &[]).status, 403);
    }
    // A form of another site cannot set the content type to JSON.
    assert_eq!(studio.ask("POST", "/api/jobs", &["Content-Type: text/plain"], body).status, 415);
    assert_eq!(studio.get("/api/jobs").json(), serde_json::json!([]));
    let own = format!("Origin: http://{}", studio.host());
    assert_eq!(studio.ask("GET", "/api/models", &[&own, "Sec-Fetch-Site: same-origin"], &[]).status, 200);
}

#[test]
fn a_studio_for_others_asks_for_its_token() {
    let studio = Studio::with(|options| options.listen = IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let token = studio.url.split("token=").nth(1).unwrap().to_owned();
    assert_eq!(token.len(), 32);
    for (path, status) in
        [("/", 401), ("/api/models", 401), ("/api/events", 401), ("/?token=0", 401), ("/no-such-page", 401)]
    {
        assert_eq!(studio.get(path).status, status, "{path}");
    }
    let wrong = format!("/?token={}", "0".repeat(32));
    assert_eq!(studio.get(&wrong).status, 401);
    assert_eq!(
        studio.ask("POST", &format!("/api/jobs?token={token}"), &["Content-Type: application/json"], b"{}").status,
        401
    );
    let entered = studio.get(&format!("/?token={token}"));
    assert_eq!(entered.status, 303);
    let cookie = entered.header("set-cookie").unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains(&token), "{cookie}");
    assert_eq!(entered.header("location"), Some("/"));
    let elsewhere = studio.get(&format!("//evil.example/?token={token}"));
    assert!(!elsewhere.header("location").unwrap_or("/").starts_with("//"));
    let session = format!("Cookie: other=1; {}", cookie.split(';').next().unwrap());
    assert_eq!(studio.ask("GET", "/api/models", &[&session], &[]).status, 200);
    assert_eq!(studio.ask("GET", "/api/models", &[&format!("{session}0")], &[]).status, 401);
    assert_eq!(studio.ask("GET", "/api/models", &[&format!("Authorization: Bearer {token}")], &[]).status, 200);
    assert_eq!(studio.ask("GET", "/api/models", &["Authorization: Bearer 0"], &[]).status, 401);
    // No token is needed on a loopback address.
    assert!(!Studio::start().url.contains("token"));
}

#[test]
fn no_path_reaches_the_file_system() {
    let studio = Studio::start();
    std::fs::write(studio.folder.path().join("secret.txt"), "secret").unwrap();
    let trained =
        studio.post("/api/jobs", r#"{"kind":"maximize","model":"lenet5","layer":"conv2d","channel":0}"#).json();
    let id = trained["id"].as_str().unwrap().to_owned();
    studio.wait_for(&id);
    let up = [
        "..",
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e%2fsecret.txt",
        "..%5c..%5csecret.txt",
        "%2Fetc%2Fpasswd",
        "....//",
        "%00",
        "job.json",
        "news.jsonl",
    ];
    for part in up {
        for path in [
            format!("/api/jobs/{id}/files/{part}"),
            format!("/api/jobs/{part}"),
            format!("/api/jobs/{part}/files/job.json"),
            format!("/api/images/{part}"),
            format!("/api/models/{part}"),
            format!("/api/models/run-{part}"),
            format!("/api/models/lenet5/layers/{part}"),
            format!("/assets/{part}/css/base.css"),
            format!("/assets/0/{part}"),
            format!("/{part}"),
        ] {
            let answer = studio.get(&path);
            assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
            assert!(!answer.text().contains("root:") && !answer.text().contains("secret\""), "{path}");
        }
    }
    for path in ["/../../etc/passwd", "/assets/../../../etc/passwd", "/api/jobs/../../../etc/passwd"] {
        assert!(matches!(studio.get(path).status, 400 | 404), "{path}");
    }
}

#[test]
fn bodies_that_are_no_json_and_no_form() {
    let studio = Studio::start();
    let nested = "[".repeat(100_000);
    for (body, status) in [
        ("", 400),
        ("{", 400),
        ("nonsense", 400),
        (nested.as_str(), 400),
        ("{\"kind\":", 400),
        ("\u{0}", 400),
        ("{}", 422),
        ("[]", 422),
        (r#"{"kind":"format-the-disk"}"#, 422),
        (r#"{"kind":"train","epochs":-1,"batch_size":64,"learning_rate":0.001}"#, 422),
        (r#"{"kind":"train","epochs":1e99,"batch_size":64,"learning_rate":0.001}"#, 422),
        (r#"{"kind":"train","epochs":1,"batch_size":64,"learning_rate":0.001,"folder":"/etc"}"#, 422),
        (r#"{"kind":"train","epochs":2000,"batch_size":64,"learning_rate":0.001}"#, 422),
        (r#"{"kind":"maximize","model":"../x","layer":"conv2d","channel":0}"#, 404),
        (r#"{"kind":"maximize","model":"lenet5","layer":"conv2d","channel":99999}"#, 404),
        (r#"{"kind":"explain","model":"lenet5","image":"/etc/passwd","methods":["lrp"]}"#, 404),
    ] {
        assert_eq!(studio.post("/api/jobs", body).status, status, "{}", &body[..body.len().min(80)]);
    }
    assert_eq!(studio.post("/api/jobs", &format!("\"{}\"", "x".repeat(2 << 20))).status, 413);
    let form = |kind: &str, body: &[u8]| studio.ask("POST", "/api/images", &[kind], body).status;
    let boundary = "Content-Type: multipart/form-data; boundary=b";
    assert_eq!(form("Content-Type: multipart/form-data", b"x"), 400);
    assert_eq!(form(boundary, b"no boundary at all"), 400);
    assert_eq!(form(boundary, b"--b\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\ncut off"), 400);
    assert_eq!(form(boundary, b"--b\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\nx\r\n--b--\r\n"), 422);
    assert_eq!(form("Content-Type: application/json", b"{}"), 400);
    assert_eq!(studio.upload(b"GIF89a\x02\0\x02\0\0\0\0 and no more").status, 422);
    assert_eq!(studio.upload(b"RIFF and no more").status, 422);
    assert_eq!(studio.upload(b"").status, 422);
    // The decoder panics on this file.
    let panics = studio.upload(include_bytes!("../../lucida/tests/pictures/damaged-cmyk.jpg"));
    assert_eq!((panics.status, panics.text().contains("cannot decode")), (422, true), "{}", panics.text());
    assert_eq!(studio.ask("PUT", "/api/jobs", &[], &[]).status, 405);
    assert_eq!(studio.ask("POST", "/api/models/lenet5/look?width=1&height=1&channels=1", &[], b"12345").status, 422);
    assert_eq!(
        studio.ask("POST", "/api/models/lenet5/look?width=99999999999999999999&height=1&channels=1", &[], b"1").status,
        400
    );
    assert_eq!(
        studio.ask("POST", "/api/models/lenet5/look?width=100000&height=100000&channels=3", &[], b"1").status,
        422
    );
}

#[test]
fn images_are_encoded_again() {
    let studio = Studio::start();
    let mut png = lucida::data::Image::filled(30, 20, &[200, 10, 10]).png_bytes().unwrap();
    png.extend(b"<script>alert(1)</script>");
    let kept = studio.upload(&png);
    assert_eq!(kept.status, 201, "{}", kept.text());
    let shown = studio.get(&format!("/api/images/{}", kept.json()["id"].as_str().unwrap()));
    assert_eq!((shown.status, shown.header("content-type")), (200, Some("image/png")));
    assert!(!shown.text().contains("script"));
    assert_eq!(shown.header("x-content-type-options"), Some("nosniff"));
    // An image with a declared size beyond the limit is rejected without decoding it.
    assert_eq!(studio.upload(&png_of(100_000, 100_000)).status, 413);
    assert_eq!(studio.upload(&png_of(7_000, 7_000)).status, 413);
    assert_eq!(studio.upload(&png_of(10, 10)).status, 422);
    assert_eq!(studio.upload(&png_of(0, 10)).status, 422);
}

#[test]
fn every_answer_has_the_headers_of_a_guarded_page() {
    let studio = Studio::start();
    for path in ["/", "/draw", "/api/models", "/no-such-page", "/api/images/nothing"] {
        let answer = studio.get(path);
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
    }
    // A policy without inline scripts and styles needs pages without them.
    for path in ["/", "/draw", "/mechanics", "/explain", "/train", "/style", "/jobs", "/lessons"] {
        let page = studio.get(path).text();
        assert!(!page.contains("style=") && !page.contains("onclick") && !page.contains("<script>"), "{path}");
        assert!(!page.contains("http://") && !page.contains("https://"), "{path}");
    }
}

#[test]
fn slow_clients_lose_their_place() {
    let studio = Studio::with(|options| {
        options.limits.head = Duration::from_millis(700);
        options.limits.request = Duration::from_millis(1500);
    });
    let mut slow: Vec<_> = (0..100).map(|_| studio.connect()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: 127").unwrap();
    }
    assert_eq!(studio.get("/").status, 200);
    let started = Instant::now();
    // They keep sending a byte at a time, but the whole head must arrive in time.
    while started.elapsed() < Duration::from_millis(1200) {
        slow.iter_mut().for_each(|stream| drop(stream.write_all(b"0")));
        std::thread::sleep(Duration::from_millis(100));
    }
    for stream in &mut slow {
        let answer = Answer::read(stream);
        assert!(matches!(answer.status, 0 | 408), "{}", answer.head);
    }
    assert!(started.elapsed() < Duration::from_secs(20));

    // A body that never ends times out as well.
    let mut stream = studio.connect();
    let head = "POST /api/jobs HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n";
    stream.write_all(format!("{head}Host: {}\r\nConnection: close\r\n\r\n{{", studio.host()).as_bytes()).unwrap();
    assert_eq!(Answer::read(&mut stream).status, 408);
    assert_eq!(studio.get("/").status, 200);
}

#[test]
fn many_connections_and_long_heads() {
    let studio = Studio::with(|options| options.limits.streams = 3);
    let idle: Vec<_> = (0..200).map(|_| studio.connect()).collect();
    assert_eq!(studio.get("/").status, 200);
    let requests: Vec<_> = idle
        .into_iter()
        .map(|mut stream| {
            stream
                .write_all(
                    format!("GET /api/models HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", studio.host())
                        .as_bytes(),
                )
                .unwrap();
            stream
        })
        .collect();
    let answers: Vec<u16> = requests.into_iter().map(|mut stream| Answer::read(&mut stream).status).collect();
    assert!(answers.iter().all(|&status| status == 200 || status == 503), "{answers:?}");
    assert!(answers.iter().filter(|&&status| status == 200).count() >= 100, "{answers:?}");

    let long = format!("GET /{} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", "a".repeat(100_000), studio.host());
    assert!(matches!(studio.raw(long.as_bytes()).status, 0 | 414 | 431));
    let many: String = (0..2000).map(|at| format!("X-{at}: 0\r\n")).collect();
    let many = format!("GET / HTTP/1.1\r\nHost: {}\r\n{many}\r\n", studio.host());
    assert!(matches!(studio.raw(many.as_bytes()).status, 0 | 431));

    let listen = || {
        let mut stream = studio.connect();
        stream.write_all(format!("GET /api/events HTTP/1.1\r\nHost: {}\r\n\r\n", studio.host()).as_bytes()).unwrap();
        stream
    };
    let streams: Vec<_> = (0..3).map(|_| listen()).collect();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(studio.get("/api/events").status, 503);
    drop(streams);
    assert_eq!(studio.get("/").status, 200);
}

#[test]
fn the_queue_has_an_end() {
    let studio = Studio::with(|options| options.limits.queue = 2);
    let train = r#"{"kind":"train","epochs":1000,"batch_size":64,"learning_rate":0.001}"#;
    let statuses: Vec<u16> = (0..6).map(|_| studio.post("/api/jobs", train).status).collect();
    assert!(statuses.starts_with(&[202, 202]) && statuses.ends_with(&[503, 503, 503]), "{statuses:?}");
    for job in studio.get("/api/jobs").json().as_array().unwrap() {
        let id = job["id"].as_str().unwrap();
        assert_eq!(studio.post(&format!("/api/jobs/{id}/cancel"), "").status, 200);
    }
    assert_eq!(studio.post("/api/jobs/0099/cancel", "").status, 404);
    assert_eq!(studio.wait_for("0001")["state"], "cancelled");
    assert_eq!(studio.ask("DELETE", "/api/jobs/0001", &[], &[]).status, 204);
    assert_eq!(studio.get("/api/jobs/0001").status, 404);
}
