//! Does a key, a token, a prompt, an answer, the text of a provider's error or a label that is not allowed get into a file, an
//! export, the audit record, a report or the log of a running program?

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use modelway::grpc::v1::admin_service_client::AdminServiceClient;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::{
    Account, AccountKind, Action, CreateKeyRequest, GenerateRequest, Key, ListAuditEventsRequest,
    PutAccountRequest, RevokeKeyRequest, RotateKeyRequest, Scope,
};
use modelway::identity::key::KeyKind;
use modelway::ledger::export::ExportFormat;
use modelway::simulator::{Behaviour, Settings, Simulator, WireName};
use serde_json::json;
use tonic::transport::Channel;

use crate::admin::support::{keys, secret_of};
use crate::commands::run;
use crate::identity::issuers::Sso;
use crate::identity::{TestKey, bearer, caller};
use crate::ledger::{rows, table};
use crate::ledger_reading::exported;
use crate::support::posted::fetched;
use crate::support::{EVERYTHING, Process, ask, collect, nobody, scratch};

/// Stands in everything that must not be seen.
const CANARY: &str = "canary";

/// What providers do.
const BEHAVIOURS: [&str; 16] = [
    "tokens=3",
    "no-usage",
    "status=400",
    "status=401",
    "status=429",
    "status=500",
    "status=529",
    "cut=3",
    "error=3",
    "error-body",
    "malformed=3",
    "content-filter",
    "reset",
    "context-length",
    "quota",
    "html",
];

const FORMATS: [(&str, WireName); 4] = [
    ("openai_chat", WireName::OpenAiChat),
    ("openai_responses", WireName::OpenAiResponses),
    ("anthropic", WireName::Anthropic),
    ("gemini", WireName::Gemini),
];

/// Texts that must not be found, each with its name.
#[derive(Default)]
struct Needles(Vec<(String, String)>);

impl Needles {
    fn add(&mut self, name: &str, text: &str) {
        assert!(text.len() >= CANARY.len(), "{name}: {text}");
        self.0.push((name.to_owned(), text.to_ascii_lowercase()));
    }

    /// A key, as far as it is not shown to people.
    fn add_key(&mut self, name: &str, secret: &str) {
        self.add(name, &secret[12..]);
    }

    /// How often one of them stands in these bytes.
    fn hits(&self, place: &str, bytes: &[u8]) -> usize {
        let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
        let mut hits = 0;
        for (name, needle) in &self.0 {
            for (found, _) in text.match_indices(needle.as_str()) {
                hits += 1;
                let around: String = text[..found].chars().rev().take(80).collect();
                let around: String = around.chars().rev().collect();
                println!("{place}: {name} after {around:?}");
            }
        }
        hits
    }

    /// The hits in all files of a directory and below it, and their bytes.
    fn in_files(&self, directory: &Path) -> (usize, usize) {
        let (mut hits, mut bytes) = (0, 0);
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let (more, length) = match path.is_dir() {
                true => self.in_files(&path),
                false => {
                    // SQLite may remove what it keeps beside a file.
                    let content = fs::read(&path).unwrap_or_default();
                    (
                        self.hits(&path.display().to_string(), &content),
                        content.len(),
                    )
                }
            };
            hits += more;
            bytes += length;
        }
        (hits, bytes)
    }
}

fn config(folder: &Path, data: &Path, simulator: &Simulator, admin: &str) -> String {
    let key = folder.join("provider-key");
    fs::write(&key, "sk-canary-of-the-provider").unwrap();
    let mut config = format!(
        "[server]\npredrain = '0s'\n[admin]\nlisten = '{admin}'\n[logging]\nformat = 'json'\n\
         [credential_lock]\nbase = '1ms'\nmax = '1ms'\n[throttle]\nbase_wait = '1ms'\nmax_wait = '1ms'\n\
         [breaker]\nconsecutive_failures = 100000\nmin_samples = 100000\nmin_commits = 100000\n{}",
        table(data, "")
    );
    for (format, wire) in FORMATS {
        let _ = write!(
            config,
            "[providers.{format}]\nwire_format = '{format}'\nbase_url = '{}'\napi_key = 'file:{}'\n",
            simulator.base_url(wire),
            key.display()
        );
        for (number, _) in BEHAVIOURS.iter().enumerate() {
            let _ = write!(
                config,
                "[models.'{format}/b{number}']\nmax_output_tokens = 1000\nprice = {{ input = 1, output = 2 }}\n\
                 [scenarios.{format}-{number}]\ntargets = ['{format}/b{number}']\n"
            );
        }
    }
    config
}

