//! Do the laws of the dispatcher hold whatever happens? Five models of three providers in wild
//! weather, scenarios that share them, callers that go away at any moment.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use modelway::dispatch::routes::Selector;
use modelway::dispatch::{CallEvent, Interruption};
use modelway::error::Error;
use modelway::health::provider::BreakerChange;
use modelway::trail::{AttemptKind, AttemptRecord, BreakerState};
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::world::{News, Seen, Told, Weather};
use super::{How, Simulation, request, run};
use crate::support::number_from;

const CONFIG: &str = r#"
[providers.p0]
wire_format = "openai_chat"
base_url = "https://p0.test/v1"
auth = "none"
[providers.p1]
wire_format = "openai_chat"
base_url = "https://p1.test/v1"
auth = "none"
[providers.p2]
wire_format = "openai_chat"
base_url = "https://p2.test/v1"
auth = "none"

[models."p0/m0"]
[models."p0/m1"]
[models."p1/m0"]
price = { input = 0.0, output = 0.0 }
max_output_tokens = 1000
[models."p1/m1"]
price = { input = 0.0, output = 0.0 }
max_output_tokens = 1000
[models."p2/m0"]

# Every model is the first of one, so that each is probed once all is well again.
[scenarios.s0]
targets = ["p0/m0", "p1/m0", "p2/m0"]
retry = { ratio = 0.2, burst = 20 }
hedge = { ratio = 0.02, burst = 5 }
[scenarios.s1]
targets = ["p1/m0", "p0/m1"]
retry = { ratio = 0.1, burst = 5 }
[scenarios.s2]
targets = ["p2/m0", "p1/m1", "p0/m0"]
max_attempts = 4
retry = { ratio = 0.5, burst = 10 }
retry_first = { times = 2 }
hedge = { ratio = 0.1, burst = 20 }
[scenarios.s3]
targets = ["p0/m1", "p1/m1"]
retry = { ratio = 0.0, burst = 12 }
retry_first = { longest_wait = "5s" }
[scenarios.s4]
targets = ["p1/m1", "p0/m0"]
retry = { ratio = 1.0, burst = 2 }
"#;

/// Tokens that a success deposits and that the budget holds, in thousandths, by scenario.
const BUDGETS: [(i64, i64); 5] = [
    (200, 20_000),
    (100, 5_000),
    (500, 10_000),
    (0, 12_000),
    (1000, 2_000),
];

/// The same for rivals of late attempts.
const RIVALS: [(i64, i64); 5] = [(20, 5_000), (0, 0), (100, 20_000), (0, 0), (0, 0)];

const TOKEN: i64 = 1000;

const PROVIDERS: usize = 3;

/// Calls of one world, from its wild times to the fine ones at its end.
const WILD_CALLS: usize = 4000;

/// Probes that must succeed in a row.
const PROBES: usize = 3;

/// How long a probe may take before another is let through beside it.
const PROBE_LEASE: Duration = Duration::from_secs(10);

/// How long a probe may be without a byte before another is let through beside it.
const STALL_AFTER: Duration = Duration::from_secs(4);

/// The longest wait that anything can ask for: a credential's, a breaker's, a rate limit's.
const LONGEST_WAIT: Duration = Duration::from_secs(130);

/// Everything that is known of the calls so far.
#[derive(Default)]
struct Ledger {
    scenarios: [Account; BUDGETS.len()],
    /// Calls that have sent an attempt.
    has_sent: Vec<bool>,
    /// Whether an attempt of each call was refused.
    is_refused: Vec<bool>,
    /// Kinds and targets of the attempts of each call that has ended, in order of sending.
    attempts: Vec<Vec<(AttemptKind, String)>>,
    /// What each breaker had last changed to, in order, by name of the model or provider.
    changes: Vec<(Instant, BreakerChange)>,
}

/// The attempts of one scenario, weighed against what they may be.
#[derive(Clone, Copy, Default)]
struct Account {
    calls: u64,
    attempts: u64,
    successes: u64,
    /// Attempts less calls less deposits, in thousandths.
    excess: i64,
    least_excess: i64,
    /// The most by which it has risen on any interval.
    most_risen: i64,
}

impl Account {
    fn weigh(&mut self, change: i64) {
        self.excess += change;
        self.least_excess = self.least_excess.min(self.excess);
        self.most_risen = self.most_risen.max(self.excess - self.least_excess);
    }
}

fn scenario_of(call: usize) -> usize {
    call % BUDGETS.len()
}

