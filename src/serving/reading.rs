//! How does a message become a request that is understood? It is read, routed and measured where it holds up no call.

use std::sync::Arc;
use std::time::Duration;

use crate::admission::room::Held;
use crate::caller::Priority;
use crate::chat::ChatRequest;
use crate::dispatch::dispatcher::Dispatcher;
use crate::dispatch::needs::Needs;
use crate::dispatch::routes::{Route, Selector};
use crate::dispatch::{AskedLimits, Interruption};
use crate::error::Error;
use crate::idempotency::Fingerprint;
use crate::identity::Labels;

use super::size::bytes_of;

/// What a door has read in a call's message.
#[derive(Debug)]
pub struct CallReading {
    /// The request.
    pub request: CallRequest,
    /// The caller's timeout, if it set one.
    pub timeout: Option<Duration>,
    /// The caller's idempotency key and the fingerprint of the message; only calls for a whole answer have them.
    pub key: Option<(String, Fingerprint)>,
}

/// A request and how the caller wants it handled.
#[derive(Debug)]
pub struct CallRequest {
    /// The scenario or the model that the caller named.
    pub selector: Selector,
    /// What to ask the model.
    pub request: ChatRequest,
    /// The caller's own limits.
    pub limits: AskedLimits,
    /// What happens to the stream if it breaks off.
    pub interruption: Interruption,
    /// How important the call is.
    pub priority: Priority,
    /// Labels that the caller sets.
    pub labels: Labels,
    /// The id of its conversation; empty if the caller gave none.
    pub conversation_id: String,
}

/// A message that has been understood.
pub(super) struct Understood {
    /// The route of its call.
    pub(super) route: Arc<Route>,
    /// What was read.
    pub(super) reading: CallReading,
    /// What the request needs.
    pub(super) needs: Needs,
    /// How much memory the request takes, in bytes.
    pub(super) bytes: usize,
}

/// Reads a message that has reserved the memory in `held`, and reserves what its request takes.
///
/// # Errors
/// `read` failed; there is no such scenario or model; the request says something to a provider that does not fit the
/// configuration; or there is no room for the request.
pub(super) async fn understand(
    dispatcher: &Arc<Dispatcher>,
    held: Option<&Held>,
    read: impl FnOnce() -> Result<CallReading, Error> + Send + 'static,
) -> Result<Understood, Error> {
    let bytes = held.map_or(0, Held::bytes);
    let of_route = Arc::clone(dispatcher);
    let understanding = move || {
        let mut reading = read()?;
        let routes = of_route.routes();
        let route = routes.route(&reading.request.selector)?;
        let needs = routes.needs(&mut reading.request.request, &route)?;
        let bytes = bytes_of(&reading.request.request, bytes);
        Ok(Understood {
            route,
            reading,
            needs,
            bytes,
        })
    };
    let understood = dispatcher.workshop().work(bytes, understanding).await?;
    if let Some(held) = held {
        held.resize(understood.bytes)?;
    }
    Ok(understood)
}
