//! What are callers told of requests that cannot be read?

use modelway::grpc::v1::GenerateRequest;
use prost::Message as _;
use reqwest::{Client, Response};
use tonic::{Code, Status};

use crate::support::frames::EMPTY_MESSAGE;
use crate::support::{Details, Gateway, ONE_MODEL, ask, details};

const GENERATE: &str = "/modelway.v1.GenerationService/Generate";
const STREAM: &str = "/modelway.v1.GenerationService/StreamGenerate";
const LIST: &str = "/modelway.v1.CatalogService/ListScenarios";
const SET: &str = "/modelway.v1.OperationsService/SetBreaker";

/// Asks with this body and these fields in the head.
async fn post(gateway: &Gateway, path: &str, body: &[u8], fields: &[(&str, &str)]) -> Response {
    let client = Client::builder().http2_prior_knowledge().no_proxy();
    let client = client.build().unwrap();
    let mut request = client
        .post(format!("http://{}{path}", gateway.address))
        .header("te", "trailers")
        .body(body.to_vec());
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

const GRPC: (&str, &str) = ("content-type", "application/grpc");

/// What a failure says; its head is all there is of it.
fn told(response: &Response) -> Details {
    assert_eq!(response.status(), 200, "{response:?}");
    details(&Status::from_header_map(response.headers()).expect("a failure"))
}

/// A message that says this much of itself, whether compressed or not.
fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![flag];
    bytes.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    bytes.extend(message);
    bytes
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_told_with_its_reason_and_field() {
    let gateway = Gateway::start(ONE_MODEL).await;
    let mut prompt = ask("one", "do not tell anybody").encode_to_vec();
    // The length of the scenario's name, the first field, is beyond the end.
    prompt[1] = 0x7f;
    let table = [
        ("a field that breaks off", framed(0, &prompt)),
        ("a number without an end", framed(0, &[0xff; 11])),
        ("field 0", framed(0, &[0, 0])),
        ("a name that is no UTF-8", framed(0, &[0x0a, 1, 0xff])),
        ("a number for a name", framed(0, &[0x08, 1])),
        ("compressed in no known way", framed(1, &[])),
        ("an unknown flag", framed(7, &[])),
        ("no message", Vec::new()),
    ];
    for (what, body) in table {
        for path in [GENERATE, STREAM, LIST, SET] {
            // What a listing cannot read, other than the frame, it does not know and skips.
            if path == LIST && what.contains("name") {
                continue;
            }

            let response = post(&gateway, path, &body, &[GRPC]).await;

            let told = told(&response);
            assert_eq!(told.code, Code::InvalidArgument, "{what}: {path}");
            assert_eq!(told.reason, "INVALID_REQUEST", "{what}: {path}");
            let [(field, why)] = &told.violations[..] else {
                panic!("one violation: {:?}", told.violations)
            };
            assert_eq!(field, "message", "{what}: {path}");
            assert!(why.starts_with("it cannot be read: "), "{why}");
            assert!(!format!("{told:?}").contains("tell anybody"));
        }
    }
    assert_eq!(gateway.simulator.requests().len(), 0);
}

#[tokio::test]
async fn what_nobody_here_does_is_unimplemented() {
    let gateway = Gateway::start(ONE_MODEL).await;
    for path in ["/modelway.v1.GenerationService/Sing", "/Nothing/At", "/"] {
        let response = post(&gateway, path, &EMPTY_MESSAGE, &[GRPC]).await;

        assert_eq!(told(&response).code, Code::Unimplemented, "{path}");
    }
    let compressed = framed(1, &[7; 20]);

    let fields = [GRPC, ("grpc-encoding", "gzip")];
    let response = post(&gateway, GENERATE, &compressed, &fields).await;

    assert_eq!(told(&response).code, Code::Unimplemented);
}

#[tokio::test]
async fn what_is_not_grpc_is_told_so_in_http() {
    let gateway = Gateway::start(ONE_MODEL).await;
    let request = ask("one", "Hello").encode_to_vec();
    let body = framed(0, &request);
    for other in [
        None,
        Some("application/json"),
        Some("application/grpc-web"),
        Some("application/grpcurl"),
        Some("text/application/grpc"),
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
        "application/grpc; charset=utf-8",
    ] {
        let response = post(&gateway, GENERATE, &body, &[("content-type", grpc)]).await;

        assert_eq!(response.status(), 200, "{grpc}");
        assert!(!response.headers().contains_key("grpc-status"), "{grpc}");
    }
    assert_eq!(gateway.simulator.requests().len(), 3);
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

            let told = told(&response);
            assert_eq!(told.code, Code::InvalidArgument);
            let mut fields = told.violations.iter().map(|(field, _)| field.as_str());
            assert!(fields.any(|field| field == expected), "{told:?}");
            assert!(!told.message.contains("xxx"));
        }
    }
}
