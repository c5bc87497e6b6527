use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use super::super::token::Algorithm;
use super::super::token::specimens::Signer;
use super::*;

const NOW: SystemTime = UNIX_EPOCH;

fn later(seconds: u64) -> SystemTime {
    NOW + Duration::from_secs(1_800_000_000 + seconds)
}

fn settings(name: &str) -> IssuerSettings {
    IssuerSettings {
        rules: IssuerRules {
            name: name.into(),
            issuer: format!("https://{name}.example"),
            audience: vec!["modelway".to_owned()],
            algorithms: Algorithm::USUAL.to_vec(),
            leeway: Duration::ZERO,
            caller_claim: "sub".to_owned(),
            team_claim: None,
            scopes_claim: None,
            labels: Vec::new(),
        },
        keys: KeySource::Url(format!("https://{name}.example/keys")),
        accounts: SubjectAccounts::Bound,
    }
}

fn set(signers: &[&Signer]) -> KeySet {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.published()).collect();
    KeySet::read(json!({"keys": keys}).to_string().as_bytes()).unwrap()
}

fn token(signer: &Signer, issuer: &str, ends: u64) -> String {
    let claims = json!({
        "iss": format!("https://{issuer}.example"),
        "aud": "modelway",
        "sub": "indexer",
        "exp": 1_800_000_000 + ends,
    });
    signer.sign(&signer.header(), &claims)
}

fn refusal(issuers: &Issuers, token: &str, now: SystemTime) -> Option<TokenRefusal> {
    issuers.verify(token, now).err()
}

#[test]
fn a_token_is_believed_by_the_keys_of_the_issuer_that_it_names() {
    let (ours, others) = (Signer::ed25519("one"), Signer::ed25519("one"));
    let settings = vec![settings("ours"), settings("others")];
    let issuers = Issuers::new(settings, &Issuers::default());
    let genuine = token(&ours, "ours", 600);
    let unknown = Some(TokenRefusal::NoKeys(Arc::clone(&issuers.all()[0])));
    assert_eq!(refusal(&issuers, &genuine, later(0)), unknown);

    issuers.learn(&issuers.all()[0], set(&[&ours]), later(0));
    issuers.learn(&issuers.all()[1], set(&[&others]), later(0));

    assert_eq!(
        issuers.verify(&genuine, later(1)).unwrap().claims.subject,
        "indexer"
    );
    let fault = |fault| Some(TokenRefusal::Fault(fault));
    let forged = token(&others, "ours", 600);
    assert_eq!(
        refusal(&issuers, &forged, later(1)),
        fault(TokenFault::Signature)
    );
    let strange = token(&ours, "nobodys", 600);
    assert_eq!(
        refusal(&issuers, &strange, later(1)),
        fault(TokenFault::Issuer)
    );
}

#[test]
fn a_verified_token_is_not_believed_beyond_its_end_or_the_end_of_its_key() {
    let (old, new) = (Signer::ed25519("old"), Signer::ed25519("new"));
    let issuers = Issuers::new(vec![settings("ours")], &Issuers::default());
    let issuer = Arc::clone(&issuers.all()[0]);
    issuers.learn(&issuer, set(&[&old, &new]), later(0));
    let (short, long) = (token(&new, "ours", 10), token(&old, "ours", 600));
    assert!(issuers.verify(&short, later(9)).is_ok());
    assert!(issuers.verify(&long, later(9)).is_ok());

    let expired = Some(TokenRefusal::Fault(TokenFault::Expired));
    assert_eq!(refusal(&issuers, &short, later(10)), expired);
    issuers.learn(&issuer, set(&[&new]), later(10));
    let unknown = Some(TokenRefusal::KeyNotLearned(Arc::clone(&issuer)));
    assert_eq!(refusal(&issuers, &long, later(10)), unknown);

    // Nor by the issuers of a configuration that came meanwhile, which have the same keys.
    issuers.learn(&issuer, set(&[&old, &new]), later(10));
    let others = Issuers::new(vec![settings("ours")], &issuers);
    assert!(others.verify(&long, later(10)).is_ok());
    issuers.learn(&issuer, set(&[&new]), later(11));
    assert_eq!(refusal(&others, &long, later(11)), unknown);

    // The last keys of an issuer that cannot be reached are used for a day.
    let day = KEYS_LAST.as_secs();
    let lasting = token(&new, "ours", 2 * day);
    assert!(issuers.verify(&lasting, later(9 + day)).is_ok());
    let too_old = Some(TokenRefusal::NoKeys(Arc::clone(&issuer)));
    assert_eq!(refusal(&issuers, &lasting, later(100 + day)), too_old);
}

#[test]
fn a_token_with_an_unknown_key_may_be_tried_again_while_its_issuer_cannot_be_reached() {
    let (known, new) = (Signer::ed25519("known"), Signer::ed25519("new"));
    let issuers = Issuers::new(vec![settings("ours")], &Issuers::default());
    let issuer = Arc::clone(&issuers.all()[0]);
    issuers.learn(&issuer, set(&[&known]), later(0));
    let (genuine, unknown) = (token(&known, "ours", 600), token(&new, "ours", 600));
    let not_learned = Some(TokenRefusal::KeyNotLearned(Arc::clone(&issuer)));
    assert_eq!(refusal(&issuers, &unknown, later(1)), not_learned);

    issuer.has_failed(later(30));

    let unchecked = Some(TokenRefusal::NoKeys(Arc::clone(&issuer)));
    assert_eq!(refusal(&issuers, &unknown, later(31)), unchecked);
    assert_eq!(refusal(&issuers, &genuine, later(31)), None);
    issuers.learn(&issuer, set(&[&known]), later(60));
    assert_eq!(refusal(&issuers, &unknown, later(61)), not_learned);
}

#[test]
fn keys_are_not_looked_for_more_often_than_is_polite() {
    let issuers = Issuers::new(vec![settings("ours")], &Issuers::default());
    let issuer = &issuers.all()[0];
    let mut wishes = issuer.wishes();
    let mut looked = issuer.look_again(later(0)).unwrap();
    assert!(wishes.has_changed().unwrap());
    wishes.mark_unchanged();
    assert!(!looked.has_changed().unwrap());

    issuer.has_failed(later(1));

    assert!(looked.has_changed().unwrap());
    looked.mark_unchanged();
    assert!(issuer.look_again(later(30)).is_none());
    assert!(!wishes.has_changed().unwrap());
    assert!(issuer.look_again(later(31)).is_some());
}

#[test]
fn a_changed_configuration_keeps_the_keys_of_issuers_that_stay() {
    let ours = Signer::ed25519("one");
    let first = Issuers::new(vec![settings("ours")], &Issuers::default());
    first.learn(&first.all()[0], set(&[&ours]), later(0));
    let genuine = token(&ours, "ours", 600);

    let second = Issuers::new(vec![settings("new"), settings("ours")], &first);
    assert!(second.verify(&genuine, later(1)).is_ok());

    let mut changed = settings("ours");
    changed.rules.audience = vec!["elsewhere".to_owned()];
    let third = Issuers::new(vec![changed], &second);
    assert!(third.verify(&genuine, later(1)).is_err());
}
