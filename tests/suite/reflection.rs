//! Can a caller without our files find out what there is to call?

use std::collections::BTreeMap;

use prost::Message as _;
use prost_types::FileDescriptorProto;
use prost_types::source_code_info::Location;
use tonic::{Code, Status};
use tonic_reflection::pb::{v1, v1alpha};

use crate::support::Gateway;

const CONFIG: &str = r#"
[models."openai/m"]
[scenarios.one]
targets = ["openai/m"]
"#;

/// What is served besides reflection, which each version lists for itself.
const SERVICES: [&str; 5] = [
    "grpc.health.v1.Health",
    "modelway.v1.CallerService",
    "modelway.v1.CatalogService",
    "modelway.v1.GenerationService",
    "modelway.v1.OperationsService",
];

async fn ask_v1(
    gateway: &Gateway,
    question: v1::server_reflection_request::MessageRequest,
) -> Result<v1::server_reflection_response::MessageResponse, Status> {
    let request = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(question),
    };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(gateway.channel());
    let answers = client
        .server_reflection_info(tokio_stream::once(request))
        .await?;
    let answer = answers.into_inner().message().await?.unwrap();
    Ok(answer.message_response.unwrap())
}

#[tokio::test]
async fn every_service_is_listed_in_both_versions() {
    let gateway = Gateway::start(CONFIG).await;
    let everything = v1::server_reflection_request::MessageRequest::ListServices(String::new());
    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::ListServices(String::new()),
        ),
    };

    let current = ask_v1(&gateway, everything).await.unwrap();
    let mut client =
        v1alpha::server_reflection_client::ServerReflectionClient::new(gateway.channel());
    let answers = client.server_reflection_info(tokio_stream::once(request));
    let mut answers = answers.await.unwrap().into_inner();
    let former = answers.message().await.unwrap().unwrap();

    let v1::server_reflection_response::MessageResponse::ListServicesResponse(current) = current
    else {
        panic!("{current:?}");
    };
    let names = current.service.into_iter().map(|service| service.name);
    assert_eq!(besides("grpc.reflection.v1.", names), SERVICES);
    let former = former.message_response.unwrap();
    let v1alpha::server_reflection_response::MessageResponse::ListServicesResponse(former) = former
    else {
        panic!("{former:?}");
    };
    let names = former.service.into_iter().map(|service| service.name);
    assert_eq!(besides("grpc.reflection.v1alpha.", names), SERVICES);
}

/// All names in order, but for one in this package that must be there.
fn besides(package: &str, names: impl Iterator<Item = String>) -> Vec<String> {
    let (own, mut others): (Vec<_>, Vec<_>) = names.partition(|name| name.starts_with(package));
    assert_eq!(own, [format!("{package}ServerReflection")]);
    others.sort();
    others
}

#[tokio::test]
async fn what_a_call_and_its_failure_are_made_of_is_found_by_name() {
    let gateway = Gateway::start(CONFIG).await;
    let table = [
        (
            "modelway.v1.GenerationService",
            "modelway/v1/generation_service.proto",
        ),
        (
            "modelway.v1.GenerationService.StreamGenerate",
            "modelway/v1/generation_service.proto",
        ),
        (
            "modelway.v1.CallFailure",
            "modelway/v1/generation_service.proto",
        ),
        ("modelway.v1.ErrorReason", "modelway/v1/errors.proto"),
        ("google.rpc.ErrorInfo", "error_details.proto"),
        ("google.rpc.Status", "status.proto"),
        ("google.protobuf.Struct", "google/protobuf/struct.proto"),
        ("grpc.health.v1.Health", "health.proto"),
    ];

    for (symbol, file) in table {
        let question =
            v1::server_reflection_request::MessageRequest::FileContainingSymbol(symbol.to_owned());
        let answer = ask_v1(&gateway, question).await;

        let Ok(v1::server_reflection_response::MessageResponse::FileDescriptorResponse(found)) =
            answer
        else {
            panic!("{symbol}: {answer:?}");
        };
        let [file_bytes] = &found.file_descriptor_proto[..] else {
            panic!("{symbol}: one file");
        };
        let found = FileDescriptorProto::decode(file_bytes.as_slice()).unwrap();
        assert!(found.name().ends_with(file), "{symbol}: {}", found.name());
    }
}

