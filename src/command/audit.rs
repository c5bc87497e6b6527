//! `modelway audit`: shows the record of what administrators changed, and checks that nobody has edited it, on the control
//! store itself or through a service.

mod server;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;

use crate::audit::AuditEvent;
use crate::calendar::unix_us;
use crate::config::parse_long_duration;
use crate::store::EventFilter;

use super::administrator::ServerArguments;
use super::console::{in_runtime, print, shown};
use super::control::StoreArguments;
use super::nothing_done::NothingDone;
use super::records::{moment, time};

use self::server::asked;

#[derive(Debug, Args)]
pub(super) struct AuditArguments {
    #[command(subcommand)]
    command: AuditCommand,
    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    server: ServerArguments,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Lists events, the latest first.
    List(ListArguments),
    /// Checks that no event was changed, taken out or put in: exit code 1 if one was.
    Verify,
}

#[derive(Debug, Args)]
struct ListArguments {
    /// Only events from then on: a time back, such as 24h or 7d, a date, or a moment such as 2026-11-28T10:30:00Z.
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<SystemTime>,
    /// Only events of this kind and id, such as key/KEY_ID.
    #[arg(long, value_name = "KIND/ID")]
    subject: Option<String>,
    /// The most events.
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: usize,
}

impl ListArguments {
    fn filter(self) -> EventFilter {
        EventFilter {
            from: self.since,
            subject: self.subject,
            ..EventFilter::default()
        }
    }
}

impl AuditArguments {
    pub(super) fn run(self) -> Result<ExitCode, String> {
        if let Some(address) = self.server.address().cloned() {
            let Self {
                command, server, ..
            } = self;
            return in_runtime(async move {
                let asking = async |client, proof| asked(client, &proof, command).await;
                server.ask(&address, asking).await
            });
        }
        match on_store(&self.store, self.command) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(nothing) => nothing.report(),
        }
    }
}

/// Reads the record in the store itself. It tells of accounts, and needs none.
fn on_store(store: &StoreArguments, command: AuditCommand) -> Result<(), NothingDone> {
    let store = store.open_alone()?;
    match command {
        AuditCommand::List(arguments) => {
            let limit = arguments.limit;
            let filter = arguments.filter();
            let events = store.read(|reading| reading.events(&filter, limit))?;
            print(shown(listed(&events).trim_end()).into_owned())?;
        }
        AuditCommand::Verify => {
            let (count, result) = store.read(|reading| reading.verify())?;
            result.map_err(|broken| {
                NothingDone::Failed(format!("after {count} events that hold together: {broken}"))
            })?;
            print(format!("{count} events hold together"))?;
        }
    }
    Ok(())
}

/// Events, a line for each.
fn listed(events: &[AuditEvent]) -> String {
    let mut text = String::new();
    for event in events {
        let AuditEvent {
            sequence,
            at_us,
            actor,
            action,
            subject,
            code,
            before,
            after,
            comment,
            link: _,
        } = event;
        let at = jiff::Timestamp::from_microsecond(*at_us).unwrap_or_default();
        let at = at.strftime("%Y-%m-%dT%H:%M:%SZ");
        let who = match &*actor.name {
            "" => "-",
            name => name,
        };
        let origin = &actor.origin;
        let _ = write!(
            text,
            "{sequence}  {at}  {who} ({origin})  {action}  {subject}  {code}"
        );
        if !comment.is_empty() {
            let _ = write!(text, "  {comment:?}");
        }
        text.push('\n');
        for (title, value) in [("before", before), ("after", after)] {
            if !value.is_empty() {
                let _ = writeln!(text, "    {title}: {value}");
            }
        }
    }
    text
}

/// The moment that a text names. Dates begin in UTC.
fn since(text: &str) -> Result<SystemTime, String> {
    let now = SystemTime::now();
    if let Some(back) = parse_long_duration(text) {
        return Ok(now.checked_sub(back).unwrap_or(UNIX_EPOCH));
    }
    let text = time(text)?;
    let micros = moment(&text, unix_us(now), &TimeZone::UTC).unwrap_or(0);
    Ok(UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_time_back_a_date_or_a_moment() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);

        assert_eq!(since("2026-11-28"), Ok(at(1_795_824_000)));
        assert_eq!(since("2026-11-28T10:30:00Z"), Ok(at(1_795_861_800)));
        assert_eq!(since("1960-01-01"), Ok(UNIX_EPOCH));
        let week = SystemTime::now() - Duration::from_secs(604_800);
        for text in ["7d", "1w", "168h"] {
            let behind = since(text).unwrap().duration_since(week).unwrap();
            assert!(behind < Duration::from_secs(60), "{text}");
        }
        assert!(since("yesterday").unwrap_err().contains("2026-11-28"));
    }
}
