//! Whose fault is a refused credential, and for how long is it not used?

use super::*;

const BASE: Duration = Duration::from_secs(5);

/// A lock on a credential that this many models use, and a time.
fn lock(models: usize) -> (Lock, Instant) {
    let mut lock = Lock::new(Settings::default());
    (0..models).for_each(|model| lock.add(id(model)));
    (lock, Instant::now())
}

/// An attempt on a model that is refused.
fn refuse(lock: &mut Lock, model: usize, now: Instant) -> Fault {
    let pass = admit(lock, model, now);
    lock.refuse(&pass, LockCause::Refused, None, now)
}

/// An attempt on a model that is answered; whether that ends a lock.
fn accept(lock: &mut Lock, model: usize, now: Instant) -> bool {
    let pass = admit(lock, model, now);
    lock.accept(&pass, now)
}

fn admit(lock: &mut Lock, model: usize, now: Instant) -> LockPass {
    assert_eq!(refuses(lock, model, now), None);
    lock.admit(&id(model), now)
}

fn refuses(lock: &Lock, model: usize, now: Instant) -> Option<Locked> {
    lock.refuses(&id(model), now)
}

/// The id of a model of this number.
fn id(model: usize) -> ModelId {
    model.to_string().into()
}

fn refused(until: impl Into<Option<Instant>>) -> Option<Locked> {
    Some(Locked {
        until: until.into(),
        cause: LockCause::Refused,
    })
}

