//! Are access tokens fetched ahead, renewed, shared and kept secret, however an issuer behaves?

mod issuer;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use modelway::config::Surroundings;
use modelway::config::file::File;
use modelway::grpc::v1::{AccessToken, Breaker, GenerateRequest, ListBreakersRequest};
use modelway::provider::credential::{Credential, Unfit};
use modelway::provider::token::{TokenOrigin, TokenSource};
use modelway::simulator::{Settings, Simulator};
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use self::issuer::{Answered, Asked, Host, completion, json_of, token};
use crate::commands::finish;
use crate::support::foreign::authority::{Authority, Purpose};
use crate::support::foreign::front::Front;
use crate::support::foreign::proxies::{Manners, Proxy};
use crate::support::{Gateway, ask, details, lines, nobody, program, scratch, subscribe, until};

const KEY: &str = include_str!("tokens/key.pem");
const CERTIFICATE: &str = include_str!("tokens/certificate.pem");

/// A service whose provider `p` has this credential and is played by the host, as well as its issuer. The scenario `s`
/// asks `p` first, then a simulated one; `only` asks `p` alone.
async fn start(host: &Host, credential: &str) -> Gateway {
    let url = host.url();
    let config = format!(
        "
        [catalog]
        allow_model = true
        [providers.p]
        wire_format = 'openai_chat'
        base_url = '{url}/v1'
        credential = {credential}
        [providers.other]
        wire_format = 'openai_chat'
        simulated = true
        [models.'p/m']
        upstream_mode = 'whole'
        [models.'p/n']
        upstream_mode = 'whole'
        [models.'other/m']
        [scenarios.s]
        targets = ['p/m', 'other/m']
        [scenarios.only]
        targets = ['p/m']"
    );
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    Gateway::before(simulator, &config).await
}

/// A service account's file.
fn service_account(folder: &std::path::Path, host: &Host, key_id: &str) -> PathBuf {
    let path = folder.join("account.json");
    let account = json!({
        "type": "service_account",
        "project_id": "acme",
        "private_key_id": key_id,
        "private_key": KEY,
        "client_email": "robot@acme.iam.gserviceaccount.com",
        "token_uri": format!("{}/token", host.url()),
    });
    fs::write(&path, account.to_string()).unwrap();
    path
}

fn google_file(path: &std::path::Path) -> String {
    format!("{{ kind = 'google_file', file = '{}' }}", path.display())
}

