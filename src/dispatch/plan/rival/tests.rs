//! Which attempts get a rival, on which target, and what pays for it?

use super::*;
use crate::chat::{ChatRequest, ServiceTier};
use crate::dispatch::AskedLimits;
use crate::dispatch::hedging;
use crate::dispatch::retry_budget;
use crate::dispatch::routes::{GuardedTarget, Route};
use crate::dispatch::specimens::{asked_for, route, target};
use crate::dispatch::spending::Spending;
use crate::dispatch::target::Target;
use crate::dispatch::tokens::Budget;
use crate::health::breaker::Forced;
use crate::health::scopes;
use crate::money::{Price, Prices, Rates, Validity};
use crate::trail::Trail;

const HELD_OPEN: Forced = Forced {
    closed: false,
    until: None,
};

/// How many rivals and added attempts a scenario has left, and how many attempts each of its calls may make.
#[derive(Clone, Copy)]
struct Left {
    rivals: u32,
    tokens: u32,
    attempts: u32,
}

const ENOUGH: Left = Left {
    rivals: 5,
    tokens: 5,
    attempts: 3,
};

/// Prices at which every request of these tests costs less than a rival may.
fn cheap() -> Prices {
    let price = Price {
        holds: Validity::always(ServiceTier::Standard),
        rates: Rates {
            input: Some(1_000_000),
            output: Some(1_000_000),
            cache_read_input: Some(1_000_000),
            cache_write_input: Some(1_000_000),
            ..Rates::default()
        },
    };
    let mut of_models = Prices::together([("one", vec![price])]);
    of_models.remove(0).1
}

/// A scenario of these models with rivals. Each model is cheap and at a provider of its own.
fn hedged_route(models: &[&str], left: Left) -> Arc<Route> {
    let budget = |burst| retry_budget::Settings { ratio: 0.0, burst };
    let mut route = route(models, scopes::Settings::default());
    let of_route = Arc::get_mut(&mut route).expect("a route of one owner");
    let settings = hedging::Settings {
        budget: budget(left.rivals),
        ..hedging::Settings::default()
    };
    of_route.hedging = Some(Arc::new(Hedging::new(settings, models.len())));
    of_route.budget = Arc::new(Budget::new(budget(left.tokens)));
    let scenario = Arc::get_mut(&mut of_route.scenario).expect("a scenario of one owner");
    scenario.max_attempts = left.attempts;
    for guarded in &route.targets {
        guarded.target.prices.exchange(Some(cheap()));
    }
    route
}

/// A call for at most ten tokens whose first attempt is under way.
fn plan(route: Arc<Route>) -> Plan {
    let mut request = ChatRequest::default();
    request.sampling.max_output_tokens = Some(10);
    let (limits, trail) = (AskedLimits::default(), Trail::default());
    let spending = Spending::none();
    let mut plan = Plan::new(route, asked_for(request), limits, None, trail, spending);
    assert_eq!(plan.cursor.advance(), Some(0));
    plan.cursor.start(0, AttemptKind::Primary);
    plan
}

fn hedging_of(plan: &Plan) -> &Hedging {
    plan.route.hedging.as_ref().expect("a scenario with rivals")
}

#[test]
fn only_the_first_attempt_of_a_stream_gets_a_rival_once_it_takes_longer_than_is_usual() {
    use AttemptKind::{Failover, Hedge, LastResort, Primary, Probe, Retry};
    let usual = Some(Duration::from_millis(1024));
    // The attempt, whether it is a stream, how many were started, and how long it may take.
    let table = [
        (Primary, true, 1, usual),
        (Failover, true, 1, usual),
        (Primary, false, 1, None),
        (Failover, true, 2, None),
        (Retry, true, 1, None),
        (Probe, true, 1, None),
        (LastResort, true, 1, None),
        (Hedge, true, 1, None),
    ];
    for (kind, stream, started, expected) in table {
        let mut plan = plan(hedged_route(&["one", "two"], ENOUGH));
        (1..started).for_each(|_| plan.cursor.start(0, Retry));
        (0..200).for_each(|_| hedging_of(&plan).observe(0, Duration::from_secs(1)));

        let patience = plan.patience(kind, stream);

        assert_eq!(patience, expected, "{kind:?} {stream} {started}");
    }
    let without_rivals = plan(route(&["one", "two"], scopes::Settings::default()));
    assert_eq!(without_rivals.patience(Primary, true), None);
}

