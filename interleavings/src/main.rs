//! Does what calls share hold, in whatever order threads come to it?
//!
//!     interleavings/run.sh [SCHEDULES]
//!
//! Each scenario lets a few threads meet at the real code, of which `sync` alone is replaced, once for
//! each schedule: half of them drawn at random, half with few preemptions at chosen places. A schedule
//! that breaks a law is printed, and `shuttle::replay` runs it again.

// Most of what the files hold is for others.
#![allow(dead_code, unused_imports)]

#[path = "../../src/admission/mod.rs"]
mod admission;
#[path = "../../src/caller.rs"]
mod caller;
mod dispatch;
#[path = "../../src/error/mod.rs"]
mod error;
#[path = "../../src/meter/mod.rs"]
mod meter;
// Its tests, which nobody compiles here, would be looked for in the wrong place.
#[rustfmt::skip]
#[path = "../../src/health/mod.rs"]
mod health;
#[path = "../../src/hash.rs"]
mod hash;
mod limits;
#[rustfmt::skip]
#[path = "../../src/money/mod.rs"]
mod money;
mod permits;
mod places;
mod room;
mod sync;
#[path = "../../src/spread.rs"]
mod spread;

/// Modules with parts in a folder beside them.
#[path = "../../src"]
mod source {
    pub mod chat;
    pub mod features;
    pub mod trail;
}
use source::{chat, features, trail};

use tokio::runtime;

/// Schedules of each scenario, unless told otherwise.
const SCHEDULES: usize = 2_000;

/// Preemptions in a schedule of the second half.
const PREEMPTIONS: usize = 3;

type Scenario = (&'static str, fn());

const SCENARIOS: &[Scenario] = &[
    (
        "a reserved token keeps its place",
        dispatch::tokens::keep_their_place,
    ),
    (
        "no more is granted than was earned",
        dispatch::tokens::are_not_granted_twice,
    ),
    ("no token is lost", dispatch::tokens::are_not_lost),
    ("one probe at a time", permits::probe_one_at_a_time),
    (
        "one probe of an endpoint",
        permits::probe_an_endpoint_one_at_a_time,
    ),
    ("no permit is lost", permits::are_not_lost),
    (
        "a last resort takes no probe's place",
        permits::of_last_resort_take_no_probes_place,
    ),
    (
        "changes are told in their order",
        permits::tell_changes_in_order,
    ),
    ("no place is given twice or lost", places::are_given_once),
    ("room that is taken is given back", room::is_given_back),
    ("no limit is passed", limits::are_never_passed),
    (
        "what a refused call gives back is missed by nobody",
        limits::refuse_nobody_for_what_is_given_back,
    ),
    (
        "what ends while limits change is kept for each change",
        limits::keep_what_ends_while_they_change,
    ),
];

fn main() {
    let schedules = std::env::args().nth(1).map_or(SCHEDULES, |argument| {
        argument.parse().expect("a number of schedules")
    });
    // Nobody drives its clock: time stands still, and no timer ever fires.
    let runtime = runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime can be made");
    let _entered = runtime.enter();

    for (name, scenario) in SCENARIOS {
        let half = schedules.div_ceil(2);
        shuttle::check_random(scenario, half);
        shuttle::check_pct(scenario, half, PREEMPTIONS);
        println!("{name}: {} schedules", 2 * half);
    }
}
