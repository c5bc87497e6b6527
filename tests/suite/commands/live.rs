//! `modelway check --live`, against providers that are not like the simulator.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use modelway::simulator::{Settings, Simulator, WireName};
use serde_json::Value;
use tokio::time::Instant;

use super::{Done, finish};
use crate::support::foreign::answer::Manner;
use crate::support::foreign::authority::{Authority, Purpose};
use crate::support::foreign::front::Front;
use crate::support::foreign::http1::{End, Http1};
use crate::support::foreign::proxies::{Manners as ProxyManners, Proxy};
use crate::support::{nobody, program, scratch, without_settings};

/// A key that must never be shown.
const KEY: &str = "sk-s3cr3t";

/// A host that reads a request and answers with this, or with nothing if it is empty; how many requests have come.
fn host(answer: String) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (count, counted) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let requests = Arc::clone(&count);
    drop(counted);
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 16 * 1024];
            if matches!(stream.read(&mut request), Ok(0) | Err(_)) {
                continue;
            }
            requests.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(answer.as_bytes());
            if answer.is_empty() {
                open.push(stream);
            }
        }
    });
    (address, count)
}

fn refusal(status: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

/// A provider of this name at this URL with one model, and more keys of either.
fn provider(name: &str, url: &str, more: &str, model: &str) -> String {
    format!(
        "[providers.{name}]\nwire_format = 'openai_chat'\nbase_url = '{url}'\napi_key = 'env:CHECK_KEY'\n\
         dialect = {{ output_cap = 'max_tokens' }}\n{more}\n[models.\"{name}/m\"]\n{model}\n"
    )
}

const PRICE: &str = "price = { input = 1.0, output = 10.0 }";

fn file(providers: &str, targets: &[&str]) -> PathBuf {
    let targets: Vec<_> = targets.iter().map(|name| format!("{name}/m")).collect();
    let text = format!("{providers}[scenarios.s]\ntargets = {targets:?}\n");
    scratch::file("modelway.toml", text)
}

/// Checks this file live with these further arguments.
async fn check(path: &std::path::Path, more: &[&str]) -> Done {
    let mut command = program();
    command.arg("check").arg("--live").arg(path).args(more);
    command.env("CHECK_KEY", KEY);
    let done = finish(command, b"").await;
    let all = format!("{}{}", done.out, done.err);
    assert!(!all.contains("s3cr3t"), "the key is shown: {all}");
    done
}

fn names(steps: &Value) -> Vec<&str> {
    let steps = steps.as_array().unwrap().iter();
    steps.map(|step| step["step"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn each_target_is_asked_once_and_the_step_that_fails_is_named_with_its_remedy() {
    let good = Http1::start(Manner::default(), End::Close, None).await;
    let echo =
        format!(r#"{{"error":{{"message":"Incorrect API key provided: {KEY}","code":"{KEY}"}}}}"#);
    let (locked, locked_count) = host(refusal("401 Unauthorized", &echo));
    let body = r#"{"error":{"message":"The model `m` does not exist","code":"model_not_found"}}"#;
    let (unknown, unknown_count) = host(refusal("404 Not Found", body));
    let (mute, mute_count) = host(String::new());
    let refused = nobody();
    let (authority, simulator) = (
        Authority::new(),
        Simulator::start(Settings::default()).await.unwrap(),
    );
    let tls = authority.server(Purpose::Server, &["http/1.1"]);
    let front = Front::before(simulator.address(), tls).await;
    let http = |address: SocketAddr| format!("http://{address}/v1");
    let providers = [
        provider("good", &http(good.address), "", PRICE),
        provider("locked", &http(locked), "", PRICE),
        provider("unknown", &http(unknown), "", ""),
        provider("mute", &http(mute), "", PRICE),
        provider("refused", &http(refused), "", PRICE),
        provider(
            "stranger",
            &format!("https://{}/openai/v1", front.address),
            "",
            PRICE,
        ),
        provider(
            "nameless",
            "http://no-such-host.invalid/v1",
            "allow_insecure = true",
            PRICE,
        ),
    ];
    let all = [
        "good", "locked", "unknown", "mute", "refused", "stranger", "nameless",
    ];
    let path = file(&providers.concat(), &all);

    let unasked = check(&path, &[]).await;
    assert_eq!(unasked.code, Some(2), "{unasked:?}");
    let announced = "7 targets, 1 request each with at most 1 output token (16 where a model demands it), \
                     about 0.000156 USD by your prices; 1 target has no price";
    assert!(unasked.err.starts_with(announced), "{unasked:?}");
    assert!(unasked.err.contains("--yes"), "{unasked:?}");
    assert_eq!((good.requests(), unasked.out.as_str()), (0, ""));

    let began = Instant::now();
    let done = check(&path, &["--yes", "--json"]).await;
    // One target is silent for 10 s; none is waited for without end.
    let took = began.elapsed();
    assert!(took < Duration::from_secs(90), "{took:?}");

    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.err.starts_with(announced), "{done:?}");
    let report: Value = serde_json::from_str(&done.out).unwrap();
    let of = |name: &str| {
        let id = format!("{name}/m");
        let mut targets = report["targets"].as_array().unwrap().iter();
        targets.find(|one| one["target"] == id).unwrap()
    };
    let steps = ["dns", "tcp", "http", "key", "model", "event", "token"];
    assert_eq!(names(&of("good")["steps"]), steps, "{report}");
    assert_eq!(of("good")["ok"], true, "{report}");
    assert_eq!(of("good")["cost_usd"], "0.000031", "{report}");
    assert_eq!(report["cost_usd"], "0.000031");
    for (name, step, why) in [
        ("locked", "key", "does not accept our credential (HTTP 401)"),
        ("unknown", "model", "does not know the model (HTTP 404)"),
        ("mute", "http", "no answer within 10 s"),
        ("refused", "tcp", "the host refuses the connection"),
        (
            "stranger",
            "tls",
            "from an authority that is not trusted here",
        ),
        ("nameless", "dns", "is not found in DNS"),
    ] {
        let one = of(name);
        assert_eq!(one["failed_step"], step, "{one}");
        assert_eq!(one["ok"], false, "{one}");
        assert!(one["remedy"].as_str().unwrap().len() > 10, "{one}");
        let last = one["steps"].as_array().unwrap().last().unwrap();
        assert!(
            last["detail"].as_str().unwrap().contains(why),
            "{why}: {one}"
        );
    }
    let counts = [&locked_count, &unknown_count, &mute_count];
    assert_eq!(counts.map(|count| count.load(Ordering::SeqCst)), [1, 1, 1]);
    assert_eq!(good.requests(), 1);
    assert_eq!(report["requests"], 4, "{report}");
    assert!(simulator.requests().is_empty());
}

#[tokio::test]
async fn chosen_targets_are_asked_and_a_certificate_is_told_of_by_issuer_and_days() {
    let (authority, simulator) = (
        Authority::new(),
        Simulator::start(Settings::default()).await.unwrap(),
    );
    let tls = authority.server(Purpose::Server, &["h2", "http/1.1"]);
    let front = Front::before(simulator.address(), tls).await;
    let good = Http1::start(Manner::default(), End::Close, None).await;
    let trust = format!("ca_file = {:?}", authority.file());
    let providers = [
        provider(
            "own",
            &format!("https://{}/openai/v1", front.address),
            &trust,
            PRICE,
        ),
        provider("good", &format!("http://{}/v1", good.address), "", PRICE),
    ];
    let path = file(&providers.concat(), &["own", "good"]);

    let done = check(&path, &["--yes", "--target", "own/m"]).await;

    assert_eq!(done.code, Some(0), "{done:?}");
    let tls = done
        .out
        .lines()
        .find(|line| line.trim().starts_with("tls"))
        .unwrap();
    assert!(tls.contains("issued by CN=authority"), "{tls}");
    assert!(tls.contains("more days"), "{tls}");
    assert!(
        done.out
            .contains("1 of 1 targets answer; 1 requests cost 0.0000"),
        "{done:?}"
    );
    assert_eq!((good.requests(), simulator.requests().len()), (0, 1));
    assert_eq!(simulator.requests()[0].json()["max_tokens"], 1);

    let typo = check(&path, &["--yes", "--target", "own/n"]).await;
    assert_eq!(typo.code, Some(2), "{typo:?}");
    assert!(typo.err.contains("did you mean `own/m`?"), "{typo:?}");
}

#[tokio::test]
async fn a_person_at_a_terminal_is_asked_before_anything_is_sent() {
    let good = Http1::start(Manner::default(), End::Close, None).await;
    let providers = provider("good", &format!("http://{}/v1", good.address), "", "");
    let path = file(&providers, &["good"]);
    for (answer, code, requests) in [("n\n", 2, 0), ("\n", 2, 0), ("y\n", 0, 1)] {
        let mut command = without_settings("script");
        let line = format!(
            "{} check --live {}",
            env!("CARGO_BIN_EXE_modelway"),
            path.display()
        );
        let typescript = path.with_extension("typescript");
        command.args(["-q", "-e", "-c", &line]).arg(typescript);
        command.env("CHECK_KEY", KEY);
        if Command::new("script").arg("--version").output().is_err() {
            eprintln!("skipped: `script` of util-linux, which gives a terminal, cannot be run");
            return;
        }

        let done = finish(command, answer.as_bytes()).await;

        assert_eq!(done.code, Some(code), "{answer:?} {done:?}");
        assert!(done.out.contains("1 target has no price"), "{done:?}");
        assert_eq!(good.requests(), requests, "{answer:?}");
    }
}

#[tokio::test]
async fn simulated_providers_are_played_and_a_configuration_may_come_by_standard_input() {
    let text = "[providers.sim]\nsimulated = true\nwire_format = 'openai_responses'\n[models.\"sim/m\"]\n\
                [scenarios.s]\ntargets = ['sim/m']\n";
    let mut command = program();
    command.args(["check", "-", "--live", "--yes"]);

    let done = finish(command, text.as_bytes()).await;

    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.contains("sim/m  ok"), "{done:?}");
    let mut command = program();
    command.args(["check", "-", "--live"]);
    assert_eq!(finish(command, text.as_bytes()).await.code, Some(2));
}

#[tokio::test]
async fn a_target_behind_a_proxy_is_asked_through_it_and_one_that_refuses_is_named() {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let server = simulator.address();
    let wanted = ProxyManners {
        credentials: Some(("me", "pr0xy-s3cr3t")),
        ..ProxyManners::default()
    };
    let refuses = ProxyManners {
        refuses: Some(403),
        ..ProxyManners::default()
    };
    let open = Proxy::http(server, ProxyManners::default()).await;
    let socks = Proxy::socks(server, ProxyManners::default()).await;
    let guarded = Proxy::http(server, wanted.clone()).await;
    let unknown = Proxy::http(server, wanted).await;
    let closed = Proxy::http(server, refuses).await;
    let secret = |name: &str, url: String| {
        let path = scratch::file(name, url);
        format!("file:{}", path.display())
    };
    let good = secret(
        "live-proxy-good",
        format!("http://me:pr0xy-s3cr3t@{}", guarded.address),
    );
    let bad = secret(
        "live-proxy-bad",
        format!("http://me:other-s3cr3t@{}", unknown.address),
    );
    let all = [
        ("open", format!("http://{}", open.address)),
        ("socks", format!("socks5h://{}", socks.address)),
        ("guarded", good),
        ("unknown", bad),
        ("closed", format!("http://{}", closed.address)),
        ("nobody", format!("http://{}", nobody())),
    ];
    let providers = all.iter().map(|(name, proxy)| {
        let more = format!("allow_insecure = true\nproxy = {proxy:?}");
        provider(name, "http://provider.invalid/openai/v1", &more, PRICE)
    });
    let names = all.each_ref().map(|(name, _)| *name);
    let path = file(&providers.collect::<String>(), &names);

    let done = check(&path, &["--yes", "--json"]).await;

    assert_eq!(done.code, Some(3), "{done:?}");
    let report: Value = serde_json::from_str(&done.out).unwrap();
    let of = |name: &str| {
        let id = format!("{name}/m");
        let mut targets = report["targets"].as_array().unwrap().iter();
        targets.find(|one| one["target"] == id).unwrap()
    };
    for (name, proxy) in [("open", &open), ("socks", &socks), ("guarded", &guarded)] {
        let one = of(name);
        assert_eq!(one["ok"], true, "{one}");
        // The proxy looks the name up.
        assert_eq!(one["steps"][0]["step"], "tcp", "{one}");
        assert_eq!(one["steps"][0]["detail"], "through its proxy", "{one}");
        let asked = proxy.asked();
        assert!(
            asked.iter().all(|host| host == "provider.invalid:80"),
            "{asked:?}"
        );
    }
    for name in ["unknown", "closed", "nobody"] {
        let one = of(name);
        assert_eq!(one["failed_step"], "tcp", "{one}");
        let detail = one["steps"][0]["detail"].as_str().unwrap();
        assert!(detail.contains("proxy"), "{one}");
        assert!(one["remedy"].as_str().unwrap().contains("proxy"), "{one}");
    }
    assert_eq!(simulator.requests().len(), 3);
}

#[tokio::test]
async fn a_model_that_takes_no_limit_of_one_token_is_asked_for_sixteen() {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let all = [
        (WireName::OpenAiChat, "/max_completion_tokens", 16),
        (WireName::OpenAiResponses, "/max_output_tokens", 16),
        (WireName::Anthropic, "/max_tokens", 1),
        (WireName::Gemini, "/generationConfig/maxOutputTokens", 1),
    ];
    let names = ["openai_chat", "openai_responses", "anthropic", "gemini"];
    let providers = names.iter().zip(&all).map(|(name, (wire, ..))| {
        let url = simulator.base_url(*wire);
        format!(
            "[providers.{name}]\nwire_format = '{name}'\nbase_url = '{url}'\nauth = 'none'\n\
             [models.\"{name}/m\"]\nmax_output_tokens = 100\n{PRICE}\n"
        )
    });
    let path = file(&providers.collect::<String>(), &names);

    let done = check(&path, &["--yes"]).await;

    assert_eq!(done.code, Some(0), "{done:?}");
    // Four times 16 tokens of input, and 16 + 16 + 1 + 1 of output.
    assert!(done.err.contains("about 0.000404 USD"), "{done:?}");
    let requests = simulator.requests();
    assert_eq!(requests.len(), all.len());
    for (wire, field, cap) in all {
        let mut of = requests.iter().filter(|one| one.wire == Some(wire));
        let body = of.next().unwrap().json();
        assert_eq!(body.pointer(field), Some(&cap.into()), "{wire:?}: {body}");
    }
}
