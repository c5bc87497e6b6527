//! `modelway keys`: makes, lists, replaces and revokes API keys, on the control store itself or through a service.

mod lines;
mod made;
mod server;

use std::io::{self, Read as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};

use crate::admin::{
    AccountChange, AdminError, FOREIGN_CHANGE_BOUND, KeyWish, MadeKey, Revocation, Rotation,
};
use crate::config::parse_long_duration;
use crate::grpc::admin;
use crate::identity::record::{AccountKind, AccountRecord, CallsUnderWay};
use crate::identity::{Action, Labels, Scope};

use super::administrator::ServerArguments;
use super::console::{in_runtime, print, print_change, print_error};
use super::control::{OpenedStore, StoreArguments};
use super::nothing_done::NothingDone;

pub(super) use self::lines::time;
use self::lines::{line_of, table_of};
use self::made::SecretPlace;
use self::server::asked;

/// The most bytes of a secret that are read.
const MOST_SECRET_BYTES: u64 = 1_024;

/// The shortest life of a key that can be asked for.
const SHORTEST_LIFE: Duration = Duration::from_secs(1);

/// When the year 10000 begins, after 1970. Its times cannot be written any more.
const YEAR_10000: Duration = Duration::from_secs(253_402_300_800);

#[derive(Debug, Args)]
pub(super) struct KeysArguments {
    #[command(subcommand)]
    command: KeysCommand,
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
enum KeysCommand {
    /// Makes a key and writes its secret to standard output, this once.
    Create(CreateArguments),
    /// Lists keys, the latest first. Secrets cannot be read back.
    List {
        /// Only keys of this account and of those below it.
        #[arg(long, value_name = "ID")]
        account: Option<String>,
    },
    /// Makes a key in place of another, which goes on for a while, and writes its secret to standard output.
    Rotate {
        /// The key's id.
        id: String,
        /// How long the old key goes on: at most 30d.
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = long_time)]
        overlap: Duration,
        #[command(flatten)]
        secret: SecretArguments,
    },
    /// Revokes a key: it is refused from then on, and its open calls are ended.
    Revoke {
        /// The key's id.
        id: String,
        /// Let its open calls end by themselves.
        #[arg(long)]
        let_calls_end: bool,
    },
    /// Tells the id, the account and the state of the key whose secret is read from standard input.
    Show,
}

#[derive(Debug, Args)]
struct CreateArguments {
    /// The account of the key: a caller; for administration also a team or an organisation.
    #[arg(long, value_name = "ID")]
    caller: String,
    /// A scenario that it may call; `*` at the end stands for anything. May be repeated. Default: what the account may.
    #[arg(long, value_name = "ID", conflicts_with = "admin")]
    scenario: Vec<String>,
    /// A model that it may name in place of a scenario. May be repeated.
    #[arg(long, value_name = "ID", conflicts_with = "admin")]
    model: Vec<String>,
    /// It may read the usage of its account.
    #[arg(long, conflicts_with = "admin")]
    usage: bool,
    /// An action of administration that it may do, such as ADMIN_ACCOUNTS. May be repeated. On the store itself, an
    /// account that is missing is made, as a caller that may do this.
    #[arg(long, value_name = "ACTION", value_parser = admin_action)]
    admin: Vec<Action>,
    /// When it ends, such as 90d from now. Default: the longest life that is allowed.
    #[arg(long, value_name = "TIME", value_parser = life)]
    expires: Option<Duration>,
    /// A name, for people.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    name: String,
    #[command(flatten)]
    secret: SecretArguments,
}

/// Where a secret goes.
#[derive(Clone, Debug, Args)]
struct SecretArguments {
    /// Write the secret to this new file, which only its owner can read, and not to standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl KeysArguments {
    pub(super) fn run(self) -> Result<ExitCode, String> {
        if let Some(address) = self.server.address().cloned() {
            let Self {
                command,
                server,
                comment,
                ..
            } = self;
            return in_runtime(async move {
                let asking = async |client, proof| asked(client, &proof, command, comment).await;
                server.ask(&address, asking).await
            });
        }
        match on_store(&self.store, self.command, self.comment) {
            Ok(code) => Ok(code),
            Err(nothing) => nothing.report(),
        }
    }
}

fn on_store(
    store: &StoreArguments,
    command: KeysCommand,
    comment: String,
) -> Result<ExitCode, NothingDone> {
    let open = || store.open(false);
    let now = SystemTime::now();
    match command {
        KeysCommand::Create(arguments) => create(store, &arguments, &comment),
        KeysCommand::Rotate {
            id,
            overlap,
            secret,
        } => {
            let OpenedStore {
                administration, by, ..
            } = open()?;
            let shown = secret.shown().map_err(NothingDone::Usage)?;
            let rotation = Rotation {
                id,
                overlap: Some(overlap),
                expires: None,
                comment,
            };
            let made = administration.rotate_key(&by, rotation, now);
            let (shown, MadeKey { key, secret }) = shown.if_made(made)?;
            shown
                .hand_over(&secret, &line_of(&admin::key(key)))
                .map_err(NothingDone::Failed)
        }
        KeysCommand::List { account } => {
            let OpenedStore {
                administration, by, ..
            } = open()?;
            let keys = administration.keys(&by, account.as_deref(), now)?;
            let keys: Vec<_> = keys.into_iter().map(admin::key).collect();
            print(table_of(&keys))?;
            Ok(ExitCode::SUCCESS)
        }
        KeysCommand::Revoke { id, let_calls_end } => {
            let OpenedStore {
                administration, by, ..
            } = open()?;
            let revocation = Revocation {
                id,
                calls: calls_of(let_calls_end),
                comment,
            };
            let key = administration.revoke_key(&by, revocation, now)?;
            print_change(line_of(&admin::key(key)))?;
            print_error(format!(
                "a running service refuses it within {} s",
                FOREIGN_CHANGE_BOUND.as_secs()
            ));
            Ok(ExitCode::SUCCESS)
        }
        KeysCommand::Show => {
            let OpenedStore {
                administration, by, ..
            } = open()?;
            let secret = secret_from_stdin().map_err(NothingDone::Usage)?;
            match administration.key_of(&by, secret.trim().as_bytes(), now)? {
                Some(key) => {
                    print(line_of(&admin::key(key)))?;
                    Ok(ExitCode::SUCCESS)
                }
                None => Err(NothingDone::Usage(
                    "no key with this secret was issued here".to_owned(),
                )),
            }
        }
    }
}

