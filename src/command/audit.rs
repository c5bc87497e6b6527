//! `modelway audit`: shows the record of what administrators changed, and checks that nobody has edited it, on the control
//! store itself or through a service.

mod server;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};

use crate::audit::AuditEvent;
use crate::config::parse_long_duration;
use crate::store::EventFilter;

use super::administrator::ServerArguments;
use super::console::{in_runtime, print, shown};
use super::control::StoreArguments;
use super::nothing_done::NothingDone;

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
    List {
        /// Only events of this long ago and later, such as 7d.
        #[arg(long, value_name = "TIME", value_parser = long_time)]
        since: Option<Duration>,
        /// Only events of this kind and id, such as key/KEY_ID.
        #[arg(long, value_name = "KIND/ID")]
        subject: Option<String>,
        /// The most events.
        #[arg(long, value_name = "NUMBER", default_value_t = 100)]
        limit: usize,
    },
    /// Checks that no event was changed, taken out or put in: exit code 1 if one was.
    Verify,
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
        AuditCommand::List {
            since,
            subject,
            limit,
        } => {
            let filter = EventFilter {
                from: since.and_then(|since| SystemTime::now().checked_sub(since)),
                subject,
                ..EventFilter::default()
            };
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

fn long_time(text: &str) -> Result<Duration, &'static str> {
    parse_long_duration(text).ok_or("write a number and a unit, such as 24h or 7d")
}
