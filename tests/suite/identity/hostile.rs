//! Does anybody get in, or get another's identity, by writing credentials in a way that nobody expects? At every door.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use modelway::grpc::v1::caller_service_client::CallerServiceClient;
use modelway::grpc::v1::stream_generate_response::Event;
use modelway::grpc::v1::{
    CloseAccountRequest, CreateKeyRequest, Key, PutAccountRequest, WhoAmIRequest,
};
use modelway::simulator::Behaviour;
use prost::Message as _;
use ring::hmac;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::{Code, Request};

use super::issuers::Sso;
use super::{TestKey, bearer, caller, hello};
use crate::admin::support::Administered;
use crate::support::{Gateway, ONE_MODEL, details};

/// Much longer than anything that is waited for takes.
const PROMPTLY: Duration = Duration::from_secs(20);

/// The status that a door answers these lines of a head with: 200 if the call is let in. Lines are sent as they are.
async fn by_http1(gateway: &Gateway, door: &str, lines: &[String]) -> u16 {
    let json = br#"{"scenario":"one","messages":[{"role":"ROLE_USER","text":"Hello"}]}"#;
    let message = hello().encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let web = [&[0][..], &length, &message].concat();
    let (path, kind, body) = match door {
        "json" => ("/v1/generate", "application/json", &json[..]),
        _ => (
            "/modelway.v1.GenerationService/Generate",
            "application/grpc-web+proto",
            &web[..],
        ),
    };
    let mut head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n",
        body.len()
    );
    for line in lines {
        head += &format!("{line}\r\n");
    }
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(b"\r\n").await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    timeout(PROMPTLY, stream.read_to_end(&mut answer))
        .await
        .unwrap()
        .unwrap();
    let text = String::from_utf8_lossy(&answer);
    let status: u16 = text[9..12].parse().unwrap();
    match text.find("grpc-status:") {
        Some(at) => match text[at + 12..].trim_start().starts_with("0\r") {
            true => 200,
            false => 401,
        },
        None => status,
    }
}

/// The code that gRPC answers these entries of `authorization` with.
async fn by_grpc(gateway: &Gateway, entries: &[String]) -> Code {
    let mut request = Request::new(hello());
    for entry in entries {
        let Ok(entry) = entry.parse() else {
            return Code::Unauthenticated;
        };
        request.metadata_mut().append("authorization", entry);
    }
    let answer = gateway.generation().generate(request).await;
    answer.map_or_else(|status| status.code(), |_| Code::Ok)
}

