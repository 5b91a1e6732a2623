//! Events of jobs, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::broadcast::error::RecvError;

use crate::problem::{Problem, Result};
use crate::state::Studio;

/// Streams events until the client disconnects. A listener that lags too far behind gets the event `lagged`, which tells it
/// to reload.
pub(crate) async fn stream(
    State(studio): State<Arc<Studio>>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>> {
    let place = Arc::clone(&studio.streams).try_acquire_owned();
    let place = place.map_err(|_| Problem::busy("too many pages are open; close one"))?;
    let hello = Some(Event::default().event("hello").data("{}"));
    let start = (studio.jobs.listen(), place, hello);
    let stream = unfold(start, |(mut listener, place, hello)| async move {
        let event = match hello {
            Some(hello) => hello,
            None => match listener.recv().await {
                Ok(text) => Event::default().data(&*text),
                Err(RecvError::Lagged(_)) => Event::default().event("lagged").data("{}"),
                Err(RecvError::Closed) => return None,
            },
        };
        Some((Ok(event), (listener, place, None)))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}