/// Makes a key in the store, which is created with it.
fn create(
    store: &StoreArguments,
    arguments: &CreateArguments,
    comment: &str,
) -> Result<ExitCode, NothingDone> {
    let now = SystemTime::now();
    if let Some(rehearsal) = store.rehearsal()? {
        made(&rehearsal, arguments, comment, now)?;
    }
    let shown = arguments.secret.shown().map_err(NothingDone::Usage)?;
    let opened = store.open(true);
    let made = opened.and_then(|opened| Ok(made(&opened, arguments, comment, now)?));
    let (shown, MadeKey { key, secret }) = shown.if_made(made)?;
    shown
        .hand_over(&secret, &line_of(&admin::key(key)))
        .map_err(NothingDone::Failed)
}

fn made(
    opened: &OpenedStore,
    arguments: &CreateArguments,
    comment: &str,
    now: SystemTime,
) -> Result<MadeKey, AdminError> {
    if !arguments.admin.is_empty() {
        found_account(opened, arguments, comment, now)?;
    }
    let wish = KeyWish {
        account: arguments.caller.clone(),
        display_name: arguments.name.clone(),
        scopes: arguments.scopes(),
        expires: arguments.expires.map(|life| now + life),
        comment: comment.to_owned(),
    };
    opened.administration.create_key(&opened.by, wish, now)
}

/// Makes the account of a key for administration, if there is none: somebody has to be the first.
fn found_account(
    opened: &OpenedStore,
    arguments: &CreateArguments,
    comment: &str,
    now: SystemTime,
) -> Result<(), AdminError> {
    let OpenedStore {
        administration, by, ..
    } = opened;
    let accounts = administration.accounts(by, None)?;
    if accounts
        .iter()
        .any(|listed| listed.account.id == arguments.caller)
    {
        return Ok(());
    }
    let account = AccountRecord {
        id: arguments.caller.clone(),
        kind: AccountKind::Caller,
        parent: None,
        display_name: String::new(),
        scopes: arguments.scopes(),
        labels: Labels::new(),
        label_rules: None,
        time_zone: None,
        bindings: Vec::new(),
        closed: None,
        kept_in: String::new(),
    };
    let change = AccountChange {
        account,
        version: None,
        comment: comment.to_owned(),
    };
    administration.put_account(by, change, now).map(drop)
}

impl CreateArguments {
    /// What the key may do; `None`: what its account may.
    fn scopes(&self) -> Option<Vec<Scope>> {
        let mut scopes: Vec<_> = self.admin.iter().map(|action| Scope::of(*action)).collect();
        if !self.scenario.is_empty() || !self.model.is_empty() {
            scopes.push(Scope {
                action: Action::Generate,
                // One that names models alone may call no scenario.
                scenarios: Some(self.scenario.clone().into()),
                models: Arc::from(self.model.clone()),
            });
        } else if self.usage {
            scopes.push(Scope::of(Action::Generate));
        }
        if self.usage {
            scopes.push(Scope::of(Action::UsageRead));
        }
        Some(scopes).filter(|scopes| !scopes.is_empty())
    }
}

impl SecretArguments {
    /// Makes ready what the secret is written to, before there is one.
    fn shown(&self) -> Result<SecretPlace, String> {
        SecretPlace::prepare(self.out.as_deref())
    }
}

fn calls_of(let_calls_end: bool) -> CallsUnderWay {
    match let_calls_end {
        true => CallsUnderWay::GoOn,
        false => CallsUnderWay::End,
    }
}

/// The secret that stands on standard input.
fn secret_from_stdin() -> Result<String, String> {
    let mut text = String::new();
    let read = io::stdin()
        .take(MOST_SECRET_BYTES)
        .read_to_string(&mut text);
    read.map_err(|_| "write the secret of a key to standard input".to_owned())?;
    Ok(text)
}

fn long_time(text: &str) -> Result<Duration, &'static str> {
    parse_long_duration(text).ok_or("write a number and a unit, such as 24h or 90d")
}

/// How long a key lives.
fn life(text: &str) -> Result<Duration, &'static str> {
    let life = long_time(text)?;
    if life < SHORTEST_LIFE {
        return Err("a key that ends at once is of no use; write a second or more, such as 90d");
    }
    let end = SystemTime::now().checked_add(life);
    match end.is_some_and(|end| end < UNIX_EPOCH + YEAR_10000) {
        true => Ok(life),
        false => Err("a key ends before the year 10000; write a shorter time, such as 90d"),
    }
}

fn admin_action(text: &str) -> Result<Action, String> {
    use crate::identity::key::KeyKind;

    let known = Action::ALL.into_iter();
    let mut known = known.filter(|action| action.kind() == KeyKind::Administration);
    let named = known
        .clone()
        .find(|action| action.name().eq_ignore_ascii_case(text));
    named.ok_or_else(|| {
        let first = known.next().map_or("", Action::name);
        let others: Vec<_> = known.map(Action::name).collect();
        format!("use {first} or one of {}", others.join(", "))
    })
}
