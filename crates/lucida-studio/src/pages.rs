//! The HTML pages: templates whose content scripts load through the API.

use askama::Template;
use axum::extract::MatchedPath;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use crate::problem::Problem;
use crate::web::version;

/// The pages: path, and title in the navigation.
pub(crate) const PAGES: [(&str, &str); 7] = [
    ("/", "Network"),
    ("/draw", "Draw"),
    ("/mechanics", "Mechanics"),
    ("/explain", "Explain"),
    ("/train", "Train"),
    ("/style", "Style"),
    ("/jobs", "Jobs"),
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
    fn of(path: &str) -> Self {
        let path = PAGES.iter().find(|(address, _)| *address == path).map_or("", |(address, _)| address);
        let model = ["/", "/draw", "/mechanics", "/explain"].contains(&path);
        Self { home: Home::Server, path, pages: &PAGES, model }
    }

    /// Name of the home for scripts.
    fn home(&self) -> &'static str {
        match self.home {
            Home::Server => "server",
        }
    }

    /// URL of a page.
    fn url(&self, path: &str) -> String {
        match self.home {
            Home::Server => path.to_owned(),
        }
    }

    /// URL of the folder of scripts and style sheets.
    fn assets(&self) -> String {
        match self.home {
            Home::Server => format!("/assets/{}", version()),
        }
    }
}

/// Serves a page.
pub(crate) async fn page(path: MatchedPath) -> Response {
    let frame = Frame::of(path.as_str());
    match path.as_str() {
        "/draw" => html(StatusCode::OK, &Draw { frame }),
        "/mechanics" => html(StatusCode::OK, &Mechanics { frame }),
        "/explain" => html(StatusCode::OK, &Explain { frame }),
        "/train" => html(StatusCode::OK, &Train { frame }),
        "/style" => html(StatusCode::OK, &Style { frame }),
        "/jobs" => html(StatusCode::OK, &JobsPage { frame }),
        _ => html(StatusCode::OK, &Network { frame }),
    }
}

/// Response for an unknown path.
pub(crate) async fn not_found(headers: HeaderMap) -> Response {
    let wants_page = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if !wants_page.is_some_and(|accepted| accepted.contains("text/html")) {
        return Problem::not_found("this page does not exist").into_response();
    }
    let text = "This page does not exist.";
    html(StatusCode::NOT_FOUND, &Message { frame: Frame::of(""), title: "Not found", text, inside: true })
}

/// Response for a browser without the token.
pub(crate) fn locked() -> Response {
    let text = "This studio requires a token. Open the complete URL that `lucida studio` printed in the terminal.";
    html(StatusCode::UNAUTHORIZED, &Message { frame: Frame::of(""), title: "Locked", text, inside: false })
}

fn html(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => Problem::from(lucida::Error::Bug(format!("cannot render the page: {error}"))).into_response(),
    }
}
