//! The way to a provider through a proxy: which one is taken, and what it gets to see.

use std::net::SocketAddr;

use modelway::config::Surroundings;
use modelway::config::file::File;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::simulator::{Settings, Simulator, text};

use crate::support::foreign::authority::{Authority, Purpose};
use crate::support::foreign::front::Front;
use crate::support::foreign::proxies::{Manners, Proxy};
use crate::support::{EVERYTHING, Gateway, METHODS, Process, ask, scratch, text_of};

const CREDENTIALS: Manners = Manners {
    credentials: Some(("me@home", "s3cret/of:the-proxy")),
    refuses: None,
    is_silent: false,
    tls: None,
};

/// A URL with those credentials.
fn with_credentials(scheme: &str, proxy: SocketAddr) -> String {
    format!("{scheme}://me%40home:s3cret%2Fof%3Athe-proxy@{proxy}")
}

/// A configuration of one target at this URL; `provider` says more of its provider.
fn at(base_url: &str, provider: &str) -> String {
    format!(
        r#"
        [server]
        predrain = "0s"
        [providers.beyond]
        wire_format = "openai_chat"
        base_url = "{base_url}"
        auth = "none"
        allow_insecure = true
        {provider}
        [models."beyond/first"]
        [scenarios.one]
        targets = ["beyond/first"]
        "#
    )
}

#[tokio::test]
async fn a_provider_is_reached_through_its_own_proxy() {
    let authority = Authority::new();
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let server = simulator.address();
    let front = Front::before(server, authority.server(Purpose::Server, &["http/1.1"])).await;
    let ca_file = format!("ca_file = {:?}", authority.file());
    let tls = Manners {
        tls: Some(authority.server(Purpose::Server, &[])),
        ..CREDENTIALS
    };
    let open = Manners::default();
    for (scheme, proxy, is_open) in [
        ("http", Proxy::http(server, open.clone()).await, true),
        ("http", Proxy::http(server, CREDENTIALS).await, false),
        ("https", Proxy::http(server, tls).await, false),
        ("socks5h", Proxy::socks(server, open.clone()).await, true),
        ("socks5h", Proxy::socks(server, CREDENTIALS).await, false),
    ] {
        let url = match is_open {
            true => format!("{scheme}://{}", proxy.address),
            false => {
                let url = with_credentials(scheme, proxy.address);
                let path = scratch::file(&format!("proxy-{}", proxy.address.port()), &url);
                format!("file:{}", path.display())
            }
        };
        let more = format!("{ca_file}\nproxy = {url:?}");
        let gateway = Gateway::start(&at("http://provider.invalid/openai/v1", &more)).await;
        for method in METHODS {
            let response = gateway.call(method, ask("one", "Hello")).await.unwrap();

            assert_eq!(text_of(&response), text(24), "{scheme}");
        }
        let asked = proxy.asked();
        assert!(!asked.is_empty(), "{scheme}");
        assert!(
            asked.iter().all(|host| host == "provider.invalid:80"),
            "{scheme}: {asked:?}"
        );
    }

    // With TLS to the provider through the proxy, which sees none of it.
    for (scheme, proxy) in [
        ("http", Proxy::http(front.address, open.clone()).await),
        ("socks5", Proxy::socks(front.address, open.clone()).await),
        ("socks5h", Proxy::socks(front.address, open).await),
    ] {
        let more = format!("{ca_file}\nproxy = \"{scheme}://{}\"", proxy.address);
        let gateway = Gateway::start(&at("https://localhost:8443/openai/v1", &more)).await;

        let response = gateway.generate(ask("one", "Hello")).await.unwrap();

        assert_eq!(text_of(&response), text(24), "{scheme}");
        let asked = &proxy.asked()[0];
        let looked_up = ["127.0.0.1:8443", "[::1]:8443"].contains(&asked.as_str());
        match scheme {
            "socks5" => assert!(looked_up, "{asked}"),
            _ => assert_eq!(asked, "localhost:8443", "{scheme}"),
        }
    }
}

/// A variable of the environment and its value.
type Variable<'a> = (&'a str, &'a str);

