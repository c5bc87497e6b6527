use proptest::prelude::*;
use serde_json::json;

use super::specimens::Signer;
use super::*;

/// The moment at which tokens are read.
const NOW: u64 = 1_800_000_000;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn keys(signers: &[&Signer]) -> KeySet {
    let keys: Vec<_> = signers.iter().map(|signer| signer.published()).collect();
    KeySet::read(json!({"keys": keys}).to_string().as_bytes()).unwrap()
}

fn rules() -> IssuerRules {
    IssuerRules {
        name: "sso".into(),
        issuer: "https://sso.example".to_owned(),
        audience: vec!["modelway".to_owned(), "gateway".to_owned()],
        algorithms: Algorithm::USUAL.to_vec(),
        leeway: Duration::from_secs(30),
        caller_claim: "azp".to_owned(),
        team_claim: Some("team".to_owned()),
        scopes_claim: Some("scope".to_owned()),
        labels: vec![("cost_center".to_owned(), "cost".into())],
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://sso.example",
        "aud": ["other", "modelway"],
        "exp": NOW + 60,
        "nbf": NOW - 60,
        "azp": "indexer",
        "team": "search",
        "scope": "generate usage.read",
        "cost_center": "c-7",
    })
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

fn verified(token: &str, keys: &KeySet, rules: &IssuerRules) -> Result<TokenClaims, TokenFault> {
    Unverified::read(token)?.verify(rules, keys, now())
}

#[test]
fn what_a_genuine_token_says_is_read() {
    for signer in [Signer::p256("one"), Signer::ed25519("one")] {
        let token = signer.sign(&signer.header(), &claims());

        let said = verified(&token, &keys(&[&signer]), &rules());

        let expected = TokenClaims {
            issuer: "sso".into(),
            subject: "indexer".to_owned(),
            team: Some("search".to_owned()),
            scopes: Some(vec!["generate".to_owned(), "usage.read".to_owned()]),
            labels: [("cost".into(), "c-7".into())].into(),
            expires: now() + Duration::from_secs(60),
        };
        assert_eq!(said, Ok(expected));
    }
}

#[test]
fn a_claim_that_is_missing_or_wrong_refuses_the_token() {
    let signer = Signer::ed25519("one");
    let table = [
        ("iss", json!("https://sso.example/"), TokenFault::Issuer),
        ("iss", json!(null), TokenFault::Issuer),
        ("aud", json!("elsewhere"), TokenFault::Audience),
        ("aud", json!(["modelway2", 7]), TokenFault::Audience),
        ("aud", json!([]), TokenFault::Audience),
        ("aud", json!(null), TokenFault::Audience),
        ("exp", json!(NOW - 30), TokenFault::Expired),
        ("exp", json!((NOW - 31) as f64 + 0.5), TokenFault::Expired),
        ("exp", json!(-1), TokenFault::Claim),
        ("exp", json!(1e300), TokenFault::Claim),
        ("exp", json!("2100"), TokenFault::Claim),
        ("exp", json!(null), TokenFault::Claim),
        ("nbf", json!(NOW + 31), TokenFault::TooEarly),
        ("nbf", json!("soon"), TokenFault::Claim),
        ("azp", json!(""), TokenFault::Claim),
        ("azp", json!(7), TokenFault::Claim),
        ("azp", json!(null), TokenFault::Claim),
        ("azp", json!("a".repeat(257)), TokenFault::Claim),
        ("team", json!({"id": "search"}), TokenFault::Claim),
        ("scope", json!(["generate", 7]), TokenFault::Claim),
        ("cost_center", json!("not a label"), TokenFault::Claim),
    ];
    for (claim, value, fault) in table {
        let token = signer.sign(&signer.header(), &with(claims(), claim, value.clone()));

        let said = verified(&token, &keys(&[&signer]), &rules());

        assert_eq!(said, Err(fault), "{claim} = {value}");
    }
}

#[test]
fn clocks_may_differ_by_the_leeway() {
    let signer = Signer::ed25519("one");
    for (claim, moment) in [("exp", NOW - 29), ("nbf", NOW + 30)] {
        let token = signer.sign(&signer.header(), &with(claims(), claim, json!(moment)));

        let said = verified(&token, &keys(&[&signer]), &rules());

        assert!(said.is_ok(), "{claim}: {said:?}");
    }
}

#[test]
fn a_token_does_not_choose_how_it_is_verified() {
    let signer = Signer::p256("one");
    let set = keys(&[&signer]);
    let header = signer.header();
    for name in REFUSED_HEADERS {
        let token = signer.sign(&with(header.clone(), name, json!("x")), &claims());
        assert_eq!(
            verified(&token, &set, &rules()),
            Err(TokenFault::Header),
            "{name}"
        );
    }
    for algorithm in [
        "none", "None", "HS256", "es256", "RS256", "EdDSA", "ES384", "",
    ] {
        let token = signer.sign(&with(header.clone(), "alg", json!(algorithm)), &claims());
        let said = verified(&token, &set, &rules());
        assert_eq!(said, Err(TokenFault::Algorithm), "{algorithm}");
    }

    // An algorithm that the issuer's settings leave out.
    let only_rsa = IssuerRules {
        algorithms: vec![Algorithm::Rs256],
        ..rules()
    };
    let token = signer.sign(&header, &claims());
    assert_eq!(
        verified(&token, &set, &only_rsa),
        Err(TokenFault::Algorithm)
    );

    // A token whose signature was taken off.
    let signed = &token[..=token.rfind('.').unwrap()];
    assert_eq!(verified(signed, &set, &rules()), Err(TokenFault::Signature));
}

