//! Which calls get a line? Sampling, floods, and what becomes of the lines that are not written.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use crate::error::{Blame, Reason};
use crate::telemetry::facts::CallFacts;
use crate::trail::CallEnd;

use super::call_line::{self, CallLine, Gravity, TARGET};
use super::live::LiveLog;
use super::redact::redact;
use super::{LoggedCalls, Settings};

/// Refused calls that get a line in a second, for each reason. Others are counted.
const MOST_IN_A_SECOND: u32 = 50;

/// How often refused calls that got no line are summed up.
const SUMMED_UP_EVERY: Duration = Duration::from_secs(10);

/// A call that takes longer always gets a line.
const LONG: Duration = Duration::from_secs(30);

/// What became of lines, counted since the start.
#[derive(Debug, Default)]
pub struct LogCounters {
    /// Written to standard error.
    pub written: AtomicU64,
    /// Dropped, since standard error was not read in time or could not be written.
    pub lost: AtomicU64,
    /// Lines of calls that were not to be written, by `calls` or `sample_ok`.
    pub sampled_out: AtomicU64,
    /// Lines of refused calls of which only the number was written.
    pub summed_up: AtomicU64,
}

/// Lends the live secrets, so that they can be found in a text.
pub type Secrets = Box<dyn Fn() -> Vec<String> + Send + Sync>;

/// Writes the lines of the calls of one service.
pub struct CallLog {
    calls: AtomicU8,
    /// An answered call is logged if the number that its trace id gives is below this.
    sample_below: AtomicU64,
    provider_errors: AtomicBool,
    /// The beginning of the hash of the configuration that runs.
    config: AtomicU32,
    knows_config: AtomicBool,
    /// By reason; the last two are those of calls that did not fail.
    floods: [Flood; Reason::ALL.len() + 2],
    began: OnceLock<Instant>,
    counters: Arc<LogCounters>,
    secrets: OnceLock<Secrets>,
    /// Filter and format of all lines.
    live: LiveLog,
}

/// The refused calls with one reason.
#[derive(Debug, Default)]
struct Flood {
    /// The second in the upper half, the lines in that second in the lower half.
    lines: AtomicU64,
    /// Calls without a line since they were summed up.
    unwritten: AtomicU64,
}

impl Flood {
    /// Whether one more line may be written in this second since the start.
    fn admits(&self, second: u32) -> bool {
        let count = |packed: u64| {
            let (of, lines) = ((packed >> 32) as u32, packed as u32);
            let lines = if of == second { lines } else { 0 };
            (lines < MOST_IN_A_SECOND).then(|| (u64::from(second) << 32) | u64::from(lines + 1))
        };
        let (order, reading) = (Ordering::Relaxed, Ordering::Relaxed);
        self.lines.fetch_update(order, reading, count).is_ok()
    }
}

impl Default for CallLog {
    fn default() -> Self {
        let log = Self {
            calls: AtomicU8::new(0),
            sample_below: AtomicU64::new(0),
            provider_errors: AtomicBool::new(false),
            config: AtomicU32::new(0),
            knows_config: AtomicBool::new(false),
            floods: std::array::from_fn(|_| Flood::default()),
            began: OnceLock::new(),
            counters: Arc::default(),
            secrets: OnceLock::new(),
            live: LiveLog::default(),
        };
        log.apply(&Settings::default());
        log
    }
}

impl fmt::Debug for CallLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallLog").finish_non_exhaustive()
    }
}

impl CallLog {
    /// Follows these settings from now on, as the whole log does.
    pub fn apply(&self, settings: &Settings) {
        self.calls.store(settings.calls as u8, Ordering::Relaxed);
        let below = match settings.sample_ok {
            all if all >= 1.0 => u64::MAX,
            share => (share.max(0.0) * (1_u64 << 63) as f64) as u64,
        };
        self.sample_below.store(below, Ordering::Relaxed);
        self.provider_errors
            .store(settings.provider_errors, Ordering::Relaxed);
        self.live.apply(settings);
    }

    /// Filter and format of all lines.
    pub fn live(&self) -> &LiveLog {
        &self.live
    }

    /// Names the configuration that runs by the first 4 bytes of its hash.
    pub fn runs(&self, config: [u8; 4]) {
        self.config
            .store(u32::from_be_bytes(config), Ordering::Relaxed);
        self.knows_config.store(true, Ordering::Relaxed);
    }

