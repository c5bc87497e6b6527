//! The life of a call: it is understood, let in, answered, and its answer is taken or given up.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use crate::admission::room::Held;
use crate::admission::{Admission, CallPermit};
use crate::caller::{Caller, Priority};
use crate::chat::Answer;
use crate::dispatch::dispatcher::Dispatcher;
use crate::dispatch::routes::{Route, Selector};
use crate::dispatch::{Call, Failure, Inquiry, Summary};
use crate::error::Error;
use crate::idempotency::{Fingerprint, Key};
use crate::identity::baggage::Baggage;
use crate::identity::resolve::Unproved;
use crate::identity::{Identity, labels};
use crate::telemetry::observe::{AskedFor, CallWait, ObservedCall};
use crate::trail::CallEnd;

use super::delivery::DeliveryHandle;
use super::open_calls::OpenCalls;
use super::permission;
use super::reading::{CallReading, CallRequest, Understood, understand};
use super::stream::{EventStream, StreamSpelling};
use super::untaken::Untaken;

/// The most characters of an unknown name that the log shows.
const MAX_UNKNOWN_CHARS: usize = 64;

/// Serves the calls of one core.
pub struct Serving {
    dispatcher: Arc<Dispatcher>,
    admission: Arc<Admission>,
    open: Arc<OpenCalls>,
}

/// What a door knows about a call before its message is read.
pub struct CallHead {
    /// Who calls, as admission counts it.
    pub caller: Caller,
    /// Who calls.
    pub identity: Result<Arc<Identity>, Unproved>,
    /// What its baggage offers as labels.
    pub baggage: Baggage,
    /// Observes the call since its arrival.
    pub observed: ObservedCall,
    /// When the call arrived; its timeout counts from here.
    pub arrived: Instant,
    /// The memory that its message has reserved.
    pub held: Option<Held>,
}

impl Serving {
    /// Admits calls with `admission` and runs them on `dispatcher`. A caller may leave its answer unread for
    /// `client_stall`.
    pub fn new(
        dispatcher: Arc<Dispatcher>,
        admission: Arc<Admission>,
        client_stall: Duration,
    ) -> Self {
        Self {
            dispatcher,
            admission,
            open: Arc::new(OpenCalls::new(client_stall)),
        }
    }

    /// From now on a caller may leave its answer unread for `client_stall`.
    pub fn change(&self, client_stall: Duration) {
        self.open.change(client_stall);
    }

    /// Ends calls whose callers do not read their answers. Runs as long as it is awaited, in one task for each core.
    pub async fn sweep(&self) {
        self.open.sweep().await;
    }

    /// Ends every open call whose credential has ended.
    pub fn end_revoked(&self) {
        self.open.end_revoked();
    }

    /// Ends every open call, and each that begins later.
    pub fn close(&self) {
        self.open.close();
    }

    /// Turns a message into a call. Large messages are read where they hold up no other call.
    ///
    /// # Errors
    /// The request does not prove who calls, or the caller may not make this call; `read` failed; there is no such scenario or model;
    /// or there is no room for the request.
    pub async fn begin(
        &self,
        head: CallHead,
        whole: bool,
        read: impl FnOnce() -> Result<CallReading, Error> + Send + 'static,
    ) -> Result<BegunCall<'_>, Failure> {
        let CallHead {
            caller,
            identity,
            baggage,
            mut observed,
            arrived,
            held,
        } = head;
        observed.was_read(Instant::now());
        let identity = match identity.map_err(Unproved::error) {
            Ok(identity) => identity,
            Err(error) => return Err(refused(observed, error)),
        };
        if let Err(error) = permission::to_generate(&identity) {
            return Err(refused(observed, error));
        }
        let understood = understand(&self.dispatcher, held.as_ref(), read).await;
        let Understood {
            route,
            reading,
            needs,
            bytes,
        } = match understood {
            Ok(understood) => understood,
            Err(error) => return Err(refused(observed, error)),
        };
        let CallReading {
            request:
                CallRequest {
                    selector,
                    request,
                    limits,
                    interruption,
                    priority,
                    labels,
                    conversation_id,
                },
            timeout,
            key,
        } = reading;
        let allowed = match &selector {
            Selector::Scenario(name) => permission::for_scenario(&identity, name),
            Selector::Model(id) => permission::for_model(&identity, id),
        };
        let asked_for = match selector {
            Selector::Scenario(_) => AskedFor::Scenario,
            Selector::Model(id) => AskedFor::Model(id),
        };
        observed.asks_for(asked_for, route.scenario());
        observed.has_priority(priority);
        let labels = allowed.and_then(|()| {
            let asked = labels.iter().map(|(key, value)| (&**key, &**value));
            let labels = labels::of_call(&identity.labels, &identity.label_rules, asked, &baggage);
            labels.map_err(Error::LabelNotAllowed)
        });
        match labels {
            Ok(labels) => observed.has_labels(labels),
            Err(error) => return Err(refused(observed, error)),
        }
        observed.is_part_of(&conversation_id);
        let inquiry = Inquiry {
            request: Arc::new(request),
            needs,
            bytes,
            whole,
            deadline: timeout.and_then(|timeout| arrived.checked_add(timeout)),
            limits,
            interruption,
            observed,
        };
        Ok(BegunCall {
            serving: self,
            route,
            inquiry,
            held,
            caller,
            identity,
            priority,
            key: key.map(|(key, body)| (Key { caller, key }, body)),
        })
    }
}