/// A request with canaries wherever a caller's content goes.
fn secretive(scenario: &str, labels: &[(&str, &str)]) -> GenerateRequest {
    let labels = labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    GenerateRequest {
        end_user_id: "canary-user".to_owned(),
        prompt_cache_key: "canary-cache".to_owned(),
        labels: labels.collect(),
        ..ask(scenario, "the canary asks, and the canary waits")
    }
}

/// Makes keys, replaces one, revokes one, and is refused; all secrets are needles from now on.
async fn administer(
    client: &mut AdminServiceClient<Channel>,
    ops: &str,
    needles: &mut Needles,
) -> String {
    let account = Account {
        id: "shopper".to_owned(),
        kind: AccountKind::Caller.into(),
        scopes: vec![Scope {
            action: Action::Generate.into(),
            ..Scope::default()
        }],
        ..Account::default()
    };
    let put = PutAccountRequest {
        account: Some(account),
        comment: String::new(),
    };
    client.put_account(bearer(put, ops)).await.unwrap();
    let create = || CreateKeyRequest {
        key: Some(Key {
            account: "shopper".to_owned(),
            ..Key::default()
        }),
        comment: String::new(),
    };
    let made = client.create_key(bearer(create(), ops)).await.unwrap();
    let made = made.into_inner();
    needles.add_key("a key that was made", &made.secret);
    let rotate = RotateKeyRequest {
        id: made.key.unwrap().id,
        ..RotateKeyRequest::default()
    };
    let new = client.rotate_key(bearer(rotate, ops)).await.unwrap();
    let new = new.into_inner();
    needles.add_key("a key that replaces another", &new.secret);
    let revoke = RevokeKeyRequest {
        id: new.key.unwrap().id,
        ..RevokeKeyRequest::default()
    };
    client.revoke_key(bearer(revoke, ops)).await.unwrap();
    // Refused: no right, no key, a key that nobody was given.
    for shown in [
        &*made.secret,
        "mwa_canarycanarycanarycanarycanarycanarycanarycanary1",
        "canary",
    ] {
        let refused = client.create_key(bearer(create(), shown)).await;
        refused.unwrap_err();
    }
    made.secret
}

