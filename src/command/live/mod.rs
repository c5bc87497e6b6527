//! `modelway check --live`: asks every target of a configuration for one token, and says which step fails.

mod ask;
mod plan;
mod report;

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::time::Instant;

use crate::config::judge::{Judged, WantedToken};
use crate::dispatch::target::Target;
use crate::error::{advise, excerpt};
use crate::outbound::{self, Skew};
use crate::transport::Transport;

use self::ask::Ways;
use self::plan::{Question, announcement};
use self::report::{Checked, as_json, table};
use super::console::{BROKEN, print, print_error};

/// Exit code if a target fails.
const FAILED: u8 = 3;

/// How many providers are asked at once.
const AT_ONCE: usize = 4;

/// How long an access token may take.
const TOKEN_LIMIT: Duration = Duration::from_secs(10);

/// What is checked, and how that is told.
pub(super) struct LiveCheck {
    /// The ids of the targets; all if there are none.
    pub(super) targets: Vec<String>,
    /// Whether nobody is asked first.
    pub(super) yes: bool,
    /// Whether JSON is written.
    pub(super) json: bool,
    /// Whether standard input can hold an answer: the configuration has not come from there.
    pub(super) may_ask: bool,
}

impl LiveCheck {
    /// Announces what will be sent, asks, sends it, and tells what was found.
    pub(super) async fn run(self, judged: Judged) -> Result<ExitCode, String> {
        let targets = match self.chosen(&judged) {
            Ok(targets) => targets,
            Err(why) => {
                print_error(why);
                return Ok(ExitCode::from(BROKEN));
            }
        };
        let questions: Vec<_> = targets.into_iter().map(Question::of).collect();
        let announced = announcement(&questions);
        let can_ask = self.may_ask && io::stdin().is_terminal();
        match (self.yes, can_ask) {
            (true, _) => print_error(announced),
            (false, true) if agreed(&announced) => {}
            (false, true) => {
                print_error("nothing was sent".to_owned());
                return Ok(ExitCode::from(BROKEN));
            }
            (false, false) => {
                print_error(format!(
                    "{announced}\nnothing was sent: there is no terminal to ask for consent; say --yes"
                ));
                return Ok(ExitCode::from(BROKEN));
            }
        }
        let checked = ask_all(judged, questions).await;
        print(match self.json {
            true => as_json(&checked),
            false => table(&checked),
        })?;
        Ok(match checked.iter().any(Checked::has_failed) {
            true => ExitCode::from(FAILED),
            false => ExitCode::SUCCESS,
        })
    }

    fn chosen(&self, judged: &Judged) -> Result<Vec<Arc<Target>>, String> {
        let all = &judged.config.catalog.targets;
        if self.targets.is_empty() {
            return Ok(all.values().map(Arc::clone).collect());
        }
        let mut chosen = BTreeMap::new();
        for id in &self.targets {
            let Some(target) = all.get(id) else {
                let remedy = advise(id, all.keys().map(String::as_str));
                return Err(format!("--target {}: no such model; {remedy}", excerpt(id)));
            };
            chosen.insert(id.clone(), Arc::clone(target));
        }
        Ok(chosen.into_values().collect())
    }
}

/// Whether the person at the terminal agrees.
fn agreed(announced: &str) -> bool {
    let mut stderr = io::stderr();
    let asked = write!(stderr, "{announced}\nSend them? [y/N] ").and_then(|()| stderr.flush());
    let mut line = String::new();
    asked.is_ok()
        && io::stdin().lock().read_line(&mut line).is_ok()
        && matches!(line.trim(), "y" | "Y" | "yes")
}

/// Asks all targets: the models of a provider one after the other, a few providers at once.
async fn ask_all(judged: Judged, questions: Vec<Question>) -> Vec<Checked> {
    let Judged {
        config,
        links,
        tokens,
        ..
    } = judged;
    let ways = Ways {
        transport: Transport::new(config.transport, &links),
        settings: config.transport,
        links,
    };
    let mut of_providers: BTreeMap<String, Vec<(usize, Question)>> = BTreeMap::new();
    for (place, question) in questions.into_iter().enumerate() {
        let name = question.target.provider.name.clone();
        of_providers
            .entry(name)
            .or_default()
            .push((place, question));
    }
    let (ways, tokens) = (&ways, &tokens);
    let provider = async |(name, questions): (String, Vec<(usize, Question)>)| {
        let wanted = tokens
            .iter()
            .find(|wanted| wanted.providers.contains(&name));
        let no_token = match wanted {
            Some(wanted) => fetched(wanted).await.err(),
            None => None,
        };
        let mut checked = Vec::with_capacity(questions.len());
        for (place, question) in questions {
            checked.push((place, ways.ask(question, no_token.as_deref()).await));
        }
        checked
    };
    let asked = stream::iter(of_providers.into_iter().map(provider));
    let asked: Vec<_> = asked.buffer_unordered(AT_ONCE).collect().await;
    let mut checked: Vec<_> = asked.into_iter().flatten().collect();
    checked.sort_by_key(|(place, _)| *place);
    checked.into_iter().map(|(_, checked)| checked).collect()
}

/// Fetches an access token for its providers.
///
/// # Errors
/// Why there is none; without secrets.
async fn fetched(wanted: &WantedToken) -> Result<(), String> {
    let Some(origin) = wanted.credential.origin() else {
        return Ok(());
    };
    if wanted.credential.is_live(Instant::now().into_std()) {
        return Ok(());
    }
    let (client, source) = (&wanted.client, &origin.source);
    let mut skew = Skew::default();
    let renewed = outbound::renew(&wanted.credential, client, source, &mut skew, TOKEN_LIMIT);
    renewed.await.map(drop)
}