#[tokio::test]
async fn no_way_to_write_the_entry_lets_anybody_in_at_any_door() {
    let [key, other] = [(); 2].map(|()| TestKey::data());
    let tables = [
        caller("a", ""),
        key.table("k", "a", ""),
        caller("b", ""),
        other.table("o", "b", ""),
    ];
    let gateway = Gateway::start(&format!("{ONE_MODEL}{}", tables.concat())).await;
    let (secret, second) = (&key.secret, &other.secret);
    let cases = [
        // The scheme is written in any case, and space around it means nothing (RFC 9110, section 11.1).
        (vec![format!("Bearer {secret}")], true),
        (vec![format!("bearer {secret}")], true),
        (vec![format!("BEARER   {secret}  ")], true),
        (vec![format!("Bearer {secret}"); 2], false),
        (
            vec![format!("Bearer {secret}"), format!("Bearer {second}")],
            false,
        ),
        (vec![format!("Bearer {secret}, Bearer {second}")], false),
        (vec![format!("Bearer {secret},")], false),
        (vec![format!("Bearer {secret} {second}")], false),
        (vec![format!("Bearer\t{secret}")], false),
        (vec![format!("Bearer{secret}")], false),
        (vec![format!("Bearer Bearer {secret}")], false),
        (vec![format!("Bearer \"{secret}\"")], false),
        (vec![format!("Token {secret}")], false),
        (vec![format!("Basic {secret}")], false),
        (vec![secret.clone()], false),
        (vec!["Bearer".to_owned()], false),
        (vec![String::new()], false),
        (vec![format!("Bearer {}", secret.to_uppercase())], false),
        (
            vec![format!("Bearer {}", secret.replacen("mwd_", "mwa_", 1))],
            false,
        ),
        (vec![format!("Bearer {}", &secret[..52])], false),
        (vec![format!("Bearer {secret}0")], false),
        (vec![format!("Bearer mwd_{}", "0".repeat(4_000))], false),
        (vec![format!("Bearer {}", key.sha256)], false),
        (vec![format!("Bearer mwd_{}", &key.sha256[..49])], false),
    ];
    let mut let_in = 0;
    for (entries, is_good) in &cases {
        let code = by_grpc(&gateway, entries).await;
        let expected = if *is_good {
            Code::Ok
        } else {
            Code::Unauthenticated
        };
        assert_eq!(code, expected, "grpc: {entries:?}");
        let lines: Vec<_> = entries
            .iter()
            .map(|entry| format!("Authorization: {entry}"))
            .collect();
        for door in ["json", "web"] {
            let status = by_http1(&gateway, door, &lines).await;
            assert_eq!(status == 200, *is_good, "{door}: {status}: {entries:?}");
            assert!(
                status == 200 || status == 401,
                "{door}: {status}: {entries:?}"
            );
        }
        let_in += usize::from(*is_good);
    }
    // Other entries prove nothing, and neither does a name that a proxy writes.
    let entry = URL_SAFE_NO_PAD.encode(format!("Bearer {secret}"));
    for line in [
        format!("authorization-bin: {entry}"),
        format!("proxy-authorization: Bearer {secret}"),
        format!("x-api-key: {secret}"),
        format!("api-key: {secret}"),
        format!("cookie: authorization=Bearer {secret}"),
        "x-forwarded-client-cert: By=spiffe://x;URI=spiffe://prod/a".to_owned(),
        "x-forwarded-user: a".to_owned(),
    ] {
        for door in ["json", "web"] {
            let status = by_http1(&gateway, door, std::slice::from_ref(&line)).await;
            assert_eq!(status, 401, "{door}: {line}");
        }
    }
    // Two entries in different spellings are two.
    let lines = [
        format!("Authorization: Bearer {secret}"),
        format!("AUTHORIZATION: Bearer {secret}"),
    ];
    for door in ["json", "web"] {
        assert_eq!(by_http1(&gateway, door, &lines).await, 401, "{door}");
    }
    assert_eq!(gateway.simulator.requests().len(), 3 * let_in);
    println!(
        "ways to write the entry: {}, let in at each door: {let_in}",
        cases.len()
    );
}

