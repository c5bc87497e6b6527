//! Why is there no connection to a provider? Each cause is distinguished, for the caller and in the log.

use std::fmt::Write as _;
use std::net::SocketAddr;

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::simulator::{Settings, Simulator};
use tokio::net::TcpListener;

use crate::support::foreign::authority::{Authority, Purpose};
use crate::support::foreign::front::Front;
use crate::support::foreign::proxies::{Manners, Proxy};
use crate::support::{Process, ask, details, nobody, scratch};

/// A provider that cannot be reached, and what is reported about it.
struct Case {
    name: &'static str,
    base_url: String,
    more: String,
    detail: &'static str,
    /// A piece of the chain of causes in the log.
    cause: &'static str,
}

fn case(
    name: &'static str,
    base_url: impl Into<String>,
    more: impl Into<String>,
    detail: &'static str,
    cause: &'static str,
) -> Case {
    Case {
        name,
        base_url: base_url.into(),
        more: more.into(),
        detail,
        cause,
    }
}

#[tokio::test]
async fn each_cause_has_words_of_its_own_for_the_caller_and_one_line_in_the_log() {
    let (authority, another) = (Authority::new(), Authority::new());
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let at = simulator.address();
    let front = async |purpose| {
        let tls = authority.server(purpose, &["http/1.1"]);
        Front::before(at, tls).await
    };
    let (good, expired, elsewhere) = (
        front(Purpose::Server).await,
        front(Purpose::ExpiredServer).await,
        front(Purpose::ServerElsewhere).await,
    );
    let clients = Front::before(at, authority.server_for_clients(&["http/1.1"])).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = silent.local_addr().unwrap();
    let deserted = nobody();
    let of = |authority: &Authority| format!("ca_file = {:?}", authority.file());
    let ours = of(&authority);
    let (certificate, key) = another.issue(Purpose::Client).files();
    let other_client = format!(
        "{ours}\nclient_certificate_file = {certificate:?}\nclient_key = \"file:{}\"",
        key.display()
    );
    let refusing = Manners {
        refuses: Some(403),
        ..Manners::default()
    };
    let wanting = Manners {
        credentials: Some(("user", "password")),
        ..Manners::default()
    };
    let mute = Manners {
        is_silent: true,
        ..Manners::default()
    };
    let socks_refusing = Manners {
        refuses: Some(2),
        ..Manners::default()
    };
    let proxies = [
        Proxy::http(at, refusing).await,
        Proxy::http(at, wanting.clone()).await,
        Proxy::http(at, mute).await,
        Proxy::socks(at, socks_refusing).await,
        Proxy::socks(at, wanting).await,
    ];
    let by = |scheme: &str, proxy: SocketAddr| format!("proxy = \"{scheme}://{proxy}\"");
    let beyond = "https://provider.invalid/v1";
    let cases = [
        case(
            "name",
            beyond,
            "",
            "the host's name is not found in DNS",
            "failed to lookup address information",
        ),
        case(
            "refused",
            format!("http://{deserted}/v1"),
            "",
            "the host refuses the connection",
            "Connection refused",
        ),
        case(
            "silent",
            format!("https://{silent}/v1"),
            "",
            "no TLS within `connect_timeout`",
            "deadline has elapsed",
        ),
        case(
            "no-tls",
            format!("https://{at}/v1"),
            "",
            "TLS fails",
            "InvalidContentType",
        ),
        case(
            "issuer",
            format!("https://{}/v1", good.address),
            of(&another),
            "the certificate is from an authority that is not trusted here",
            "UnknownIssuer",
        ),
        case(
            "expired",
            format!("https://{}/v1", expired.address),
            &*ours,
            "the certificate has expired",
            "certificate expired",
        ),
        case(
            "other-host",
            format!("https://{}/v1", elsewhere.address),
            &*ours,
            "the certificate is for another host",
            "not valid for name",
        ),
        case(
            "client",
            format!("https://{}/v1", clients.address),
            &*ours,
            "the host wants a client certificate",
            "CertificateRequired",
        ),
        case(
            "other-client",
            format!("https://{}/v1", clients.address),
            other_client,
            "the host does not accept our client certificate",
            "received fatal alert",
        ),
        case(
            "proxy-away",
            beyond,
            by("http", deserted),
            "its proxy cannot be reached: the host refuses the connection",
            "Connection refused",
        ),
        case(
            "proxy-403",
            beyond,
            by("http", proxies[0].address),
            "its proxy refuses the connection (HTTP 403)",
            "tunnel error: unsuccessful",
        ),
        case(
            "proxy-407",
            beyond,
            by("http", proxies[1].address),
            "its proxy does not accept our credentials",
            "proxy authorization required",
        ),
        case(
            "proxy-silent",
            beyond,
            by("http", proxies[2].address),
            "its proxy does not connect within `connect_timeout`",
            "",
        ),
        case(
            "proxy-other",
            beyond,
            by("http", proxies[3].address),
            "its proxy speaks another protocol or hangs up",
            "tunnel error",
        ),
        case(
            "socks-refused",
            beyond,
            by("socks5h", proxies[3].address),
            "its proxy refuses the connection",
            "SOCKS error",
        ),
        case(
            "socks-credentials",
            beyond,
            by("socks5h", proxies[4].address),
            "its proxy does not accept our credentials",
            "SOCKS error",
        ),
    ];
    let mut config = String::from(
        "[server]\npredrain = \"0s\"\n[logging]\nformat = \"json\"\n[transport]\nconnect_timeout = \"500ms\"\n",
    );
    for Case {
        name,
        base_url,
        more,
        ..
    } in &cases
    {
        write!(
            config,
            r#"
            [providers.{name}]
            wire_format = "openai_chat"
            base_url = "{base_url}"
            auth = "none"
            {more}
            [models."{name}/first"]
            [scenarios.{name}]
            targets = ["{name}/first"]
            "#
        )
        .unwrap();
    }

    let config = scratch::file("no-connection.toml", &config);
    let process = Process::serve(Some(&config), &[]);
    let mut client = GenerationServiceClient::new(process.connect().await);
    let mut told = Vec::new();
    for case in &cases {
        for _ in 0..2 {
            let failure = client.generate(ask(case.name, "Hello")).await.unwrap_err();
            told.push((case, details(&failure)));
        }
    }
    process.terminate();
    let (_, log) = process.ended().await;

    for (case, failure) in &told {
        let name = case.name;
        assert_eq!(failure.reason, "PROVIDER_UNREACHABLE", "{name}\n{log}");
        let attempt = &failure.failure.as_ref().unwrap().attempts[0];
        let expected = format!("the provider cannot be reached: {}", case.detail);
        assert_eq!(attempt.detail, expected, "{name}\n{log}");
    }
    for Case {
        name,
        base_url,
        cause,
        ..
    } in &cases
    {
        let provider = format!("\"provider\":\"{name}\"");
        let lines: Vec<_> = log
            .lines()
            .filter(|line| line.contains("no connection to a provider") && line.contains(&provider))
            .collect();
        assert_eq!(lines.len(), 1, "{name}: {lines:#?}\n{log}");
        assert!(lines[0].contains(cause), "{name}: {}", lines[0]);
        assert!(
            lines[0].contains(base_url.trim_end_matches("/v1")),
            "{name}: {}",
            lines[0]
        );
        assert!(lines[0].contains("WARN"), "{name}: {}", lines[0]);
    }
}
