//! How much memory does a request take up while its call lasts? An estimate, rather too high than too low.

use std::mem::size_of;

use crate::chat::{
    ChatRequest, FunctionTool, Mark, MediaSource, Message, Part, ProviderOptions, ProviderPart,
    ResponseFormat, Tool, ToolChoice, WebSearch,
};

/// Memory of a call besides its request: its task, its stream, its plan.
const CALL_BYTES: usize = 4 * 1024;

/// Memory of a call with this request, whose message had `message` bytes: the request itself, and its copy in
/// the provider's format while that is sent.
pub(super) fn bytes_of(request: &ChatRequest, message: usize) -> usize {
    let ChatRequest {
        messages,
        tools,
        tool_choice,
        parallel_tool_calls: _,
        response_format,
        sampling,
        reasoning: _,
        marks,
        end_user_id,
        prompt_cache_key,
        prompt_cache_retention: _,
        service_tier: _,
        verbosity: _,
        options,
        wants_metadata: _,
    } = request;
    let mut size = Size::default();
    for Message { role: _, parts } in messages {
        size.elements += size_of::<Message>();
        size.add_parts(parts);
    }
    for tool in tools {
        size.elements += size_of::<Tool>();
        match tool {
            Tool::Function(FunctionTool {
                name,
                description,
                parameters,
                strict: _,
            }) => {
                size.add_texts([name, description]);
                size.add_texts(parameters);
            }
            Tool::WebSearch(WebSearch {
                max_uses: _,
                allowed_domains,
                blocked_domains,
            }) => {
                size.add_texts(allowed_domains);
                size.add_texts(blocked_domains);
            }
            Tool::CodeExecution => {}
            Tool::Provider(definitions) => size.add_options(definitions),
        }
    }
    let of_parts = marks.of_parts().map(|(_, mark)| mark);
    for Mark { cache: _, options } in of_parts.chain(marks.of_tools().map(|(_, mark)| mark)) {
        size.elements += size_of::<Mark>();
        size.add_options(options);
    }
    size.add_texts([end_user_id, prompt_cache_key]);
    size.add_options(options);
    match response_format {
        ResponseFormat::Text | ResponseFormat::JsonObject => {}
        ResponseFormat::JsonSchema {
            name,
            schema,
            strict: _,
            description,
        } => size.add_texts([name, schema, description]),
    }
    match tool_choice {
        ToolChoice::Auto | ToolChoice::None | ToolChoice::Required => {}
        ToolChoice::Function(name) => size.add_texts([name]),
        ToolChoice::Allowed { names, required: _ } => size.add_texts(names),
    }
    size.add_texts(&sampling.stop_sequences);
    let Size {
        elements,
        texts,
        escapes,
        data,
    } = size;
    // Data is a slice of the message, and one slice is enough to keep the whole message in memory.
    let message = if data > 0 { message } else { 0 };
    let spelled = texts + escapes + data / 3 * 4;
    CALL_BYTES + elements + texts + message + spelled
}

#[derive(Default)]
struct Size {
    /// Bytes of the elements themselves.
    elements: usize,
    /// Bytes of texts.
    texts: usize,
    /// How many bytes longer the texts become as JSON.
    escapes: usize,
    /// Bytes of images, documents and signatures.
    data: usize,
}

