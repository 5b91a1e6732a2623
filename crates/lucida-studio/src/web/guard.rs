//! Access control.
//!
//! A page of another site can make a browser send requests to a server on the same machine. It cannot read the responses,
//! unless it makes its own host name resolve to 127.0.0.1 (DNS rebinding): so the `Host` of a request must be an IP
//! address, which no name server controls, `localhost`, or an allowed name. Nor may such a page change anything: requests
//! that the browser marks as coming from another site (`Origin`, `Sec-Fetch-Site`) are rejected.
//!
//! If other machines can reach the address, a token is required, too. A browser sends it once, in the URL that the server
//! prints, and gets a session cookie; programs send it in the `Authorization` header.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::token::Token;
use crate::pages;
use crate::problem::Problem;

/// Name of the session cookie.
const COOKIE_NAME: &str = "lucida_session";

/// The rules that requests are checked against.
#[derive(Debug)]
pub(crate) struct Guard {
    /// The port that `Host` must have; `None` if the port that clients connect to is unknown.
    port: Option<u16>,
    hosts: Vec<String>,
    token: Option<Keys>,
}

/// The token, and the value of the session cookie.
#[derive(Debug)]
struct Keys {
    token: Token,
    session: Token,
}

impl Guard {
    pub(crate) fn new(port: u16, hosts: Vec<String>, token: Option<Token>) -> lucida::Result<Self> {
        let keys = |token| Ok::<_, lucida::Error>(Keys { token, session: Token::random()? });
        Ok(Self { port: Some(port), hosts, token: token.map(keys).transpose()? })
    }

    /// Creates a guard without a token for a server that clients may reach at another port, such as one in a container.
    pub(crate) fn of_any_port(hosts: Vec<String>) -> Self {
        Self { port: None, hosts, token: None }
    }

    /// Checks that a request names a known host and does not come from a page of another site.
    pub(crate) fn check_source(&self, request: &Request) -> Result<(), Problem> {
        let refuse = |status, reason: &str| Err(Problem::new(status, reason));
        let headers = request.headers();
        let mut hosts = headers.get_all(HOST).iter();
        let found = (hosts.next().map(HeaderValue::to_str), hosts.next(), request.uri().authority());
        let (Some(Ok(host)), None, None) = found else {
            return refuse(StatusCode::BAD_REQUEST, "a request needs exactly one Host header");
        };
        if !self.allows_host(host) {
            let hint = "unknown host name; use the printed URL, or allow the name with --host NAME";
            return refuse(StatusCode::MISDIRECTED_REQUEST, hint);
        }
        self.check_origin(request.method(), headers, host).or_else(|reason| refuse(StatusCode::FORBIDDEN, reason))
    }

    /// Whether a host is an IP address, `localhost` or an allowed name, with the right port.
    fn allows_host(&self, host: &str) -> bool {
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => (name, port.parse().ok()),
            _ => (host, Some(80)),
        };
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let is_address = match bare {
            Some(six) => six.parse::<Ipv6Addr>().is_ok(),
            None => name.parse::<Ipv4Addr>().is_ok(),
        };
        let is_named =
            name.eq_ignore_ascii_case("localhost") || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name));
        port.is_some() && (self.port.is_none() || port == self.port) && (is_address || is_named)
    }

    fn check_origin(&self, method: &Method, headers: &HeaderMap, host: &str) -> Result<(), &'static str> {
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        if let Some(origin) = text(ORIGIN.as_str())
            && origin.strip_prefix("http://") != Some(host)
        {
            return Err("this request comes from another site");
        }
        // Other sites may link here, but may not send any other request.
        let is_visit = method == Method::GET && text("sec-fetch-mode") == Some("navigate");
        match text("sec-fetch-site") {
            None | Some("same-origin" | "none") => Ok(()),
            Some(_) if is_visit && text("sec-fetch-dest") == Some("document") => Ok(()),
            Some(_) => Err("this request comes from another site"),
        }
    }
}