#[tokio::test]
async fn no_secret_and_no_content_is_in_files_exports_records_reports_and_logs() {
    let data = scratch::path("every-canary");
    let folder = scratch::folder("canaries");
    let mut needles = Needles::default();
    needles.add("content, a label or a credential", CANARY);
    let actions = [
        "LEDGER_READ",
        "OPERATE",
        "ADMIN_ACCOUNTS",
        "ADMIN_LIMITS",
        "ADMIN_PRICES",
        "ADMIN_READ",
    ];
    let mut arguments = vec!["create", "--caller", "ops"];
    arguments.extend(actions.iter().flat_map(|action| ["--admin", action]));
    let ops = secret_of(&keys(&data, &arguments));
    needles.add_key("the key of the administrator", &ops);
    let [good, revoked] = [(); 2].map(|()| TestKey::new(KeyKind::Data));
    needles.add_key("a key", &good.secret);
    needles.add_key("a revoked key", &revoked.secret);
    needles.add("the hash of a key", &good.sha256);
    let sso = Sso::start("one").await;
    let token = sso.token("indexer", json!({ "email": "canary@example" }));
    for part in token.split('.') {
        needles.add("a part of a token", part);
    }
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    for (number, behaviour) in BEHAVIOURS.iter().enumerate() {
        let behaviour = Behaviour {
            text: Some("the canary said the canary said the canary said".to_owned()),
            reasoning: 2,
            ..behaviour.parse().unwrap()
        };
        simulator.set(&format!("b{number}"), behaviour);
    }
    let admin = nobody().to_string();
    let rules = "label_rules = [{ key = 'product', values = ['ads'] }]";
    let config = [
        config(&folder, &data, &simulator, &admin),
        sso.configuration_of_issuer(""),
        caller(
            "indexer",
            &format!(
                "{rules}\nbindings = [{{ token = {{ issuer = 'sso', subject = 'indexer' }} }}]"
            ),
        ),
        good.table("good", "indexer", ""),
        revoked.table("revoked", "indexer", "revoked = true"),
    ];
    let file = folder.join("modelway.toml");
    fs::write(&file, config.concat()).unwrap();
    let process = Process::serve(Some(&file), &[("RUST_LOG", EVERYTHING)]);
    let mut client = GenerationServiceClient::new(process.connect().await);
    let channel = Channel::from_shared(format!("http://{admin}")).unwrap();
    let mut operator = AdminServiceClient::new(channel.connect().await.unwrap());

    let shopper = administer(&mut operator, &ops, &mut needles).await;
    let allowed = [("product", "ads")];
    let mut answered = 0;
    for (number, _) in BEHAVIOURS.iter().enumerate() {
        for (format, _) in FORMATS {
            let scenario = format!("{format}-{number}");
            for shown in [&*good.secret, &token] {
                let request = bearer(secretive(&scenario, &allowed), shown);
                answered += usize::from(client.generate(request).await.is_ok());
                let request = bearer(secretive(&scenario, &allowed), shown);
                if let Ok(stream) = client.stream_generate(request).await {
                    collect(stream.into_inner()).await;
                }
            }
        }
    }
    let mut refused = 0;
    for (shown, request) in [
        (&*good.secret, secretive("gemini-0", &[("product", CANARY)])),
        (&*good.secret, secretive("gemini-0", &[(CANARY, "ads")])),
        (&*revoked.secret, secretive("gemini-0", &allowed)),
        (&*shopper, secretive("gemini-0", &allowed)),
        (&*ops, secretive("gemini-0", &allowed)),
        ("canary.canary.canary", secretive("gemini-0", &allowed)),
        (
            "mwd_canarycanarycanarycanarycanarycanarycanarycanary1",
            secretive("gemini-0", &allowed),
        ),
    ] {
        let again = client.generate(bearer(request, shown)).await;
        refused += usize::from(again.is_err());
    }
    let mut keyed = secretive("gemini-0", &allowed);
    keyed.idempotency_key = "canary-again".to_owned();
    let mut keyed = good.sends(keyed);
    let baggage = "product=canary,canary=canary".parse().unwrap();
    keyed.metadata_mut().insert("baggage", baggage);
    client.generate(keyed).await.unwrap();

    let (open, open_bytes) = needles.in_files(&data);
    let mut told = String::new();
    let path = data.to_str().unwrap();
    for arguments in [
        &[
            "calls", "--data", path, "--format", "json", "--limit", "1000",
        ][..],
        &["usage", "--data", path, "--by", "caller,scenario,model"],
        &["audit", "list", "--data", path, "--since", "1h"],
        &["keys", "list", "--data", path],
    ] {
        let done = run(arguments).await;
        assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.err);
        assert!(done.out.len() > 100, "{arguments:?}: {}", done.out);
        let _ = writeln!(told, "{}\n{}", done.out, done.err);
    }
    let events = ListAuditEventsRequest::default();
    let events = operator.list_audit_events(bearer(events, &ops)).await;
    let _ = writeln!(told, "{:?}", events.unwrap().into_inner());
    let metrics = fetched(&format!("http://{admin}/metrics")).await;
    assert!(metrics.contains("modelway_"), "{metrics}");
    process.terminate();
    let (status, log) = process.ended().await;
    assert!(status.success());
    let (closed, closed_bytes) = needles.in_files(&data);
    let exports = [ExportFormat::JsonLines, ExportFormat::FocusCsv]
        .into_iter()
        .flat_map(|format| [true, false].map(|single| exported(&data, format, single).0));
    let exports: Vec<_> = exports.collect();

    let of_exports: usize = exports.iter().map(|it| needles.hits("export", it)).sum();
    let of_reports = needles.hits("report", told.as_bytes());
    let of_metrics = needles.hits("metrics", metrics.as_bytes());
    let of_log = needles.hits("log", log.as_bytes());
    let attempts = rows(&data).len();
    println!(
        "{} needles; hits: {open} in {open_bytes} bytes of open files, {closed} in {closed_bytes} of closed ones, \
         {of_exports} in {} bytes of {} exports, {of_reports} in {} of reports and the audit record, {of_metrics} in {} \
         of metrics, {of_log} in {} of the log; {attempts} attempts, {answered} calls answered, {refused} refused",
        needles.0.len(),
        exports.iter().map(Vec::len).sum::<usize>(),
        exports.len(),
        told.len(),
        metrics.len(),
        log.len(),
    );
    // The canaries were there to be seen.
    let received = simulator.requests();
    let seen = received.iter().filter(|request| {
        let body = String::from_utf8_lossy(&request.body);
        body.contains(CANARY) && format!("{:?}", request.headers).contains("sk-canary")
    });
    assert_eq!(seen.count(), received.len());
    assert!(attempts >= BEHAVIOURS.len() * FORMATS.len() * 4);
    assert!(answered > 0);
    assert!(refused >= 6, "{refused}");
    assert_eq!(
        [open, closed, of_exports, of_reports, of_metrics, of_log],
        [0; 6]
    );
}
