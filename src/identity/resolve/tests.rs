use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;
use proptest::prelude::*;
use ring::rand::SystemRandom;
use secrecy::ExposeSecret as _;

use crate::identity::directory::numbers::AccountNumbers;
use crate::identity::key::{KeyKind, NewKey};
use crate::identity::pattern::NamePattern;
use crate::identity::record::{
    AccountKind, AccountRecord, CallsUnderWay, DirectoryRecords, KeyRecord, ProofBinding,
};
use crate::identity::{CredentialKind, Labels, Scope, specimens};

use super::*;

fn account(id: &str, bindings: Vec<ProofBinding>) -> AccountRecord {
    AccountRecord {
        id: id.to_owned(),
        kind: AccountKind::Caller,
        parent: None,
        display_name: String::new(),
        scopes: None,
        labels: Labels::new(),
        label_rules: None,
        time_zone: None,
        bindings,
        closed: None,
        kept_in: "the test".to_owned(),
    }
}

/// A service with the callers `a`, `b` and `shut`, which is closed; each has a key.
struct Service {
    directory: Directory,
    secrets: Vec<String>,
}

impl Service {
    fn new(anonymous: Option<&str>, reads_certificates: bool, pattern: Option<&str>) -> Self {
        let named = |name: &str| ProofBinding::AlternativeName(name.to_owned());
        let common = |name: &str| ProofBinding::CommonName(name.to_owned());
        let mut accounts = vec![
            account("a", vec![named("spiffe://prod/a"), common("a")]),
            account("b", vec![named("B.test")]),
            account("shut", vec![named("shut.test")]),
        ];
        accounts[2].closed = Some(CallsUnderWay::End);
        let mut secrets = Vec::new();
        let mut keys = Vec::new();
        for (id, account, expires) in [
            ("k-a", "a", None),
            ("k-b", "b", None),
            ("k-old", "a", Some(at(10))),
            ("k-revoked", "a", None),
            ("k-shut", "shut", None),
        ] {
            let made = NewKey::make(KeyKind::Data, &SystemRandom::new()).unwrap();
            keys.push(KeyRecord {
                hash: made.hash,
                expires,
                revoked: (id == "k-revoked").then_some(CallsUnderWay::End),
                ..specimens::key(id, account)
            });
            secrets.push(made.secret.expose_secret().to_owned());
        }
        let pattern = pattern.map(|pattern| NamePattern::parse(pattern).unwrap());
        let records = DirectoryRecords {
            accounts: &accounts,
            keys: &keys,
            anonymous,
            reads_certificates,
            pattern: pattern.as_ref(),
            nameable: None,
        };
        let before = Directory::default();
        let directory = Directory::build(&records, &before, &AccountNumbers::default()).unwrap();
        Self { directory, secrets }
    }

    fn bearer(&self, key: usize) -> String {
        format!("Bearer {}", self.secrets[key])
    }

