//! gRPC requests as bytes, for tests that no gRPC client can make.

use reqwest::{Client, Response};
use tonic::Status;

use super::{Details, Gateway, details};

/// A client that speaks HTTP/2 without TLS.
pub(crate) fn http2() -> Client {
    // reqwest needs a crypto provider, although nothing is encrypted. One that another test has installed will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().http2_prior_knowledge().no_proxy();
    client.build().unwrap()
}

/// What is at this URL, over HTTP.
pub(crate) async fn fetched(url: &str) -> String {
    let client = http1();
    let answer = client.get(url).send().await.unwrap();
    answer.text().await.unwrap()
}

fn http1() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().build().unwrap()
}

/// Asks with this body and these fields in the head.
pub(crate) async fn post(
    gateway: &Gateway,
    path: &str,
    body: &[u8],
    fields: &[(&str, &str)],
) -> Response {
    let mut request = http2()
        .post(format!("http://{}{path}", gateway.address))
        .header("te", "trailers")
        .body(body.to_vec());
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

/// The media type that every call has.
pub(crate) const GRPC: (&str, &str) = ("content-type", "application/grpc");

/// The status of a failed call that has only a head.
pub(crate) fn failure_in(response: &Response) -> Details {
    assert_eq!(response.status(), 200, "{response:?}");
    details(&Status::from_header_map(response.headers()).expect("a failure"))
}

/// A gRPC message with this flag, which says whether it is compressed.
pub(crate) fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![flag];
    bytes.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    bytes.extend(message);
    bytes
}
