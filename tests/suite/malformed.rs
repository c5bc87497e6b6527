//! What are callers told of requests that cannot be read?

use modelway::grpc::v1::GenerateRequest;
use prost::Message as _;
use tonic::Code;

use crate::support::frames::EMPTY_MESSAGE;
use crate::support::posted::{GRPC, failure_in, framed, http2, post};
use crate::support::{Gateway, ONE_MODEL, ask};

const GENERATE: &str = "/modelway.v1.GenerationService/Generate";
const STREAM: &str = "/modelway.v1.GenerationService/StreamGenerate";
const LIST: &str = "/modelway.v1.CatalogService/ListScenarios";
const SET: &str = "/modelway.v1.OperationsService/SetBreaker";

#[tokio::test]
async fn a_message_that_cannot_be_read_is_told_with_its_reason_and_field() {
    let gateway = Gateway::start(ONE_MODEL).await;
    let mut prompt = ask("one", "do not tell anybody").encode_to_vec();
    // The length of the scenario's name, the first field, is beyond the end.
    prompt[1] = 0x7f;
    let table = [
        ("a field that breaks off", framed(0, &prompt), "scenario"),
        ("a number without an end", framed(0, &[0xff; 11]), "message"),
        ("field 0", framed(0, &[0, 0]), "message"),
        (
            "a name that is no UTF-8",
            framed(0, &[0x0a, 1, 0xff]),
            "scenario",
        ),
        ("a number for a name", framed(0, &[0x08, 1]), "scenario"),
        ("compressed in no known way", framed(1, &[]), "message"),
        ("an unknown flag", framed(7, &[]), "message"),
    ];
    for (what, body, expected) in table {
        for path in [GENERATE, STREAM, LIST, SET] {
            // What a listing cannot read, other than the frame, it does not know and skips.
            if path == LIST && what.contains("name") {
                continue;
            }

            let response = post(&gateway, path, &body, &[GRPC]).await;

            let told = failure_in(&response);
            assert_eq!(told.code, Code::InvalidArgument, "{what}: {path}");
            assert_eq!(told.reason, "INVALID_REQUEST", "{what}: {path}");
            let [(field, why)] = &told.violations[..] else {
                panic!("one violation: {:?}", told.violations)
            };
            let expected = match (path, expected) {
                (SET, "scenario") => "provider",
                (LIST, _) => field,
                (_, expected) => expected,
            };
            assert_eq!(field, expected, "{what}: {path}");
            assert!(why.starts_with("it cannot be read: "), "{why}");
            assert!(!format!("{told:?}").contains("tell anybody"));
        }
    }
    assert_eq!(gateway.simulator.requests().len(), 0);
}

#[tokio::test]
async fn what_nobody_here_does_is_unimplemented_and_told_with_what_there_is() {
    let gateway = Gateway::start(ONE_MODEL).await;
    let long = format!("/modelway.v1.GenerationService/{}", "Sing".repeat(2000));
    for path in [
        "/modelway.v1.GenerationService/Sing",
        "/modelway.v1.GenerationService/",
        "/modelway.v2.GenerationService/Generate",
        "/Nothing/At",
        "/",
        &long,
    ] {
        let response = post(&gateway, path, &EMPTY_MESSAGE, &[GRPC]).await;

        let told = failure_in(&response);
        assert_eq!(told.code, Code::Unimplemented, "{path}");
        assert_eq!(
            (&*told.reason, &*told.domain),
            ("UNIMPLEMENTED", "modelway.v1")
        );
        assert!(told.message.contains("StreamGenerate"), "{}", told.message);
        assert!(told.message.len() < 500, "{}", told.message);
    }
}

#[tokio::test]
async fn other_than_one_message_is_refused_where_one_is_taken() {
    let gateway = Gateway::start(ONE_MODEL).await;
    let one = framed(0, &ask("one", "Hello").encode_to_vec());
    let two = [one.as_slice(), &one].concat();
    let compressed = [one.as_slice(), &framed(1, &[])].concat();
    for (body, sent) in [(&two, "more"), (&compressed, "more"), (&Vec::new(), "none")] {
        for path in [GENERATE, STREAM] {
            let response = post(&gateway, path, body, &[GRPC]).await;

            let told = failure_in(&response);
            assert_eq!(
                (told.code, &*told.reason),
                (Code::Unimplemented, "UNIMPLEMENTED")
            );
            assert!(
                told.message.contains(&format!("{sent} came")),
                "{}",
                told.message
            );
        }
    }
    assert_eq!(gateway.simulator.requests().len(), 0);
}

#[tokio::test]
async fn a_method_other_than_post_is_refused_in_http() {
    let gateway = Gateway::start(ONE_MODEL).await;
    let body = framed(0, &ask("one", "Hello").encode_to_vec());
    let client = http2();
    for method in ["GET", "PUT", "HEAD", "OPTIONS", "DELETE"] {
        let request = client
            .request(
                method.parse().unwrap(),
                format!("http://{}{GENERATE}", gateway.address),
            )
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(body.clone());

        let response = request.send().await.unwrap();

        assert_eq!(response.status(), 405, "{method}");
        assert_eq!(response.headers()["allow"], "POST");
        assert!(!response.headers().contains_key("grpc-status"));
    }
    assert_eq!(gateway.simulator.requests().len(), 0);
}

#[tokio::test]
async fn what_is_not_grpc_is_told_so_in_http() {
    let gateway = Gateway::start(ONE_MODEL).await;
    let request = ask("one", "Hello").encode_to_vec();
    let body = framed(0, &request);
    for other in [
        None,
        Some("application/json"),
        Some("application/grpcurl"),
        Some("text/application/grpc"),
        Some("application/grpc+json"),
        Some("application/grpc+thrift"),
        Some("application/grpc+protobuf"),
    ] {
        let fields: Vec<_> = other
            .map(|value| ("content-type", value))
            .into_iter()
            .collect();

        let response = post(&gateway, GENERATE, &body, &fields).await;

        assert_eq!(response.status(), 415, "{other:?}");
        assert!(!response.headers().contains_key("grpc-status"));
    }
    assert_eq!(gateway.simulator.requests().len(), 0);
    for grpc in [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc+proto;charset=utf-8",
        "application/grpc; charset=utf-8",
    ] {
        let response = post(&gateway, GENERATE, &body, &[("content-type", grpc)]).await;

        assert_eq!(response.status(), 200, "{grpc}");
        assert!(!response.headers().contains_key("grpc-status"), "{grpc}");
    }
    assert_eq!(gateway.simulator.requests().len(), 4);
}

#[tokio::test]
async fn metadata_that_is_too_large_is_told_as_such() {
    let gateway = Gateway::start(ONE_MODEL).await;
    let body = framed(0, &GenerateRequest::default().encode_to_vec());
    // Bytes of one value, and the field that is complained about.
    let table = [
        (15 << 10, "messages"),
        (16 << 10, "metadata"),
        (60 << 10, "metadata"),
    ];
    for (bytes, expected) in table {
        let value = "x".repeat(bytes);
        for path in [GENERATE, STREAM] {
            let response = post(&gateway, path, &body, &[GRPC, ("x-large", &value)]).await;

            let told = failure_in(&response);
            assert_eq!(told.code, Code::InvalidArgument);
            let mut fields = told.violations.iter().map(|(field, _)| field.as_str());
            assert!(fields.any(|field| field == expected), "{told:?}");
            assert!(!told.message.contains("xxx"));
        }
    }
}
