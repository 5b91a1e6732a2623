//! The studio in a web page: compiled to WebAssembly (WASI), it answers the requests that a server would, in a worker of the
//! page.
//!
//! The page and the program exchange messages through standard input and output: a line of JSON, then the body of the request
//! or of the response. Files are those that the page provides; see `web/` for its side.
//!
//! | path | |
//! | --- | --- |
//! | `/runs` | what the studio stores; the page keeps it in the browser |
//! | `/assets` | the built-in data, which the page fetches when they are read |
//! | `/events` | each line that is written here is an event for the page |
//! | `/stop` | exists once the running job should stop |

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use axum::body::Bytes;
use axum::http::Request;
use lucida_kernels::Cpu;
use lucida_studio::{LocalStudio, Options};
use serde::Deserialize;
use serde_json::{Value, json};

/// What the page asks for.
#[derive(Debug, Deserialize)]
#[serde(tag = "call", rename_all = "lowercase")]
enum Call {
    /// Open the studio.
    Open,
    /// Answer a request of the API, whose body follows.
    Respond { method: String, path: String, headers: Vec<(String, String)> },
    /// Start the jobs whose turn it is; answer with those that run.
    Running,
    /// Apply the event that follows, of the instance that runs a job.
    Receive,
    /// End a job whose instance has ended without a result.
    Abandon { id: String, problem: String },
    /// Run a job here.
    Run { id: String, resumes: bool },
}

/// The program: its root folder, and its studio once it is open.
struct Program {
    root: PathBuf,
    studio: Option<LocalStudio>,
}

/// The head and the body of an answer.
type Answer = (Value, Bytes);

impl Program {
    fn at(root: &Path) -> Self {
        Self { root: root.to_owned(), studio: None }
    }

    /// Answers a message. An error is an answer, too: `{"error": "..."}`.
    fn answer(&mut self, message: &[u8]) -> Answer {
        let end = message.iter().position(|&byte| byte == b'\n').unwrap_or(message.len());
        let body = message.get(end + 1..).unwrap_or_default();
        let call = serde_json::from_slice(&message[..end]).map_err(|error| error.to_string());
        let answer = call.and_then(|call| self.call(call, body));
        answer.unwrap_or_else(|problem| (json!({ "error": problem }), Bytes::new()))
    }

    fn call(&mut self, call: Call, body: &[u8]) -> Result<Answer, String> {
        if let Call::Open = call {
            self.studio = Some(self.open().map_err(|error| error.to_string())?);
            return Ok((json!({}), Bytes::new()));
        }
        let studio = self.studio.as_ref().ok_or("the studio is not open")?;
        match call {
            Call::Open | Call::Running => {
                let running = serde_json::to_value(studio.running()).map_err(|error| error.to_string())?;
                return Ok((running, Bytes::new()));
            }
            Call::Respond { method, path, headers } => return respond(studio, (&method, &path, &headers), body),
            Call::Receive => {
                let event = str::from_utf8(body).map_err(|error| error.to_string())?;
                studio.receive(event).map_err(|error| error.to_string())?;
            }
            Call::Abandon { id, problem } => studio.abandon(&id, &problem),
            Call::Run { id, resumes } => {
                let stop = self.root.join("stop");
                studio.run_job(&id, resumes, move || stop.exists()).map_err(|error| error.to_string())?;
            }
        }
        Ok((json!({}), Bytes::new()))
    }

    fn open(&self) -> lucida::Result<LocalStudio> {
        let path = self.root.join("events");
        let events = File::create(&path).map_err(|error| lucida::Error::io(&path, "write", error))?;
        let runs = self.root.join("runs");
        // The page knows the number of threads, and WASI has no call for it: it is in the environment.
        let (cpu, _) = Cpu::from_env_as_far_as_valid();
        let options = Options { cpu, features: Some(runs.join("features")), ..Options::new(runs) };
        // An event that cannot be written is lost; the page then shows what it shows after a reload.
        LocalStudio::open(&options, move |event| drop((&events).write_all(format!("{event}\n").as_bytes())))
    }
}

/// Answers a request of the API: the answer's head is `{"status": 200, "headers": [["content-type", "..."]]}`.
fn respond(
    studio: &LocalStudio,
    (method, path, headers): (&str, &str, &[(String, String)]),
    body: &[u8],
) -> Result<Answer, String> {
    let builder = Request::builder().method(method).uri(path);
    let builder = headers.iter().fold(builder, |builder, (name, value)| builder.header(name, value));
    let request = builder.body(Bytes::copy_from_slice(body)).map_err(|error| error.to_string())?;
    let (head, body) = studio.respond(request).into_parts();
    let headers: Vec<_> = head.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().ok())).collect();
    Ok((json!({ "status": head.status.as_u16(), "headers": headers }), body))
}

thread_local! {
    static PROGRAM: RefCell<Program> = RefCell::new(Program::at(Path::new("/")));
}

/// Answers the message on standard input on standard output.
///
/// # Errors
/// Those of reading and writing.
pub fn answer_message() -> io::Result<()> {
    let mut message = Vec::new();
    io::stdin().read_to_end(&mut message)?;
    let (head, body) = PROGRAM.with_borrow_mut(|program| program.answer(&message));
    let mut out = io::stdout().lock();
    writeln!(out, "{head}")?;
    out.write_all(&body)?;
    out.flush()
}

/// What the page calls; returns whether the answer is complete.
#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "the attribute exports the function under its name, which nothing else has")]
#[unsafe(no_mangle)]
pub extern "C" fn answer() -> bool {
    answer_message().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(program: &mut Program, head: &Value, body: &str) -> Answer {
        program.answer(format!("{head}\n{body}").as_bytes())
    }

    #[test]
    fn requests_and_jobs_of_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let mut program = Program::at(folder.path());
        let running = json!({ "call": "running" });
        assert_eq!(ask(&mut program, &running, "").0, json!({ "error": "the studio is not open" }));
        assert_eq!(ask(&mut program, &json!({ "call": "open" }), "").0, json!({}));
        let request = json!({ "call": "respond", "method": "POST", "path": "/api/jobs",
            "headers": [["content-type", "application/json"]] });
        let train = r#"{"kind": "train", "epochs": 1, "batch_size": 256, "learning_rate": 0.001}"#;
        let (head, body) = ask(&mut program, &request, train);
        assert_eq!(head["status"], 202, "{body:?}");
        assert_eq!(ask(&mut program, &running, "").0, json!([{ "id": "0001", "resumes": false, "stop": false }]));
        // It is stopped before its first step.
        std::fs::write(folder.path().join("stop"), "").unwrap();
        assert_eq!(ask(&mut program, &json!({ "call": "run", "id": "0001", "resumes": false }), "").0, json!({}));
        let events = std::fs::read_to_string(folder.path().join("events")).unwrap();
        let last: Value = serde_json::from_str(events.lines().last().unwrap()).unwrap();
        assert_eq!((&last["type"], &last["job"]["state"]), (&json!("job"), &json!("cancelled")));
        for wrong in ["", "{}", "{\"call\": \"respond\"}", "{\"call\": \"other\"}"] {
            assert!(program.answer(wrong.as_bytes()).0["error"].is_string(), "{wrong}");
        }
    }
}