#[test]
fn a_rival_takes_one_of_the_rivals_and_a_retry_token_and_gives_back_one_if_the_other_is_missing() {
    let no_attempt = Left {
        attempts: 1,
        ..ENOUGH
    };
    let no_rival = Left {
        rivals: 0,
        ..ENOUGH
    };
    let no_token = Left {
        tokens: 0,
        ..ENOUGH
    };
    // What the scenario has left; whether there is a rival; then rivals, tokens, and rivals that a budget refused.
    let table = [
        (ENOUGH, true, (4, 4, 0)),
        (no_attempt, false, (5, 5, 0)),
        (no_rival, false, (0, 5, 1)),
        (no_token, false, (5, 0, 1)),
    ];
    for (left, is_sent, expected) in table {
        let mut plan = plan(hedged_route(&["one", "two"], left));
        let mut tokens = TokenHold::of(&plan.route.budget);

        let admitted = plan.admit_rival(&mut tokens);

        assert_eq!(admitted.is_some(), is_sent, "{expected:?}");
        let rivals = hedging_of(&plan).budget.available();
        let budget = &plan.route.budget;
        let refused = budget.rivals_refused.count();
        assert_eq!((rivals, budget.available(), refused), expected);
    }
}

/// Puts a model of the first target's provider at this position.
fn share_first_provider(route: &mut Arc<Route>, position: usize) {
    let provider = Arc::clone(&route.targets[0].target.provider);
    let of_route = Arc::get_mut(route).expect("a route of one owner");
    let same = Target {
        provider,
        ..target("another of the same provider")
    };
    same.prices.exchange(Some(cheap()));
    let health = Arc::clone(&of_route.targets[position].health);
    of_route.targets[position] = Arc::new(GuardedTarget {
        target: Arc::new(same),
        health,
        prompts: Default::default(),
        answers: Default::default(),
    });
}

#[test]
fn a_rival_is_asked_of_the_first_target_ahead_that_is_healthy_and_cheap_and_rather_of_another_provider()
 {
    /// What is true of the target at a position.
    #[derive(Clone, Copy, Debug)]
    enum Fact {
        SameProvider(usize),
        HeldOpen(usize),
        NoPrice(usize),
    }
    use Fact::{HeldOpen, NoPrice, SameProvider};
    let three = &["one", "two", "three"][..];
    // The models, what is true of their targets, and the position of the rival.
    let table: [(&[&str], &[Fact], Option<usize>); 8] = [
        (three, &[], Some(1)),
        (three, &[SameProvider(1)], Some(2)),
        (three, &[SameProvider(1), SameProvider(2)], Some(1)),
        (three, &[HeldOpen(1)], Some(2)),
        (three, &[NoPrice(1)], Some(2)),
        (three, &[SameProvider(1), NoPrice(2)], Some(1)),
        (three, &[HeldOpen(1), NoPrice(2)], None),
        (&three[..1], &[], None),
    ];
    for (models, facts, expected) in table {
        let mut route = hedged_route(models, ENOUGH);
        for fact in facts {
            match *fact {
                SameProvider(position) => share_first_provider(&mut route, position),
                HeldOpen(position) => {
                    assert!(route.targets[position].health.force(Some(HELD_OPEN)));
                }
                NoPrice(position) => route.targets[position].target.prices.exchange(None),
            }
        }
        let mut plan = plan(route);
        let mut tokens = TokenHold::of(&plan.route.budget);

        let rival = plan.admit_rival(&mut tokens);

        let position = rival.as_ref().map(|admitted| admitted.permit.position());
        assert_eq!(position, expected, "{models:?} {facts:?}");
        if let Some(admitted) = rival {
            assert_eq!(admitted.kind, AttemptKind::Hedge);
            assert!(
                admitted.wire.is_some(),
                "a small request is written at once"
            );
        }
    }
}
