//! How large is a prompt, as far as one look at the request shows? Pure.

use crate::chat::{ChatRequest, Part, ProviderOptions, ResponseFormat, Tool};

/// The size of a prompt in what can be counted without a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PromptSize {
    /// UTF-8 of messages, tool declarations, schemas and fields in a provider's own words, in bytes.
    pub bytes: u64,
    /// Messages.
    pub messages: u64,
    /// Pictures.
    pub images: u64,
    /// Documents, sound and moving pictures.
    pub documents: u64,
    /// Whether tools are declared: providers add a prompt of their own for them.
    pub has_tools: bool,
    /// Whether the provider runs tools of its own, whose results become part of the prompt.
    pub grows: bool,
}

impl PromptSize {
    /// The size of this request's prompt.
    pub fn of(request: &ChatRequest) -> Self {
        let mut size = Self {
            messages: request.messages.len() as u64,
            has_tools: !request.tools.is_empty(),
            ..Self::default()
        };
        for message in &request.messages {
            size.add_parts(&message.parts);
        }
        for tool in &request.tools {
            size.add_tool(tool);
        }
        match &request.response_format {
            ResponseFormat::Text | ResponseFormat::JsonObject => {}
            ResponseFormat::JsonSchema {
                name,
                schema,
                strict: _,
                description,
            } => size.add_texts([name, schema, description]),
        }
        size.add_fields(&request.options);
        size
    }

    fn add_parts(&mut self, parts: &[Part]) {
        for part in parts {
            match part {
                Part::Text(text) | Part::Refusal(text) => self.add_texts([text]),
                Part::Image(_) => self.images += 1,
                Part::Document(_) | Part::Audio(_) | Part::Video(_) => self.documents += 1,
                Part::ToolCall(call) => {
                    self.add_texts([&call.id, &call.name, &call.arguments]);
                    self.bytes += call.signature.len() as u64;
                }
                Part::ToolResult(result) => {
                    self.add_texts([&result.tool_call_id, &result.tool_name]);
                    self.add_parts(&result.content);
                }
                Part::Reasoning(reasoning) => {
                    self.add_texts([&reasoning.text]);
                    self.bytes += reasoning.signature.len() as u64;
                }
                Part::Provider(part) => self.add_texts([&part.kind, &part.content]),
            }
        }
    }

    fn add_tool(&mut self, tool: &Tool) {
        match tool {
            Tool::Function(function) => {
                self.add_texts([&function.name, &function.description]);
                self.add_texts(&function.parameters);
            }
            Tool::WebSearch(_) | Tool::CodeExecution => self.grows = true,
            Tool::Provider(definitions) => {
                self.grows = true;
                self.add_fields(definitions);
            }
        }
    }

    fn add_fields(&mut self, options: &[ProviderOptions]) {
        self.add_texts(options.iter().map(|entry| &entry.fields));
    }

    fn add_texts<'t>(&mut self, texts: impl IntoIterator<Item = &'t String>) {
        let texts = texts.into_iter();
        self.bytes += texts.map(|text| text.len() as u64).sum::<u64>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{
        FunctionTool, ImageDetail, Media, MediaSource, Message, Role, ToolResult, WebSearch,
    };

    fn media() -> Media {
        Media {
            source: MediaSource::Uri(
                "https://pictures.example/a-long-path-that-is-no-prompt".into(),
            ),
            media_type: String::new(),
            filename: String::new(),
            detail: ImageDetail::Auto,
        }
    }

    #[test]
    fn everything_that_a_provider_counts_as_prompt_is_counted() {
        let result = ToolResult {
            tool_call_id: "id".into(),
            tool_name: "get".into(),
            content: vec![Part::Text("sunny".into()), Part::Image(media())],
            is_error: false,
        };
        let request = ChatRequest {
            messages: vec![
                Message {
                    role: Role::User,
                    parts: vec![Part::Text("grüß".into()), Part::Document(media())],
                },
                Message {
                    role: Role::Tool,
                    parts: vec![Part::ToolResult(result)],
                },
            ],
            tools: vec![Tool::Function(FunctionTool {
                name: "get".into(),
                description: "it".into(),
                parameters: Some("{}".into()),
                strict: false,
            })],
            ..ChatRequest::default()
        };

        let size = PromptSize::of(&request);

        let expected = PromptSize {
            bytes: (6 + 2 + 3 + 5) + (3 + 2 + 2),
            messages: 2,
            images: 1,
            documents: 1,
            has_tools: true,
            grows: false,
        };
        assert_eq!(size, expected);
    }

    #[test]
    fn a_tool_that_the_provider_runs_lets_the_prompt_grow() {
        for (tool, grows) in [
            (Tool::Function(FunctionTool::default()), false),
            (Tool::WebSearch(WebSearch::default()), true),
            (Tool::CodeExecution, true),
            (Tool::Provider(Vec::new()), true),
        ] {
            let request = ChatRequest {
                tools: vec![tool],
                ..ChatRequest::default()
            };

            assert_eq!(PromptSize::of(&request).grows, grows);
        }
    }
}
