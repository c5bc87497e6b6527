//! `modelway prices`: lists and puts prices, prices what was unknown, and turns public lists into files of prices.

mod import;
mod lines;
mod server;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;

use crate::admin::{MOST_PRICES, PricesWish, UnknownWish, WantedPrice};
use crate::calendar::unix_us;
use crate::config::{price_list, reading};
use crate::grpc::{admin, v1};
use crate::ledger::{Durability, Ledger, Settings};
use crate::limits::Now;
use crate::money::{Price, Rates};

use super::administrator::ServerArguments;
use super::console::{Unwritten, in_runtime, print, print_change, print_error, shown, unmade};
use super::control::{OpenedStore, StoreArguments};
use super::nothing_done::NothingDone;
use super::records;

use self::import::WantedModel;
use self::lines::{ended, table_of, unknown};

#[derive(Debug, Args)]
pub(super) struct PricesArguments {
    #[command(subcommand)]
    command: PricesCommand,
    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    server: ServerArguments,
    /// Why, for the audit record.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true,
        global = true
    )]
    comment: String,
}

#[derive(Debug, Subcommand)]
enum PricesCommand {
    /// Lists prices, those of the configuration and those of the store.
    List {
        /// Only those of this model.
        #[arg(long, value_name = "ID")]
        model: Option<String>,
        /// Only those that hold now.
        #[arg(long)]
        now: bool,
    },
    /// Puts the prices of a file into the store, and ends those that they replace.
    Put {
        /// A file of prices, as `[prices] file` of the configuration names one.
        file: PathBuf,
        /// Say what would change, and write nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Turns a public list of prices into a file of prices on standard output, and says what differs from the prices of the
    /// configuration and what such a file cannot say. Nothing is fetched.
    Import {
        /// The price map of LiteLLM, or the list of models of OpenRouter, as JSON.
        file: PathBuf,
        /// Write the prices to this new file, and not to standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// When the prices begin to hold, such as 2026-12-01. Default: always.
        #[arg(long, value_name = "DATE", value_parser = start_time)]
        start_time: Option<String>,
    },
    /// Works out again what attempts cost of which a part was unknown, by the prices of now.
    PriceUnknown {
        /// Attempts from this moment on: 2026-11-28, 2026-11-28T10:00:00Z, or 7d ago.
        #[arg(long, value_name = "TIME")]
        since: String,
        /// Attempts before this moment. Default: now.
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// Only attempts of this model.
        #[arg(long, value_name = "ID")]
        model: Option<String>,
        /// Say what would be added, and write nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

impl PricesArguments {
    pub(super) fn run(self) -> Result<ExitCode, String> {
        let Self {
            command,
            store,
            server,
            comment,
        } = self;
        let done = match (command, server.address().cloned()) {
            (
                PricesCommand::Import {
                    file,
                    out,
                    start_time,
                },
                _,
            ) => import_file(&store, &file, out.as_deref(), start_time.as_deref()),
            (command, Some(address)) => {
                return in_runtime(async move {
                    let asking =
                        async |client, proof| server::asked(client, &proof, command, comment).await;
                    server.ask(&address, asking).await
                });
            }
            (PricesCommand::Put { file, dry_run }, None) => {
                put_on_store(&store, &file, dry_run, comment)
            }
            (command, None) => store
                .open(false)
                .and_then(|opened| on_store(&opened, command, comment)),
        };
        match done {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(nothing) => nothing.report(),
        }
    }
}

/// Puts prices into the store, which is created with them.
fn put_on_store(
    store: &StoreArguments,
    file: &Path,
    dry_run: bool,
    comment: String,
) -> Result<(), NothingDone> {
    let wish = PricesWish {
        prices: prices_in(file).map_err(NothingDone::Usage)?,
        dry_run,
        comment,
    };
    let put = |opened: &OpenedStore| {
        let OpenedStore {
            administration, by, ..
        } = opened;
        administration.put_prices(by, &wish, SystemTime::now())
    };
    let rehearsal = store.rehearsal()?;
    let rehearsed = rehearsal.as_ref().map(put).transpose()?;
    let done = match rehearsed {
        Some(rehearsed) if dry_run => rehearsed,
        _ => put(&store.open(true)?)?,
    };
    tell(ended(&admin::put_prices(done), dry_run), dry_run)?;
    Ok(())
}

fn on_store(
    opened: &OpenedStore,
    command: PricesCommand,
    comment: String,
) -> Result<(), NothingDone> {
    let OpenedStore {
        administration,
        by,
        data,
    } = opened;
    let now = SystemTime::now();
    match command {
        PricesCommand::List {
            model,
            now: only_now,
        } => {
            let (mut prices, version) = administration.prices()?;
            prices.retain(|listed| {
                model.as_ref().is_none_or(|model| listed.model == *model)
                    && (!only_now || listed.holds_at(now))
            });
            let prices: Vec<_> = prices
                .into_iter()
                .map(|listed| admin::price(listed, version))
                .collect();
            print(table_of(&prices))?;
        }
        PricesCommand::PriceUnknown {
            since,
            until,
            model,
            dry_run,
        } => {
            let asked = model.clone();
            let wish = UnknownWish {
                from: moment("--since", &since).map_err(NothingDone::Usage)?,
                until: until
                    .map(|until| moment("--until", &until))
                    .transpose()
                    .map_err(NothingDone::Usage)?,
                model,
                dry_run,
                comment,
            };
            let settings = Settings {
                path: Some(data.clone()),
                durability: Durability::Process,
                ..Settings::default()
            };
            let (ledger, _) = Ledger::open(&settings, now).map_err(|error| {
                NothingDone::Failed(format!(
                    "{error}; while a service runs, it prices what is unknown: name it with --server"
                ))
            })?;
            administration.keep_books(ledger.clone());
            let clock = || Now {
                wall: SystemTime::now(),
                mono: tokio::time::Instant::now(),
            };
            let done = administration.price_unknown(by, &wish, &clock);
            let closed = in_runtime(async move {
                ledger.close().await;
                Ok(ExitCode::SUCCESS)
            });
            closed.map_err(NothingDone::Failed)?;
            tell_unknown(&admin::priced(&done?), asked.as_deref(), dry_run)?;
        }
        // It needs no store, or creates it.
        PricesCommand::Import { .. } | PricesCommand::Put { .. } => {}
    }
    Ok(())
}

/// Tells what was done, or what would be done.
fn tell(text: String, dry_run: bool) -> Result<(), Unwritten> {
    match dry_run {
        true => print(text),
        false => print_change(text),
    }
}

/// Tells what became known of costs, of this model if one was named.
fn tell_unknown(
    done: &v1::PriceUnknownResponse,
    model: Option<&str>,
    dry_run: bool,
) -> Result<(), Unwritten> {
    if let Some(model) = model
        && done.attempts == 0
        && done.still_unknown == 0
    {
        records::tell_none("attempt whose cost was unknown of a model", model);
    }
    tell(unknown(done, dry_run), dry_run)
}

/// The text of a file, within the bounds of a configuration.
fn text_of(file: &Path) -> Result<String, String> {
    reading::configuration(file).map_err(|error| {
        format!(
            "`{}` cannot be read: {}",
            file.display(),
            reading::why(&error)
        )
    })
}

/// The prices of a file.
fn prices_in(file: &Path) -> Result<Vec<WantedPrice>, String> {
    let name = file.display();
    let text = text_of(file)?;
    let prices = price_list(&text, &name.to_string()).map_err(|mistakes| mistakes.join("\n"))?;
    if prices.len() > MOST_PRICES {
        let many = prices.len();
        return Err(format!(
            "`{name}` has {many} prices; put at most {MOST_PRICES} at a time"
        ));
    }
    let wanted = prices.into_iter().map(|placed| {
        let Price { holds, rates } = placed.price;
        WantedPrice {
            model: placed.model,
            holds,
            rates,
        }
    });
    Ok(wanted.collect())
}

/// Writes what a public list says as a file of prices.
fn import_file(
    store: &StoreArguments,
    file: &Path,
    out: Option<&Path>,
    start_time: Option<&str>,
) -> Result<(), NothingDone> {
    let name = file.display();
    let text = text_of(file).map_err(NothingDone::Usage)?;
    let config = store.configuration().map_err(NothingDone::Usage)?;
    let config = config.map(|(_, config)| config);
    let wanted: Option<Vec<_>> = config.as_ref().map(|config| {
        let targets = config.catalog.targets.values();
        let wanted = targets.map(|target| WantedModel {
            id: target.id.clone(),
            provider: target.provider.name.clone(),
            model: target.model.clone(),
        });
        wanted.collect()
    });
    let imported = import::import(&text, wanted.as_deref())
        .map_err(|why| NothingDone::Usage(format!("`{name}` cannot be imported: {why}")))?;
    let present: BTreeMap<(String, usize, u64), Rates> = config
        .iter()
        .flat_map(|config| &config.prices)
        .filter(|placed| placed.price.holds.until.is_none())
        .map(|placed| {
            let holds = placed.price.holds;
            let conditions = (
                placed.model.clone(),
                holds.tier as usize,
                holds.input_tokens_above,
            );
            (conditions, placed.price.rates)
        })
        .collect();
    let written = import::written(&imported, start_time);
    // What it says must be what a service reads.
    price_list(&written, "prices").map_err(|mistakes| NothingDone::Failed(mistakes.join("\n")))?;
    match out {
        None => print(written.trim_end().to_owned())?,
        Some(path) => {
            let mut options = fs::OpenOptions::new();
            let file = options.write(true).create_new(true).open(path);
            let mut file = file.map_err(|error| NothingDone::Usage(unmade(path, &error)))?;
            file.write_all(written.as_bytes()).map_err(|error| {
                NothingDone::Failed(format!("`{}` cannot be written: {error}", path.display()))
            })?;
        }
    }
    let mut lines = import::changes(&imported, &present);
    if lines.is_empty() {
        lines.push("no price differs from those of the configuration".to_owned());
    }
    for (model, of_model) in &imported.models {
        let unsaid = of_model.unsaid.iter();
        lines.extend(unsaid.map(|unsaid| format!("! {model}: left out: {unsaid}")));
    }
    for model in &imported.missing {
        lines.push(format!("! {model}: the list has no such model"));
    }
    print_error(shown(&lines.join("\n")).into_owned());
    Ok(())
}

/// The moment that a text names.
fn moment(option: &str, text: &str) -> Result<SystemTime, String> {
    let now = unix_us(SystemTime::now());
    let micros = records::moment(text, now, &TimeZone::UTC);
    let micros = micros.and_then(|micros| u64::try_from(micros).ok());
    micros
        .map(|micros| UNIX_EPOCH + Duration::from_secs(micros / 1_000_000))
        .ok_or_else(|| {
            format!("{option}: `{text}` is no time; write 2026-11-28, 2026-11-28T10:00:00Z or 7d")
        })
}

fn start_time(text: &str) -> Result<String, String> {
    let written = format!("[[price]]\nmodel = \"m\"\nstart_time = {text}\n");
    match price_list(&written, "start_time") {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(
            "write a date such as 2026-12-01, or a time such as 2026-12-01T09:00:00Z".to_owned(),
        ),
    }
}