#[tokio::test]
async fn no_token_is_believed_that_says_how_to_verify_it_or_says_it_in_odd_types() {
    let sso = Sso::start("one").await;
    let gateway = sso.gateway("accounts = 'create'").await;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let good = json!({"iss": "https://sso.example", "aud": "modelway", "azp": "indexer", "exp": now + 600});
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims.to_string()
    };
    let header = r#"{"alg":"EdDSA","kid":"one"}"#;
    let of_header = |header: &str| sso.signed(header, &good.to_string());
    let of_claim = |name: &str, value: Value| sso.signed(header, &with(name, value));
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let unsigned = |header: &str| format!("{}.{}.", part(header), part(&good.to_string()));
    // The public key as the secret of a symmetric algorithm.
    let by_public_key = {
        let signed = format!(
            "{}.{}",
            part(r#"{"alg":"HS256","kid":"one"}"#),
            part(&good.to_string())
        );
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, &sso.public_key()),
            signed.as_bytes(),
        );
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
    };
    let genuine = of_header(header);
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        sso.signed(header, &claims.to_string())
    };
    let refused = [
        unsigned(r#"{"alg":"none"}"#),
        unsigned(r#"{"alg":"None","kid":"one"}"#),
        unsigned(header),
        by_public_key,
        of_header(r#"{"alg":"none","kid":"one"}"#),
        of_header(r#"{"alg":"HS256","kid":"one"}"#),
        of_header(r#"{"alg":"eddsa","kid":"one"}"#),
        of_header(r#"{"alg":["EdDSA"],"kid":"one"}"#),
        of_header(r#"{"kid":"one"}"#),
        of_header(r#"{"alg":"EdDSA","kid":"one","crit":["exp"]}"#),
        of_header(r#"{"alg":"EdDSA","kid":"one","crit":[]}"#),
        of_header(r#"{"alg":"EdDSA","kid":"one","jku":"https://evil.example/keys"}"#),
        of_header(r#"{"alg":"EdDSA","kid":"one","x5u":"https://evil.example/cert"}"#),
        of_header(r#"{"alg":"EdDSA","kid":"one","jwk":{"kty":"OKP"}}"#),
        of_header(r#"{"alg":"EdDSA","kid":"../../../dev/null"}"#),
        of_header(r#"{"alg":"EdDSA","kid":"one' OR '1'='1"}"#),
        of_header(r#"{"alg":"EdDSA","kid":1}"#),
        of_header(r#"{"alg":"EdDSA","kid":null}"#),
        of_header(&format!(
            r#"{{"alg":"EdDSA","kid":"{}"}}"#,
            "k".repeat(4_000)
        )),
        of_header(r#"["alg"]"#),
        // The last of two claims of one name counts (RFC 7519, section 4).
        sso.signed(
            header,
            &good
                .to_string()
                .replace('{', r#"{"azp":"indexer","azp":"indexer","#)
                .replace(r#""azp":"indexer","exp""#, r#""azp":"nobody","exp""#),
        ),
        of_claim("exp", json!((now + 600).to_string())),
        of_claim("exp", json!(-1)),
        of_claim("exp", json!(0)),
        of_claim("exp", json!(true)),
        of_claim("exp", json!(null)),
        of_claim("exp", json!([now + 600])),
        of_claim("exp", json!(1e300)),
        sso.signed(
            header,
            &good.to_string().replace(&(now + 600).to_string(), "1e999"),
        ),
        sso.signed(
            header,
            &good.to_string().replace(&(now + 600).to_string(), "NaN"),
        ),
        of_claim("nbf", json!(now + 3_600)),
        of_claim("nbf", json!("0")),
        without("exp"),
        without("aud"),
        without("iss"),
        without("azp"),
        of_claim("aud", json!([])),
        of_claim("aud", json!("")),
        of_claim("aud", json!(["other", "modelway2"])),
        of_claim("aud", json!([["modelway"]])),
        of_claim("aud", json!({"modelway": true})),
        of_claim("aud", json!("MODELWAY")),
        of_claim("aud", json!("modelway other")),
        of_claim("iss", json!(["https://sso.example"])),
        of_claim("iss", json!("https://sso.example/")),
        of_claim("azp", json!("")),
        of_claim("azp", json!(["indexer"])),
        of_claim("azp", json!("indexer ")),
        of_claim("azp", json!("Indexer")),
        of_claim("azp", json!("a".repeat(300))),
        genuine.replace('.', "..").replacen("..", ".", 1),
        format!("{genuine}=="),
        format!("{genuine}."),
        format!(".{genuine}"),
        genuine.replacen('.', " .", 1),
        format!("{}.{}", genuine, "x".repeat(9_000)),
        "..".to_owned(),
        "a.b.c".to_owned(),
        "e30.e30.e30".to_owned(),
    ];
    for token in &refused {
        let entry = format!("Bearer {token}");
        let code = by_grpc(&gateway, std::slice::from_ref(&entry)).await;
        assert_eq!(code, Code::Unauthenticated, "{}", shown(token));
        for door in ["json", "web"] {
            let line = format!("authorization: {entry}");
            let status = by_http1(&gateway, door, &[line]).await;
            assert_eq!(status, 401, "{door}: {}", shown(token));
        }
    }
    assert_eq!(gateway.simulator.requests().len(), 0);
    let accepted = [
        genuine.clone(),
        of_claim("aud", json!(["other", "modelway"])),
        of_claim("exp", json!(now as f64 + 600.5)),
        of_claim("exp", json!(9.0e17)),
        of_claim("nbf", json!(0)),
        of_claim("sub", json!({"odd": ["but", "not", "asked", "for"]})),
    ];
    for token in &accepted {
        let entry = format!("Bearer {token}");
        assert_eq!(
            by_grpc(&gateway, &[entry]).await,
            Code::Ok,
            "{}",
            shown(token)
        );
        let mut client = CallerServiceClient::new(gateway.channel());
        let who = client
            .who_am_i(bearer(WhoAmIRequest {}, token))
            .await
            .unwrap();
        assert_eq!(who.into_inner().caller, "bound");
    }
    // A subject becomes a caller whose name stands in logs and reports: it cannot break a line there.
    for name in ["a\nb", "a\u{1b}[31m", "a\u{0}", "a\u{85}b"] {
        let mut claims = good.clone();
        claims["azp"] = json!(name);
        claims["team"] = json!("search");
        let token = sso.signed(header, &claims.to_string());
        let code = by_grpc(&gateway, &[format!("Bearer {token}")]).await;
        assert_eq!(code, Code::Unauthenticated, "{name:?}");
    }
    println!(
        "tokens refused: {} at three doors, accepted in odd but legal forms: {}",
        refused.len(),
        accepted.len()
    );
}

/// The part of a token that tells which it is.
fn shown(token: &str) -> String {
    let parts = token.split('.').take(2).map(|part| {
        let bytes = URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
        String::from_utf8_lossy(&bytes)
            .chars()
            .take(200)
            .collect::<String>()
    });
    parts.collect::<Vec<_>>().join(".")
}

/// A stream that has begun to answer, and stalls.
async fn stalled(
    gateway: &Gateway,
    secret: &str,
) -> tonic::Streaming<modelway::grpc::v1::StreamGenerateResponse> {
    gateway
        .simulator
        .set("first", "stall=2".parse::<Behaviour>().unwrap());
    let answer = gateway
        .generation()
        .stream_generate(bearer(hello(), secret))
        .await;
    let mut stream = answer.unwrap().into_inner();
    loop {
        let message = stream.message().await.unwrap().unwrap();
        if let Some(Event::TextDelta(_)) = message.event {
            return stream;
        }
    }
}

#[tokio::test]
async fn closing_an_account_ends_its_streams_and_the_end_of_a_key_does_not() {
    let administered = Administered::start("hostile-streams", "").await;
    let gateway = &administered.gateway;
    let mut admin = administered.client().await;
    let team = modelway::grpc::v1::Account {
        id: "team".to_owned(),
        kind: modelway::grpc::v1::AccountKind::Team.into(),
        ..Default::default()
    };
    let member = modelway::grpc::v1::Account {
        id: "member".to_owned(),
        kind: modelway::grpc::v1::AccountKind::Caller.into(),
        parent: "team".to_owned(),
        ..Default::default()
    };
    for account in [team, member] {
        let request = PutAccountRequest {
            account: Some(account),
            comment: String::new(),
        };
        admin.put_account(request).await.unwrap();
    }
    administered.account(&mut admin, "other").await;
    let (_, of_member) = administered.key(&mut admin, "member").await;
    let ends = SystemTime::now() + Duration::from_millis(1_500);
    let request = CreateKeyRequest {
        key: Some(Key {
            account: "other".to_owned(),
            expire_time: Some(ends.into()),
            ..Key::default()
        }),
        comment: String::new(),
    };
    let short = admin.create_key(request).await.unwrap().into_inner().secret;
    let mut expiring = stalled(gateway, &short).await;
    let mut closing = stalled(gateway, &of_member).await;

    let request = CloseAccountRequest {
        id: "team".to_owned(),
        comment: String::new(),
    };
    admin.close_account(request).await.unwrap();

    let ended = async {
        loop {
            // What was under way before comes first.
            match closing.message().await {
                Ok(message) => assert!(message.is_some(), "it ends with a status"),
                Err(status) => return status,
            }
        }
    };
    let ended = timeout(PROMPTLY, ended).await.unwrap();
    let told = details(&ended);
    assert_eq!(
        (told.code, &*told.info["cause"]),
        (Code::Unauthenticated, "revoked")
    );
    gateway
        .simulator
        .set("first", "tokens=2".parse::<Behaviour>().unwrap());
    let again = gateway
        .generation()
        .generate(bearer(hello(), &of_member))
        .await;
    assert_eq!(again.unwrap_err().code(), Code::Unauthenticated);

    // Whoever was let in goes on, although the key lets nobody in any more.
    let refused = loop {
        if let Err(status) = gateway.generation().generate(bearer(hello(), &short)).await {
            break status;
        }
    };
    assert_eq!(details(&refused).reason, "CREDENTIALS_INVALID");
    let ended = async { while let Ok(Some(_)) = expiring.message().await {} };
    let ended = timeout(Duration::from_millis(200), ended).await;
    assert!(ended.is_err(), "the stream has ended");
}
