//! What has one open call or attempt set aside, and what would it have set aside in a limit that began after it?

use std::sync::{Arc, OnceLock};

use smallvec::SmallVec;

use crate::error::LimitUnit;
use crate::identity::{AccountPath, Identity, Labels};
use crate::ledger::call_id::CallId;
use crate::sync::Mutex;

use super::counter::CounterTime;
use super::limit::{Asked, Limit, LimitStage};
use super::prior::{PriorUse, WrittenAs};
use super::set::{LimitEntry, LimitSet};
use super::set_aside::{AllSetAside, SetAside};
use super::settling::count;
use super::taking::lock;
use super::window_tally::Use;
use super::windows::LimitWindow;
use super::{Actual, Estimate, Now, Shared};

/// For so long an attempt counts in a minute, in nanoseconds.
const MINUTE: i64 = 60_000_000_000;

/// What one open call or attempt has set aside.
pub(super) struct OpenHold {
    stage: LimitStage,
    holder: Holder,
    estimate: Estimate,
    /// When it was let through.
    since: CounterTime,
    /// Its row in the ledger, once it has one.
    written_as: OnceLock<WrittenAs>,
    held: Mutex<HoldParts>,
}

struct HoldParts {
    set_aside: AllSetAside,
    /// The numbers of counters of limits that began later, in which it has been counted or is not to be.
    decided: SmallVec<[u64; 4]>,
    ended: Option<HoldEnd>,
}

/// How a call or an attempt has ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum HoldEnd {
    /// A call, of which something was sent or nothing.
    Call {
        /// Whether it counts as a request.
        was_sent: bool,
    },
    /// An attempt of which nothing was sent.
    Unsent,
    /// An attempt that has used this.
    Settled(Actual),
    /// An attempt that was sent and of which nobody knows more.
    Unsettled,
}

/// Who holds it: what limits need to know of that.
struct Holder {
    account: AccountPath,
    key_id: Option<Arc<str>>,
    labels: Labels,
    /// Scenario, provider and model, one behind the other. Names of a usual length need no allocation.
    names: SmallVec<[u8; 64]>,
    scenario_end: usize,
    provider_end: usize,
}

impl OpenHold {
    pub(super) fn new(
        asked: &Asked<'_>,
        stage: LimitStage,
        estimate: &Estimate,
        since: CounterTime,
        set_aside: AllSetAside,
    ) -> Self {
        Self {
            stage,
            holder: Holder::of(asked),
            estimate: *estimate,
            since,
            written_as: OnceLock::new(),
            held: Mutex::new(HoldParts {
                set_aside,
                decided: SmallVec::new(),
                ended: None,
            }),
        }
    }

    /// From now on the ledger has a row of it, or is about to.
    pub(super) fn written_as(&self, call_id: CallId, number: u32) {
        let _ = self.written_as.set(WrittenAs { call_id, number });
    }

    /// Gives what it has set aside to `look`.
    pub(super) fn with_set_aside<T>(&self, look: impl FnOnce(&[SetAside]) -> T) -> T {
        look(&lock(&self.held).set_aside)
    }

    /// It has ended. What was set aside is settled once, however often this is called.
    pub(super) fn end(&self, end: HoldEnd, limits: &Shared, now: Option<Now>) {
        let set_aside = {
            let mut held = lock(&self.held);
            if held.ended.is_some() {
                return;
            }
            held.ended = Some(end);
            let HoldParts {
                set_aside, decided, ..
            } = &mut *held;
            decided.extend(set_aside.iter().map(|held| held.counters.number()));
            std::mem::take(set_aside)
        };
        for held in set_aside {
            held.settle(limits, now, |limit, reserved| end.used(limit, reserved));
        }
    }

    /// Counts it in the limits of this set that apply to it and began after it: what is set aside if it is open, what it
    /// has used if it has ended. Those that are new begin with `prior`; what that includes is not counted twice.
    pub(super) fn join(&self, set: &LimitSet, prior: &PriorUse, limits: &Shared, now: Now) {
        let identity = self.holder.identity();
        let asked = self.holder.asked(&identity);
        let time = limits.time(now);
        let mut ended_in: SmallVec<[SetAside; 4]> = SmallVec::new();
        let mut held = lock(&self.held);
        let HoldParts {
            set_aside,
            decided,
            ended,
        } = &mut *held;
        for entry in set.on_account(&asked) {
            let number = entry.counters.number();
            let is_held = set_aside
                .iter()
                .any(|held| held.counters.number() == number);
            if is_held || decided.contains(&number) || !entry.applies(&asked, self.stage) {
                continue;
            }
            let begins_with_prior = prior.begins(number);
            let is_missing = match ended {
                // Limits that were there before look at nothing that has ended.
                Some(_) if !begins_with_prior => false,
                Some(_) => self.is_missing(&entry.limit, prior, true),
                None => !begins_with_prior || self.is_missing(&entry.limit, prior, false),
            };
            let missing = match is_missing {
                true => self.set_aside_in(entry, &asked, time),
                false => None,
            };
            match (missing, &ended) {
                (Some(held), None) => set_aside.push(held),
                (missing, _) => {
                    decided.push(number);
                    ended_in.extend(missing);
                }
            }
        }
        let ended = *ended;
        drop(held);
        if let Some(end) = ended {
            for held in ended_in {
                held.settle(limits, Some(now), |limit, reserved| {
                    end.used(limit, reserved)
                });
            }
        }
    }

