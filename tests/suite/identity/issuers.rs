//! Are signed tokens believed if, and only if, their issuer has signed them, whatever the issuer's keys do meanwhile?

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use modelway::grpc::v1::caller_service_client::CallerServiceClient;
use modelway::grpc::v1::{CredentialKind, ErrorReason, WhoAmIRequest, WhoAmIResponse};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use super::{bearer, caller, hello};
use crate::support::{Gateway, ONE_MODEL, details};

/// An issuer that publishes its keys at a URL.
struct Sso {
    keys: Arc<Mutex<Vec<(&'static str, Ed25519KeyPair)>>>,
    is_down: Arc<AtomicBool>,
    fetches: Arc<AtomicUsize>,
    url: String,
    _serving: JoinSet<()>,
}

impl Sso {
    async fn start(first_key: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let keys: Arc<Mutex<Vec<(&'static str, Ed25519KeyPair)>>> = Arc::default();
        let (is_down, fetches) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let (published, down, counted) = (
            Arc::clone(&keys),
            Arc::clone(&is_down),
            Arc::clone(&fetches),
        );
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut head = [0; 4096];
                let _ = socket.read(&mut head).await;
                counted.fetch_add(1, Ordering::SeqCst);
                let (status, body) = match down.load(Ordering::SeqCst) {
                    true => ("503 Service Unavailable", String::new()),
                    false => ("200 OK", document(&published.lock().unwrap())),
                };
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        });
        let sso = Self {
            keys,
            is_down,
            fetches,
            url,
            _serving: serving,
        };
        sso.add_key(first_key);
        sso
    }

    fn add_key(&self, id: &'static str) {
        let random = ring::rand::SystemRandom::new();
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        self.keys.lock().unwrap().push((id, pair));
    }