#[test]
fn each_refusal_in_a_row_doubles_the_time_up_to_its_limit() {
    let (mut lock, mut now) = lock(1);

    let mut seconds = Vec::new();
    for _ in 0..9 {
        refuse(&mut lock, 0, now);
        let until = refuses(&lock, 0, now).unwrap().until.unwrap();
        seconds.push(until.duration_since(now).as_secs());
        now = until;
    }

    assert_eq!(seconds, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
}

#[test]
fn a_provider_that_asks_for_more_time_gets_it_up_to_the_limit() {
    for (asked, given) in [(3, 5), (30, 30), (3600, 600)] {
        let (mut lock, now) = lock(1);
        let pass = admit(&mut lock, 0, now);

        let asked = Some(Duration::from_secs(asked));
        let fault = lock.refuse(&pass, LockCause::QuotaExhausted, asked, now);

        let given = Duration::from_secs(given);
        assert_eq!(fault, Fault::Credential(Some(given)));
        assert_eq!(refuses(&lock, 0, now + given), None);
    }
}

#[test]
fn a_credential_that_has_just_been_accepted_for_another_model_is_not_at_fault() {
    let (mut lock, now) = lock(2);
    accept(&mut lock, 1, now);

    assert_eq!(refuse(&mut lock, 0, now + JUST_ACCEPTED), Fault::Model);
    assert_eq!(lock.snapshot(), None);
    let later = now + JUST_ACCEPTED + Duration::from_millis(1);
    assert_eq!(refuse(&mut lock, 0, later), Fault::Credential(Some(BASE)));
}

#[test]
fn an_acceptance_for_the_same_model_does_not_clear_the_credential() {
    let (mut lock, now) = lock(2);
    accept(&mut lock, 0, now);

    assert_eq!(refuse(&mut lock, 0, now), Fault::Credential(Some(BASE)));
}

#[test]
fn a_revoked_credential_is_each_models_fault_until_the_last_one_is_refused() {
    let (mut lock, now) = lock(3);
    for model in 0..3 {
        accept(&mut lock, model, now);
    }

    let faults = [0, 1, 0, 2].map(|model| refuse(&mut lock, model, now));

    let locked = Fault::Credential(Some(BASE));
    assert_eq!(faults, [Fault::Model, Fault::Model, Fault::Model, locked]);
}

#[test]
fn while_one_model_was_refused_the_others_are_asked_all_at_once() {
    let (mut lock, now) = lock(2);
    refuse(&mut lock, 0, now);
    assert_eq!(refuses(&lock, 0, now), refused(now + BASE));
    assert!(!lock.snapshot().unwrap().proven);

    let passes = [(); 3].map(|()| admit(&mut lock, 1, now));

    assert!(passes.iter().all(|pass| !pass.is_probe()));
    assert!(lock.accept(&passes[0], now));
    assert_eq!(refuses(&lock, 0, now), None);
    // The outcome of an attempt that was sent during the lock is out of date.
    let late = lock.refuse(&passes[1], LockCause::Refused, None, now);
    assert_eq!(late, Fault::Credential(None));
    assert_eq!(lock.snapshot(), None);
    assert_eq!(refuse(&mut lock, 0, now), Fault::Model);
}

#[test]
fn once_a_second_model_was_refused_each_other_one_is_asked_once_and_one_at_a_time() {
    let (mut lock, now) = lock(4);
    refuse(&mut lock, 0, now);
    assert_eq!(refuse(&mut lock, 1, now), Fault::Credential(None));
    assert!(lock.snapshot().unwrap().proven);
    for model in [0, 1] {
        assert_eq!(refuses(&lock, model, now), refused(now + BASE));
    }

    assert!(lock.would_probe(&id(2), now));
    let probe = admit(&mut lock, 2, now);

    assert!(probe.is_probe());
    assert_eq!(refuses(&lock, 2, now), refused(now + BASE));
    assert_eq!(refuses(&lock, 3, now), refused(now + BASE));
    lock.refuse(&probe, LockCause::Refused, None, now);
    lock.release(&probe);
    assert_eq!(refuses(&lock, 2, now), refused(now + BASE));
    assert!(
        lock.snapshot().unwrap().proven,
        "a third refusal clears no model"
    );
    assert!(accept(&mut lock, 3, now), "the last model's probe decides");
    assert_eq!(refuses(&lock, 0, now), None);
}

#[test]
fn after_each_wait_one_probe_at_a_time_decides() {
    let (mut lock, begun) = lock(1);
    refuse(&mut lock, 0, begun);
    let now = begun + BASE;

    let given_up = admit(&mut lock, 0, now);
    assert!(given_up.is_probe());
    assert_eq!(refuses(&lock, 0, now), refused(None));
    lock.release(&given_up);
    let probe = admit(&mut lock, 0, now);
    // A probe may never end: after its lease another one is let through.
    let now = now + PROBE_LEASE;
    let another = admit(&mut lock, 0, now);
    lock.release(&probe);
    assert_eq!(refuses(&lock, 0, now), refused(None), "not its own place");

    let fault = lock.refuse(&another, LockCause::Refused, None, now);
    assert_eq!(fault, Fault::Credential(Some(2 * BASE)));
    let snapshot = lock.snapshot().unwrap();
    assert_eq!((snapshot.since, snapshot.refusals), (begun, 2));
    assert!(lock.accept(&probe, now), "better late than never");
}

#[test]
fn an_accepted_credential_is_as_good_as_new() {
    let (mut lock, now) = lock(1);
    refuse(&mut lock, 0, now);
    let now = now + BASE;

    assert!(accept(&mut lock, 0, now));

    assert_eq!(refuse(&mut lock, 0, now), Fault::Credential(Some(BASE)));
}

#[test]
fn the_outcomes_of_attempts_from_before_decide_nothing() {
    let (mut lock, now) = lock(1);
    let [first, refused_later, accepted_later] = [(); 3].map(|()| admit(&mut lock, 0, now));
    lock.refuse(&first, LockCause::QuotaExhausted, None, now);
    let locked = lock.snapshot();

    let fault = lock.refuse(&refused_later, LockCause::Refused, None, now + BASE);
    assert_eq!(fault, Fault::Credential(None));
    assert!(!lock.accept(&accepted_later, now + BASE));

    assert_eq!(lock.snapshot(), locked);
}

#[test]
fn the_outcomes_of_attempts_from_before_a_lock_decide_nothing_after_it() {
    let (mut lock, now) = lock(2);
    let before = admit(&mut lock, 0, now);
    refuse(&mut lock, 1, now);
    assert!(lock.unlock());

    let late = lock.refuse(&before, LockCause::Refused, None, now);

    assert_eq!(late, Fault::Credential(None));
    assert_eq!(lock.snapshot(), None);
}

#[test]
fn another_key_ends_the_lock_and_takes_no_blame_for_the_one_before() {
    let (mut lock, now) = lock(2);
    accept(&mut lock, 1, now);
    let under_way = admit(&mut lock, 0, now);

    assert!(!lock.renew(), "it was not locked");

    let late = lock.refuse(&under_way, LockCause::Refused, None, now);
    assert_eq!(late, Fault::Credential(None));
    // Nor is the one before its praise.
    assert_eq!(refuse(&mut lock, 0, now), Fault::Credential(Some(BASE)));
    assert!(lock.renew());
    assert_eq!(lock.snapshot(), None);
}

#[test]
fn a_model_that_is_pardoned_is_asked_once_more() {
    let (mut lock, now) = lock(2);
    refuse(&mut lock, 0, now);
    refuse(&mut lock, 1, now);

    assert!(lock.pardon(&id(0)));

    assert!(!lock.pardon(&id(0)));
    assert_eq!(refuses(&lock, 1, now), refused(now + BASE));
    refuse(&mut lock, 0, now);
    assert_eq!(refuses(&lock, 0, now), refused(now + BASE));
}

#[test]
fn other_settings_hold_from_the_next_refusal_on() {
    let (mut lock, now) = lock(1);
    refuse(&mut lock, 0, now);

    lock.change(Settings {
        base: 3 * BASE,
        ..Settings::default()
    });

    assert_eq!(refuses(&lock, 0, now), refused(now + BASE));
    let second = refuse(&mut lock, 0, now + BASE);
    assert_eq!(second, Fault::Credential(Some(6 * BASE)));
}

#[test]
fn a_model_that_has_left_no_longer_clears_the_credential() {
    let (mut lock, now) = lock(2);
    accept(&mut lock, 1, now);

    lock.remove(&id(1));

    assert_eq!(refuse(&mut lock, 0, now), Fault::Credential(Some(BASE)));
    assert!(lock.snapshot().unwrap().proven, "its only model is refused");
}

#[test]
fn watchers_see_what_the_provider_said() {
    let names = [LockCause::Refused, LockCause::QuotaExhausted].map(LockCause::name);

    assert_eq!(names, ["credential_refused", "quota_exhausted"]);
}
