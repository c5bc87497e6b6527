//! The command line: what can be asked of the program, and which file does it?

mod address;
mod administrator;
mod audit;
mod bearer;
mod call;
mod calls;
mod check;
mod client;
mod completions;
mod console;
mod control;
mod data;
mod demo;
mod environment;
mod examples;
mod explain;
mod export;
mod failure;
mod health;
mod keys;
mod ledger;
mod limits;
mod live;
mod man;
mod nothing_done;
mod option_names;
mod prices;
mod records;
mod request;
mod schema;
mod serve;
mod summary;
mod usage;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::audit::AuditArguments;
use self::call::CallArguments;
use self::calls::CallsArguments;
use self::check::CheckArguments;
use self::completions::CompletionsArguments;
use self::console::{print_error, print_help};
use self::demo::DemoArguments;
use self::explain::ExplainArguments;
use self::export::ExportArguments;
use self::health::HealthArguments;
use self::keys::KeysArguments;
use self::ledger::LedgerArguments;
use self::limits::LimitsArguments;
use self::man::ManArguments;
use self::prices::PricesArguments;
use self::serve::ServeArguments;
use self::usage::UsageArguments;

/// A gRPC gateway between business services and large models.
#[derive(Debug, Parser)]
#[command(
    name = "modelway",
    version,
    about,
    args_conflicts_with_subcommands = true,
    after_help = examples::PROGRAM
)]
pub struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves calls (the default command).
    #[command(after_help = examples::SERVE)]
    Serve(ServeArguments),
    /// Checks a configuration and reports every mistake in it; with --live, asks every provider, too.
    #[command(after_help = examples::CHECK)]
    Check(CheckArguments),
    /// Asks a running service a question and writes the answer as it comes; at the end, what was tried for it and what it
    /// cost.
    #[command(after_help = examples::CALL)]
    Call(CallArguments),
    /// Shows what would happen to a call now, target by target, without sending anything to a provider.
    #[command(after_help = examples::EXPLAIN)]
    Explain(ExplainArguments),
    /// Asks a running service whether it takes calls, for probes of containers: exit code 0 if it does, 1 if it does not,
    /// 3 if nothing answers within a second.
    #[command(after_help = examples::HEALTH)]
    Health(HealthArguments),
    /// Makes, lists, replaces and revokes API keys: in the control store itself, or through a running service.
    #[command(after_help = examples::KEYS)]
    Keys(KeysArguments),
    /// Lists, writes and removes limits, adds to them, and shows what is left of them: in the control store itself, or
    /// through a running service.
    #[command(after_help = examples::LIMITS)]
    Limits(LimitsArguments),
    /// Lists and puts prices, prices what was unknown, and turns public lists of prices into a file.
    #[command(after_help = examples::PRICES)]
    Prices(PricesArguments),
    /// Shows what administrators changed, and checks that nobody has edited the record of it.
    #[command(after_help = examples::AUDIT)]
    Audit(AuditArguments),
    /// Sums up what was called and what it cost, from the files of the ledger, also while a service runs.
    #[command(after_help = examples::USAGE)]
    Usage(UsageArguments),
    /// Lists calls from the files of the ledger, the latest first, or shows one with its attempts.
    #[command(after_help = examples::CALLS)]
    Calls(CallsArguments),
    /// Writes the settled ledger of a time in a fixed format (FOCUS 1.2 or JSON), from its files, also while a service runs.
    #[command(after_help = examples::EXPORT)]
    Export(ExportArguments),
    /// Looks after the files of the ledger while no service uses them.
    #[command(after_help = examples::LEDGER)]
    Ledger(LedgerArguments),
    /// Shows failover and circuit breaking with simulated providers, in under a minute.
    #[command(after_help = examples::DEMO)]
    Demo(DemoArguments),
    /// Prints the JSON Schema of the configuration, for editors and other tools.
    #[command(after_help = examples::SCHEMA)]
    Schema,
    /// Prints a script that lets a shell complete the command line.
    #[command(after_help = examples::COMPLETIONS)]
    Completions(CompletionsArguments),
    /// Prints the manual page, or writes one for each command.
    #[command(after_help = examples::MAN)]
    Man(ManArguments),
}

/// Does what the command line asks for.
pub fn run() -> ExitCode {
    let result = match CommandLine::try_parse() {
        Ok(line) => line.run(),
        Err(mistake) if mistake.use_stderr() => mistake.exit(),
        Err(help) => print_help(&help)
            .map(|()| ExitCode::SUCCESS)
            .map_err(String::from),
    };
    result.unwrap_or_else(|message| {
        print_error(message);
        ExitCode::FAILURE
    })
}

impl CommandLine {
    fn run(self) -> Result<ExitCode, String> {
        match self.command.unwrap_or(Command::Serve(self.serve)) {
            Command::Serve(serve) => serve.run(),
            Command::Check(check) => check.run(),
            Command::Call(call) => call.run(),
            Command::Explain(explain) => explain.run(),
            Command::Health(health) => health.run(),
            Command::Keys(keys) => keys.run(),
            Command::Limits(limits) => limits.run(),
            Command::Prices(prices) => prices.run(),
            Command::Audit(audit) => audit.run(),
            Command::Ledger(ledger) => ledger.run(),
            Command::Usage(usage) => usage.run(),
            Command::Calls(calls) => calls.run(),
            Command::Export(export) => export.run(),
            Command::Demo(demo) => demo.run(),
            Command::Schema => schema::run(),
            Command::Completions(completions) => completions.run(),
            Command::Man(man) => man.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
