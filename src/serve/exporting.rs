//! What a service exports to a collector: which of its calls are recorded, where their spans wait, and who sends them.

use std::sync::Arc;

use crate::telemetry::export::{
    ExportCounts, Exports, MetricsMessage, Settings, SpanQueue, StartExportError, resource,
};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::spans::Tracer;

/// The exports of a service that does not run yet.
pub(super) struct Exporting {
    settings: Settings,
    counts: Arc<ExportCounts>,
    spans: Arc<SpanQueue>,
    tracer: Tracer,
}

impl Exporting {
    /// Exports what the settings say.
    pub(super) fn new(mut settings: Settings) -> Self {
        // Once, so that spans and metrics name the same instance.
        settings.resource = resource(&settings.resource);
        let counts = Arc::<ExportCounts>::default();
        let spans = Arc::new(SpanQueue::new(Arc::clone(&counts)));
        let tracer = match settings.traces {
            Some(_) => Tracer::new(Arc::clone(&spans), settings.sample, settings.genai_names),
            None => Tracer::default(),
        };
        Self {
            settings,
            counts,
            spans,
            tracer,
        }
    }

    /// What became of spans and exports.
    pub(super) fn counts(&self) -> &Arc<ExportCounts> {
        &self.counts
    }

    /// Records all calls into this queue, from which nothing is exported.
    pub(super) fn record_into(&mut self, spans: Arc<SpanQueue>) {
        self.tracer = Tracer::new(spans, self.settings.sample, self.settings.genai_names);
    }

    /// Decides which calls are recorded.
    pub(super) fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// Starts to export spans and metrics.
    ///
    /// # Errors
    /// [`StartExportError`].
    pub(super) fn start(
        &self,
        metrics: &Arc<Metrics>,
    ) -> Result<Option<Exports>, StartExportError> {
        let (metrics, resource) = (Arc::clone(metrics), self.settings.resource.clone());
        let message: MetricsMessage = Box::new(move || metrics.otlp(&resource));
        Exports::start(&self.settings, &self.spans, &self.counts, Some(message))
    }
}