    fn resolve(
        &self,
        entries: &[&str],
        certificate: Option<&ClientCertificate>,
    ) -> Result<(String, CredentialKind), Unproved> {
        let mut headers = HeaderMap::new();
        for entry in entries {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(entry).unwrap());
        }
        let shown = Shown {
            headers: &headers,
            certificate,
            token: None,
        };
        let identity = resolve(
            &self.directory,
            |_| Err(Unproved::UnknownIssuer),
            shown,
            at(100),
        )?;
        Ok((identity.account.caller.to_string(), identity.kind))
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn certificate(uris: &[&str], dns_names: &[&str], common_name: Option<&str>) -> ClientCertificate {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    ClientCertificate {
        uris: owned(uris),
        dns_names: owned(dns_names),
        has_others: false,
        common_name: common_name.map(str::to_owned),
    }
}

fn by(caller: &str, kind: CredentialKind) -> Result<(String, CredentialKind), Unproved> {
    Ok((caller.to_owned(), kind))
}

#[test]
fn a_key_is_believed_and_every_other_entry_is_refused_though_anonymous_calls_are_allowed() {
    let service = Service::new(Some("local"), false, None);
    let [a, _, old, revoked, shut] = [0, 1, 2, 3, 4].map(|key| service.bearer(key));

    assert_eq!(
        service.resolve(&[], None),
        by("local", CredentialKind::Anonymous)
    );
    assert_eq!(service.resolve(&[&a], None), by("a", CredentialKind::Key));
    let lower = a.replace("Bearer", "bearer");
    assert_eq!(
        service.resolve(&[&lower], None),
        by("a", CredentialKind::Key)
    );
    let unknown = NewKey::make(KeyKind::Data, &SystemRandom::new()).unwrap();
    let unknown = format!("Bearer {}", unknown.secret.expose_secret());
    let other_kind = a.replace("mwd_", "mwa_");
    for (entries, why) in [
        (&[&*a, &*a][..], Unproved::SeveralEntries),
        (&[&*a, ""], Unproved::SeveralEntries),
        (&[""], Unproved::OtherScheme),
        (&["Bearer"], Unproved::Malformed),
        (&["Bearer "], Unproved::Malformed),
        (&["Basic YTpi"], Unproved::OtherScheme),
        (&["Bearer sk-12345"], Unproved::Malformed),
        (&["Bearer a.b.c"], Unproved::UnknownIssuer),
        (&["Bearer mwd_a.b.c"], Unproved::Malformed),
        (&[&*unknown], Unproved::UnknownKey),
        (&[&*other_kind], Unproved::Malformed),
        (&[&*old], Unproved::ExpiredKey),
        (&[&*revoked], Unproved::RevokedKey),
        (&[&*shut], Unproved::RevokedKey),
    ] {
        assert_eq!(service.resolve(entries, None), Err(why), "{entries:?}");
    }
}

#[test]
fn without_an_account_for_anonymous_calls_a_credential_is_missing() {
    let service = Service::new(None, true, None);

    assert_eq!(service.resolve(&[], None), Err(Unproved::Missing));
    assert_eq!(
        Service::new(Some("shut"), true, None).resolve(&[], None),
        Err(Unproved::ClosedAccount)
    );
}

#[test]
fn a_certificate_names_a_caller_by_its_first_kind_of_name_that_is_bound() {
    let service = Service::new(Some("local"), true, None);
    let of_certificate = |certificate: ClientCertificate| service.resolve(&[], Some(&certificate));
    let kind = CredentialKind::Certificate;

    assert_eq!(
        of_certificate(certificate(&["spiffe://prod/a"], &["b.test"], None)),
        by("a", kind)
    );
    assert_eq!(
        of_certificate(certificate(&["spiffe://prod/x"], &["b.TEST"], None)),
        by("b", kind)
    );
    assert_eq!(
        of_certificate(certificate(&[], &[], Some("a"))),
        by("a", kind)
    );
    // A common name counts only where there is no alternative name of any kind.
    for unknown in [
        certificate(&["spiffe://prod/x"], &[], Some("a")),
        certificate(&[], &["x.test"], Some("a")),
        ClientCertificate {
            has_others: true,
            ..certificate(&[], &[], Some("a"))
        },
        certificate(&["spiffe://prod/A"], &[], None),
        certificate(&[], &[], Some("b")),
        certificate(&[], &[], None),
    ] {
        assert_eq!(
            of_certificate(unknown.clone()),
            Err(Unproved::UnknownCertificate),
            "{unknown:?}"
        );
    }
    assert_eq!(
        of_certificate(certificate(&[], &["shut.test"], None)),
        Err(Unproved::ClosedAccount)
    );
}

#[test]
fn a_pattern_names_callers_that_there_are() {
    let service = Service::new(None, true, Some("spiffe://prod/ns/*/sa/{caller}"));
    let of_uris = |uris: &[&str]| service.resolve(&[], Some(&certificate(uris, &[], None)));

    assert_eq!(
        of_uris(&["spiffe://prod/ns/x/sa/b"]),
        by("b", CredentialKind::Certificate)
    );
    assert_eq!(
        of_uris(&["spiffe://prod/ns/x/sa/nobody"]),
        Err(Unproved::UnknownCertificate)
    );
    assert_eq!(
        of_uris(&["spiffe://prod/ns/x/sa/shut"]),
        Err(Unproved::ClosedAccount)
    );
    let both = ["spiffe://prod/ns/x/sa/a", "spiffe://prod/ns/x/sa/b"];
    assert_eq!(of_uris(&both), Err(Unproved::Conflict));
    // What is bound exactly is believed before the pattern.
    assert_eq!(
        of_uris(&["spiffe://prod/ns/x/sa/b", "spiffe://prod/a"]),
        by("a", CredentialKind::Certificate)
    );
}

#[test]
fn a_name_of_many_hosts_is_that_of_no_caller() {
    let service = Service::new(None, true, Some("*.{caller}.test"));
    let of_name = |name: &str| service.resolve(&[], Some(&certificate(&[], &[name], None)));

    assert_eq!(of_name("x.b.test"), by("b", CredentialKind::Certificate));
    for name in ["*.b.test", "x.*.test", "x.b.*"] {
        assert_eq!(of_name(name), Err(Unproved::UnknownCertificate), "{name}");
    }
}

#[test]
fn two_proofs_name_one_caller_or_none() {
    let service = Service::new(Some("local"), true, None);
    let a = service.bearer(0);
    let of_a = certificate(&["spiffe://prod/a"], &[], None);
    let of_b = certificate(&[], &["b.test"], None);
    let unknown = certificate(&[], &["x.test"], None);

    assert_eq!(
        service.resolve(&[&a], Some(&of_a)),
        by("a", CredentialKind::Key)
    );
    assert_eq!(service.resolve(&[&a], Some(&of_b)), Err(Unproved::Conflict));
    // Whom a certificate does not name it contradicts nobody.
    assert_eq!(
        service.resolve(&[&a], Some(&unknown)),
        by("a", CredentialKind::Key)
    );
    // A bad key is not made good by a certificate.
    assert_eq!(
        service.resolve(&[&service.bearer(3)], Some(&of_a)),
        Err(Unproved::RevokedKey)
    );
}

#[test]
fn where_certificates_only_open_the_door_they_prove_nobody() {
    let service = Service::new(Some("local"), false, Some("{caller}.test"));
    let of_a = certificate(&["spiffe://prod/a"], &["b.test"], None);

    assert_eq!(
        service.resolve(&[], Some(&of_a)),
        by("local", CredentialKind::Anonymous)
    );
    let b = service.bearer(1);
    assert_eq!(
        service.resolve(&[&b], Some(&of_a)),
        by("b", CredentialKind::Key)
    );
}

#[test]
fn callers_are_not_told_why_a_key_is_refused() {
    let told: BTreeSet<_> = [
        Unproved::Malformed,
        Unproved::UnknownKey,
        Unproved::ExpiredKey,
        Unproved::RevokedKey,
        Unproved::ClosedAccount,
    ]
    .map(|why| format!("{:?} {}", why.error(), why.error()))
    .into();

    assert_eq!(told.len(), 1);
    let names: BTreeSet<_> = Unproved::ALL.map(Unproved::name).into();
    assert_eq!(names.len(), Unproved::ALL.len());
}

#[test]
fn the_scopes_of_a_caller_without_a_record_of_them_are_all_scenarios() {
    let service = Service::new(None, false, None);

    let key = service
        .directory
        .key(service.secrets[0].as_bytes())
        .unwrap();

    assert_eq!(key.identity.scopes, Scope::by_default());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Row 18 of the invariants for keys: none is accepted that was not issued.
    #[test]
    fn no_key_is_accepted_that_was_not_issued(
        at in 0..60_usize,
        bytes in proptest::collection::vec(0x20..=0x7e_u8, 0..4),
        replaced in 0..4_usize,
        whole in proptest::option::of("mw[da]_[0-9A-Za-z]{49}"),
    ) {
        use std::sync::LazyLock;
        static SERVICE: LazyLock<Service> = LazyLock::new(|| Service::new(None, false, None));
        let issued = SERVICE.secrets[0].as_bytes();
        let start = at.min(issued.len());
        let end = (start + replaced).min(issued.len());
        let mut sent = issued.to_vec();
        sent.splice(start..end, bytes);
        let sent = whole.map_or(sent, String::into_bytes);

        prop_assert_eq!(SERVICE.directory.key(&sent).is_some(), sent == issued);
    }
}

/// Numbers that look random, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        // Xorshift (Marsaglia 2003), with a step that no two neighbours share.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let below = u64::try_from(below).unwrap();
        usize::try_from((self.0 >> 11) % below).unwrap()
    }
}