    /// From where the live secrets are to be had. Only the first call counts.
    pub fn knows_secrets(&self, secrets: Secrets) {
        let _ = self.secrets.set(secrets);
    }

    /// What became of lines.
    pub fn counters(&self) -> &Arc<LogCounters> {
        &self.counters
    }

    /// What the log may quote of the error that a provider sent: cut short, and without secrets. `None` unless the
    /// configuration wants it.
    pub fn quoted(&self, body: &[u8]) -> Option<String> {
        let is_wanted = self.provider_errors.load(Ordering::Relaxed);
        let secrets = || self.secrets.get().map(|secrets| secrets());
        is_wanted.then(|| redact(body, &secrets().unwrap_or_default()))
    }

    /// Writes the line of a call, unless it is left out.
    pub(in crate::telemetry) fn write(&self, facts: &CallFacts<'_>) {
        if !self.is_kept(facts) {
            self.counters.sampled_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if is_refused(facts) && !self.flood(facts.end).admits(self.second()) {
            self.flood(facts.end)
                .unwritten
                .fetch_add(1, Ordering::Relaxed);
            self.counters.summed_up.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let config = self.config.load(Ordering::Relaxed);
        let line = CallLine {
            facts,
            config: self.knows_config.load(Ordering::Relaxed).then_some(config),
        };
        match call_line::gravity(facts) {
            Gravity::Info => info!(target: TARGET, call = ?line, "call"),
            Gravity::Warn => warn!(target: TARGET, call = ?line, "call"),
            Gravity::Error => error!(target: TARGET, call = ?line, "call"),
        }
    }

    /// Sums up refused calls from time to time, as long as it is awaited.
    pub async fn watch(&self) {
        loop {
            sleep(SUMMED_UP_EVERY).await;
            self.sum_up();
        }
    }

    /// Writes how many refused calls got no line since the last time.
    pub fn sum_up(&self) {
        for end in ends() {
            let count = self.flood(end).unwritten.swap(0, Ordering::Relaxed);
            if count == 0 {
                continue;
            }
            let reason = end.name();
            match end.blame(true) {
                Blame::Gateway => warn!(target: TARGET, reason, count, "refused"),
                Blame::None | Blame::Caller | Blame::Deadline | Blame::Provider => {
                    info!(target: TARGET, reason, count, "refused");
                }
            }
        }
    }

    fn is_kept(&self, facts: &CallFacts<'_>) -> bool {
        let failed = facts.end != CallEnd::Answered;
        let calls = self.calls.load(Ordering::Relaxed);
        if calls == LoggedCalls::None as u8 {
            return false;
        }
        if calls == LoggedCalls::Failed as u8 {
            return failed;
        }
        let below = self.sample_below.load(Ordering::Relaxed);
        failed
            || below == u64::MAX
            || draw(&facts.trail.trace_id) < below
            || facts.times.total > LONG
            || facts.rescued().is_some()
    }

    fn flood(&self, end: CallEnd) -> &Flood {
        let last = self.floods.len() - 1;
        &self.floods[match end {
            CallEnd::Failed(reason) => (reason as usize).min(last),
            CallEnd::Cancelled => last - 1,
            CallEnd::Answered => last,
        }]
    }

    fn second(&self) -> u32 {
        let began = self.began.get_or_init(Instant::now);
        // Fits for 136 years.
        began.elapsed().as_secs() as u32
    }
}

/// Every way in which a call ends that can come in floods.
fn ends() -> impl Iterator<Item = CallEnd> {
    let failed = Reason::ALL.into_iter().map(CallEnd::Failed);
    failed.chain([CallEnd::Cancelled])
}

/// Whether the call was refused, or given up by its caller, so that many of its kind are no news.
fn is_refused(facts: &CallFacts<'_>) -> bool {
    facts.blame == Blame::Caller
        || matches!(
            facts.end,
            CallEnd::Failed(Reason::Overloaded | Reason::Draining)
        )
}

/// A number from 0 to 2^63 that depends on the trace id alone. OpenTelemetry's samplers draw the same one, so that
/// the line and the trace of a call are both kept or both left out.
fn draw(trace_id: &str) -> u64 {
    let low = trace_id.get(16..).unwrap_or(trace_id);
    u64::from_str_radix(low, 16).unwrap_or(0) >> 1
}

#[cfg(test)]
mod tests;
