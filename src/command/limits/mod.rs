//! `modelway limits`: lists, writes and removes limits, adds to them, and shows where their counters stand, on the control
//! store itself or through a service.

mod amount;
mod desk;
mod put;
mod told;

use std::collections::HashMap;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use uuid::Uuid;

use crate::admin::FOREIGN_CHANGE_BOUND;
use crate::grpc::v1;

use super::administrator::{NoAnswer, ServerArguments};
use super::console::{BROKEN, in_runtime, print, print_change, print_error, shown};
use super::control::StoreArguments;

use self::amount::WrittenAmount;
use self::desk::LimitDesk;
use self::put::PutArguments;
use self::told::{limits_table, states_table};

#[derive(Debug, Args)]
pub(super) struct LimitsArguments {
    #[command(subcommand)]
    command: LimitsCommand,
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
enum LimitsCommand {
    /// Lists limits, in order of id: those of the file and those of the store.
    List {
        /// Only those that a call of this account is held to.
        #[arg(long, value_name = "ID")]
        account: Option<String>,
    },
    /// Creates a limit, or changes what is named of one. It holds at once, without a restart.
    Put(Box<PutArguments>),
    /// Removes a limit. What is under way ends as it would have.
    Delete {
        /// The limit's id.
        id: String,
    },
    /// Adds to a limit's amount in the window that runs; needs --comment.
    Grant(GrantArguments),
    /// Shows where counters stand, the fullest first. On the store itself, what the ledger says is used; what is set aside
    /// for attempts under way knows only the service.
    States {
        /// Only counters of this limit.
        #[arg(long, value_name = "ID")]
        limit: Option<String>,
        /// Only counters of this account and of those below it.
        #[arg(long, value_name = "ID")]
        account: Option<String>,
        /// Only counters that are filled to at least this percentage.
        #[arg(
            long,
            value_name = "PERCENT",
            default_value_t = 0,
            hide_default_value = true
        )]
        min_percent: i32,
    },
}

#[derive(Debug, Args)]
struct GrantArguments {
    /// The limit's id.
    id: String,
    /// What to add, such as "50 USD" or 1000; a minus takes away.
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    amount: WrittenAmount,
    /// The counter: a value for each dimension of the limit, such as team=search.
    #[arg(long, value_name = "DIMENSION=VALUE", value_parser = put::pair)]
    key: Vec<(String, String)>,
    /// Names the grant: the same again changes nothing. Default: a new name.
    #[arg(long, value_name = "NAME")]
    grant_id: Option<String>,
}

impl LimitsArguments {
    pub(super) fn run(self) -> Result<ExitCode, String> {
        let Self {
            command,
            store,
            server,
            comment,
        } = self;
        if let Some(address) = server.address().cloned() {
            return in_runtime(async move {
                let asking = async |client, proof| {
                    done(&mut LimitDesk::of_service(client, proof), command, comment).await
                };
                server.ask(&address, asking).await
            });
        }
        in_runtime(async move {
            match on_store(&store, command, comment).await {
                Ok(code) => Ok(code),
                Err(NoAnswer::Failed(why)) => Err(shown(&why).into_owned()),
                Err(NoAnswer::Usage(why)) => {
                    print_error(shown(&why).into_owned());
                    Ok(ExitCode::from(BROKEN))
                }
                Err(NoAnswer::Status(_) | NoAnswer::Late) => Ok(ExitCode::FAILURE),
            }
        })
    }
}

/// Does what the command says on the store itself. A new limit creates it.
async fn on_store(
    store: &StoreArguments,
    command: LimitsCommand,
    comment: String,
) -> Result<ExitCode, NoAnswer> {
    let creates = matches!(command, LimitsCommand::Put(_));
    if let LimitsCommand::Put(arguments) = &command
        && let Some(rehearsal) = store.rehearsal()?
    {
        let mut desk = LimitDesk::of_store(rehearsal);
        put(&mut desk, arguments.clone(), comment.clone()).await?;
    }
    let opened = store.open_with_limits(creates)?;
    done(&mut LimitDesk::of_store(opened), command, comment).await
}

/// Writes a limit, or changes what is named of it.
async fn put(
    desk: &mut LimitDesk,
    arguments: Box<PutArguments>,
    comment: String,
) -> Result<v1::Limit, NoAnswer> {
    let limits = desk.limits(String::new()).await?;
    let existing = limits.into_iter().find(|limit| limit.id == arguments.id);
    let limit = arguments.limit(existing).map_err(NoAnswer::Usage)?;
    desk.put(limit, comment).await
}

/// Does what the command says.
async fn done(
    desk: &mut LimitDesk,
    command: LimitsCommand,
    comment: String,
) -> Result<ExitCode, NoAnswer> {
    match command {
        LimitsCommand::List { account } => {
            let limits = desk.limits(account.unwrap_or_default()).await?;
            print(limits_table(&limits))?;
        }
        LimitsCommand::Put(arguments) => {
            let written = put(desk, arguments, comment).await?;
            print_change(limits_table(&[written]))?;
            tell_bound(desk);
        }
        LimitsCommand::Delete { id } => {
            desk.delete(id.clone(), comment).await?;
            print_change(format!("{} is removed", shown(&id)))?;
            tell_bound(desk);
        }
        LimitsCommand::Grant(arguments) => {
            let GrantArguments {
                id,
                amount,
                key,
                grant_id,
            } = arguments;
            let limits = desk.limits(String::new()).await?;
            let limit = limits.into_iter().find(|limit| limit.id == id);
            let unit = limit.map(|limit| limit.unit());
            let amount = match unit {
                Some(unit) => amount.of(unit).map_err(NoAnswer::Usage)?,
                // The refusal says that there is none.
                None => amount.written(),
            };
            let grant_id = grant_id.unwrap_or_else(|| format!("grant_{}", Uuid::now_v7().simple()));
            let request = v1::GrantLimitRequest {
                id,
                key: key.into_iter().collect::<HashMap<_, _>>(),
                amount,
                grant_id,
                comment,
            };
            let state = desk.grant(request).await?;
            print_change(states_table(&[state]))?;
            tell_bound(desk);
        }
        LimitsCommand::States {
            limit,
            account,
            min_percent,
        } => {
            let request = v1::ListLimitStatesRequest {
                limit_id: limit.unwrap_or_default(),
                account: account.unwrap_or_default(),
                min_percent,
                ..v1::ListLimitStatesRequest::default()
            };
            let states = desk.states(request).await?;
            print(states_table(&states))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Says when a service knows of a change of its store.
fn tell_bound(desk: &LimitDesk) {
    if desk.is_store() {
        print_error(format!(
            "a running service follows within {} s",
            FOREIGN_CHANGE_BOUND.as_secs()
        ));
    }
}
