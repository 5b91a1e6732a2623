//! An HTTP client, with or without TLS.
//!
//! TLS is rustls with the cryptography of Graviola. The usual choices, *ring* and AWS-LC, are written in C and assembly,
//! and need a C compiler wherever Lucida is built; OpenSSL would have to be installed as well. Graviola is written in Rust
//! with formally verified assembly, needs only cargo, and compiles in a second. Its price: it only supports x86-64
//! processors from 2014 on and 64-bit ARM. Elsewhere a download is an ordinary error that explains how to do it manually.
//! (RustCrypto's provider runs everywhere, but is still an alpha version with sixty dependencies.)

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::RetryPolicy;
use crate::{Error, Result, files};

/// Maximum number of redirects.
const MAX_REDIRECTS: u32 = 5;
/// Maximum bytes of a certificate file.
const MAX_CERTIFICATES: u64 = 16 << 20;
/// The message for a host name that cannot be resolved.
const NO_ADDRESS: &str = "the server's address cannot be found; is there a network?";

/// Why a download failed.
#[derive(Debug)]
pub(super) enum FetchError {
    /// A temporary failure: retry.
    Passing(String),
    /// A permanent failure.
    Lasting(String),
}

/// The start of a server's response.
pub(super) struct Response {
    pub(super) status: u16,
    /// The length of the body, if known.
    pub(super) len: Option<u64>,
    /// The first byte of the range, and the total size, from `Content-Range`.
    pub(super) range: Option<(u64, Option<u64>)>,
    /// Identifies the version of the file.
    pub(super) tag: Option<String>,
    pub(super) body: Body,
}

/// The body of a response.
pub(super) struct Body {
    reader: ureq::BodyReader<'static>,
    patience: Duration,
}

pub(super) struct Client {
    agent: Agent,
    patience: RetryPolicy,
}

impl Client {
    /// Creates a client for this URL and its redirects, which may not lead from https to http.
    pub(super) fn new(url: &str, patience: &RetryPolicy, certificates: Option<&Path>) -> Result<Self> {
        let secure = url.starts_with("https://");
        let tls = match tls() {
            Some(tls) => Some(tls.root_certs(roots(certificates)?).build()),
            None if secure => {
                let problem = "this processor lacks the instructions that the TLS of this program is written for";
                return Err(Error::Network { url: url.to_owned(), problem: problem.to_owned() });
            }
            None => None,
        };
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(secure)
            // Without TLS, redirects could lead to URLs that need it.
            .max_redirects(if tls.is_some() { MAX_REDIRECTS } else { 0 })
            .user_agent(concat!("lucida/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(patience.connect))
            .timeout_connect(Some(patience.connect))
            .timeout_recv_response(Some(patience.read))
            .timeout_per_read(Some(patience.read))
            .timeout_per_write(Some(patience.read));
        if is_own_machine(url) {
            config = config.proxy(None);
        }
        if let Some(tls) = tls {
            config = config.tls_config(tls);
        }
        Ok(Self { agent: config.build().new_agent(), patience: patience.clone() })
    }

    /// Requests a file from byte `from` on, if its version still matches `tag`.
    pub(super) fn get(&self, url: &str, from: u64, tag: Option<&str>) -> Result<Response, FetchError> {
        let mut request = self.agent.get(url);
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
            if let Some(tag) = tag {
                request = request.header(IF_RANGE, tag);
            }
        }
        let response = request.call().map_err(|error| trouble(&error, self.patience.read))?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        // A weak tag does not guarantee identical bytes.
        let tag = header(ETAG).filter(|tag| !tag.starts_with("W/")).or_else(|| header(LAST_MODIFIED));
        Ok(Response {
            status: response.status().as_u16(),
            len: header(CONTENT_LENGTH).and_then(|len| len.parse().ok()),
            range: header(CONTENT_RANGE).and_then(|range| content_range(&range)),
            tag,
            body: Body { reader: response.into_body().into_reader(), patience: self.patience.read },
        })
    }
}

impl Body {
    /// Reads some bytes; 0 at the end.
    pub(super) fn read(&mut self, into: &mut [u8]) -> Result<usize, FetchError> {
        self.reader.read(into).map_err(|error| {
            let within = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
            match within {
                Some(within) => trouble(within, self.patience),
                None => io_trouble(&error, self.patience),
            }
        })
    }
}

fn trouble(error: &ureq::Error, patience: Duration) -> FetchError {
    use FetchError::{Lasting, Passing};
    match error {
        ureq::Error::Timeout(_) => Passing(slow(patience)),
        ureq::Error::Io(error) => io_trouble(error, patience),
        ureq::Error::HostNotFound => Passing(NO_ADDRESS.into()),
        ureq::Error::ConnectionFailed => Passing("there is no connection".into()),
        ureq::Error::ConnectProxyFailed(problem) => Passing(format!("the proxy does not connect: {}", line(problem))),
        ureq::Error::RequireHttpsOnly(_) => {
            Lasting("the server points to an address without https, which is refused".into())
        }
        ureq::Error::TooManyRedirects => {
            Lasting(format!("the server points elsewhere more than {MAX_REDIRECTS} times"))
        }
        error => Lasting(format!("the server's answer cannot be used: {}", line(&error.to_string()))),
    }
}

fn io_trouble(error: &io::Error, patience: Duration) -> FetchError {
    match error.kind() {
        // Rejected certificates are also reported like this.
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            FetchError::Lasting(format!("the connection cannot be trusted: {}", line(&error.to_string())))
        }
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => FetchError::Passing(slow(patience)),
        io::ErrorKind::UnexpectedEof => FetchError::Passing("the connection was cut off".into()),
        _ => match line(&error.to_string()) {
            // The standard library has no error kind for this.
            text if text.contains("lookup address") => FetchError::Passing(NO_ADDRESS.into()),
            text => FetchError::Passing(format!("the connection failed: {text}")),
        },
    }
}