/// Row 18 of the invariants for keys, on many samples: changed, spliced, cut, lengthened and made up.
#[test]
fn of_a_million_texts_that_were_not_issued_no_key_is_accepted() {
    const SAMPLES: usize = 1_000_000;
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let service = Service::new(None, false, None);
    let issued: Vec<&[u8]> = service
        .secrets
        .iter()
        .map(|secret| secret.as_bytes())
        .collect();
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let (mut accepted, mut of_length) = (0, 0);
    for _ in 0..SAMPLES {
        let mut sent = issued[numbers.next(issued.len())].to_vec();
        match numbers.next(6) {
            0 => {
                for _ in 0..=numbers.next(3) {
                    let at = numbers.next(sent.len());
                    sent[at] = DIGITS[numbers.next(DIGITS.len())];
                }
            }
            1 => {
                let other = issued[numbers.next(issued.len())];
                let at = numbers.next(sent.len());
                sent[at..].copy_from_slice(&other[at..]);
            }
            2 => sent[2] = if sent[2] == b'd' { b'a' } else { b'd' },
            3 => {
                let at = numbers.next(sent.len());
                match numbers.next(3) {
                    0 => sent.truncate(at),
                    1 => sent.insert(at, b'0'),
                    _ => drop(sent.remove(at)),
                }
            }
            4 => {
                let at = numbers.next(sent.len());
                sent[at] ^= 1 << numbers.next(8);
            }
            _ => sent[4..].fill_with(|| DIGITS[numbers.next(DIGITS.len())]),
        }
        of_length += usize::from(sent.len() == key::KEY_LENGTH);
        let is_issued = issued.contains(&&*sent);
        let is_accepted = service.directory.key(&sent).is_some();
        assert!(
            is_issued || !is_accepted,
            "{}",
            String::from_utf8_lossy(&sent)
        );
        accepted += usize::from(is_accepted && !is_issued);
    }
    println!(
        "texts that were not issued: {SAMPLES}, of the length of a key: {of_length}, accepted: {accepted}"
    );
}

