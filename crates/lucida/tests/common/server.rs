//! A small local HTTP server whose responses each test defines.
#![allow(dead_code)] // each test program uses a part of this module

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A client's request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// Start of the requested byte range.
    pub(crate) from: Option<usize>,
    /// The `If-Range` tag.
    pub(crate) if_range: Option<String>,
}

/// A running server; it stops on drop.
pub(crate) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A connection, either plain or wrapped in TLS.
pub(crate) trait Connection: Read + Write {}
impl<T: Read + Write> Connection for T {}

impl Server {
    /// Starts a server whose responses `answer` writes, given the index of the request.
    pub(crate) fn start(
        answer: impl Fn(usize, &Request, &mut dyn Write) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(|stream| Box::new(stream), answer)
    }

    /// As [`Server::start`], with connections wrapped.
    pub(crate) fn start_with(
        wrap: impl Fn(TcpStream) -> Box<dyn Connection> + Send + Sync + 'static,
        answer: impl Fn(usize, &Request, &mut dyn Write) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let thread = thread::spawn({
            let (requests, stop) = (requests.clone(), stop.clone());
            let shared = Arc::new((wrap, answer));
            move || {
                for stream in listener.incoming() {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let Ok(stream) = stream else { continue };
                    let (requests, shared) = (requests.clone(), shared.clone());
                    // Errors of a client that disconnects are ignored.
                    thread::spawn(move || {
                        let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
                        let _ = serve((shared.0)(stream), &requests, &shared.1);
                    });
                }
            }
        });
        Self { address, requests, stop, thread: Some(thread) }
    }

    /// URL of the server.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Requests received so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Handles one request and closes the connection.
fn serve(
    stream: Box<dyn Connection>,
    requests: &Mutex<Vec<Request>>,
    answer: &impl Fn(usize, &Request, &mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut request = Request::default();
    let mut first = true;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if std::mem::take(&mut first) {
            request.path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        } else if let Some((name, value)) = line.split_once(": ") {
            match name.to_ascii_lowercase().as_str() {
                "range" => request.from = value["bytes=".len()..].trim_end_matches('-').parse().ok(),
                "if-range" => request.if_range = Some(value.to_owned()),
                _ => {}
            }
        }
    }
    let number = {
        let mut requests = requests.lock().unwrap();
        requests.push(request.clone());
        requests.len() - 1
    };
    let stream = stream.get_mut();
    answer(number, &request, stream)?;
    stream.flush()
}

/// Writes a status line, headers, and the empty line after them.
pub(crate) fn head(out: &mut dyn Write, status: &str, headers: &[(&str, String)]) -> io::Result<()> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(out, "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n")
}

/// A correct response: the file, or the requested range if `If-Range` matches. Only the first `most` bytes are actually
/// sent.
pub(crate) fn file(out: &mut dyn Write, request: &Request, bytes: &[u8], tag: &str, most: usize) -> io::Result<()> {
    let tagged = ("ETag", tag.to_owned());
    let same = request.if_range.as_deref().is_none_or(|wanted| wanted == tag);
    match request.from.filter(|_| same) {
        Some(from) if from >= bytes.len() => head(
            out,
            "416 Range Not Satisfiable",
            &[("Content-Length", "0".into()), ("Content-Range", format!("bytes */{}", bytes.len()))],
        ),
        Some(from) => {
            let rest = &bytes[from..];
            let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
            let headers = [("Content-Length", rest.len().to_string()), ("Content-Range", range), tagged];
            head(out, "206 Partial Content", &headers)?;
            out.write_all(&rest[..most.min(rest.len())])
        }
        None => {
            head(out, "200 OK", &[("Content-Length", bytes.len().to_string()), tagged])?;
            out.write_all(&bytes[..most.min(bytes.len())])
        }
    }
}