impl Ledger {
    fn sent(&mut self, call: usize) {
        if self.has_sent.len() <= call {
            self.has_sent.resize(call + 1, false);
            self.is_refused.resize(call + 1, false);
        }
        // What follows a refusal is paid for from a bucket of its own; a rival that overtakes one is not.
        let is_paid = !self.is_refused[call];
        let is_first = !std::mem::replace(&mut self.has_sent[call], true);
        let account = &mut self.scenarios[scenario_of(call)];
        account.attempts += 1;
        account.calls += u64::from(is_first);
        account.weigh(if is_first || !is_paid { 0 } else { TOKEN });
    }

    fn succeeded(&mut self, call: usize) {
        let scenario = scenario_of(call);
        let account = &mut self.scenarios[scenario];
        account.successes += 1;
        account.weigh(-BUDGETS[scenario].0);
    }

    fn ended<'a>(&mut self, call: usize, attempts: impl Iterator<Item = &'a AttemptRecord>) {
        if self.attempts.len() <= call {
            self.attempts.resize(call + 1, Vec::new());
        }
        let mut attempts: Vec<_> = attempts.collect();
        attempts.sort_by_key(|attempt| attempt.number);
        self.attempts[call] = attempts
            .into_iter()
            .map(|attempt| (attempt.kind, attempt.target.clone()))
            .collect();
    }
}

#[test]
fn the_laws_hold_in_wild_weather() {
    let first_seed = number_from("MODELWAY_SEED", 1);
    let calls = number_from("MODELWAY_CALLS", 100_000);
    let mut sum = Account::default();
    let mut probes = 0;
    let mut rivals = 0;
    let mut seed = first_seed;
    while sum.calls < calls {
        println!("seed {seed}"); // shown if a law is broken
        let (accounts, probed, rivalled) = run(live(seed));
        for account in accounts {
            sum.calls += account.calls;
            sum.attempts += account.attempts;
            sum.successes += account.successes;
        }
        probes += probed;
        rivals += rivalled;
        seed += 1;
    }
    let Account {
        calls,
        attempts,
        successes,
        ..
    } = sum;
    println!(
        "seeds {first_seed} to {}: {calls} calls, {attempts} attempts, {successes} successes, {probes} probes, {rivals} rivals",
        seed - 1
    );
}

/// Lives through one world and holds it to the laws.
async fn live(seed: u64) -> ([Account; BUDGETS.len()], usize, usize) {
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let told = Arc::clone(&ledger);
    let told = Told(Arc::new(move |call, news| {
        let mut ledger = told.lock().unwrap();
        match news {
            News::Sent => ledger.sent(call),
            News::Refused => ledger.is_refused[call] = true,
        }
    }));
    let simulation = Arc::new(Simulation::begin(CONFIG, seed, told));
    let mut tasks = JoinSet::new();
    tasks.spawn(write_down(
        simulation.dispatcher.watch_breakers(),
        Arc::clone(&ledger),
    ));
    let mut draw = fastrand::Rng::with_seed(seed);

    for number in 0..WILD_CALLS {
        sleep(Duration::from_millis(draw.u64(0..40))).await;
        if number % 100 == 0 {
            for provider in 0..PROVIDERS {
                simulation.world.set(provider, weather(&mut draw));
            }
        }
        let how = How {
            whole: draw.bool(),
            interruption: [Interruption::Fail, Interruption::Restart][draw.usize(0..2)],
            timeout: draw
                .bool()
                .then(|| Duration::from_millis(draw.u64(0..30_000))),
        };
        let patience = (draw.u32(0..4) == 0).then(|| Duration::from_millis(draw.u64(0..10_000)));
        let (simulation, ledger) = (Arc::clone(&simulation), Arc::clone(&ledger));
        tasks.spawn(ask(simulation, ledger, number, how, patience));
    }
    while tasks.len() > 1 {
        tasks.join_next().await.unwrap().unwrap();
    }
    nothing_is_held(&simulation, &ledger);

    for provider in 0..PROVIDERS {
        simulation.world.set(provider, Weather::Fine);
    }
    let fine_since = Instant::now();
    let mut number = WILD_CALLS;
    while fine_since.elapsed() < LONGEST_WAIT {
        sleep(Duration::from_millis(200)).await;
        let how = How {
            whole: true,
            interruption: Interruption::Fail,
            timeout: None,
        };
        let (simulation, ledger) = (Arc::clone(&simulation), Arc::clone(&ledger));
        tasks.spawn(ask(simulation, ledger, number, how, None));
        number += 1;
    }
    while tasks.len() > 1 {
        tasks.join_next().await.unwrap().unwrap();
    }
    everything_is_closed(&simulation);
    nothing_is_held(&simulation, &ledger);

    let ledger = ledger.lock().unwrap();
    for (account, (_, burst)) in ledger.scenarios.iter().zip(BUDGETS) {
        assert!(
            account.most_risen <= burst,
            "{} thousandths of a token were spent of {burst}",
            account.most_risen
        );
    }
    let probes = probes_are_few_at_a_time(&ledger, &simulation.world.seen());
    let rivals = rivals_are_few(&ledger);
    (ledger.scenarios, probes, rivals)
}

