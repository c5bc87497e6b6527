//! What goes around the spans of an export: an `ExportTraceServiceRequest` that names this process. Pure.

use uuid::Uuid;

use crate::telemetry::protobuf::{attribute, bytes_field, length_prefix, text_field};

/// The name of what makes the spans.
const SCOPE: &str = "modelway";

/// Makes requests of spans.
#[derive(Clone, Debug)]
pub struct SpansRequest {
    /// `ResourceSpans.resource`, with its tag.
    resource: Vec<u8>,
    /// `ScopeSpans.scope`, with its tag.
    scope: Vec<u8>,
}

impl SpansRequest {
    /// Requests of a process with these attributes, as [`Settings::resource`](super::Settings::resource) has them.
    pub fn new(attributes: &[(String, String)]) -> Self {
        let mut fields = Vec::new();
        for (key, value) in resource(attributes) {
            attribute(&mut fields, 1, &key, &value);
        }
        let mut resource = Vec::new();
        bytes_field(&mut resource, 1, &fields);
        let mut fields = Vec::new();
        text_field(&mut fields, 1, SCOPE);
        text_field(&mut fields, 2, env!("CARGO_PKG_VERSION"));
        let mut scope = Vec::new();
        bytes_field(&mut scope, 1, &fields);
        Self { resource, scope }
    }

    /// The request of these spans, which have their tags and lengths already.
    pub fn of(&self, spans: &[u8]) -> Vec<u8> {
        let mut around_scope = Vec::new();
        length_prefix(&mut around_scope, 2, self.scope.len() + spans.len());
        let resource_spans =
            self.resource.len() + around_scope.len() + self.scope.len() + spans.len();
        let mut request = Vec::with_capacity(resource_spans + 16);
        length_prefix(&mut request, 1, resource_spans);
        request.extend_from_slice(&self.resource);
        request.extend_from_slice(&around_scope);
        request.extend_from_slice(&self.scope);
        request.extend_from_slice(spans);
        request
    }
}

/// The attributes of this process: what the environment says goes before what the program knows.
pub fn resource(from_environment: &[(String, String)]) -> Vec<(String, String)> {
    let own = [
        ("service.name", "modelway".to_owned()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", Uuid::now_v7().to_string()),
    ];
    let mut attributes = from_environment.to_vec();
    for (key, value) in own {
        if !attributes.iter().any(|(known, _)| known == key) {
            attributes.push((key.to_owned(), value));
        }
    }
    attributes
}