#[tokio::test]
async fn every_message_field_and_method_is_explained_to_callers() {
    let gateway = Gateway::start(CONFIG).await;
    let services = SERVICES.iter().filter(|name| name.starts_with("modelway."));
    let mut left: Vec<String> = services.map(|name| (*name).to_owned()).collect();
    left.push("modelway.v1.CallFailure".to_owned());
    let mut files: BTreeMap<String, FileDescriptorProto> = BTreeMap::new();
    while let Some(name) = left.pop() {
        let question = match name.ends_with(".proto") {
            true => v1::server_reflection_request::MessageRequest::FileByFilename(name),
            false => v1::server_reflection_request::MessageRequest::FileContainingSymbol(name),
        };
        let answer = ask_v1(&gateway, question).await.unwrap();
        let v1::server_reflection_response::MessageResponse::FileDescriptorResponse(found) = answer
        else {
            panic!("{answer:?}");
        };
        for bytes in found.file_descriptor_proto {
            let file = FileDescriptorProto::decode(bytes.as_slice()).unwrap();
            let is_ours = |name: &&String| name.starts_with("modelway/");
            if files.insert(file.name().to_owned(), file.clone()).is_none() {
                left.extend(file.dependency.iter().filter(is_ours).cloned());
            }
        }
    }

    let mut explained = 0;
    for file in files.values() {
        let locations = &file.source_code_info.as_ref().unwrap().location;
        let mut require = |path: &[i32], name: &str| {
            let is_here = |location: &&Location| location.path == path;
            let comment = locations.iter().find(is_here).unwrap().leading_comments();
            assert!(!comment.trim().is_empty(), "{}: {name}", file.name());
            explained += 1;
        };
        // https://github.com/protocolbuffers/protobuf/blob/main/src/google/protobuf/descriptor.proto gives the numbers.
        for (place, message) in (0..).zip(&file.message_type) {
            require(&[4, place], message.name());
            for (field_place, field) in (0..).zip(&message.field) {
                require(&[4, place, 2, field_place], field.name());
            }
        }
        for (place, service) in (0..).zip(&file.service) {
            require(&[6, place], service.name());
            for (method_place, method) in (0..).zip(&service.method) {
                require(&[6, place, 2, method_place], method.name());
            }
        }
    }
    assert!(explained > 300, "{explained}");
}

#[tokio::test]
async fn of_a_name_that_is_not_there_only_the_beginning_is_repeated() {
    let gateway = Gateway::start(CONFIG).await;
    for (length, code, said) in [
        (90, Code::NotFound, "not found"),
        (1000, Code::NotFound, "..."),
        (3 << 20, Code::InvalidArgument, "at most 4096 are allowed"),
    ] {
        let symbol = "x".repeat(length);
        let question = v1::server_reflection_request::MessageRequest::FileContainingSymbol(symbol);

        let status = ask_v1(&gateway, question).await.unwrap_err();

        assert_eq!(status.code(), code, "{status:?}");
        assert!(status.message().contains(said), "{}", status.message());
        assert!(status.message().len() < 200, "{}", status.message());
    }
}

#[tokio::test]
async fn reflection_can_be_turned_off() {
    let gateway = Gateway::start(&format!("{CONFIG}\n[server]\nreflection = false")).await;

    let everything = v1::server_reflection_request::MessageRequest::ListServices(String::new());
    let answer = ask_v1(&gateway, everything).await;

    assert_eq!(answer.unwrap_err().code(), Code::Unimplemented);
}
