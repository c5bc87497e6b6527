//! The log of a service that runs within a test, line by line.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use modelway::telemetry::logging::layer;
use modelway::telemetry::logging::live::LiveLog;
use modelway::telemetry::{self, LogFormat};
use serde_json::Value;
use tokio::time::timeout;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry;

use super::subscribe;

/// Much longer than anything takes that a test waits for.
const PROMPTLY: Duration = Duration::from_secs(20);

/// What has been logged so far, in JSON.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Listens to what this thread logs, until the guard is dropped.
    pub(crate) fn listen(&self, filter: &str) -> DefaultGuard {
        let writer = self.clone();
        let settings = telemetry::Settings {
            format: LogFormat::Json,
            filter: filter.to_owned(),
            ..telemetry::Settings::default()
        };
        let live = LiveLog::default();
        live.begin(&settings, None).unwrap();
        subscribe(registry().with(layer(live, move || writer.clone())))
    }

    /// Every line so far.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let read = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        };
        text.lines().map(read).collect()
    }

    /// The lines of calls that have ended, once there are so many.
    pub(crate) async fn calls(&self, count: usize) -> Vec<Value> {
        let ended = async {
            loop {
                let calls = calls_in(self.lines());
                if calls.len() >= count {
                    return calls;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let ended = timeout(PROMPTLY, ended).await;
        ended.unwrap_or_else(|_| panic!("{count} calls end: {:#?}", self.lines()))
    }
}

/// Those of the lines that tell of the end of a call.
pub(crate) fn calls_in(lines: Vec<Value>) -> Vec<Value> {
    let is_call = |line: &Value| line["target"] == "modelway::call" && line["message"] == "call";
    lines.into_iter().filter(is_call).collect()
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
