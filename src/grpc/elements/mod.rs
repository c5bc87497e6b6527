//! How many elements may a request have? They are counted as the request arrives.
//!
//! A limit on bytes bounds neither time nor memory, since two bytes can be a whole message. So elements are
//! counted on the wire as they arrive, before the message is decoded.

mod contract;
mod walk;

#[cfg(test)]
mod tests;

use crate::check::MAX_STOP_SEQUENCES;
use crate::identity::MAX_LABELS;

pub(super) use self::contract::{Contract, RpcMethod};
pub(super) use self::walk::Walk;

/// How many elements a request may have. Each number holds for the whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElementLimits {
    /// Messages of the conversation.
    pub max_messages: usize,
    /// Parts of all messages, those of tool results included.
    pub max_parts: usize,
    /// Tool calls among the parts.
    pub max_tool_calls: usize,
    /// Tools that the model may call.
    pub max_tools: usize,
    /// Values in all schemas and other JSON objects; apart from them, sources and probabilities of earlier answers.
    pub max_schema_values: usize,
    /// Entries of fields in providers' own words, those of tools and parts included.
    pub max_provider_options: usize,
    /// Fields of any kind as they are written on the wire, unknown ones included.
    pub max_fields: usize,
}

impl Default for ElementLimits {
    fn default() -> Self {
        Self {
            max_messages: 10_000,
            max_parts: 50_000,
            max_tool_calls: 20_000,
            max_tools: 2_000,
            max_schema_values: 200_000,
            max_provider_options: 2_000,
            max_fields: 1_000_000,
        }
    }
}

/// The most entries of all lists in a request of an administrator.
const MAX_LISTED: usize = 10_000;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::grpc) enum CountedElement {
    Message,
    Part,
    ToolCall,
    Tool,
    SchemaValue,
    ProviderOptions,
    /// A name in the choice of a tool, or a site that a search is limited to.
    ToolName,
    /// A source, or the probability of a token, of an earlier answer: it is ignored.
    OfAnswer,
    StopSequence,
    Label,
    /// An entry of a list in a request of an administrator.
    Listed,
    Field,
}

impl ElementLimits {
    fn of(&self, element: CountedElement) -> usize {
        match element {
            CountedElement::Message => self.max_messages,
            CountedElement::Part => self.max_parts,
            CountedElement::ToolCall => self.max_tool_calls,
            CountedElement::Tool => self.max_tools,
            CountedElement::SchemaValue | CountedElement::OfAnswer => self.max_schema_values,
            CountedElement::ProviderOptions => self.max_provider_options,
            CountedElement::ToolName => self.max_tools,
            CountedElement::StopSequence => MAX_STOP_SEQUENCES,
            CountedElement::Label => MAX_LABELS,
            CountedElement::Listed => MAX_LISTED,
            CountedElement::Field => self.max_fields,
        }
    }

    /// The error message for a request that has too many of these.
    pub(in crate::grpc) fn excess(&self, element: CountedElement) -> String {
        let (what, setting) = match element {
            CountedElement::Message => ("messages", "max_messages"),
            CountedElement::Part => ("parts in all messages together", "max_parts"),
            CountedElement::ToolCall => ("tool calls in all messages together", "max_tool_calls"),
            CountedElement::Tool => ("tools", "max_tools"),
            CountedElement::SchemaValue => (
                "values in all schemas and JSON objects together",
                "max_schema_values",
            ),
            CountedElement::OfAnswer => (
                "citations and token probabilities together",
                "max_schema_values",
            ),
            CountedElement::ProviderOptions => {
                ("provider options together", "max_provider_options")
            }
            CountedElement::ToolName => ("names of tools and sites together", "max_tools"),
            CountedElement::StopSequence => return format!("use at most {MAX_STOP_SEQUENCES}"),
            CountedElement::Label => return format!("a call has at most {MAX_LABELS} labels"),
            CountedElement::Listed => {
                return format!("at most {MAX_LISTED} entries are allowed in all lists together");
            }
            CountedElement::Field => ("fields in the whole message", "max_fields"),
        };
        let limit = self.of(element);
        format!(
            "there are more than {limit} {what}: send fewer, or raise `requests.{setting}` in the service's configuration"
        )
    }
}

/// How many elements a message has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ElementCount {
    pub(super) messages: usize,
    pub(super) parts: usize,
    pub(super) tool_calls: usize,
    pub(super) tools: usize,
    pub(super) schema_values: usize,
    pub(super) provider_options: usize,
    pub(super) tool_names: usize,
    pub(super) of_answers: usize,
    pub(super) stop_sequences: usize,
    pub(super) labels: usize,
    pub(super) listed: usize,
    pub(super) fields: usize,
}

impl ElementCount {
    fn of(&mut self, element: CountedElement) -> &mut usize {
        match element {
            CountedElement::Message => &mut self.messages,
            CountedElement::Part => &mut self.parts,
            CountedElement::ToolCall => &mut self.tool_calls,
            CountedElement::Tool => &mut self.tools,
            CountedElement::SchemaValue => &mut self.schema_values,
            CountedElement::ProviderOptions => &mut self.provider_options,
            CountedElement::ToolName => &mut self.tool_names,
            CountedElement::OfAnswer => &mut self.of_answers,
            CountedElement::StopSequence => &mut self.stop_sequences,
            CountedElement::Label => &mut self.labels,
            CountedElement::Listed => &mut self.listed,
            CountedElement::Field => &mut self.fields,
        }
    }
}