/// The failure of a request that did not become a call.
fn refused(mut observed: ObservedCall, error: Error) -> Failure {
    let unknown = match &error {
        Error::ScenarioNotFound(name) => Some((AskedFor::UnknownScenario, name)),
        Error::ModelNotFound(name) => Some((AskedFor::UnknownModel, name)),
        _ => None,
    };
    if let Some((asked_for, name)) = unknown {
        let name: String = name.chars().take(MAX_UNKNOWN_CHARS).collect();
        debug!(
            call_id = observed.call_id(),
            name, "no such scenario or model"
        );
        observed.asks_for(asked_for, "");
    }
    let trail = observed.refuse(CallEnd::Failed(error.reason()));
    Failure { error, trail }
}

/// A call that has been understood. It has not been let in yet, and nothing has been sent.
pub struct BegunCall<'s> {
    /// The idempotency key and the fingerprint of the message; set for [`BegunCall::once`].
    pub key: Option<(Key, Fingerprint)>,
    serving: &'s Serving,
    route: Arc<Route>,
    pub(super) inquiry: Inquiry,
    pub(super) held: Option<Held>,
    caller: Caller,
    pub(super) identity: Arc<Identity>,
    priority: Priority,
}

/// What a call does for its answer. Limits count it accordingly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    /// It is made.
    Make,
    /// It shares the result of one under way: it is a request, and uses nothing else.
    Join,
    /// It gets the kept result of one that has ended: it uses nothing.
    Replay,
}

/// A call that was let in.
pub(super) struct AdmittedCall<'s> {
    pub(super) call: Call,
    pub(super) permit: CallPermit,
    pub(super) open: &'s Arc<OpenCalls>,
    /// The memory that its request takes.
    held: Option<Held>,
    pub(super) identity: Arc<Identity>,
}

impl<'s> BegunCall<'s> {
    /// The id of the call.
    pub fn call_id(&self) -> &str {
        self.inquiry.observed.call_id()
    }

    /// Ends the call before it is let in.
    pub(super) fn refuse(self, error: Error) -> Failure {
        let mut call = self.serving.dispatcher.call(self.route, self.inquiry);
        call.fail(error)
    }

    /// Lets the call in, at once or after a wait. `sharing` decides which limits count it.
    pub(super) async fn enter(self, sharing: Sharing) -> Result<AdmittedCall<'s>, Failure> {
        let Serving {
            dispatcher,
            admission,
            open,
        } = self.serving;
        let mut call = dispatcher.call(self.route, self.inquiry);
        // A spent budget takes no place in the queue.
        let entered = match sharing {
            Sharing::Make => call.enter_limits(),
            Sharing::Join => call.join_limits(),
            Sharing::Replay => Ok(()),
        };
        if let Err(error) = entered {
            return Err(call.fail(error));
        }
        call.observed().waits_for(CallWait::Admission);
        let admitted = {
            let scenario = &call.trail().scenario;
            let deadline = call.deadline();
            let wait = pin!(admission.admit(self.caller, scenario, self.priority, deadline));
            open.while_allowed(&self.identity.standing, wait).await
        };
        call.observed().goes_on();
        let is_admitted = matches!(admitted, Ok(Ok(_)));
        debug!(
            call_id = call.trail().call_id,
            is_admitted, "left the queue"
        );
        match admitted {
            Ok(Ok(permit)) => Ok(AdmittedCall {
                call,
                permit,
                open,
                held: self.held,
                identity: self.identity,
            }),
            Ok(Err(error)) => Err(call.fail(error)),
            Err(error) => Err(call.abandon(error)),
        }
    }

    /// Runs the call until its answer is complete. Returns the answer as the door spells it, and a [`DeliveryHandle`]
    /// that goes with it: the call ends, and its place is free, when the caller has taken the answer.
    ///
    /// # Errors
    /// The failure of the call.
    pub async fn whole<R>(
        self,
        spell: impl FnOnce(&Summary<'_>, Answer) -> R,
    ) -> Result<(R, DeliveryHandle), Failure> {
        let AdmittedCall {
            mut call,
            mut permit,
            open,
            held,
            identity,
        } = self.enter(Sharing::Make).await?;
        let answer = open.answer(&mut call, Some(&identity.standing)).await;
        permit.answered();
        let answer = answer?;
        // The request is not needed any more: free its room.
        drop(held);
        let call = call.answered();
        let spelled = spell(&call.summary(), answer);
        Ok((spelled, open.whole(Untaken::new(call, permit))))
    }

    /// Runs the call until its first content; after that it goes on as the stream is read. A call that fails
    /// before its first content returns its failure and no stream.
    ///
    /// # Errors
    /// The call failed before its first content.
    pub async fn stream<S: StreamSpelling>(self, spelling: S) -> Result<EventStream<S>, Failure> {
        let AdmittedCall {
            mut call,
            mut permit,
            open,
            held,
            identity,
        } = self.enter(Sharing::Make).await?;
        let standing = &identity.standing;
        let committed = open.while_allowed(standing, pin!(call.commit())).await;
        let committed = match committed {
            Ok(committed) => committed,
            Err(error) => return Err(call.abandon(error)),
        };
        permit.answered();
        committed?;
        permit.hold(held);
        Ok(open.stream(call, Arc::clone(standing), permit, spelling))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of what a function returns, which is not called.
    fn size_of_returned<A, R>(_: impl FnOnce(A) -> R) -> usize {
        size_of::<R>()
    }

    /// It is allocated for every call, and copied on its way there: it had 27 KB once, since a future that an `async fn`
    /// takes as an argument is stored twice.
    #[test]
    fn the_future_that_leads_a_call_to_its_answer_is_small() {
        let size = size_of_returned(|call: BegunCall<'static>| call.whole(|_, answer| answer));

        println!("{size} bytes");
        assert!(size <= 5 * 1024, "{size} bytes");
    }
}
