//! Generates the contract's Rust code and its descriptor, with a protobuf compiler written in Rust.

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use prost::Message as _;

const SERVICES: [&str; 6] = [
    "modelway/v1/admin_service.proto",
    "modelway/v1/generation_service.proto",
    "modelway/v1/caller_service.proto",
    "modelway/v1/catalog_service.proto",
    "modelway/v1/operations_service.proto",
    "modelway/v1/ledger_service.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rustc-env=MODELWAY_RUSTC={}", compiler());
    println!("cargo:rerun-if-env-changed=MODELWAY_COMMIT");
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    // With source text: its comments become the documentation of the code, and reflection shows them to callers.
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(SERVICES)?;
    let encoded = compiler.encode_file_descriptor_set();
    fs::write(out.join("descriptor.bin"), &encoded)?;
    let descriptors = prost_types::FileDescriptorSet::decode(encoded.as_slice())?;
    fs::write(out.join("rpcs.rs"), rpcs(&descriptors))?;
    tonic_prost_build::configure()
        .codec_path("crate::grpc::codec::LeanCodec")
        .bytes(".modelway.v1.ExportUsageResponse.chunk")
        .bytes(".modelway.v1.Media.data")
        .bytes(".modelway.v1.TokenLogprob.bytes")
        .bytes(".modelway.v1.TopLogprob.bytes")
        .bytes(".modelway.v1.Reasoning.signature")
        .bytes(".modelway.v1.ToolCall.signature")
        .bytes(".modelway.v1.ReasoningDelta.signature")
        .bytes(".modelway.v1.ToolCallDelta.signature")
        .boxed(".modelway.v1.StreamGenerateResponse.event.completed")
        .boxed(".modelway.v1.StreamGenerateResponse.event.attempt_ended")
        .compile_fds(descriptors)?;
    Ok(())
}

/// An enum of all methods of the contract: a table that matches on it without a row for one of them does not compile.
fn rpcs(descriptors: &prost_types::FileDescriptorSet) -> String {
    let mut methods = Vec::new();
    for file in &descriptors.file {
        for service in &file.service {
            for method in &service.method {
                let name = format!("{}{}", service.name(), method.name());
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                methods.push((name, path));
            }
        }
    }
    let rows = |row: fn(&(String, String)) -> String| methods.iter().map(row).collect::<String>();
    format!(
        "/// A method of the contract.\n\
         #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]\n\
         pub(crate) enum Rpc {{ {} }}\n\
         impl Rpc {{\n\
         /// Every method.\n\
         pub(crate) const ALL: &'static [Self] = &[{}];\n\
         /// Its path.\n\
         pub(crate) fn path(self) -> &'static str {{ match self {{ {} }} }}\n\
         }}\n",
        rows(|(name, path)| format!("/// `{path}`\n{name},\n")),
        rows(|(name, _)| format!("Self::{name},")),
        rows(|(name, path)| format!("Self::{name} => {path:?},")),
    )
}

/// The version of the compiler, such as `1.88.0`.
fn compiler() -> String {
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let told = Command::new(compiler).arg("--version").output();
    let told = told.map(|told| String::from_utf8_lossy(&told.stdout).into_owned());
    let told = told.unwrap_or_default();
    let version = told.split_whitespace().nth(1);
    version.unwrap_or("unknown").to_owned()
}
