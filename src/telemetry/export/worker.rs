//! Which thread exports spans, when, and what does it do at the end? One of its own, which no call waits for.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use crate::outbound::SetupError;

use super::counts::{ExportCounts, SpanFate};
use super::otlp::{ExportError, OtlpClient};
use super::queue::{SpanBatch, SpanQueue};
use super::settings::{OtlpSignal, Settings};
use super::spans_request::SpansRequest;
use super::trouble::{self, Trouble};

/// How long a span waits until it is exported, if no batch is complete before.
const PERIOD: Duration = Duration::from_secs(1);

/// How long everything that still waits at the end may take.
pub const LAST_EXPORT: Duration = Duration::from_secs(5);

/// More than the thread needs to end after that.
const THREAD_END: Duration = Duration::from_millis(500);

/// How often a batch is sent before it is given up.
const TRIES: u32 = 3;

/// The pause after a failure. It doubles with each that follows, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Makes the message of one export of metrics: an encoded `ExportMetricsServiceRequest`.
pub type MetricsMessage = Box<dyn Fn() -> Vec<u8> + Send + Sync>;

/// Why nothing can be exported.
#[derive(Debug, thiserror::Error)]
pub enum StartExportError {
    /// The client cannot be set up.
    #[error(transparent)]
    Client(#[from] SetupError),
    /// The thread cannot be started.
    #[error("no thread can be started for exports: {0}")]
    Thread(#[from] io::Error),
}

/// The thread that exports. Dropping this ends it without exporting what still waits.
#[derive(Debug)]
pub struct Exports {
    stop: watch::Sender<bool>,
    ended: oneshot::Receiver<()>,
    spans: Option<Arc<SpanQueue>>,
    counts: Arc<ExportCounts>,
}

impl Exports {
    /// Starts to export what is added to `spans`, and every [`Settings::interval`] what `metrics` says. `None` if
    /// nothing is to be exported.
    ///
    /// # Errors
    /// [`StartExportError`].
    pub fn start(
        settings: &Settings,
        spans: &Arc<SpanQueue>,
        counts: &Arc<ExportCounts>,
        metrics: Option<MetricsMessage>,
    ) -> Result<Option<Self>, StartExportError> {
        let client = |destination: &_, signal| OtlpClient::new(destination, signal);
        let traces = settings.traces.as_ref();
        let traces = traces
            .map(|to| client(to, OtlpSignal::Traces))
            .transpose()?;
        let to_metrics = settings.metrics.as_ref().zip(metrics);
        let metrics = to_metrics
            .map(|(to, message)| Ok::<_, SetupError>((client(to, OtlpSignal::Metrics)?, message)))
            .transpose()?;
        if traces.is_none() && metrics.is_none() {
            return Ok(None);
        }
        let (stop, stopping) = watch::channel(false);
        let (end, ended) = oneshot::channel();
        let spans_of_worker = traces.is_some().then(|| Arc::clone(spans));
        let of_traces = trouble::warnings();
        let are_together = (settings.traces.as_ref().zip(settings.metrics.as_ref()))
            .is_some_and(|(traces, metrics)| traces.is_at(metrics));
        let of_metrics = match are_together {
            true => Arc::clone(&of_traces),
            false => trouble::warnings(),
        };
        let exporter = |client, signal, warnings| Exporter {
            client,
            signal,
            trouble: Trouble::none(signal, warnings),
            counts: Arc::clone(counts),
            stopping: stopping.clone(),
        };
        let spans_exporter = traces.map(|client| SpansExporter {
            exporter: exporter(client, OtlpSignal::Traces, of_traces),
            queue: Arc::clone(spans),
            request: SpansRequest::new(&settings.resource),
        });
        let metrics_exporter = metrics.map(|(client, message)| MetricsExporter {
            exporter: exporter(client, OtlpSignal::Metrics, of_metrics),
            message,
            interval: settings.interval,
        });
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::Builder::new()
            .name("exports".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::join!(
                        async {
                            if let Some(spans) = spans_exporter {
                                spans.run().await;
                            }
                        },
                        async {
                            if let Some(metrics) = metrics_exporter {
                                metrics.run().await;
                            }
                        },
                    );
                });
                // A name that is being resolved would delay the end.
                runtime.shutdown_background();
                // Nobody waits if the service has been dropped.
                let _ = end.send(());
            })?;
        Ok(Some(Self {
            stop,
            ended,
            spans: spans_of_worker,
            counts: Arc::clone(counts),
        }))
    }

    /// Exports what still waits, within [`LAST_EXPORT`]. Spans that end later count as failed.
    pub async fn finish(self) {
        let Self {
            stop,
            ended,
            spans,
            counts,
        } = self;
        // Fails if the thread has ended, which it does only when it is told to.
        let _ = stop.send(true);
        let _ = timeout(LAST_EXPORT + THREAD_END, ended).await;
        if let Some(spans) = spans {
            spans.close();
            let [exported, queue_full, refused, failed] =
                SpanFate::ALL.map(|fate| counts.spans(fate));
            if queue_full + refused + failed > 0 {
                warn!(exported, queue_full, refused, failed, "spans were lost");
            }
        }
    }
}

