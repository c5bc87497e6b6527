//! Is a call only let in with a credential that holds, whatever its door?

use modelway::grpc::v1::caller_service_client::CallerServiceClient;
use modelway::grpc::v1::{CredentialKind, ErrorReason, WhoAmIRequest};
use modelway::identity::key::KeyKind;
use prost::Message as _;
use serde_json::Value;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::{TestKey, bearer, caller, hello};
use crate::support::posted::framed;
use crate::support::{Gateway, METHODS, Method, ONE_MODEL, details};

/// A service with a key that holds, and one for each reason not to.
struct Guarded {
    gateway: Gateway,
    good: TestKey,
    /// What is refused, by the reason.
    bad: Vec<(&'static str, String)>,
}

async fn guarded(more: &str) -> Guarded {
    let [good, expired, rotated, revoked, closed] = [(); 5].map(|()| TestKey::data());
    let config = [
        more,
        ONE_MODEL,
        &caller("a", ""),
        &caller("shut", "closed = true"),
        &good.table("good", "a", ""),
        &expired.table("expired", "a", "expire_time = 2020-01-01"),
        &rotated.table("rotated", "a", "rotated_until = 2020-01-01T00:00:00Z"),
        &revoked.table("revoked", "a", "revoked = true"),
        &closed.table("closed", "shut", ""),
    ]
    .concat();
    let other_kind = good.secret.replacen("mwd_", "mwa_", 1);
    let bad = vec![
        ("unknown", TestKey::data().secret),
        ("expired", expired.secret),
        ("rotated", rotated.secret),
        ("revoked", revoked.secret),
        ("of a closed account", closed.secret),
        ("malformed", "sk-1234567890".to_owned()),
        ("of another kind", other_kind),
        (
            "of another kind, made",
            TestKey::new(KeyKind::Administration).secret,
        ),
        ("a token", "a.b.c".to_owned()),
        ("too long", good.secret.clone() + "0"),
        ("empty", String::new()),
    ];
    Guarded {
        gateway: Gateway::start(&config).await,
        good,
        bad,
    }
}

async fn generate(gateway: &Gateway, method: Method, shown: Option<&str>) -> Result<(), Status> {
    let mut client = gateway.generation();
    let request = match shown {
        Some(shown) => bearer(hello(), shown),
        None => Request::new(hello()),
    };
    match method {
        Method::Generate => client.generate(request).await.map(drop),
        Method::StreamGenerate => client.stream_generate(request).await.map(drop),
    }
}

#[tokio::test]
async fn a_call_is_let_in_by_a_key_and_refused_alike_for_every_bad_one() {
    let Guarded { gateway, good, bad } = guarded("").await;
    for method in METHODS {
        generate(&gateway, method, Some(&good.secret))
            .await
            .unwrap();
        let asked = gateway.simulator.requests().len();

        let missing = details(&generate(&gateway, method, None).await.unwrap_err());
        assert_eq!(missing.code, Code::Unauthenticated);
        assert_eq!(missing.reason, "CREDENTIALS_MISSING");
        assert_eq!(missing.pushback, Some(-1));
        assert_eq!(missing.retry_after, None);

        let mut told = Vec::new();
        for (why, shown) in &bad {
            let refused = generate(&gateway, method, Some(shown)).await.unwrap_err();
            let refused = details(&refused);
            assert_eq!(refused.code, Code::Unauthenticated, "{why}");
            assert_eq!(refused.reason, "CREDENTIALS_INVALID", "{why}");
            assert_eq!(refused.pushback, Some(-1), "{why}");
            told.push((refused.message, refused.info));
        }
        told.dedup();
        assert_eq!(
            told.len(),
            1,
            "why a credential is refused is not told: {told:?}"
        );
        assert_eq!(gateway.simulator.requests().len(), asked);
    }
}

#[tokio::test]
async fn two_entries_or_another_scheme_are_refused_though_anonymous_calls_are_allowed() {
    let Guarded { gateway, good, .. } = guarded("[auth]\nanonymous = \"local\"\n").await;
    gateway.generate(hello()).await.unwrap();
    for entries in [
        vec![
            format!("Bearer {}", good.secret),
            format!("Bearer {}", good.secret),
        ],
        vec!["Basic YTpi".to_owned()],
        vec!["Bearer sk-1".to_owned()],
        vec![String::new()],
    ] {
        let mut request = Request::new(hello());
        for entry in &entries {
            request
                .metadata_mut()
                .append("authorization", entry.parse().unwrap());
        }
        let refused = gateway.generation().generate(request).await.unwrap_err();
        assert_eq!(
            details(&refused).reason,
            "CREDENTIALS_INVALID",
            "{entries:?}"
        );
    }
}

#[tokio::test]
async fn calls_in_json_and_over_grpc_web_are_refused_alike() {
    let Guarded { gateway, good, bad } = guarded("").await;
    let client = reqwest::Client::new();
    let json = async |path: &str, shown: Option<&str>| {
        let body = r#"{"scenario":"one","messages":[{"role":"ROLE_USER","text":"Hello"}]}"#;
        let request = client
            .post(format!("http://{}{path}", gateway.address))
            .header("content-type", "application/json")
            .body(body);
        let request = match shown {
            Some(shown) => request.header("authorization", format!("Bearer {shown}")),
            None => request,
        };
        request.send().await.unwrap()
    };
    for path in ["/v1/generate", "/v1/stream"] {
        assert_eq!(json(path, Some(&good.secret)).await.status(), 200);
        for shown in [None]
            .into_iter()
            .chain(bad.iter().map(|(_, shown)| Some(&**shown)))
        {
            let refused = json(path, shown).await;
            assert_eq!(refused.status(), 401);
            assert_eq!(refused.headers()["www-authenticate"], "Bearer");
            assert_eq!(refused.headers()["grpc-retry-pushback-ms"], "-1");
            let told: Value = serde_json::from_slice(&refused.bytes().await.unwrap()).unwrap();
            let reason = match shown {
                None => "CREDENTIALS_MISSING",
                Some(_) => "CREDENTIALS_INVALID",
            };
            assert_eq!(told["code"], 16, "{told}");
            assert_eq!(told["details"][0]["reason"], reason, "{told}");
        }
    }
    for (shown, status) in [
        (None, "16"),
        (Some("mwd_x"), "16"),
        (Some(&*good.secret), "0"),
    ] {
        let request = client
            .post(format!(
                "http://{}/modelway.v1.GenerationService/Generate",
                gateway.address
            ))
            .header("content-type", "application/grpc-web+proto")
            .body(framed(0, &hello().encode_to_vec()));
        let request = match shown {
            Some(shown) => request.header("authorization", format!("Bearer {shown}")),
            None => request,
        };
        let response = request.send().await.unwrap();
        let told = match response.headers().get("grpc-status") {
            Some(status) => status.to_str().unwrap().to_owned(),
            None => {
                let body = response.bytes().await.unwrap();
                let text = String::from_utf8_lossy(&body).into_owned();
                let (_, rest) = text.split_once("grpc-status:").unwrap();
                rest.trim_start()
                    .chars()
                    .take_while(char::is_ascii_digit)
                    .collect()
            }
        };
        assert_eq!(told, status, "{shown:?}");
    }
}

#[tokio::test]
async fn who_am_i_tells_what_the_credential_is_and_allows() {
    let key = TestKey::data();
    let config = [
        ONE_MODEL,
        "[auth]\nanonymous = 'local'\n",
        "[[accounts]]\nid = 'shop'\nkind = 'organisation'\nlabels = { unit = 'shop' }\n\
         label_rules = [{ key = 'product', values = ['ads'], required = true }]\n",
        "[[accounts]]\nid = 'search'\nkind = 'team'\nparent = 'shop'\n",
        &caller("indexer", "parent = 'search'"),
        &key.table(
            "k1",
            "indexer",
            "expire_time = 2100-01-01\nscopes = [{ action = 'GENERATE', scenarios = ['o*'] }]",
        ),
    ]
    .concat();
    let gateway = Gateway::start(&config).await;
    let mut callers = CallerServiceClient::new(gateway.channel());

    let me = callers
        .who_am_i(key.sends(WhoAmIRequest {}))
        .await
        .unwrap()
        .into_inner();

    assert_eq!(
        (&*me.caller, &*me.team, &*me.organisation),
        ("indexer", "search", "shop")
    );
    assert_eq!(me.credential_kind(), CredentialKind::Key);
    assert_eq!(me.key_id, "k1");
    assert_eq!(me.expire_time.unwrap().seconds, 4_102_444_800);
    assert_eq!(me.scopes.len(), 1);
    assert_eq!(me.scopes[0].scenarios, ["o*"]);
    assert_eq!(me.labels["unit"], "shop");
    assert_eq!(me.label_rules[0].key, "product");

    let anybody = callers
        .who_am_i(WhoAmIRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(anybody.caller, "local");
    assert_eq!(anybody.credential_kind(), CredentialKind::Anonymous);
    let refused = callers
        .who_am_i(bearer(WhoAmIRequest {}, "mwd_no"))
        .await
        .unwrap_err();
    assert_eq!(details(&refused).reason, "CREDENTIALS_INVALID");
    let reason = ErrorReason::CredentialsInvalid.as_str_name();
    assert_eq!(reason, "ERROR_REASON_CREDENTIALS_INVALID");
}

#[tokio::test]
async fn health_needs_no_credential_unless_the_configuration_says_so() {
    let check = async |gateway: &Gateway, shown: Option<&str>| {
        let mut health = HealthClient::new(gateway.channel());
        let request = HealthCheckRequest::default();
        let request = match shown {
            Some(shown) => bearer(request, shown),
            None => Request::new(request),
        };
        health.check(request).await.map(drop)
    };

    let open = guarded("").await;
    check(&open.gateway, None).await.unwrap();
    check(&open.gateway, Some("mwd_no")).await.unwrap();

    let closed = guarded("[auth]\nopen = []\n").await;
    let refused = check(&closed.gateway, None).await.unwrap_err();
    assert_eq!(details(&refused).reason, "CREDENTIALS_MISSING");
    check(&closed.gateway, Some(&closed.good.secret))
        .await
        .unwrap();
}
