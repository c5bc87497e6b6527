//! How many elements may a request have, and how many does one have?
//!
//! Bytes alone bound neither time nor memory: two bytes can be a whole message. So elements are counted
//! on the wire as they come, before anything is made of them.

mod contract;
mod walk;

#[cfg(test)]
mod tests;

pub(super) use self::contract::{Contract, Method};
pub(super) use self::walk::Walk;

/// How many elements a request may have. Each number holds for the whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages of the conversation.
    pub max_messages: usize,
    /// Parts of all messages, those of tool results included.
    pub max_parts: usize,
    /// Tool calls among the parts.
    pub max_tool_calls: usize,
    /// Tools that the model may call.
    pub max_tools: usize,
    /// Values in the schemas of all tools and of the answer.
    pub max_schema_values: usize,
    /// Fields of any kind as they are written on the wire, unknown ones included.
    pub max_fields: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_messages: 10_000,
            max_parts: 50_000,
            max_tool_calls: 20_000,
            max_tools: 2_000,
            max_schema_values: 200_000,
            max_fields: 1_000_000,
        }
    }
}

/// The most stop sequences: the contract says so.
pub(super) const MAX_STOP_SEQUENCES: usize = 16;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::grpc) enum Element {
    Message,
    Part,
    ToolCall,
    Tool,
    SchemaValue,
    StopSequence,
    Field,
}

impl Limits {
    fn of(&self, element: Element) -> usize {
        match element {
            Element::Message => self.max_messages,
            Element::Part => self.max_parts,
            Element::ToolCall => self.max_tool_calls,
            Element::Tool => self.max_tools,
            Element::SchemaValue => self.max_schema_values,
            Element::StopSequence => MAX_STOP_SEQUENCES,
            Element::Field => self.max_fields,
        }
    }

    /// What is told of a request that has more of these than it may have.
    pub(super) fn excess(&self, element: Element) -> String {
        let (what, setting) = match element {
            Element::Message => ("messages", "max_messages"),
            Element::Part => ("parts in all messages together", "max_parts"),
            Element::ToolCall => ("tool calls in all messages together", "max_tool_calls"),
            Element::Tool => ("tools", "max_tools"),
            Element::SchemaValue => ("values in all schemas together", "max_schema_values"),
            Element::StopSequence => return format!("use at most {MAX_STOP_SEQUENCES}"),
            Element::Field => ("fields in the whole message", "max_fields"),
        };
        let limit = self.of(element);
        format!(
            "there are more than {limit} {what}: send fewer, or raise `requests.{setting}` in the service's configuration"
        )
    }
}

/// How many elements a message has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) messages: usize,
    pub(super) parts: usize,
    pub(super) tool_calls: usize,
    pub(super) tools: usize,
    pub(super) schema_values: usize,
    pub(super) stop_sequences: usize,
    pub(super) fields: usize,
}

impl Count {
    fn of(&mut self, element: Element) -> &mut usize {
        match element {
            Element::Message => &mut self.messages,
            Element::Part => &mut self.parts,
            Element::ToolCall => &mut self.tool_calls,
            Element::Tool => &mut self.tools,
            Element::SchemaValue => &mut self.schema_values,
            Element::StopSequence => &mut self.stop_sequences,
            Element::Field => &mut self.fields,
        }
    }
}