#[test]
fn a_key_is_used_for_its_own_algorithm_and_purpose_only() {
    let signer = Signer::p256("one");
    let token = signer.sign(&signer.header(), &claims());
    let set = |key: Value| KeySet::read(json!({"keys": [key]}).to_string().as_bytes());
    for (name, value) in [
        ("use", json!("enc")),
        ("key_ops", json!(["sign"])),
        ("alg", json!("ECDH-ES")),
        ("crv", json!("P-521")),
        ("x", json!("AAAA")),
        ("kty", json!("oct")),
    ] {
        let read = set(with(signer.published(), name, value));
        assert_eq!(read, Err(NoKeySet::NoKey), "{name}");
    }
    let other = set(with(signer.published(), "alg", json!("ES384"))).unwrap();
    assert_eq!(
        verified(&token, &other, &rules()),
        Err(TokenFault::Algorithm)
    );
    let own = set(with(signer.published(), "alg", json!("ES256"))).unwrap();
    assert!(verified(&token, &own, &rules()).is_ok());
}

#[test]
fn the_key_is_that_of_the_tokens_id() {
    let (one, other) = (Signer::p256("one"), Signer::p256("other"));
    let both = keys(&[&one, &other]);
    let token = other.sign(&other.header(), &claims());
    assert!(verified(&token, &both, &rules()).is_ok());

    let without = other.sign(&json!({"alg": "ES256"}), &claims());
    assert_eq!(
        verified(&without, &both, &rules()),
        Err(TokenFault::UnknownKey)
    );
    assert!(verified(&without, &keys(&[&other]), &rules()).is_ok());
    assert_eq!(
        verified(&without, &keys(&[&one]), &rules()),
        Err(TokenFault::Signature)
    );

    let unknown = other.sign(&json!({"alg": "ES256", "kid": "new"}), &claims());
    assert_eq!(
        verified(&unknown, &both, &rules()),
        Err(TokenFault::UnknownKey)
    );
    assert_eq!(
        verified(&unknown, &keys(&[&other]), &rules()),
        Err(TokenFault::UnknownKey)
    );

    let forged = one.sign(&other.header(), &claims());
    assert_eq!(
        verified(&forged, &both, &rules()),
        Err(TokenFault::Signature)
    );
}

#[test]
fn what_is_no_token_is_malformed() {
    let huge = format!("{}.e30.AA", "e30".repeat(3000));
    for text in [
        "",
        ".",
        "..",
        "a.b.c",
        "e30.e30",
        "e30.e30.e30.e30",
        "W10.e30.AA",
        &huge,
    ] {
        let read = Unverified::read(text).map(|_| ());
        assert_eq!(read, Err(TokenFault::Malformed), "{text}");
    }
    for document in ["", "[]", "{}", r#"{"keys": {}}"#] {
        let read = KeySet::read(document.as_bytes());
        assert_eq!(read, Err(NoKeySet::Malformed), "{document}");
    }
    let many = json!({"keys": vec![Signer::p256("one").published(); 101]});
    let read = KeySet::read(many.to_string().as_bytes());
    assert_eq!(read, Err(NoKeySet::Malformed));
}

/// The example of RFC 7515, appendix A.2: a signature by RS256. Its claims name no audience, which is found only once
/// the signature has been verified.
#[test]
fn the_signature_of_the_standards_example_is_verified() {
    let key = json!({"kty": "RSA", "e": "AQAB", "n": concat!(
        "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pC",
        "gNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg6",
        "65xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRW",
        "yuXpoQ")});
    let token = concat!(
        "eyJhbGciOiJSUzI1NiJ9.",
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.",
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t",
        "1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12j",
        "zDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQ",
        "Ge77Rw"
    );
    let set = KeySet::read(json!({"keys": [key]}).to_string().as_bytes()).unwrap();
    let joe = IssuerRules {
        issuer: "joe".to_owned(),
        ..rules()
    };

    assert_eq!(verified(token, &set, &joe), Err(TokenFault::Audience));
    let changed = token.replace("cC4hiU", "cC4hiV");
    assert_eq!(verified(&changed, &set, &joe), Err(TokenFault::Signature));
}

proptest! {
    /// No text is accepted that was not signed, and none stops the reader.
    #[test]
    fn a_token_with_any_change_is_refused(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let signer = Signer::ed25519("one");
        let token = signer.sign(&signer.header(), &claims());
        let mut bytes = token.clone().into_bytes();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        if let Ok(text) = String::from_utf8(bytes) && text != token {
            prop_assert!(verified(&text, &keys(&[&signer]), &rules()).is_err());
        }
    }

    #[test]
    fn any_text_is_read_without_harm(text in any::<String>(), document in any::<Vec<u8>>()) {
        let _ = Unverified::read(&text);
        let _ = KeySet::read(&document);
    }
}