/// How long refusing takes must not tell how much of a key was right.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "times are measured here, not passed in"
)]
fn the_time_to_refuse_does_not_depend_on_the_prefix() {
    const SAMPLES: usize = 1_000_000;
    let service = Service::new(None, false, None);
    let issued = service.secrets[0].as_bytes();
    let changed = |at: usize| {
        let mut secret = issued.to_vec();
        secret[at] = if secret[at] == b'x' { b'y' } else { b'x' };
        secret
    };
    // The first three share 6, 30 and 52 characters with a key, the last two none but its beginning.
    let made_up = |digit: u8| [&issued[..4], &[digit; 49][..]].concat();
    let sent = [
        changed(6),
        changed(30),
        changed(52),
        made_up(b'x'),
        made_up(b'y'),
    ];
    let mut times = [const { Vec::new() }; 5];
    for round in 0..SAMPLES {
        let which = round % sent.len();
        let began = std::time::Instant::now();
        std::hint::black_box(service.directory.key(std::hint::black_box(&sent[which])));
        times[which].push(began.elapsed().as_nanos());
    }
    // Half of the samples: what else runs on the machine only makes others longer.
    let nanos = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    println!("{SAMPLES} refusals, median by the right characters 6, 30, 52, 4, 4: {nanos:?} ns");
    let (least, most) = (nanos.iter().min().unwrap(), nanos.iter().max().unwrap());
    // Comparing byte by byte would take 52 steps in place of 6; hashing takes the same for all.
    assert!(most - least <= least / 5, "{nanos:?}");
}