fn weather(draw: &mut fastrand::Rng) -> Weather {
    match draw.u32(0..12) {
        0 => Weather::Errors(1.0),
        1 => Weather::Silent,
        2 => Weather::RateLimited(draw.bool().then(|| draw.u64(0..5))),
        3 => Weather::Fine,
        _ => Weather::Wild([0.05, 0.1, 0.2, 0.4][draw.usize(0..4)]),
    }
}

async fn write_down(mut changes: broadcast::Receiver<BreakerChange>, ledger: Arc<Mutex<Ledger>>) {
    while let Ok(change) = changes.recv().await {
        ledger
            .lock()
            .unwrap()
            .changes
            .push((Instant::now(), change));
    }
}

/// One call, which its caller may give up at any moment.
async fn ask(
    simulation: Arc<Simulation>,
    ledger: Arc<Mutex<Ledger>>,
    number: usize,
    how: How,
    patience: Option<Duration>,
) {
    let route = simulation.route(&format!("s{}", scenario_of(number)));
    let mut call = simulation.call(&route, number, how);
    let answer = async {
        if how.whole {
            call.whole().await?;
        } else {
            call.commit().await?;
            while let Some(event) = call.next().await? {
                let restarted = matches!(event, CallEvent::Restarted { .. });
                assert!(!restarted || how.interruption == Interruption::Restart);
            }
        }
        ledger.lock().unwrap().succeeded(number);
        Ok::<_, modelway::dispatch::Failure>(())
    };
    let ended = timeout(patience.unwrap_or(Duration::MAX), answer).await;
    let mut ledger = ledger.lock().unwrap();
    match ended {
        Ok(Ok(())) => ledger.ended(number, call.trail().sent()),
        Ok(Err(failure)) => {
            assert!(!matches!(failure.error, Error::Internal(_)), "{failure:?}");
            ledger.ended(number, failure.trail.sent());
        }
        Err(_) => ledger.ended(number, call.trail().sent().chain(call.running())),
    }
}

/// No attempt is under way; no budget holds back more than was spent of it.
fn nothing_is_held(simulation: &Simulation, ledger: &Mutex<Ledger>) {
    for guarded in simulation.dispatcher.routes().targets() {
        let (under_way, _) = guarded.health.concurrency();
        assert_eq!(under_way, 0, "{}", guarded.target.id);
    }
    let ledger = ledger.lock().unwrap();
    for (scenario, (_, burst)) in BUDGETS.into_iter().enumerate() {
        let account = ledger.scenarios[scenario];
        // Full at the moment of least excess, at the latest, and spent by all that came after it.
        let least = (burst - (account.excess - account.least_excess)).max(0);
        let selector = Selector::Scenario(format!("s{scenario}"));
        let explanation = simulation.dispatcher.explain(&selector, &request(0));
        let left = i64::from(explanation.unwrap().retry_tokens);
        assert!(
            left >= least / TOKEN && left <= burst / TOKEN,
            "scenario {scenario}: {left} tokens are left of at least {least} thousandths"
        );
    }
}

fn everything_is_closed(simulation: &Simulation) {
    let routes = simulation.dispatcher.routes();
    for guarded in routes.targets() {
        assert_eq!(
            guarded.health.snapshot().state,
            BreakerState::Closed,
            "{}",
            guarded.target.id
        );
        assert_eq!(guarded.health.refuses(), None, "{}", guarded.target.id);
    }
    for provider in routes.providers() {
        let state = provider.snapshot().state;
        assert_eq!(state, BreakerState::Closed, "{}", provider.name());
    }
}

/// A call has at most one rival, and those of a scenario draw on a bucket of their own. Counts them.
fn rivals_are_few(ledger: &Ledger) -> usize {
    let mut rivals = [0; RIVALS.len()];
    for (call, attempts) in ledger.attempts.iter().enumerate() {
        let of_call = attempts
            .iter()
            .filter(|(kind, _)| *kind == AttemptKind::Hedge);
        let of_call = of_call.count();
        assert!(of_call <= 1, "call {call} has {of_call} rivals");
        rivals[scenario_of(call)] += of_call;
    }
    for (scenario, (deposit, burst)) in RIVALS.into_iter().enumerate() {
        let successes = ledger.scenarios[scenario].successes as i64;
        let most = (burst + deposit * successes) / TOKEN;
        assert!(
            rivals[scenario] as i64 <= most,
            "scenario {scenario}: {rivals:?}"
        );
    }
    rivals.into_iter().sum()
}

