//! The prediction server.

use std::net::IpAddr;

use clap::Args;

use super::studio::address;
use crate::arguments::ModelArguments;
use crate::numbers::whole;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida serve
      the built-in classifier: ImageNet's 1,000 classes
  lucida serve runs/cats-dogs
      then: curl --data-binary @photo.jpg http://127.0.0.1:8080/predict
  lucida serve resnet50 --port 9000
      after lucida weights fetch resnet50 --with-top
  lucida serve runs/cats-dogs --listen 0.0.0.0
      for other machines too: set LUCIDA_KEY, which clients send as \"Authorization: Bearer KEY\"

POST /predict takes an image as the body, or several as files of a form (curl -F image=@a.jpg -F image=@b.jpg), and answers \
with JSON; ?top=N chooses the number of classes. GET /model, /healthz and /metrics (Prometheus) describe the server. Images \
that wait are run in one batch; the predictions are those of lucida predict, to the bit. Ctrl-C answers what waits and stops.")]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) model: ModelArguments,

    /// Port; 0 picks a free one
    #[arg(long, value_parser = whole::<u16>(0..=65_535), default_value_t = 8080)]
    pub(crate) port: u16,

    /// IP address to listen on; 0.0.0.0 is all of this machine's
    #[arg(long, value_parser = address, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) listen: IpAddr,

    /// Host name by which clients may address this machine without a key; repeatable
    #[arg(long = "host", value_name = "NAME", value_parser = host)]
    pub(crate) hosts: Vec<String>,

    /// Key that clients must send [default: LUCIDA_KEY, else none is needed]
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,

    /// Largest batch of a forward pass
    #[arg(long, value_name = "N", value_parser = whole::<u16>(1..=256), default_value_t = 16)]
    pub(crate) batch_size: u16,

    /// Number of images that may wait; more are refused with 503
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=100_000), default_value_t = 128)]
    pub(crate) queue: u32,

    /// Seconds after which a waiting request is given up with 504
    #[arg(long, value_name = "SECONDS", value_parser = whole::<u32>(1..=3600), default_value_t = 30)]
    pub(crate) timeout: u32,
}

/// A host name. An address is what other servers take here.
fn host(text: &str) -> Result<String, String> {
    match text.parse::<IpAddr>() {
        Ok(_) => Err("expected a host name; --listen says on which address to listen".to_owned()),
        Err(_) if text.is_empty() => Err("expected a host name".to_owned()),
        Err(_) => Ok(text.to_owned()),
    }
}