fn slow(patience: Duration) -> String {
    format!("nothing arrived within {} s", patience.as_secs_f64())
}

/// An external message, reduced to one line of moderate length.
fn line(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Parses `bytes 500-999/1000` to the first byte and the total size, which may be `*`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, whole) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, whole.trim().parse().ok()))
}

/// Whether a server runs on this machine, which is not reached by a proxy.
pub(super) fn is_own_machine(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    host == "localhost" || host == "[::1]" || host.starts_with("127.")
}

/// The TLS configuration, if this processor has the instructions that the library requires.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn tls() -> Option<ureq::tls::TlsConfigBuilder> {
    #[cfg(target_arch = "x86_64")]
    let able = is_x86_feature_detected!("aes")
        && is_x86_feature_detected!("ssse3")
        && is_x86_feature_detected!("pclmulqdq")
        && is_x86_feature_detected!("avx")
        && is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("adx");
    #[cfg(target_arch = "aarch64")]
    let able = std::arch::is_aarch64_feature_detected!("neon")
        && std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull")
        && std::arch::is_aarch64_feature_detected!("sha2");
    let provider = || Arc::new(rustls_graviola::default_provider());
    able.then(|| TlsConfig::builder().unversioned_rustls_crypto_provider(provider()))
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn tls() -> Option<ureq::tls::TlsConfigBuilder> {
    None
}

/// The trusted root certificates: Mozilla's list, or those of a file.
fn roots(certificates: Option<&Path>) -> Result<RootCerts> {
    let Some(path) = certificates else { return Ok(RootCerts::WebPki) };
    let pem = files::read_limited(path, MAX_CERTIFICATES)?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(Error::file(path, "contains no certificates to trust; the variable SSL_CERT_FILE names it"));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(content_range("bytes 500-999/1000"), Some((500, Some(1000))));
        assert_eq!(content_range("bytes 0-9/*"), Some((0, None)));
        for wrong in ["", "bytes */1000", "bytes a-b/c", "items 0-1/2", "bytes 5"] {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn this_machine_is_known() {
        for own in ["http://127.0.0.1:80/x", "https://localhost", "http://[::1]:8080/"] {
            assert!(is_own_machine(own), "{own}");
        }
        assert!(!is_own_machine("https://localhost.example/127.0.0.1"));
    }
}
