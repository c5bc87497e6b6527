//! The protobuf messages that Google publishes, compiled at the time of the test.
//!
//! Their files are found by `MODELWAY_SPECS`, else beside the crate; where they are absent there is
//! nothing to compare with.

use std::path::{Path, PathBuf};

use prost_reflect::MessageDescriptor;
use prost_types::{DescriptorProto, FileDescriptorProto, UninterpretedOption};
use protox::file::{File, FileResolver, GoogleFileResolver};

/// Folders of the published files, and the imports that they hold.
const PUBLISHED: [(&str, &str); 2] = [
    ("gemini", "google/ai/generativelanguage/v1beta/"),
    ("vertex", "google/cloud/aiplatform/v1/"),
];

/// Types that published files mention and that are not among them; no request of ours uses them.
const ABSENT: [(&str, &str, &[&str]); 10] = [
    (
        "google/ai/generativelanguage/v1beta/retriever.proto",
        "google.ai.generativelanguage.v1beta",
        &["MetadataFilter"],
    ),
    (
        "google/cloud/aiplatform/v1/vertex_rag_data.proto",
        "google.cloud.aiplatform.v1",
        &["RagChunk"],
    ),
    (
        "google/cloud/aiplatform/v1/explanation.proto",
        "google.cloud.aiplatform.v1",
        &["Explanation", "ExplanationSpecOverride"],
    ),
    (
        "google/cloud/aiplatform/v1/types.proto",
        "google.cloud.aiplatform.v1",
        &["Tensor"],
    ),
    (
        "google/cloud/aiplatform/v1/usage_metadata.proto",
        "google.cloud.aiplatform.v1",
        &["UsageMetadata"],
    ),
    ("google/api/httpbody.proto", "google.api", &["HttpBody"]),
    ("google/rpc/status.proto", "google.rpc", &["Status"]),
    ("google/type/date.proto", "google.type", &["Date"]),
    ("google/type/interval.proto", "google.type", &["Interval"]),
    ("google/type/latlng.proto", "google.type", &["LatLng"]),
];

/// The message of a request, from the published files in `folder`; `None` where they are absent.
pub(super) fn request_message(folder: &str) -> Option<MessageDescriptor> {
    let specs = specs();
    if !specs.join(folder).is_dir() {
        eprintln!(
            "skipped: no published files of `{folder}` in {}",
            specs.display()
        );
        return None;
    }
    let (file, message) = match folder {
        "gemini" => (
            "google/ai/generativelanguage/v1beta/generative_service.proto",
            "google.ai.generativelanguage.v1beta.GenerateContentRequest",
        ),
        _ => (
            "google/cloud/aiplatform/v1/prediction_service.proto",
            "google.cloud.aiplatform.v1.GenerateContentRequest",
        ),
    };
    let mut compiler = protox::Compiler::with_file_resolver(Published { specs });
    compiler
        .include_imports(true)
        .open_file(file)
        .expect("files that compile");
    compiler.descriptor_pool().get_message_by_name(message)
}

fn specs() -> PathBuf {
    match std::env::var_os("MODELWAY_SPECS") {
        Some(specs) => specs.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/wire/specs"),
    }
}

/// Finds the published files, without their services and Google's own options, whose definitions
/// are not among them.
struct Published {
    specs: PathBuf,
}

impl FileResolver for Published {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name.starts_with("google/protobuf/") {
            return GoogleFileResolver::new().open_file(name);
        }
        if let Some((_, package, messages)) = ABSENT.iter().find(|(absent, ..)| *absent == name) {
            return Ok(File::from_file_descriptor_proto(empty(
                name, package, messages,
            )));
        }
        for (folder, import) in PUBLISHED {
            if let Some(file) = name.strip_prefix(import) {
                let source = std::fs::read_to_string(self.specs.join(folder).join(file))
                    .map_err(|_| protox::Error::file_not_found(name))?;
                let mut file = File::from_source(name, &source)?
                    .file_descriptor_proto()
                    .clone();
                strip(&mut file);
                return Ok(File::from_file_descriptor_proto(file));
            }
        }
        // What only options need.
        Ok(File::from_file_descriptor_proto(empty(
            name,
            "google.api",
            &[],
        )))
    }
}

fn empty(name: &str, package: &str, messages: &[&str]) -> FileDescriptorProto {
    FileDescriptorProto {
        name: Some(name.into()),
        package: Some(package.into()),
        syntax: Some("proto3".into()),
        message_type: messages
            .iter()
            .map(|message| DescriptorProto {
                name: Some((*message).into()),
                ..DescriptorProto::default()
            })
            .collect(),
        ..FileDescriptorProto::default()
    }
}

fn strip(file: &mut FileDescriptorProto) {
    file.service.clear();
    file.options = None;
    file.message_type.iter_mut().for_each(strip_message);
}

fn strip_message(message: &mut DescriptorProto) {
    if let Some(options) = &mut message.options {
        options.uninterpreted_option.retain(is_protobufs_own);
    }
    for field in &mut message.field {
        if let Some(options) = &mut field.options {
            options.uninterpreted_option.retain(is_protobufs_own);
        }
    }
    message.nested_type.iter_mut().for_each(strip_message);
}

fn is_protobufs_own(option: &UninterpretedOption) -> bool {
    option.name.iter().all(|part| !part.is_extension)
}
