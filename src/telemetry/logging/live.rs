//! How does the log change while the service runs? Its filter and its format can be exchanged at any time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use arc_swap::ArcSwapOption;
use tracing::callsite::rebuild_interest_cache;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;

use super::filter::{self, FilterError};
use super::{LogFormat, Settings};

/// The filter and the format of a log. Clones are the same one. Without [`LiveLog::begin`] nothing is logged.
#[derive(Clone, Debug, Default)]
pub struct LiveLog(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    filter: ArcSwapOption<LogFilter>,
    /// [`LogFormat`] as a number.
    format: AtomicU8,
}

#[derive(Debug)]
struct LogFilter {
    written: String,
    /// Whether the environment says it, which goes before the configuration.
    is_fixed: bool,
    parsed: EnvFilter,
}

impl LiveLog {
    /// Logs as these settings say. `fixed` is a filter that no settings can replace.
    ///
    /// # Errors
    /// [`FilterError`].
    pub fn begin(&self, settings: &Settings, fixed: Option<String>) -> Result<(), FilterError> {
        let is_fixed = fixed.is_some();
        let written = fixed.unwrap_or_else(|| settings.filter.clone());
        self.exchange(written, is_fixed)?;
        self.set_format(settings.format);
        Ok(())
    }

    /// Logs as these settings say from now on. A filter that cannot be read changes nothing; whoever reads the
    /// configuration has refused it.
    pub fn apply(&self, settings: &Settings) {
        self.set_format(settings.format);
        let current = self.0.filter.load();
        let stays = |filter: &LogFilter| filter.is_fixed || filter.written == settings.filter;
        if current.as_deref().is_some_and(|filter| !stays(filter)) {
            // An error cannot happen here, see above.
            let _ = self.exchange(settings.filter.clone(), false);
        }
    }

    /// The format of the next line.
    pub(super) fn format(&self) -> LogFormat {
        match self.0.format.load(Ordering::Relaxed) {
            text if text == LogFormat::Text as u8 => LogFormat::Text,
            _ => LogFormat::Json,
        }
    }

    fn set_format(&self, format: LogFormat) {
        self.0.format.store(format as u8, Ordering::Relaxed);
    }

    fn exchange(&self, written: String, is_fixed: bool) -> Result<(), FilterError> {
        let parsed = filter::parse(&written)?;
        let filter = LogFilter {
            written,
            is_fixed,
            parsed,
        };
        self.0.filter.store(Some(Arc::new(filter)));
        // Each place that logs remembers whether it is of interest.
        rebuild_interest_cache();
        Ok(())
    }

    fn with<T>(&self, ask: impl FnOnce(&EnvFilter) -> T) -> Option<T> {
        let filter = self.0.filter.load();
        filter.as_deref().map(|filter| ask(&filter.parsed))
    }
}

impl<S> Filter<S> for LiveLog
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        let enabled = |filter: &EnvFilter| Filter::enabled(filter, metadata, context);
        self.with(enabled).unwrap_or_default()
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        let enabled = |filter: &EnvFilter| Filter::<S>::callsite_enabled(filter, metadata);
        self.with(enabled).unwrap_or_else(Interest::never)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let hint = |filter: &EnvFilter| Filter::<S>::max_level_hint(filter);
        self.with(hint).unwrap_or(Some(LevelFilter::OFF))
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.with(|filter| Filter::on_new_span(filter, attributes, id, context));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.with(|filter| Filter::on_record(filter, id, values, context));
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        self.with(|filter| Filter::on_enter(filter, id, context));
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        self.with(|filter| Filter::on_exit(filter, id, context));
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.with(|filter| Filter::on_close(filter, id, context));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Mutex, PoisonError};

    use tracing::subscriber::with_default;
    use tracing::{debug, info, warn};
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::registry;

    use super::*;
    use crate::telemetry::logging::layer;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Written {
        /// The lines since this was last asked.
        fn take(&self) -> String {
            let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8(std::mem::take(&mut *written)).unwrap()
        }
    }

    fn settings(format: LogFormat, filter: &str) -> Settings {
        Settings {
            format,
            filter: filter.to_owned(),
            ..Settings::default()
        }
    }

    /// Logs with this filter of the environment, and then as `settings` say one after the other: what was written under
    /// each.
    fn logged(fixed: Option<&str>, settings: &[Settings]) -> Vec<String> {
        let live = LiveLog::default();
        live.begin(&settings[0], fixed.map(str::to_owned)).unwrap();
        let written = Written::default();
        let lines = written.clone();
        let subscriber = registry().with(layer(live.clone(), move || lines.clone()));
        let mut taken = Vec::new();
        with_default(subscriber, || {
            for settings in settings {
                live.apply(settings);
                debug!("fine");
                info!("usual");
                warn!(target: "h2::codec", "foreign");
                taken.push(written.take());
            }
        });
        taken
    }

    #[test]
    fn another_filter_and_another_format_hold_from_the_next_line_on() {
        let taken = logged(
            None,
            &[
                settings(LogFormat::Text, "info"),
                settings(LogFormat::Json, "debug,h2=off"),
                settings(LogFormat::Text, "off"),
                settings(LogFormat::Text, "info"),
            ],
        );

        let has = |line: &str| ["fine", "usual", "foreign"].map(|word| line.contains(word));
        assert_eq!(has(&taken[0]), [false, true, true], "{}", taken[0]);
        assert_eq!(has(&taken[1]), [true, true, false], "{}", taken[1]);
        assert!(taken[1].lines().all(|line| line.starts_with("{\"time\"")));
        assert_eq!(taken[2], "");
        assert_eq!(has(&taken[3]), [false, true, true], "{}", taken[3]);
        assert!(!taken[3].contains('{'), "{}", taken[3]);
    }

    #[test]
    fn a_filter_of_the_environment_stays() {
        let taken = logged(
            Some("warn"),
            &[
                settings(LogFormat::Text, "info"),
                settings(LogFormat::Json, "debug"),
            ],
        );

        for lines in &taken {
            assert_eq!(lines.lines().count(), 1, "{lines}");
            assert!(lines.contains("foreign"), "{lines}");
        }
        assert!(taken[1].starts_with('{'), "{}", taken[1]);
    }
}