/// When the next probe need no longer wait for this one, which is judged at that time: at the latest when it has been
/// silent for too long or when its lease ends.
fn keeps_others_waiting_until(probe: &Seen, judged: Option<Instant>) -> Instant {
    let is_found_silent = probe.began + STALL_AFTER;
    let patience = match probe.reached {
        Some(reached) if reached < is_found_silent => PROBE_LEASE,
        _ => STALL_AFTER,
    };
    let latest = probe.began + patience;
    judged.map_or(latest, |judged| judged.min(latest))
}

/// Between a breaker's opening and its closing, probes come one after the other until one has succeeded, and
/// then as many at a time as must still succeed. Last resorts come besides. Counts the probes.
fn probes_are_few_at_a_time(ledger: &Ledger, seen: &[Seen]) -> usize {
    let mut position_in_call = vec![0; ledger.attempts.len()];
    let mut attempts = Vec::new();
    for attempt in seen {
        let records = &ledger.attempts[attempt.call];
        let position = &mut position_in_call[attempt.call];
        let (kind, target) = &records[*position];
        assert_eq!(*target, format!("p{}/m{}", attempt.provider, attempt.model));
        *position += 1;
        attempts.push((attempt, *kind, target));
    }
    for (records, told) in ledger.attempts.iter().zip(position_in_call) {
        assert_eq!(records.len(), told, "an attempt that was told was not sent");
    }
    let mut breakers: Vec<(String, Option<String>)> = Vec::new();
    for (_, change) in &ledger.changes {
        let breaker = (change.provider.clone(), change.target.clone());
        if !breakers.contains(&breaker) {
            breakers.push(breaker);
        }
    }
    let mut probes = 0;
    for (provider, target) in &breakers {
        let mut changes = ledger
            .changes
            .iter()
            .filter(|(_, change)| change.provider == *provider && change.target == *target)
            .peekable();
        let mut is_closed = true;
        // An endpoint is judged by the head of an answer, unless it stands for its models.
        let mut by_head = false;
        let mut has_succeeded = false;
        let mut changed = None;
        // When probes and last resorts were judged.
        let mut verdicts: Vec<Instant> = Vec::new();
        // When those since the last change are judged, or others need not wait for them any more.
        let mut probing_until: Vec<Instant> = Vec::new();
        for (attempt, kind, of) in &attempts {
            let concerned = match target {
                Some(target) => of == &target,
                None => of.starts_with(provider.as_str()),
            };
            if !concerned {
                continue;
            }
            if matches!(kind, AttemptKind::LastResort | AttemptKind::Probe) {
                verdicts.extend(if by_head {
                    attempt.reached
                } else {
                    attempt.judged
                });
            }
            if *kind == AttemptKind::LastResort {
                continue;
            }
            // A change in the very moment of the attempt may have come before it or after it.
            let mut is_certain = true;
            while let Some((at, change)) = changes.peek() {
                if *at > attempt.began {
                    break;
                }
                is_certain = *at < attempt.began;
                is_closed = change.transition.to == BreakerState::Closed;
                if change.transition.from == BreakerState::Closed {
                    by_head = target.is_none() && change.transition.cause != "models_failing";
                }
                probing_until.clear();
                changed = Some(*at);
                // So many succeed at the change itself.
                has_succeeded = matches!(
                    change.transition.cause,
                    "late_probe_succeeded" | "last_resort_succeeded"
                );
                changes.next();
            }
            if is_closed || !is_certain {
                continue;
            }
            assert_eq!(*kind, AttemptKind::Probe, "{of} at {:?}", attempt.began);
            probes += 1;
            let others = probing_until.iter().filter(|until| **until > attempt.began);
            let others = others.count();
            has_succeeded |= verdicts
                .iter()
                .any(|at| Some(*at) >= changed && *at <= attempt.began);
            let most = if has_succeeded { PROBES - 1 } else { 1 };
            assert!(others < most, "{others} other probes of {of} at a time");
            let judged = match by_head {
                true => attempt.reached.or(attempt.judged),
                false => attempt.judged,
            };
            probing_until.push(keeps_others_waiting_until(attempt, judged));
        }
    }
    probes
}
