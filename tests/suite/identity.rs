//! Who calls, may it, and what if it no longer may? Over real sockets, through every door.

mod certificates;
mod credentials;
mod hostile;
pub(crate) mod issuers;
mod labels;
mod permissions;
mod reading;
mod reloads;
mod revocation;
mod secrets;

use modelway::grpc::v1::GenerateRequest;
use modelway::identity::key::{KeyKind, NewKey};
use ring::rand::SystemRandom;
use secrecy::ExposeSecret as _;
use tokio::task::JoinSet;
use tonic::Request;

use crate::support::ask;

/// A key that was just made.
pub(crate) struct TestKey {
    pub(crate) secret: String,
    /// The SHA-256 of the secret, in hexadecimal digits.
    pub(crate) sha256: String,
}

impl TestKey {
    pub(crate) fn new(kind: KeyKind) -> Self {
        let made = NewKey::make(kind, &SystemRandom::new()).unwrap();
        let digits = made.hash.as_bytes().iter();
        Self {
            secret: made.secret.expose_secret().to_owned(),
            sha256: digits.map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    fn data() -> Self {
        Self::new(KeyKind::Data)
    }

    /// Its table in the configuration. `more` goes on with keys of the table.
    pub(crate) fn table(&self, id: &str, account: &str, more: &str) -> String {
        format!(
            "[[keys]]\nid = {id:?}\naccount = {account:?}\nsha256 = {:?}\n{more}\n",
            self.sha256
        )
    }

    /// The same message, sent with it.
    pub(crate) fn sends<T>(&self, message: T) -> Request<T> {
        bearer(message, &self.secret)
    }
}

/// A message that is sent with this after `Bearer`.
pub(crate) fn bearer<T>(message: T, shown: &str) -> Request<T> {
    let mut request = Request::new(message);
    let shown = format!("Bearer {shown}").parse().unwrap();
    request.metadata_mut().insert("authorization", shown);
    request
}

/// A caller's table in the configuration. `more` goes on with keys of the table.
pub(crate) fn caller(id: &str, more: &str) -> String {
    format!("[[accounts]]\nid = {id:?}\nkind = \"caller\"\n{more}\n")
}

fn hello() -> GenerateRequest {
    ask("one", "Hello")
}

/// A call that goes on beside the test; it ends with this.
struct Beside<T>(JoinSet<T>);

impl<T: Send + 'static> Beside<T> {
    fn is_over(&mut self) -> bool {
        self.0.try_join_next().is_some()
    }

    async fn ended(mut self) -> T {
        self.0.join_next().await.unwrap().unwrap()
    }
}

fn spawn<T: Send + 'static>(call: impl Future<Output = T> + Send + 'static) -> Beside<T> {
    let mut calls = JoinSet::new();
    calls.spawn(call);
    Beside(calls)
}