    /// A token that is signed with its latest key, for a subject; `claims` are added or take the place of others.
    fn token(&self, subject: &str, claims: Value) -> String {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let mut all = json!({
            "iss": "https://sso.example",
            "aud": "modelway",
            "azp": subject,
            "exp": since.as_secs() + 600,
        });
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        let keys = self.keys.lock().unwrap();
        let (id, pair) = keys.last().unwrap();
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!(
            "{}.{}",
            part(&json!({"alg": "EdDSA", "kid": id})),
            part(&all)
        );
        let signature = URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// A service that believes it, and has a bound caller and a team.
    async fn gateway(&self, more: &str) -> Gateway {
        let url = &self.url;
        let issuer = format!(
            "[[auth.issuers]]\nname = 'sso'\nissuer = 'https://sso.example'\naudience = ['modelway']\njwks = '{url}'\n\
             caller_claim = 'azp'\nteam_claim = 'team'\nscopes_claim = 'scope'\n{more}\n"
        );
        let binding = "bindings = [{ token = { issuer = 'sso', subject = 'indexer' } }]";
        let team = "[[accounts]]\nid = 'search'\nkind = 'team'\n";
        let accounts = [&caller("bound", binding), team].concat();
        Gateway::start(&[&issuer, ONE_MODEL, &accounts].concat()).await
    }
}

fn document(keys: &[(&'static str, Ed25519KeyPair)]) -> String {
    let keys = keys.iter().map(|(id, pair)| {
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": x})
    });
    json!({"keys": keys.collect::<Vec<_>>()}).to_string()
}

async fn generate(gateway: &Gateway, token: &str) -> Result<(), Status> {
    let mut client = gateway.generation();
    client.generate(bearer(hello(), token)).await.map(drop)
}

async fn who(gateway: &Gateway, token: &str) -> Result<WhoAmIResponse, Status> {
    let mut client = CallerServiceClient::new(gateway.channel());
    let answer = client.who_am_i(bearer(WhoAmIRequest {}, token)).await;
    answer.map(tonic::Response::into_inner)
}

fn reason(status: &Status) -> String {
    details(status).reason
}

#[tokio::test]
async fn a_token_proves_the_caller_that_its_subject_is_bound_to() {
    let sso = Sso::start("one").await;
    let gateway = sso.gateway("").await;
    let token = sso.token("indexer", json!({}));

    generate(&gateway, &token).await.unwrap();

    let told = who(&gateway, &token).await.unwrap();
    assert_eq!(told.caller, "bound");
    assert_eq!(told.credential_kind(), CredentialKind::Token);
    assert!(told.expire_time.is_some());
    for refused in [
        sso.token("somebody", json!({})),
        sso.token("somebody", json!({"team": "search"})),
        sso.token("indexer", json!({"aud": "elsewhere"})),
        sso.token("indexer", json!({"exp": 1})),
        sso.token("indexer", json!({"iss": "https://evil.example"})),
        format!("{token}x"),
    ] {
        let status = generate(&gateway, &refused).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{refused}");
        let expected = ErrorReason::CredentialsInvalid.as_str_name();
        assert_eq!(format!("ERROR_REASON_{}", reason(&status)), expected);
        assert!(!status.message().contains(&refused));
    }
    assert_eq!(gateway.simulator.requests().len(), 1);
}

#[tokio::test]
async fn a_token_may_narrow_what_its_account_may_do_and_never_widen_it() {
    let sso = Sso::start("one").await;
    let gateway = sso.gateway("").await;
    for (scope, is_allowed) in [
        ("generate", true),
        ("openid GENERATE:on*", true),
        ("generate:other", false),
        ("usage.read", false),
        ("openid", false),
        ("", false),
    ] {
        let token = sso.token("indexer", json!({"scope": scope}));

        let answer = generate(&gateway, &token).await;

        assert_eq!(answer.is_ok(), is_allowed, "{scope}: {answer:?}");
        if let Err(status) = answer {
            assert_eq!(status.code(), Code::PermissionDenied, "{scope}");
        }
    }
    let token = sso.token(
        "indexer",
        json!({"scope": "generate admin.accounts operate"}),
    );
    assert_eq!(who(&gateway, &token).await.unwrap().scopes.len(), 1);
}

#[tokio::test]
async fn a_subject_that_nobody_binds_becomes_a_caller_of_its_team_where_that_is_wanted() {
    let sso = Sso::start("one").await;
    let gateway = sso.gateway("accounts = 'create'").await;

    let token = sso.token("robot-7", json!({"team": "search"}));
    generate(&gateway, &token).await.unwrap();
    let told = who(&gateway, &token).await.unwrap();
    assert_eq!((&*told.caller, &*told.team), ("sso:robot-7", "search"));

    let bound = sso.token("indexer", json!({"team": "search"}));
    assert_eq!(who(&gateway, &bound).await.unwrap().caller, "bound");
    for team in [json!("nowhere"), json!("bound"), json!(null)] {
        let token = sso.token("robot-7", json!({"team": team}));
        let status = generate(&gateway, &token).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{team}");
    }
}

#[tokio::test]
async fn a_new_key_is_learned_when_the_first_token_names_it_by_one_fetch_for_all() {
    let sso = Sso::start("one").await;
    let gateway = sso.gateway("").await;
    generate(&gateway, &sso.token("indexer", json!({})))
        .await
        .unwrap();
    let fetched = sso.fetches.load(Ordering::SeqCst);
    assert_eq!(fetched, 1);
    sso.add_key("two");
    // It is not asked again so soon, whatever tokens name.
    let new = sso.token("indexer", json!({}));
    for _ in 0..20 {
        let status = generate(&gateway, &new).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
    }
    assert_eq!(sso.fetches.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn tokens_of_an_issuer_whose_keys_were_never_learned_may_be_tried_again() {
    let sso = Sso::start("one").await;
    sso.is_down.store(true, Ordering::SeqCst);
    let gateway = sso.gateway("").await;

    let status = generate(&gateway, &sso.token("indexer", json!({})))
        .await
        .unwrap_err();

    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(reason(&status), "CREDENTIALS_UNCHECKED");
    assert_eq!(details(&status).retry_after, Some(Duration::from_secs(30)));
    assert_eq!(gateway.simulator.requests().len(), 0);
}