impl Size {
    fn add_texts<'a>(&mut self, texts: impl IntoIterator<Item = &'a String>) {
        for text in texts {
            self.elements += size_of::<String>();
            self.add_text(text);
        }
    }

    fn add_text(&mut self, text: &str) {
        self.texts += text.len();
        self.escapes += escapes_of(text);
    }

    fn add_options(&mut self, options: &[ProviderOptions]) {
        for ProviderOptions {
            target,
            fields,
            optional: _,
        } in options
        {
            self.elements += size_of::<ProviderOptions>();
            self.add_texts([target, fields]);
        }
    }

    fn add_parts(&mut self, parts: &[Part]) {
        for part in parts {
            self.elements += size_of::<Part>();
            match part {
                Part::Text(text) | Part::Refusal(text) => self.add_text(text),
                Part::Image(media)
                | Part::Document(media)
                | Part::Audio(media)
                | Part::Video(media) => {
                    self.add_text(&media.media_type);
                    self.add_text(&media.filename);
                    match &media.source {
                        MediaSource::Data(data) => self.data += data.len(),
                        MediaSource::Uri(uri) => self.add_text(uri),
                        MediaSource::File { provider: _, id } => self.add_text(id),
                    }
                }
                Part::Provider(ProviderPart {
                    provider: _,
                    kind,
                    content,
                }) => {
                    self.add_text(kind);
                    self.add_text(content);
                }
                Part::ToolCall(call) => {
                    self.add_text(&call.id);
                    self.add_text(&call.name);
                    self.add_text(&call.arguments);
                    self.data += call.signature.len();
                }
                Part::ToolResult(result) => {
                    self.add_text(&result.tool_call_id);
                    self.add_text(&result.tool_name);
                    self.add_parts(&result.content);
                }
                Part::Reasoning(reasoning) => {
                    self.add_text(&reasoning.text);
                    self.data += reasoning.signature.len();
                }
            }
        }
    }
}

/// How many bytes longer a text becomes as JSON: five for a control character, such as `\u0001`; one for a
/// control character that has a letter, such as `\n`, for a quote and for a backslash.
fn escapes_of(text: &str) -> usize {
    // Three passes that the compiler vectorises cost less than one that branches on each byte.
    let control = text.bytes().filter(|byte| *byte < 0x20).count();
    let short = text
        .bytes()
        .filter(|byte| matches!(byte, 0x08 | b'\t' | b'\n' | 0x0c | b'\r'))
        .count();
    let quoted = text
        .bytes()
        .filter(|byte| matches!(byte, b'"' | b'\\'))
        .count();
    5 * control - 4 * short + quoted
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::chat::{ImageDetail, Media, Role};

    fn request(parts: Vec<Part>) -> ChatRequest {
        ChatRequest {
            messages: vec![Message {
                role: Role::User,
                parts,
            }],
            ..ChatRequest::default()
        }
    }

    fn image(bytes: usize) -> Part {
        Part::Image(Media {
            source: MediaSource::Data(Bytes::from(vec![7; bytes])),
            media_type: "image/png".to_owned(),
            filename: String::new(),
            detail: ImageDetail::Auto,
        })
    }

    #[test]
    fn an_image_counts_once_and_as_the_text_that_it_is_sent_as() {
        let bytes = bytes_of(&request(vec![image(3 << 20)]), 3 << 20);

        let expected = 7 << 20;
        assert!((expected..expected + (8 << 10)).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_text_counts_twice() {
        let bytes = bytes_of(&request(vec![Part::Text("x".repeat(1 << 20))]), 1 << 20);

        let expected = 2 << 20;
        assert!((expected..expected + (8 << 10)).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_text_counts_as_long_as_it_is_written() {
        for (text, written) in [
            ("", r#""""#),
            ("plain ü", r#""plain ü""#),
            ("\u{1}\u{1f}", r#""\u0001\u001f""#),
            ("a\n\t\r\u{8}\u{c}", r#""a\n\t\r\b\f""#),
            ("\"\\\u{7f}", "\"\\\"\\\\\u{7f}\""),
        ] {
            assert_eq!(text.len() + escapes_of(text), written.len() - 2, "{text:?}");
        }
        let controls = vec![Part::Text("\u{1}".repeat(1 << 20))];
        assert!(bytes_of(&request(controls), 1 << 20) >= 7 << 20);
    }

    #[test]
    fn many_small_parts_count_for_what_they_take() {
        let parts = vec![Part::Text(String::new()); 10_000];

        assert!(bytes_of(&request(parts), 40_000) >= 10_000 * size_of::<Part>());
    }
}
