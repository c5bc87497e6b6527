//! Are signed tokens believed if, and only if, their issuer has signed them, whatever the issuer's keys do meanwhile?

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
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
use crate::support::foreign::authority::{Authority, Purpose};
use crate::support::foreign::front::Front;
use crate::support::foreign::proxies::{Manners, Proxy};
use crate::support::log::Log;
use crate::support::{Gateway, ONE_MODEL, Process, details, nobody, scratch};

/// An issuer that publishes its keys at a URL.
pub(crate) struct Sso {
    keys: Arc<Mutex<Vec<(&'static str, Ed25519KeyPair)>>>,
    manner: Arc<Mutex<Manner>>,
    fetches: Arc<AtomicUsize>,
    pub(super) address: SocketAddr,
    url: String,
    _serving: JoinSet<()>,
}

/// How it answers.
#[derive(Clone, Debug)]
enum Manner {
    /// With its keys.
    Keys,
    /// With this status, header and body.
    Other(&'static str, String, String),
    /// Never.
    Silent,
}

impl Sso {
    pub(crate) async fn start(first_key: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("http://{address}/keys");
        let keys: Arc<Mutex<Vec<(&'static str, Ed25519KeyPair)>>> = Arc::default();
        let manner = Arc::new(Mutex::new(Manner::Keys));
        let fetches = Arc::new(AtomicUsize::new(0));
        let (published, played, counted) =
            (Arc::clone(&keys), Arc::clone(&manner), Arc::clone(&fetches));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut silent = Vec::new();
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut head = [0; 4096];
                let _ = socket.read(&mut head).await;
                counted.fetch_add(1, Ordering::SeqCst);
                let manner = played.lock().unwrap().clone();
                let (status, header, body) = match manner {
                    Manner::Keys => ("200 OK", String::new(), document(&published.lock().unwrap())),
                    Manner::Other(status, header, body) => (status, header, body),
                    Manner::Silent => {
                        silent.push(socket);
                        continue;
                    }
                };
                let answer = format!(
                    "HTTP/1.1 {status}\r\n{header}content-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        });
        let sso = Self {
            keys,
            manner,
            fetches,
            address,
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

    fn play(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// What it signs with its latest key, whatever header and claims are.
    pub(super) fn signed(&self, header: &str, claims: &str) -> String {
        let keys = self.keys.lock().unwrap();
        let (_, pair) = keys.last().unwrap();
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// The public key that everybody can read.
    pub(super) fn public_key(&self) -> Vec<u8> {
        let keys = self.keys.lock().unwrap();
        keys.last().unwrap().1.public_key().as_ref().to_vec()
    }

    /// A token that is signed with its latest key, for a subject; `claims` are added or take the place of others.
    pub(crate) fn token(&self, subject: &str, claims: Value) -> String {
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
    pub(super) async fn gateway(&self, more: &str) -> Gateway {
        Gateway::start(&self.configuration(&self.url, more)).await
    }

    /// A configuration that believes it, with its keys at this URL.
    pub(super) fn configuration(&self, url: &str, more: &str) -> String {
        let issuer = Self::table(url, more);
        let binding = "bindings = [{ token = { issuer = 'sso', subject = 'indexer' } }]";
        let team = "[[accounts]]\nid = 'search'\nkind = 'team'\n";
        let accounts = [&caller("bound", binding), team].concat();
        [&issuer, ONE_MODEL, &accounts].concat()
    }

    /// What a configuration says of it.
    pub(crate) fn configuration_of_issuer(&self, more: &str) -> String {
        Self::table(&self.url, more)
    }

    fn table(url: &str, more: &str) -> String {
        format!(
            "[[auth.issuers]]\nname = 'sso'\nissuer = 'https://sso.example'\naudience = ['modelway']\njwks = '{url}'\n\
             caller_claim = 'azp'\nteam_claim = 'team'\nscopes_claim = 'scope'\n{more}\n"
        )
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
    sso.play(Manner::Other(
        "503 Service Unavailable",
        String::new(),
        String::new(),
    ));
    let gateway = sso.gateway("").await;

    let status = generate(&gateway, &sso.token("indexer", json!({})))
        .await
        .unwrap_err();

    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(reason(&status), "CREDENTIALS_UNCHECKED");
    assert_eq!(details(&status).retry_after, Some(Duration::from_secs(30)));
    assert_eq!(gateway.simulator.requests().len(), 0);
}

/// What the log says of keys that cannot be fetched.
async fn cause(log: &Log) -> String {
    loop {
        let lines = log.lines();
        let line = lines.iter().find(|line| {
            let message = line["message"].as_str().unwrap_or_default();
            message.starts_with("the keys of an issuer of tokens cannot be fetched")
        });
        if let Some(line) = line {
            assert_eq!(line["issuer"], "sso", "{line}");
            return line["error"].as_str().unwrap().to_owned();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn keys_are_fetched_with_an_authority_and_through_a_proxy_of_ones_own() {
    let sso = Sso::start("one").await;
    let authority = Authority::new();
    let tls = authority.server(Purpose::Server, &["http/1.1"]);
    let front = Front::before(sso.address, tls).await;
    let url = format!("https://localhost:{}/keys", front.address.port());
    let ca = format!("ca_file = {:?}", authority.file());
    let token = sso.token("indexer", json!({}));

    // Nobody trusts its authority: no key is learned from it, and nothing is known about its tokens.
    let gateway = Gateway::start(&sso.configuration(&url, "")).await;
    let status = generate(&gateway, &token).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(sso.fetches.load(Ordering::SeqCst), 0);

    let gateway = Gateway::start(&sso.configuration(&url, &ca)).await;
    generate(&gateway, &token).await.unwrap();
    assert_eq!(sso.fetches.load(Ordering::SeqCst), 1);

    // What is trusted for all connections is trusted here, too.
    let common = format!("{}\n[transport]\n{ca}\n", sso.configuration(&url, ""));
    let gateway = Gateway::start(&common).await;
    generate(&gateway, &token).await.unwrap();

    for speech in ["http", "socks5h"] {
        let proxy = match speech {
            "http" => Proxy::http(front.address, Manners::default()).await,
            _ => Proxy::socks(front.address, Manners::default()).await,
        };
        let through = format!("{ca}\nproxy = '{speech}://{}'", proxy.address);
        let gateway = Gateway::start(&sso.configuration(&url, &through)).await;
        generate(&gateway, &token).await.unwrap();
        assert_eq!(proxy.asked().len(), 1, "{speech}: {:?}", proxy.asked());
    }
}

#[tokio::test]
async fn the_proxy_of_the_environment_leads_to_the_keys_of_an_issuer_elsewhere() {
    let sso = Sso::start("one").await;
    let authority = Authority::new();
    let tls = authority.server(Purpose::ServerElsewhere, &["http/1.1"]);
    let front = Front::before(sso.address, tls).await;
    let proxy = Proxy::http(front.address, Manners::default()).await;
    let provider = "[providers.openai]\nsimulated = true\nwire_format = 'openai_chat'\n[admin]\nlisten = 'none'\n";
    let ca = format!("ca_file = {:?}", authority.file());
    let text = sso.configuration("https://elsewhere.example/keys", &ca);
    let file = scratch::file("modelway.toml", format!("{text}\n{provider}"));
    let url = format!("http://{}", proxy.address);

    let process = Process::serve(
        Some(&file),
        &[("HTTPS_PROXY", &url), ("NO_PROXY", "other.example")],
    );

    let mut client = CallerServiceClient::new(process.connect().await);
    let token = sso.token("indexer", json!({}));
    let told = client.who_am_i(bearer(WhoAmIRequest {}, &token)).await;
    assert_eq!(told.unwrap().into_inner().caller, "bound");
    assert_eq!(proxy.asked(), ["elsewhere.example:443"]);
}

#[tokio::test]
async fn the_proxy_of_the_environment_is_not_asked_for_an_issuer_that_no_proxy_lists() {
    let sso = Sso::start("one").await;
    // It leads to where no TLS is spoken, so that no key can be fetched through it.
    let nowhere = sso.address;
    let provider = "[providers.openai]\nsimulated = true\nwire_format = 'openai_chat'\n[admin]\nlisten = 'none'\n";
    let text = sso.configuration("https://elsewhere.invalid/keys", "");
    let file = scratch::file("modelway.toml", format!("{text}\n{provider}"));
    let token = sso.token("indexer", json!({}));
    for (no_proxy, is_asked) in [
        ("elsewhere.invalid", false),
        ("other.example, .invalid", false),
        ("other.example,elsewhere.invalid:443", false),
        ("*", false),
        ("other.example", true),
        ("elsewhere.invalid:8443", true),
        ("where.invalid", true),
    ] {
        for names in [["HTTPS_PROXY", "NO_PROXY"], ["https_proxy", "no_proxy"]] {
            let proxy = Proxy::http(nowhere, Manners::default()).await;
            let url = format!("http://{}", proxy.address);
            let variables = [(names[0], &*url), (names[1], no_proxy)];
            let process = Process::serve(Some(&file), &variables);
            let mut client = CallerServiceClient::new(process.connect().await);

            let told = client.who_am_i(bearer(WhoAmIRequest {}, &token)).await;

            assert_eq!(told.unwrap_err().code(), Code::Unavailable);
            let asked = proxy.asked();
            assert_eq!(
                !asked.is_empty(),
                is_asked,
                "{names:?} {no_proxy}: {asked:?}"
            );
        }
    }
}

#[tokio::test]
async fn why_keys_cannot_be_fetched_is_told_by_one_line_for_each_cause() {
    let sso = Sso::start("one").await;
    let elsewhere = Sso::start("one").await;
    let front = Front::before(
        sso.address,
        Authority::new().server(Purpose::Server, &["http/1.1"]),
    )
    .await;
    let secured = format!("https://localhost:{}/keys", front.address.port());
    let refused = format!("http://{}/keys", nobody());
    let ok = |body: &str| Manner::Other("200 OK", String::new(), body.to_owned());
    let redirect = format!("location: {}\r\n", elsewhere.url);
    let large = format!(r#"{{"keys": [], "x": "{}"}}"#, "x".repeat(300 * 1024));
    let causes = [
        (&secured, Manner::Keys, "invalid peer certificate"),
        (&refused, Manner::Keys, "refused"),
        (&sso.url, Manner::Silent, "takes too long"),
        (&sso.url, ok("<html>"), "not a JSON Web Key Set"),
        (
            &sso.url,
            ok(r#"{"keys": []}"#),
            "no public key for signatures",
        ),
        (&sso.url, ok(&large), "too large"),
        (
            &sso.url,
            Manner::Other("302 Found", redirect, String::new()),
            "HTTP 302",
        ),
        (
            &sso.url,
            Manner::Other("503 Busy", String::new(), String::new()),
            "HTTP 503",
        ),
    ];
    let count = causes.len();
    let mut told = std::collections::BTreeSet::new();
    for (url, manner, expected) in causes {
        sso.play(manner);
        let log = Log::default();
        let _guard = log.listen("warn");
        let gateway = Gateway::start(&sso.configuration(url, "")).await;
        let cause = cause(&log).await;
        assert!(cause.contains(expected), "{expected}: {cause}");
        told.insert(cause);
        let status = generate(&gateway, &sso.token("indexer", json!({}))).await;
        assert_eq!(status.unwrap_err().code(), Code::Unavailable, "{expected}");
    }
    assert_eq!(told.len(), count, "{told:#?}");
    assert_eq!(
        elsewhere.fetches.load(Ordering::SeqCst),
        0,
        "no redirect is followed"
    );
    println!("causes told apart: {count}");
}