/// Asks a service that runs in this environment, and tells how it went and what it logged.
async fn asked_in(config: &str, variables: &[Variable<'_>]) -> (Result<String, String>, String) {
    let config = scratch::file("modelway.toml", config);
    let process = Process::serve(Some(&config), variables);
    let mut client = GenerationServiceClient::new(process.connect().await);
    let answer = client.generate(ask("one", "Hello")).await;
    process.terminate();
    let (_, log) = process.ended().await;
    let answer = match answer {
        Ok(response) => Ok(text_of(&response.into_inner())),
        Err(status) => Err(status.message().to_owned()),
    };
    (answer, log)
}

#[tokio::test]
async fn the_environment_names_proxies_as_it_does_for_other_clients() {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let proxy = Proxy::http(simulator.address(), CREDENTIALS).await;
    let socks = Proxy::socks(simulator.address(), Manners::default()).await;
    let http_url = with_credentials("http", proxy.address);
    let socks_url = format!("socks5h://{}", socks.address);
    let elsewhere = "http://127.0.0.1:9";
    let beyond = at("http://api.provider.invalid/openai/v1", "");
    let table: &[(&[Variable<'_>], Option<&Proxy>)] = &[
        (&[("HTTP_PROXY", &http_url)], Some(&proxy)),
        (&[("http_proxy", &http_url)], Some(&proxy)),
        (&[("ALL_PROXY", &http_url)], Some(&proxy)),
        (&[("all_proxy", &socks_url)], Some(&socks)),
        (
            &[("ALL_PROXY", elsewhere), ("HTTP_PROXY", &socks_url)],
            Some(&socks),
        ),
        (
            &[("HTTP_PROXY", ""), ("http_proxy", &socks_url)],
            Some(&socks),
        ),
        (&[("HTTPS_PROXY", &http_url)], None), // for https only
        (
            &[
                ("HTTP_PROXY", &http_url),
                ("NO_PROXY", "other.example, .provider.invalid"),
            ],
            None,
        ),
        (&[("HTTP_PROXY", &http_url), ("no_proxy", "*")], None),
        (
            &[("HTTP_PROXY", &http_url), ("NO_PROXY", "vider.invalid")],
            Some(&proxy),
        ),
    ];
    for (variables, through) in table {
        let (answer, log) = asked_in(&beyond, variables).await;

        match through {
            Some(through) => {
                assert_eq!(answer, Ok(text(24)), "{variables:?}: {log}");
                assert_eq!(through.asked().last().unwrap(), "api.provider.invalid:80");
            }
            None => {
                let error = answer.unwrap_err();
                assert!(error.contains("not found in DNS"), "{variables:?}: {error}");
            }
        }
        assert!(!log.contains("s3cret"), "{log}");
    }

    // This machine is never reached through a proxy, unless a provider's own table says so.
    let here = at(&format!("http://{}/openai/v1", simulator.address()), "");
    let (answer, log) = asked_in(
        &here,
        &[("HTTP_PROXY", elsewhere), ("ALL_PROXY", elsewhere)],
    )
    .await;
    assert_eq!(answer, Ok(text(24)), "{log}");
    // Nor is a provider that wants none.
    let none = at("http://api.provider.invalid/openai/v1", "proxy = \"none\"");
    let (answer, _) = asked_in(&none, &[("HTTP_PROXY", &http_url)]).await;
    assert!(answer.unwrap_err().contains("not found in DNS"));
}

#[tokio::test]
async fn no_credential_of_a_proxy_is_shown_when_it_is_refused() {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let other = Manners {
        credentials: Some(("another", "one")),
        ..Manners::default()
    };
    let proxies = [
        (
            "http",
            Proxy::http(simulator.address(), other.clone()).await,
        ),
        ("socks5h", Proxy::socks(simulator.address(), other).await),
    ];
    for (scheme, proxy) in proxies {
        let url = with_credentials(scheme, proxy.address);
        let beyond = at("http://api.provider.invalid/openai/v1", "");
        let variables = [("ALL_PROXY", url.as_str()), ("RUST_LOG", EVERYTHING)];

        let (answer, log) = asked_in(&beyond, &variables).await;

        let error = answer.unwrap_err();
        assert!(
            error.contains("its proxy does not accept our credentials"),
            "{error}"
        );
        assert!(log.contains("no connection to a provider"), "{log}");
        for secret in ["s3cret", "me@home", "me%40home", "bWVAaG9tZ"] {
            assert!(!error.contains(secret), "{error}");
            assert!(!log.contains(secret), "{log}");
        }
    }
}

#[test]
fn a_proxy_is_checked_before_anything_is_sent_to_it() {
    let mistakes = |provider: &str, variables: &[(&str, &str)]| {
        let surroundings = Surroundings {
            variable: &|wanted| {
                let found = variables.iter().find(|(name, _)| *name == wanted);
                found.map(|(_, value)| (*value).to_owned())
            },
            read_file: &|_| Ok("http://me:s3cret@proxy:3128\n".to_owned()),
            simulator: None,
            in_use: modelway::config::InUse::default(),
        };
        let text = at("https://provider.example/v1", provider);
        let resolved = File::parse(&text).resolve(&surroundings);
        resolved
            .err()
            .map(|mistakes| mistakes.to_string())
            .unwrap_or_default()
    };
    for provider in [
        "proxy = 'none'",
        "proxy = 'http://proxy:3128'",
        "proxy = 'https://proxy'",
        "proxy = 'socks5://[::1]:1080'",
        "proxy = 'socks5h://proxy:1080'",
        "proxy = 'file:/run/secrets/proxy'",
    ] {
        assert_eq!(mistakes(provider, &[]), "", "{provider}");
    }
    for (provider, told) in [
        (
            "proxy = 'http://me:s3cret@proxy:3128'",
            "the URL holds a credential",
        ),
        ("proxy = 'socks4://proxy:3128'", "not the URL of a proxy"),
        ("proxy = 'ftp://proxy:3128'", "not the URL of a proxy"),
        ("proxy = 'http://'", "not the URL of a proxy"),
        ("proxy = ''", "not the URL of a proxy"),
        (
            "proxy = 'env:PROXY'",
            "the environment variable `PROXY` is unset or empty",
        ),
    ] {
        let mistakes = mistakes(provider, &[]);
        let expected = format!("9: providers.beyond.proxy: {told}; ");
        assert!(mistakes.starts_with(&expected), "{provider}: {mistakes}");
        assert!(!mistakes.contains("s3cret"), "{mistakes}");
    }
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let mistakes = mistakes("", &[(variable, "ftp://me:s3cret@proxy")]);
        let expected = format!(
            "4: providers.beyond: the environment variable `{variable}` is not the URL of a proxy; "
        );
        assert!(mistakes.starts_with(&expected), "{mistakes}");
        assert!(!mistakes.contains("s3cret"), "{mistakes}");
    }
}