/// Middleware that rejects requests that break the rules.
pub(super) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    if let Err(problem) = guard.check_source(&request) {
        return problem.into_response();
    }
    if let Some(keys) = &guard.token {
        if let Some(given) = token_in(request.uri()) {
            return match keys.token.is(given) && request.method() == Method::GET {
                true => enter(keys, request.uri().path()),
                false => pages::locked().into_response(),
            };
        }
        // The files of the pages are public, and the page that asks for the token needs its style sheet.
        if !request.uri().path().starts_with("/assets/") && !keys.opened_by(request.headers()) {
            return match request.uri().path().starts_with("/api") {
                true => Problem::new(StatusCode::UNAUTHORIZED, "the token is missing").into_response(),
                false => pages::locked().into_response(),
            };
        }
    }
    next.run(request).await
}

impl Keys {
    fn opened_by(&self, headers: &HeaderMap) -> bool {
        if bearer(headers).is_some_and(|token| self.token.is(token)) {
            return true;
        }
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.any(|(name, value)| name == COOKIE_NAME && self.session.is(value))
    }
}

/// Returns the bearer token of the `Authorization` header.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn token_in(uri: &Uri) -> Option<&str> {
    uri.query()?.split('&').find_map(|pair| pair.strip_prefix("token="))
}

/// Sets the session cookie, and redirects to the same page without the token in its URL.
fn enter(keys: &Keys, path: &str) -> Response {
    let cookie = format!("{COOKIE_NAME}={}; HttpOnly; SameSite=Strict; Path=/; Max-Age=2592000", keys.session.text());
    // A path that begins with two slashes would redirect to another site.
    let path = if path.starts_with("//") { "/" } else { path };
    let headers = [(SET_COOKIE, cookie), (LOCATION, path.to_owned())];
    (StatusCode::SEE_OTHER, headers).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_may_be_meant() {
        let guard = Guard::new(7860, vec!["studio.lan".into()], None).unwrap();
        for host in
            ["127.0.0.1:7860", "localhost:7860", "LocalHost:7860", "[::1]:7860", "192.168.1.9:7860", "studio.lan:7860"]
        {
            assert!(guard.allows_host(host), "{host}");
        }
        for host in [
            "evil.example:7860",
            "127.0.0.1",
            "127.0.0.1:80",
            "localhost.evil.example:7860",
            "127.0.0.1.evil.example:7860",
            "",
            ":7860",
            "[::1",
            "[::1]",
            "[evil]:7860",
            "user@127.0.0.1:7860",
            "127.0.0.1:7860:7860",
        ] {
            assert!(!guard.allows_host(host), "{host}");
        }
        let guard = Guard::of_any_port(vec!["gpu.lan".into()]);
        assert!(
            guard.allows_host("127.0.0.1:9000") && guard.allows_host("localhost") && guard.allows_host("gpu.lan:80")
        );
        assert!(!guard.allows_host("evil.example:9000") && !guard.allows_host("127.0.0.1:x"));
    }

    #[test]
    fn origins() {
        let guard = Guard::new(7860, Vec::new(), None).unwrap();
        let check = |method: Method, pairs: &[(&'static str, &'static str)]| {
            let headers = pairs.iter().map(|&(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
            guard.check_origin(&method, &headers.collect(), "127.0.0.1:7860").is_ok()
        };
        assert!(check(Method::POST, &[]));
        assert!(check(Method::POST, &[("origin", "http://127.0.0.1:7860"), ("sec-fetch-site", "same-origin")]));
        for origin in
            ["http://evil.example", "https://127.0.0.1:7860", "http://127.0.0.1:7861", "null", "http://localhost:7860"]
        {
            assert!(!check(Method::POST, &[("origin", origin)]), "{origin}");
            assert!(!check(Method::GET, &[("origin", origin)]), "{origin}");
        }
        let visit = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        assert!(check(Method::GET, &visit) && !check(Method::POST, &visit));
        assert!(!check(Method::GET, &[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "no-cors")]));
        assert!(!check(
            Method::GET,
            &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")]
        ));
    }
}
