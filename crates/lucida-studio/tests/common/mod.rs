//! A studio or a prediction server on a free port, and a client that can send malformed requests.
#![allow(dead_code)] // each test file uses a part

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use lucida_studio::{Options, Server};
use serde_json::Value;

/// A client of a server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
}

impl Client {
    /// Creates a client of the server at a URL.
    pub(crate) fn of(url: &str) -> Self {
        let at = url.trim_start_matches("http://").split('/').next().unwrap();
        Self { address: at.parse().unwrap() }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// Sends raw bytes, and reads the response.
    pub(crate) fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect();
        // The server may respond and close before it has read everything.
        let _ = stream.write_all(request);
        Answer::read(&mut stream)
    }

    /// Sends a request with a body and further header lines.
    pub(crate) fn ask(&self, method: &str, path: &str, heads: &[&str], body: &[u8]) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.host());
        for head in heads {
            request += &format!("{head}\r\n");
        }
        if !body.is_empty() || method == "POST" {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        let mut bytes = (request + "\r\n").into_bytes();
        bytes.extend_from_slice(body);
        self.raw(&bytes)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], &[])
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        self.ask("POST", path, &["Content-Type: application/json"], body.as_bytes())
    }
}

pub(crate) struct Studio {
    client: Client,
    pub(crate) url: String,
    pub(crate) folder: Arc<tempfile::TempDir>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[allow(dead_code)]
impl Studio {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Options)) -> Self {
        Self::over(Arc::new(tempfile::tempdir().unwrap()), change)
    }

    /// Starts a studio with a folder of runs, which may have been used before.
    pub(crate) fn over(folder: Arc<tempfile::TempDir>, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options { port: 0, ..Options::new(folder.path()) };
        change(&mut options);
        let server = Server::bind(&options).unwrap();
        let url = server.address().url.clone();
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = std::thread::spawn(move || server.run(|| asked.load(Ordering::SeqCst), |_| {}));
        Self { client: Client::of(&url), url, folder, stop, thread: Some(thread) }
    }

    /// Uploads bytes as the field `image` of a form.
    pub(crate) fn upload(&self, bytes: &[u8]) -> Answer {
        self.ask(
            "POST",
            "/api/images",
            &["Content-Type: multipart/form-data; boundary=b"],
            &form("image", "a.png", bytes),
        )
    }

    /// Waits until a job has ended.
    pub(crate) fn wait_for(&self, job: &str) -> Value {
        for _ in 0..1200 {
            let job = self.get(&format!("/api/jobs/{job}")).json();
            if !["queued", "running"].contains(&job["state"].as_str().unwrap()) {
                return job;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("job {job} does not end");
    }

    pub(crate) fn stop(mut self) -> Arc<tempfile::TempDir> {
        self.end();
        Arc::clone(&self.folder)
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Deref for Studio {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Studio {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.end();
        }
    }
}

/// The body of a form with one file and the boundary `b`.
pub(crate) fn form(field: &str, name: &str, bytes: &[u8]) -> Vec<u8> {
    let head = format!("--b\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n\r\n");
    [head.as_bytes(), bytes, b"\r\n--b--\r\n"].concat()
}

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    /// 0 if the connection was closed without a response.
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

#[allow(dead_code)]
impl Answer {
    pub(crate) fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A connection reset after the response counts as its end.
        let mut part = [0; 65536];
        while let Ok(count @ 1..) = stream.read(&mut part) {
            bytes.extend_from_slice(&part[..count]);
        }
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, body: bytes[end..].to_vec(), head }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {} {}", self.head, self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

/// A PNG file that declares a size and has no pixels.
#[allow(dead_code)]
pub(crate) fn png_of(width: u32, height: u32) -> Vec<u8> {
    let crc = |bytes: &[u8]| {
        !bytes.iter().fold(!0_u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
        })
    };
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8], data: &[u8]| {
        let typed = [kind, data].concat();
        file.extend((data.len() as u32).to_be_bytes());
        file.extend(&typed);
        file.extend(crc(&typed).to_be_bytes());
    };
    chunk(b"IHDR", &[&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat());
    chunk(b"IDAT", b"\x78\x9c\x03\x00\x00\x00\x00\x01");
    chunk(b"IEND", b"");
    file
}

/// Peak memory of this process in bytes; `None` if the system does not report it.
pub(crate) fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    Some(line.split_whitespace().nth(1)?.parse::<usize>().ok()? << 10)
}