/// Answers models' requests that carry a bearer token, and everything else by `issue`.
fn playing(
    issue: impl Fn(&Asked) -> Answered + Send + Sync,
) -> impl Fn(&Asked) -> Answered + Send + Sync {
    move |asked| match asked.path.starts_with("/v1/chat") {
        true if asked.header("authorization").starts_with("Bearer ") => completion(),
        true => Answered::new(401, r#"{"error":{"message":"no token"}}"#),
        false => issue(asked),
    }
}

/// The claims of a JWT, whose signature is checked.
fn claims(jwt: &str) -> (Value, Value) {
    let der = PrivatePkcs8KeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    public.verify(signed.as_bytes(), &signature).unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let json = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    (json(header), json(claims))
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_secs()
}

/// The endpoint of the provider `p` as operators see it.
async fn endpoint(gateway: &Gateway) -> (Breaker, AccessToken) {
    let request = ListBreakersRequest {
        provider: "p".to_owned(),
    };
    let listed = gateway.operations().list_breakers(request).await.unwrap();
    let endpoint = listed.into_inner().breakers.remove(0);
    let token = endpoint
        .access_token
        .clone()
        .expect("it is asked with tokens");
    (endpoint, token)
}

#[tokio::test]
async fn a_thousand_calls_with_a_service_account_cause_one_fetch() {
    let host = Host::start(playing(|_| token("one"))).await;
    let path = service_account(&scratch::folder("account"), &host, "key-1");
    let gateway = start(&host, &google_file(&path)).await;

    for _ in 0..10 {
        let calls = (0..100).map(|_| gateway.generate(ask("only", "Hello")));
        assert!(join_all(calls).await.iter().all(Result::is_ok));
    }

    let fetches = host.asked("/token");
    assert_eq!(fetches.len(), 1);
    let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    assert_eq!(fetches[0].field("grant_type"), grant);
    let (header, claims) = claims(&fetches[0].field("assertion"));
    assert_eq!(
        header,
        json!({"alg": "RS256", "typ": "JWT", "kid": "key-1"})
    );
    assert_eq!(claims["iss"], "robot@acme.iam.gserviceaccount.com");
    assert_eq!(claims["aud"], format!("{}/token", host.url()));
    assert_eq!(
        claims["scope"],
        "https://www.googleapis.com/auth/cloud-platform"
    );
    assert!(claims["iat"].as_u64().unwrap().abs_diff(now()) < 10);
    assert_eq!(
        claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(),
        3600
    );
    let calls = host.asked("/v1/chat");
    assert_eq!(calls.len(), 1000);
    assert!(
        calls
            .iter()
            .all(|call| call.header("authorization") == "Bearer one")
    );
}

#[tokio::test]
async fn a_workload_exchanges_its_own_token_and_acts_as_a_service_account() {
    let host = Host::start(playing(|asked| match &*asked.path {
        "/sts" => Answered::new(200, r#"{"access_token":"federated","expires_in":"3599"}"#),
        _ => Answered::new(
            200,
            r#"{"accessToken":"acting","expireTime":"2099-01-01T00:00:00Z"}"#,
        ),
    }))
    .await;
    let folder = scratch::folder("workload");
    let subject = folder.join("subject.json");
    fs::write(&subject, r#"{"jwt":"of-the-pod"}"#).unwrap();
    let file = folder.join("external.json");
    let account = json!({
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/7/providers/x",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": format!("{}/sts", host.url()),
        "service_account_impersonation_url": format!("{}/act", host.url()),
        "credential_source": {
            "file": subject,
            "format": {"type": "json", "subject_token_field_name": "jwt"},
        },
    });
    fs::write(&file, account.to_string()).unwrap();
    let gateway = start(&host, &google_file(&file)).await;

    gateway.generate(ask("only", "Hello")).await.unwrap();

    let exchange = &host.asked("/sts")[0];
    let field = |name| exchange.field(name);
    assert_eq!(
        field("grant_type"),
        "urn:ietf:params:oauth:grant-type:token-exchange"
    );
    assert_eq!(
        field("audience"),
        "//iam.googleapis.com/projects/7/providers/x"
    );
    assert_eq!(field("subject_token"), "of-the-pod");
    assert_eq!(
        field("subject_token_type"),
        "urn:ietf:params:oauth:token-type:jwt"
    );
    let acting = &host.asked("/act")[0];
    assert_eq!(acting.header("authorization"), "Bearer federated");
    assert_eq!(
        json_of(acting),
        json!({"scope": ["https://www.googleapis.com/auth/cloud-platform"], "lifetime": "3600s"})
    );
    assert_eq!(
        host.asked("/v1/chat")[0].header("authorization"),
        "Bearer acting"
    );
}

#[tokio::test]
async fn a_subject_token_is_read_from_a_url_and_a_user_refreshes_a_token() {
    let host = Host::start(playing(|asked| match &*asked.path {
        "/subject" => Answered::new(200, " of-the-url \n"),
        _ => token("got"),
    }))
    .await;
    let folder = scratch::folder("url");
    let external = json!({
        "type": "external_account",
        "audience": "a",
        "subject_token_type": "t",
        "token_url": format!("{}/sts", host.url()),
        "credential_source": {"url": format!("{}/subject", host.url()), "headers": {"X-Own": "yes"}},
    });
    let user = json!({
        "type": "authorized_user",
        "client_id": "c",
        "client_secret": "s",
        "refresh_token": "r",
        "token_uri": format!("{}/user", host.url()),
    });
    for (name, json) in [("external", external), ("user", user)] {
        let path = folder.join(name);
        fs::write(&path, json.to_string()).unwrap();
        let gateway = start(&host, &google_file(&path)).await;
        gateway.generate(ask("only", "Hello")).await.unwrap();
    }
    assert_eq!(host.asked("/subject")[0].header("x-own"), "yes");
    assert_eq!(host.asked("/sts")[0].field("subject_token"), "of-the-url");
    let refresh = &host.asked("/user")[0];
    assert_eq!(refresh.field("grant_type"), "refresh_token");
    assert_eq!(refresh.field("refresh_token"), "r");
}

#[tokio::test]
async fn a_machine_of_google_is_asked_with_the_header_that_it_wants() {
    let host = Host::start(playing(|asked| match asked.header("metadata-flavor") {
        "Google" => token("of-the-machine").with("Metadata-Flavor", "Google"),
        _ => Answered::new(403, ""),
    }))
    .await;
    let credential = format!("{{ kind = 'google_metadata', url = '{}' }}", host.url());
    let gateway = start(&host, &credential).await;

    gateway.generate(ask("only", "Hello")).await.unwrap();

    let path = "/computeMetadata/v1/instance/service-accounts/default/token?scopes=";
    assert_eq!(host.asked(path).len(), 1);
    let call = &host.asked("/v1/chat")[0];
    assert_eq!(call.header("authorization"), "Bearer of-the-machine");

    // Another server at the address is not taken for it.
    let impostor = Host::start(playing(|_| token("forged"))).await;
    let credential = format!("{{ kind = 'google_metadata', url = '{}' }}", impostor.url());
    let gateway = start(&impostor, &credential).await;
    gateway.generate(ask("only", "Hello")).await.unwrap_err();
    let (_, token) = endpoint(&gateway).await;
    assert!(token.detail.contains("metadata server"), "{}", token.detail);
}

#[tokio::test]
async fn entra_is_asked_by_secret_certificate_workload_and_machine() {
    let host = Host::start(playing(|asked| match &*asked.method {
        "GET" if asked.header("metadata") != "true" => Answered::new(400, ""),
        // As the machine's service writes it.
        _ => Answered::new(
            200,
            r#"{"access_token":"entra","expires_in":"86399","expires_on":"1"}"#,
        ),
    }))
    .await;
    let folder = scratch::folder("entra");
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let secret = write("secret", "s3cret\n");
    let pod = write("pod", "of-the-pod\n");
    let certificate = write("certificate", &format!("{CERTIFICATE}{KEY}"));
    let url = host.url();
    let common = format!("tenant_id = 'acme', client_id = 'app', url = '{url}'");
    let credentials = [
        format!("{{ kind = 'entra_secret', {common}, client_secret = 'file:{secret}' }}"),
        format!(
            "{{ kind = 'entra_workload', {common}, token_file = '{pod}', scope = 'https://ai.azure.com/.default' }}"
        ),
        format!("{{ kind = 'entra_certificate', {common}, certificate_file = '{certificate}' }}"),
        format!("{{ kind = 'entra_managed', url = '{url}', client_id = 'id' }}"),
    ];
    for credential in credentials {
        let gateway = start(&host, &credential).await;
        gateway.generate(ask("only", "Hello")).await.unwrap();
        let call = host.asked("/v1/chat").pop().unwrap();
        assert_eq!(call.header("authorization"), "Bearer entra", "{credential}");
    }
    let forms = host.asked("/acme/oauth2/v2.0/token");
    let [by_secret, by_pod, by_certificate] = &forms[..] else {
        panic!("{forms:?}")
    };
    for form in &forms {
        assert_eq!(form.field("grant_type"), "client_credentials");
        assert_eq!(form.field("client_id"), "app");
    }
    assert_eq!(by_secret.field("client_secret"), "s3cret");
    assert_eq!(
        by_secret.field("scope"),
        "https://cognitiveservices.azure.com/.default"
    );
    assert_eq!(by_pod.field("client_assertion"), "of-the-pod");
    assert_eq!(by_pod.field("scope"), "https://ai.azure.com/.default");
    let (header, claims) = claims(&by_certificate.field("client_assertion"));
    assert_eq!(header["alg"], "RS256");
    assert_eq!(header["x5t#S256"].as_str().unwrap().len(), 43);
    assert_eq!(claims["sub"], "app");
    assert_eq!(claims["aud"], format!("{url}/acme/oauth2/v2.0/token"));
    let machine = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fcognitiveservices.azure.com&client_id=id";
    assert_eq!(host.asked(machine).len(), 1);
}

#[tokio::test]
async fn without_a_token_a_target_is_skipped_and_its_breaker_counts_nothing() {
    let elsewhere = Host::start(|_| token("stolen")).await;
    let there = format!("{}/token", elsewhere.url());
    let issuers: [(&str, Answered); 8] = [
        ("HTTP 500", Answered::new(500, "oops")),
        (
            "HTTP 400 (invalid_grant)",
            Answered::new(
                400,
                r#"{"error":"invalid_grant","error_description":"s3cret"}"#,
            ),
        ),
        (
            "not the JSON of a token",
            Answered::new(200, "<html>s3cret</html>"),
        ),
        (
            "not the JSON of a token",
            Answered::new(200, r#"{"access_token":"s3cr"#),
        ),
        ("it holds no token", Answered::new(200, "{}")),
        (
            "has ended already",
            Answered::new(200, r#"{"access_token":"s3cret","expires_in":0}"#),
        ),
        (
            "no header can carry",
            Answered::new(200, r#"{"access_token":"s3\ncret","expires_in":60}"#),
        ),
        ("HTTP 307", Answered::new(307, "").with("location", there)),
    ];
    let folder = scratch::folder("odd");
    for (cause, answered) in issuers {
        let played = answered.clone();
        let host = Host::start(playing(move |_| played.clone())).await;
        let path = service_account(&folder, &host, "key");
        let gateway = start(&host, &google_file(&path)).await;

        let response = gateway.generate(ask("s", "Hello")).await.unwrap();
        assert_eq!(
            lines(&response.attempts),
            [
                "0 PRIMARY p/m SKIPPED PROVIDER_AUTH_FAILED",
                "1 FAILOVER other/m SUCCEEDED"
            ],
            "{cause}"
        );
        let failed = gateway.generate(ask("only", "Hello")).await.unwrap_err();
        assert_eq!(
            details(&failed).reason,
            "NO_PROVIDER_AVAILABLE",
            "{failed:?}"
        );
        let (breaker, seen) = endpoint(&gateway).await;
        assert!(seen.detail.contains(cause), "{} for {cause}", seen.detail);
        assert!(!seen.detail.contains("s3cret"), "{}", seen.detail);
        assert!(seen.failures > 0 && seen.failing_since.is_some() && seen.expire_time.is_none());
        assert_eq!((breaker.window_calls, breaker.window_failures), (0, 0));
        assert!(breaker.credential_lock.is_none());

        host.play(playing(|_| token("good")));
        until("it recovers", async || {
            gateway.generate(ask("only", "Hello")).await.is_ok()
        })
        .await;
        let (_, seen) = endpoint(&gateway).await;
        assert_eq!((seen.failures, &*seen.detail), (0, ""));
        assert!(seen.expire_time.is_some() && seen.next_fetch_time.is_some());
    }
    assert!(elsewhere.asked("/").is_empty(), "a redirect was followed");
}

#[tokio::test]
async fn a_service_starts_although_its_issuer_is_down_or_slow() {
    let folder = scratch::folder("down");
    let host = Host::start(playing(|_| token("late"))).await;
    let path = service_account(&folder, &host, "key");
    let account = fs::read_to_string(&path).unwrap();
    let gone = format!("http://{}", nobody());
    fs::write(&path, account.replace(&host.url(), &gone)).unwrap();
    let gateway = start(&host, &google_file(&path)).await;
    gateway.generate(ask("s", "Hello")).await.unwrap();
    let (_, seen) = endpoint(&gateway).await;
    assert!(seen.detail.contains("cannot be reached"), "{}", seen.detail);

    // Another file is read at once, and names another issuer.
    fs::write(&path, account).unwrap();
    until("the file is read again", async || {
        gateway.generate(ask("only", "Hello")).await.is_ok()
    })
    .await;

    let slow = Host::start(playing(|_| Answered {
        after: Duration::from_millis(1500),
        ..token("slow")
    }))
    .await;
    let path = service_account(&folder, &slow, "key");
    let gateway = start(&slow, &google_file(&path)).await;
    // The start waits for the first token, so that the first call is answered.
    gateway.generate(ask("only", "Hello")).await.unwrap();
    assert_eq!(slow.asked("/token").len(), 1);
}

#[tokio::test]
async fn a_token_stays_in_use_while_no_other_can_be_fetched_and_ends_at_its_end() {
    let host = Host::start(playing(|_| {
        Answered::new(200, r#"{"access_token":"short","expires_in":4}"#)
    }))
    .await;
    let path = service_account(&scratch::folder("stays"), &host, "key");
    let gateway = start(&host, &google_file(&path)).await;
    gateway.generate(ask("only", "Hello")).await.unwrap();

    host.play(playing(|_| Answered::new(503, "")));
    until("the next fetch fails", async || {
        endpoint(&gateway).await.1.failures > 0
    })
    .await;
    gateway.generate(ask("only", "Hello")).await.unwrap();
    let (_, seen) = endpoint(&gateway).await;
    assert_eq!(seen.detail, "the issuer answers with HTTP 503");

    until("the token ends", async || {
        gateway.generate(ask("only", "Hello")).await.is_err()
    })
    .await;
    let calls = host.asked("/v1/chat");
    assert!(
        calls
            .iter()
            .all(|call| call.header("authorization") == "Bearer short")
    );
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_and_the_key_is_not_locked() {
    let fetches = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&fetches);
    let host = Host::start(move |asked| match asked.path.starts_with("/v1/chat") {
        true if asked.header("authorization") == "Bearer token-1" => completion(),
        true => Answered::new(
            401,
            r#"{"error":{"message":"Invalid token","code":"invalid_api_key"}}"#,
        ),
        false => token(&format!("token-{}", count.fetch_add(1, Ordering::Relaxed))),
    })
    .await;
    let path = service_account(&scratch::folder("refused"), &host, "key");
    let gateway = start(&host, &google_file(&path)).await;

    let response = gateway.generate(ask("s", "Hello")).await.unwrap();
    assert_eq!(response.attempts.len(), 2);
    until("another token is used", async || {
        gateway.generate(ask("only", "Hello")).await.is_ok()
    })
    .await;
    assert_eq!(fetches.load(Ordering::Relaxed), 2);
    assert!(endpoint(&gateway).await.0.credential_lock.is_none());

    // A provider that refuses every token does not cause fetches without end.
    host.play(|asked| match asked.path.starts_with("/v1/chat") {
        true => Answered::new(401, r#"{"error":{"message":"Invalid token"}}"#),
        false => token("never asked for"),
    });
    for _ in 0..20 {
        gateway.generate(ask("s", "Hello")).await.unwrap();
        // Far enough apart that a fetch could end, and be caused again, between any two calls.
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(host.asked("/token").len(), 2);
}

#[tokio::test]
async fn a_clock_that_goes_wrong_is_found_out_by_the_issuers_answer() {
    const AHEAD: u64 = 7200;
    let host = Host::start(playing(|asked| {
        let (_, claims) = claims(&asked.field("assertion"));
        let theirs = now() + AHEAD;
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(AHEAD));
        match claims["iat"].as_u64().unwrap().abs_diff(theirs) < 300 {
            true => token("in time"),
            false => Answered::new(400, r#"{"error":"invalid_grant"}"#),
        }
        .with("date", date)
    }))
    .await;
    let path = service_account(&scratch::folder("skew"), &host, "key");
    let gateway = start(&host, &google_file(&path)).await;

    until("the second try is in time", async || {
        gateway.generate(ask("only", "Hello")).await.is_ok()
    })
    .await;
    assert_eq!(host.asked("/token").len(), 2);
}

#[tokio::test]
async fn providers_with_the_same_credential_share_its_token() {
    let host = Host::start(playing(|_| token("shared"))).await;
    let path = service_account(&scratch::folder("shared"), &host, "key");
    let credential = google_file(&path);
    let provider = |name: &str| {
        format!(
            "[providers.{name}]\nwire_format = 'openai_chat'\nbase_url = '{}/v1'\ncredential = {credential}\n\
             [models.'{name}/m']\nupstream_mode = 'whole'\n[scenarios.{name}]\ntargets = ['{name}/m']\n",
            host.url()
        )
    };
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let config = format!("{}{}", provider("one"), provider("two"));
    let gateway = Gateway::before(simulator, &config).await;

    for name in ["one", "two"] {
        gateway.generate(ask(name, "Hello")).await.unwrap();
    }
    assert_eq!(host.asked("/token").len(), 1);
}

#[test]
fn a_token_is_live_from_its_arrival_to_its_end() {
    let source = TokenSource::GoogleMetadata {
        url: String::new(),
        account: String::new(),
        scope: String::new(),
    };
    let link = Default::default();
    let credential = Credential::token(TokenOrigin { source, link });
    let now = tokio::time::Instant::now().into_std();
    let after = |seconds| now + Duration::from_secs(seconds);
    assert!(!credential.is_live(now));
    assert_eq!(credential.header(), None);

    assert_eq!(credential.renew(&"one".into(), after(9)), Ok(true));
    assert!(credential.is_live(after(8)) && !credential.is_live(after(9)));
    credential.refuse();
    assert!(credential.take_refusal() && !credential.take_refusal());

    credential.refuse();
    assert_eq!(credential.renew(&"one".into(), after(20)), Ok(false));
    assert!(credential.is_live(after(19)));
    assert!(!credential.take_refusal());
    assert_eq!(credential.renew(&"a\nb".into(), after(30)), Err(Unfit));
    assert_eq!(credential.header().unwrap(), "Bearer one");
}

#[tokio::test]
async fn an_issuer_is_reached_by_tls_with_authorities_and_a_proxy_of_ones_own() {
    let host = Host::start(playing(|_| token("by tls"))).await;
    let authority = Authority::new();
    let tls = authority.server(Purpose::Server, &["http/1.1"]);
    let front = Front::before(host.address, tls).await;
    let path = service_account(&scratch::folder("tls"), &host, "key");
    let account = fs::read_to_string(&path).unwrap();
    let secured = format!("https://{}", front.address);
    fs::write(&path, account.replace(&host.url(), &secured)).unwrap();

    // Nobody trusts its authority: no proof is sent.
    let gateway = start(&host, &google_file(&path)).await;
    let (_, seen) = endpoint(&gateway).await;
    assert!(seen.detail.contains("certificate"), "{}", seen.detail);
    assert!(host.asked("/token").is_empty());

    let trusted = format!("{}\nca_file = {:?}", google_file(&path), authority.file());
    let gateway = start(&host, &trusted).await;
    gateway.generate(ask("only", "Hello")).await.unwrap();
    assert_eq!(host.asked("/token").len(), 1);

    let proxy = Proxy::http(front.address, Manners::default()).await;
    let through = trusted.replace(" }", &format!(", proxy = 'http://{}' }}", proxy.address));
    let gateway = start(&host, &through).await;
    gateway.generate(ask("only", "Hello")).await.unwrap();
    assert_eq!(host.asked("/token").len(), 2);
    assert_eq!(proxy.asked().len(), 1, "{:?}", proxy.asked());
}

#[tokio::test]
async fn a_token_that_is_refused_for_models_in_use_is_replaced_before_they_are_closed_off() {
    let host = Host::start(playing(|_| token("first"))).await;
    let path = service_account(&scratch::folder("models"), &host, "key");
    let gateway = start(&host, &google_file(&path)).await;
    for model in ["p/m", "p/n"] {
        let request = GenerateRequest {
            model: model.to_owned(),
            scenario: String::new(),
            ..ask("", "Hello")
        };
        gateway.generate(request).await.unwrap();
    }

    // Each model vouches for the token of the other, so no lock says that it was refused.
    host.play(|asked| match asked.path.starts_with("/v1/chat") {
        true if asked.header("authorization") == "Bearer second" => completion(),
        true => Answered::new(
            401,
            r#"{"error":{"message":"Invalid token","code":"invalid_api_key"}}"#,
        ),
        false => token("second"),
    });
    gateway.generate(ask("only", "Hello")).await.unwrap_err();
    until("another token is used", async || {
        gateway.generate(ask("only", "Hello")).await.is_ok()
    })
    .await;
    assert_eq!(host.asked("/token").len(), 2);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_failing_issuer_is_logged_once_and_no_secret_ever() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = subscribe(subscriber);
    let host = Host::start(playing(|_| Answered::new(500, "s3cret-body"))).await;
    let path = service_account(&scratch::folder("logged"), &host, "key");
    let gateway = start(&host, &google_file(&path)).await;
    until("several fetches fail", async || {
        host.asked("/token").len() > 2
    })
    .await;
    host.play(playing(|_| token("s3cret-token")));
    until("it recovers", async || {
        gateway.generate(ask("only", "Hello")).await.is_ok()
    })
    .await;

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(
        text.matches("no access token can be fetched").count(),
        1,
        "{text}"
    );
    assert_eq!(
        text.matches("an access token could be fetched again")
            .count(),
        1
    );
    let assertion = host.asked("/token")[0].field("assertion");
    let key = KEY.lines().nth(3).unwrap();
    for secret in ["s3cret", &assertion, key] {
        assert!(!text.contains(secret), "{text}");
    }
}

fn mistakes(credential: &str, more: &str) -> String {
    let surroundings = Surroundings {
        variable: &|name| (name == "KEY").then(|| "s3cret".to_owned()),
        read_file: &|path| match path.to_str() {
            Some("/account") => Ok(json!({
                "type": "service_account", "private_key": KEY, "client_email": "e",
            })
            .to_string()),
            Some("/aws") => Ok(json!({
                "type": "external_account", "audience": "a", "subject_token_type": "t",
                "token_url": "https://sts.example", "credential_source": {"environment_id": "aws1"},
            })
            .to_string()),
            Some("/plain") => Ok(json!({
                "type": "service_account", "private_key": KEY, "client_email": "e",
                "token_uri": "http://token.example",
            })
            .to_string()),
            Some("/no-key") => Ok(json!({
                "type": "service_account", "private_key": "s3cret", "client_email": "e",
            })
            .to_string()),
            Some("/text") => Ok("s3cret".to_owned()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        },
        simulator: None,
        in_use: modelway::config::InUse::default(),
    };
    let text = format!(
        "[providers.p]\nwire_format = 'openai_chat'\nbase_url = 'https://example.com'\ncredential = {credential}\n\
         {more}\n[models.'p/m']\n[scenarios.s]\ntargets = ['p/m']"
    );
    match File::parse(&text).resolve(&surroundings) {
        Ok(_) => String::new(),
        Err(mistakes) => mistakes.to_string(),
    }
}

#[test]
fn a_credential_that_cannot_work_is_refused_at_start_with_a_remedy() {
    let table = [
        ("{ kind = 'google_file', file = '/account' }", "", ""),
        ("{ kind = 'google_metadata' }", "", ""),
        ("{ kind = 'entra_managed' }", "", ""),
        (
            "{ kind = 'entra_secret', tenant_id = 't', client_id = 'c', client_secret = 'env:KEY' }",
            "",
            "",
        ),
        (
            "{ kind = 'entra_workload', tenant_id = 't', client_id = 'c', token_file = '/text' }",
            "",
            "",
        ),
        ("'env:KEY'", "", "write a table"),
        ("{}", "", "`kind` is missing; say where tokens come from"),
        (
            "{ kind = 'aws' }",
            "",
            "use one of `google_file`, `google_metadata`, `entra_secret`, `entra_certificate`, `entra_workload`, `entra_managed`",
        ),
        (
            "{ kind = 'google_file' }",
            "",
            "`file` is missing; set it, or the environment variable `GOOGLE_APPLICATION_CREDENTIALS`",
        ),
        (
            "{ kind = 'google_file', file = '/gone' }",
            "",
            "the file `/gone` cannot be read: there is no such file",
        ),
        (
            "{ kind = 'google_file', file = '/text' }",
            "",
            "it is not the JSON of a service account",
        ),
        (
            "{ kind = 'google_file', file = '/no-key' }",
            "",
            "its `private_key`: it holds no RSA key",
        ),
        (
            "{ kind = 'google_file', file = '/aws' }",
            "",
            "AWS and executables are not supported",
        ),
        (
            "{ kind = 'google_file', file = '/plain' }",
            "",
            "neither https nor on this machine",
        ),
        (
            "{ kind = 'google_file', file = '/account', scopes = 'x' }",
            "",
            "unknown key",
        ),
        (
            "{ kind = 'google_metadata', url = 'http://metadata/path' }",
            "",
            "write scheme and host only",
        ),
        (
            "{ kind = 'entra_secret', tenant_id = 't', client_id = 'c', client_secret = 's3cret' }",
            "",
            "not a reference to a secret",
        ),
        (
            "{ kind = 'entra_secret', client_id = 'c', client_secret = 'env:KEY' }",
            "",
            "`tenant_id` is missing; set it",
        ),
        (
            "{ kind = 'entra_secret', tenant_id = 't', client_id = 'c', client_secret = 'env:KEY', url = 'http://login.example' }",
            "",
            "not the URL of an issuer of tokens",
        ),
        (
            "{ kind = 'entra_certificate', tenant_id = 't', client_id = 'c', certificate_file = '/text' }",
            "",
            "store there the certificate and its private RSA key",
        ),
        (
            "{ kind = 'google_metadata' }",
            "api_key = 'env:KEY'",
            "`credential` says how requests are authenticated; remove `api_key` or `credential`",
        ),
        (
            "{ kind = 'google_metadata' }",
            "headers = { Authorization = 'x' }",
            "this header carries `api_key`",
        ),
        (
            "{ kind = 'google_metadata' }",
            "simulated = true",
            "a simulated provider has no such key; remove `credential` or `simulated`",
        ),
    ];
    for (credential, more, expected) in table {
        let told = mistakes(credential, more);
        assert!(!told.contains("s3cret"), "{told}");
        assert_eq!(told.is_empty(), expected.is_empty(), "{credential}: {told}");
        assert!(told.contains(expected), "{credential}: {told}");
    }
}

#[tokio::test]
async fn a_live_check_fetches_the_token_that_a_target_wants_and_says_why_there_is_none() {
    let host = Host::start(playing(|_| token("ya29.t0ken"))).await;
    let folder = scratch::folder("live");
    let account = service_account(&folder, &host, "k1");
    let file = folder.join("modelway.toml");
    let text = format!(
        "[providers.p]\nwire_format = 'openai_chat'\nbase_url = '{}/v1'\ncredential = {}\n\
         [models.'p/m']\n[models.'p/n']\n[scenarios.s]\ntargets = ['p/m', 'p/n']\n",
        host.url(),
        google_file(&account)
    );
    fs::write(&file, text).unwrap();
    let check = async || {
        let mut command = program();
        command
            .args(["check", "--live", "--yes", "--json"])
            .arg(&file);
        let done = finish(command, b"").await;
        let all = format!("{}{}", done.out, done.err);
        assert!(
            !all.contains("ya29") && !all.contains("PRIVATE KEY"),
            "{all}"
        );
        let report: Value = serde_json::from_str(&done.out).unwrap();
        (done.code, report)
    };

    let (code, report) = check().await;

    assert_eq!(code, Some(0), "{report}");
    // One token for both models.
    assert_eq!(host.asked("/token").len(), 1);
    let asked = host.asked("/v1/chat");
    let used = asked.iter().map(|asked| asked.header("authorization"));
    assert_eq!(used.collect::<Vec<_>>(), ["Bearer ya29.t0ken"; 2]);

    host.play(playing(|_| {
        Answered::new(
            400,
            r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#,
        )
    }));
    let (code, report) = check().await;

    assert_eq!(code, Some(3), "{report}");
    for target in report["targets"].as_array().unwrap() {
        assert_eq!(target["failed_step"], "key", "{target}");
        let last = target["steps"].as_array().unwrap().last().unwrap();
        let detail = last["detail"].as_str().unwrap();
        assert!(
            detail.contains("no access token") && detail.contains("invalid_grant"),
            "{target}"
        );
        assert!(
            target["remedy"].as_str().unwrap().contains("`credential`"),
            "{target}"
        );
    }
    // Nothing is sent without a token.
    assert_eq!(host.asked("/v1/chat").len(), 2);
}
