//! The HTML pages: templates whose content scripts load through the API.

use askama::Template;
use axum::extract::MatchedPath;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use crate::problem::Problem;
use crate::web::{version, web_files};

/// The pages: path, and title in the navigation.
pub(crate) const PAGES: [(&str, &str); 8] = [
    ("/", "Network"),
    ("/draw", "Draw"),
    ("/mechanics", "Mechanics"),
    ("/explain", "Explain"),
    ("/train", "Train"),
    ("/style", "Style"),
    ("/jobs", "Jobs"),
    ("/lessons", "Lessons"),
];

#[derive(Template)]
#[template(path = "network.html")]
struct Network {
    frame: Frame,
}

#[derive(Template)]
#[template(path = "draw.html")]
struct Draw {
    frame: Frame,
}

#[derive(Template)]
#[template(path = "mechanics.html")]
struct Mechanics {
    frame: Frame,
}

#[derive(Template)]
#[template(path = "explain.html")]
struct Explain {
    frame: Frame,
}

#[derive(Template)]
#[template(path = "train.html")]
struct Train {
    frame: Frame,
}

#[derive(Template)]
#[template(path = "style.html")]
struct Style {
    frame: Frame,
}

#[derive(Template)]
#[template(path = "jobs.html")]
struct JobsPage {
    frame: Frame,
}

#[derive(Template)]
#[template(path = "lessons.html")]
struct Lessons {
    frame: Frame,
}

#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    frame: Frame,
    title: &'a str,
    text: &'a str,
    /// Whether to show the navigation.
    inside: bool,
}

/// Where the studio runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Home {
    /// A server: pages are paths, and scripts may be cached forever by their version.
    Server,
    /// The browser: pages are files next to each other.
    Browser,
}

/// Values of the frame that all pages share.
struct Frame {
    home: Home,
    /// Path of this page; empty if it is not in the navigation.
    path: &'static str,
    pages: &'static [(&'static str, &'static str)],
    /// Whether the page shows a model.
    model: bool,
}

impl Frame {
    fn of(path: &str, home: Home) -> Self {
        let path = PAGES.iter().find(|(address, _)| *address == path).map_or("", |(address, _)| address);
        let model = ["/", "/draw", "/mechanics", "/explain"].contains(&path);
        Self { home, path, pages: &PAGES, model }
    }

    /// Name of the home for scripts.
    fn home(&self) -> &'static str {
        match self.home {
            Home::Server => "server",
            Home::Browser => "browser",
        }
    }

    /// URL of a page.
    fn url(&self, path: &str) -> String {
        match self.home {
            Home::Server => path.to_owned(),
            Home::Browser => file_of(path),
        }
    }

    /// URL of the folder of scripts and style sheets.
    fn assets(&self) -> String {
        match self.home {
            Home::Server => format!("/assets/{}", version()),
            Home::Browser => ".".to_owned(),
        }
    }
}

/// Serves a page.
pub(crate) async fn page(path: MatchedPath) -> Response {
    html(StatusCode::OK, render(path.as_str(), Home::Server))
}

/// Renders the page with this path.
fn render(path: &str, home: Home) -> askama::Result<String> {
    let frame = Frame::of(path, home);
    match path {
        "/draw" => Draw { frame }.render(),
        "/mechanics" => Mechanics { frame }.render(),
        "/explain" => Explain { frame }.render(),
        "/train" => Train { frame }.render(),
        "/style" => Style { frame }.render(),
        "/jobs" => JobsPage { frame }.render(),
        "/lessons" => Lessons { frame }.render(),
        _ => Network { frame }.render(),
    }
}

/// File name of a page in a folder of static files.
fn file_of(path: &str) -> String {
    format!("{}.html", path.strip_prefix('/').filter(|name| !name.is_empty()).unwrap_or("network"))
}

/// The pages, scripts and style sheets of the studio as static files, by their path: those of `lucida-web`, which answers
/// their requests in the browser.
///
/// # Errors
/// None in practice.
pub fn static_files() -> lucida::Result<Vec<(String, Vec<u8>)>> {
    let mut files = web_files();
    for (path, _) in PAGES {
        let text = render(path, Home::Browser).map_err(|error| lucida::Error::Bug(error.to_string()))?;
        files.push((file_of(path), text.into_bytes()));
    }
    Ok(files)
}

/// Response for an unknown path.
pub(crate) async fn not_found(headers: HeaderMap) -> Response {
    let wants_page = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if !wants_page.is_some_and(|accepted| accepted.contains("text/html")) {
        return Problem::not_found("this page does not exist").into_response();
    }
    let text = "This page does not exist.";
    let frame = Frame::of("", Home::Server);
    html(StatusCode::NOT_FOUND, Message { frame, title: "Not found", text, inside: true }.render())
}

/// Response for a browser without the token.
pub(crate) fn locked() -> Response {
    let text = "This studio requires a token. Open the complete URL that `lucida studio` printed in the terminal.";
    let frame = Frame::of("", Home::Server);
    html(StatusCode::UNAUTHORIZED, Message { frame, title: "Locked", text, inside: false }.render())
}

fn html(status: StatusCode, page: askama::Result<String>) -> Response {
    match page {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => Problem::from(lucida::Error::Bug(format!("cannot render the page: {error}"))).into_response(),
    }
}
