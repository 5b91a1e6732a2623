//! `lucida serve`

use anyhow::{Context as _, Result};
use lucida::nn::counted;
use lucida::weights::{IncludeTop, Outputs};
use lucida_studio::{PredictionServer, ServeLimits, ServeOptions, ServeSummary};

use super::{Context, open_model};
use crate::cli::Serve;
use crate::exit::Usage;
use crate::interrupt;

/// Environment variable for the key, which keeps it out of process listings.
const KEY: &str = "LUCIDA_KEY";

pub(super) fn run(arguments: &Serve, context: Context) -> Result<()> {
    let key = key(arguments)?;
    let model = open_model(&arguments.model.spec(IncludeTop::Needed), context)?;
    let name = &arguments.model.model;
    let outputs = Outputs::of(&model).with_context(|| name.clone())?;
    let [network, input] = [model.network.name().to_owned(), model.network.input_shape()?.to_string()];
    let count = outputs.count();
    let noun = if count == 1 { outputs.noun() } else { outputs.nouns() };
    let options = ServeOptions {
        listen: arguments.listen,
        port: arguments.port,
        hosts: arguments.hosts.clone(),
        batch_size: arguments.batch_size.into(),
        cpu: context.cpu,
        limits: ServeLimits {
            queue: arguments.queue as usize,
            answer: std::time::Duration::from_secs(arguments.timeout.into()),
            ..ServeLimits::default()
        },
        key,
        ..ServeOptions::new(name)
    };
    let server = PredictionServer::bind(model, &options)?;
    interrupt::catch_quietly()?;
    let address = server.address().clone();
    let url = &address.url;
    context.output.result(&format!("{name} ({network}, input {input}, {count} {noun}) is served at {url}"))?;
    let header = if options.key.is_some() { " -H \"Authorization: Bearer $LUCIDA_KEY\"" } else { "" };
    context.output.info(&format!("  curl{header} --data-binary @photo.jpg {url}/predict"));
    if address.open_to_others && options.key.is_none() {
        context.output.note("anyone who reaches this address can use the model; --key, or LUCIDA_KEY, demands a key");
    }
    context.output.info("Ctrl-C ends it.");
    let summary = server.run(interrupt::is_requested, |waiting| {
        if waiting > 0 {
            let images = counted(waiting, "image");
            context.output.note(&format!("answering {images} that wait; press Ctrl-C again to stop at once"));
        }
    })?;
    let ServeSummary { images, batches } = summary;
    if images > 0 {
        let [done, passes] =
            [(images, "image"), (batches, "forward pass")].map(|(count, thing)| counted(count as usize, thing));
        context.output.info(&format!("{done} predicted in {passes}"));
    }
    Ok(())
}

/// The key from the command line, or else from the environment.
fn key(arguments: &Serve) -> Result<Option<String>, Usage> {
    let (key, origin) = match &arguments.key {
        Some(key) => (key.clone(), "--key"),
        None => match std::env::var(KEY) {
            Ok(key) => (key, KEY),
            Err(std::env::VarError::NotPresent) => return Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(Usage(format!("{KEY}: expected a key of visible ASCII")));
            }
        },
    };
    // Such a key could not be sent in an HTTP header.
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Usage(format!(
            "{origin}: expected a key of ASCII letters, digits and punctuation, without spaces"
        )));
    }
    Ok(Some(key))
}