    /// Whether the rows that were read from the ledger lack it.
    fn is_missing(&self, limit: &Limit, prior: &PriorUse, has_ended: bool) -> bool {
        if limit.unit == LimitUnit::ConcurrentCalls {
            return !has_ended;
        }
        match self.written_as.get() {
            Some(row) => !prior.includes(*row, limit, has_ended),
            // What is nowhere written down is remembered by nobody.
            None => !has_ended,
        }
    }

    /// Sets it aside in a limit, whether it fits or not; `None` if it was let through before the window that runs. It was let
    /// through after `time` if the limit was being prepared then: a window that has begun since is the one that runs.
    fn set_aside_in(
        &self,
        entry: &LimitEntry,
        asked: &Asked<'_>,
        time: CounterTime,
    ) -> Option<SetAside> {
        let LimitEntry {
            limit, counters, ..
        } = entry;
        // What is not known is counted when it is.
        let amount = self.estimate.of(limit).unwrap_or(0);
        let counter = counters.of(limit, asked, time);
        let time = CounterTime {
            second: time.second.max(self.since.second),
            tick: time.tick,
        };
        let mark = {
            let mut tallies = counter.lock();
            counters.bring(limit, &mut tallies, time);
            let counts = match limit.window {
                Some(LimitWindow::Minute) => time.tick.saturating_sub(self.since.tick) < MINUTE,
                None => true,
                Some(_) => tallies.is_in_latest(self.since.second),
            };
            counts.then(|| tallies.reserve(limit.amount, amount))?
        };
        Some(SetAside {
            counters: Arc::clone(counters),
            counter,
            amount,
            mark,
        })
    }
}

impl HoldEnd {
    /// What it counts in a limit in which this was set aside.
    fn used(&self, limit: &Limit, reserved: i64) -> Use {
        match self {
            Self::Call { was_sent } => count(match limit.unit {
                LimitUnit::Requests => i64::from(*was_sent),
                LimitUnit::ConcurrentCalls
                | LimitUnit::Tokens
                | LimitUnit::Money
                | LimitUnit::Waste => 0,
            }),
            Self::Unsent => count(0),
            Self::Settled(actual) => actual.used(limit, reserved),
            Self::Unsettled => match limit.unit {
                LimitUnit::ConcurrentCalls => count(0),
                LimitUnit::Requests => count(1),
                LimitUnit::Tokens | LimitUnit::Money | LimitUnit::Waste => Use {
                    amount: reserved,
                    is_estimated: true,
                },
            },
        }
    }
}

impl Holder {
    fn of(asked: &Asked<'_>) -> Self {
        let Asked {
            identity,
            scenario,
            provider,
            model,
            labels,
        } = *asked;
        let mut names = SmallVec::new();
        names.extend_from_slice(scenario.as_bytes());
        let scenario_end = names.len();
        names.extend_from_slice(provider.as_bytes());
        let provider_end = names.len();
        names.extend_from_slice(model.as_bytes());
        Self {
            account: identity.account.clone(),
            key_id: identity.key_id.clone(),
            labels: labels.clone(),
            names,
            scenario_end,
            provider_end,
        }
    }

    /// The caller, as far as limits need it.
    fn identity(&self) -> Identity {
        Identity {
            account: self.account.clone(),
            key_id: self.key_id.clone(),
            ..Identity::clone(&Identity::local())
        }
    }

    fn asked<'a>(&'a self, identity: &'a Identity) -> Asked<'a> {
        let (scenario, rest) = self.names.split_at(self.scenario_end);
        let (provider, model) = rest.split_at(self.provider_end - self.scenario_end);
        // They are texts that were put together.
        let name = |name| str::from_utf8(name).unwrap_or_default();
        Asked {
            identity,
            scenario: name(scenario),
            provider: name(provider),
            model: name(model),
            labels: &self.labels,
        }
    }
}