/// Sends exports of one kind, and counts and tells its failures.
struct Exporter {
    client: OtlpClient,
    signal: OtlpSignal,
    trouble: Trouble,
    counts: Arc<ExportCounts>,
    /// Set once the service ends.
    stopping: watch::Receiver<bool>,
}

impl Exporter {
    /// Whether the service ends. It has been dropped if its end of the channel is gone.
    fn is_stopping(&self) -> bool {
        *self.stopping.borrow() || self.stopping.has_changed().is_err()
    }

    /// Sends a message once. Returns how many spans or data points of it were rejected.
    async fn send(&mut self, message: Vec<u8>) -> Result<u64, ExportError> {
        let outcome = self.client.export(message).await;
        let now = Instant::now();
        match outcome {
            Ok(taken) if taken.rejected > 0 => {
                self.counts.add_failure(self.signal);
                self.trouble.rejected(taken.rejected, now);
                Ok(taken.rejected)
            }
            Ok(_) => {
                self.trouble.succeeded();
                Ok(0)
            }
            Err(error) => {
                self.counts.add_failure(self.signal);
                self.trouble.failed(&error, now);
                Err(error)
            }
        }
    }

    /// Waits after failures, so that a collector that is away or overloaded is not asked all the time. At the end of
    /// the service there is no time for that.
    async fn pause(&mut self, asked: Option<Duration>) {
        let failures = self.trouble.in_a_row();
        if failures == 0 {
            return;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << (failures - 1).min(10));
        let pause = pause.min(LONGEST_PAUSE).max(asked.unwrap_or_default());
        self.until_stopping(pause).await;
    }

    /// Waits for so long, or until the service ends.
    async fn until_stopping(&mut self, pause: Duration) {
        let _ = timeout(pause, self.stopping.wait_for(|stopping| *stopping)).await;
    }
}

/// Completes [`LAST_EXPORT`] after the service begins to end, or at once when it has been dropped.
async fn last_moment(mut stopping: watch::Receiver<bool>) {
    if stopping.wait_for(|stopping| *stopping).await.is_ok() {
        sleep(LAST_EXPORT).await;
    }
}

struct SpansExporter {
    exporter: Exporter,
    queue: Arc<SpanQueue>,
    request: SpansRequest,
}

impl SpansExporter {
    async fn run(mut self) {
        let queue = Arc::clone(&self.queue);
        let last_moment = last_moment(self.exporter.stopping.clone());
        tokio::select! {
            () = self.follow() => {}
            () = last_moment => {}
        }
        queue.close();
    }

    /// Exports until everything is exported after the service has begun to end.
    async fn follow(&mut self) {
        loop {
            // Whatever ended before the service did is in the queue now.
            let is_last = self.exporter.is_stopping();
            while let Some(batch) = self.queue.take() {
                self.deliver(batch).await;
            }
            if is_last {
                return;
            }
            tokio::select! {
                () = self.queue.has_batch() => {}
                () = self.exporter.until_stopping(PERIOD) => {}
            }
        }
    }

    async fn deliver(&mut self, batch: SpanBatch) {
        let mut undecided = Undecided {
            spans: batch.spans,
            counts: Arc::clone(&self.exporter.counts),
        };
        let message = self.request.of(&batch.bytes);
        let mut asked = None;
        for _ in 0..TRIES {
            self.exporter.pause(asked).await;
            match self.exporter.send(message.clone()).await {
                Ok(rejected) => {
                    let rejected = rejected.min(batch.spans);
                    undecided.decide(SpanFate::Refused, rejected);
                    return undecided.decide(SpanFate::Exported, batch.spans - rejected);
                }
                Err(ExportError::Refused { .. }) => {
                    return undecided.decide(SpanFate::Refused, batch.spans);
                }
                Err(ExportError::Later { pause, .. }) => asked = pause,
                Err(ExportError::NoAnswer(_)) => asked = None,
            }
        }
    }
}

/// Spans whose fate is open. They count as failed if it stays so.
struct Undecided {
    spans: u64,
    counts: Arc<ExportCounts>,
}

impl Undecided {
    fn decide(&mut self, fate: SpanFate, spans: u64) {
        self.counts.add_spans(fate, spans);
        self.spans -= spans;
    }
}

impl Drop for Undecided {
    fn drop(&mut self) {
        self.counts.add_spans(SpanFate::Failed, self.spans);
    }
}

struct MetricsExporter {
    exporter: Exporter,
    message: MetricsMessage,
    interval: Duration,
}

impl MetricsExporter {
    /// Exports every interval, and once more when the service ends.
    async fn run(mut self) {
        let last_moment = last_moment(self.exporter.stopping.clone());
        let follow = async {
            loop {
                self.exporter.until_stopping(self.interval).await;
                let is_last = self.exporter.is_stopping();
                // One that fails is not repeated: the next one says all that it said.
                let _ = self.exporter.send((self.message)()).await;
                if is_last {
                    return;
                }
            }
        };
        tokio::select! {
            () = follow => {}
            () = last_moment => {}
        }
    }
}
