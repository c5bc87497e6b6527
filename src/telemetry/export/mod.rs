//! How do spans and metrics get to a collector?
//!
//! Spans that have ended wait in a [`SpanQueue`], encoded. The thread of [`Exports`] sends them, and metrics, to the
//! destinations of the [`Settings`]. What is lost on the way is in [`ExportCounts`].

mod counts;
mod otlp;
mod queue;
mod settings;
mod spans_request;
mod trouble;
mod worker;

pub use self::counts::{ExportCounts, SpanFate};
pub use self::queue::{SpanBatch, SpanQueue};
pub use self::settings::{Compression, Destination, OtlpSignal, Protocol, Settings};
pub use self::spans_request::{SpansRequest, resource};
pub use self::worker::{Exports, LAST_EXPORT, MetricsMessage, StartExportError};
