//! A prompt that is too long is recognised in the words of all hosts.

use serde_json::json;

use super::{Row, check, kinds::*};

#[test]
fn a_prompt_that_is_too_long_is_recognised_by_two_ideas() {
    let messages = [
        (
            "OpenAI",
            "This model's maximum context length is 4097 tokens, however you requested 5000 tokens (1000 in your prompt; 4000 for the completion). Please reduce your prompt; or completion length.",
        ),
        (
            "OpenAI",
            "Your input exceeds the context window of this model. Please adjust your input and try again.",
        ),
        (
            "OpenRouter",
            "This endpoint's maximum context length is 131072 tokens. However, you requested about 200000 tokens (190000 of text input, 10000 in the output).",
        ),
        (
            "Anthropic",
            "prompt is too long: 213000 tokens > 200000 maximum",
        ),
        (
            "Anthropic",
            "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input length or `max_tokens` and try again",
        ),
        (
            "Anthropic",
            "The long context beta is not yet available for this subscription.",
        ),
        (
            "Google",
            "The input token count (1200293) exceeds the maximum number of tokens allowed (1048576).",
        ),
        (
            "Vertex",
            "Unable to submit request because the input token count is 1203213 but model only supports up to 1048576. Reduce the input token count and try again.",
        ),
        ("Bedrock", "Input is too long for requested model."),
        (
            "Bedrock",
            "Too many input tokens. Max input tokens: 128000, request input token count: 140000",
        ),
        (
            "DashScope",
            "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 129024]",
        ),
        (
            "DashScope",
            "Input length 140000 exceeds the maximum length 131072",
        ),
        (
            "SGLang",
            "The input (40999 tokens) is longer than the model's context length (32768 tokens).",
        ),
        (
            "SGLang",
            "Requested token count exceeds the model's maximum context length of 196608 tokens. You requested a total of 200000 tokens.",
        ),
        (
            "SGLang",
            "Input length (40000 tokens) exceeds the maximum allowed length (32768 tokens). Use a shorter input or enable --allow-auto-truncate.",
        ),
        (
            "vLLM",
            "You passed 1015 input tokens and requested 10 output tokens. However, the model's context length is only 1024 tokens, resulting in a maximum input length of 1014 tokens.",
        ),
        (
            "vLLM",
            "'max_tokens' or 'max_completion_tokens' is too large: 4000. This model's maximum context length is 8192 tokens and your request has 5000 input tokens (4000 > 8192 - 5000).",
        ),
        (
            "vLLM",
            "The decoder prompt (length 9000) is longer than the maximum model length of 8192. Make sure that `max_model_len` is no smaller than the number of text tokens.",
        ),
        ("vLLM", "max_tokens must be at least 1, got -186."),
        (
            "TGI",
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens and 100 `max_new_tokens`",
        ),
        (
            "TGI",
            "Input validation error: `inputs` must have less than 1024 tokens. Given: 1200",
        ),
        (
            "llama.cpp",
            "request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it",
        ),
        (
            "llama.cpp",
            "the request exceeds the available context size, try increasing it",
        ),
        (
            "LM Studio",
            "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens, which is not enough.",
        ),
        (
            "LM Studio",
            "The number of tokens to keep from the initial prompt is greater than the context length.",
        ),
        (
            "Ollama",
            "prompt too long; exceeded max context length by 4 tokens",
        ),
        ("Ollama", "the input length exceeds the context length"),
        ("Z.ai", "Prompt exceeds max length"),
        ("Zhipu", "Prompt 超长"),
        (
            "MiniMax",
            "invalid params, context window exceeds limit (2013)",
        ),
        (
            "Moonshot",
            "Invalid request: Your request exceeded model token limit: 262144 (requested: 269030)",
        ),
        ("Moonshot", "Input token length too long"),
        (
            "Mistral",
            "Prompt contains 130000 tokens and 0 draft tokens, too large for model with 128000 maximum context length",
        ),
        (
            "Cohere",
            "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000. Try using a shorter prompt.",
        ),
        (
            "Cohere",
            "too many tokens: size limit exceeded by 12 tokens",
        ),
        (
            "xAI",
            "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
        ),
        (
            "Groq",
            "Please reduce the length of the messages or completion.",
        ),
        (
            "Fireworks",
            "The prompt is too long: 131900, model maximum context length: 131071",
        ),
        (
            "Volcengine",
            "Total tokens of image and text exceed max message tokens",
        ),
        (
            "Volcengine",
            "Input length 130000 exceeds the maximum length 98304.",
        ),
        (
            "SiliconFlow",
            "length of prompt_tokens (40000) must be less than max_seq_len (32768).",
        ),
        (
            "GitHub Models",
            "Request body too large for gpt-4o model. Max size: 8000 tokens.",
        ),
        (
            "Copilot",
            "prompt token count of 200000 exceeds the limit of 128000",
        ),
        ("Baidu", "Prompt tokens too long"),
        ("Baidu", "the total length of messages is too long"),
        (
            "Perplexity",
            "Your request is too long: the prompt has 140000 tokens",
        ),
        (
            "any",
            "The conversation history is too long, please shorten it",
        ),
        (
            "any",
            "Total tokens in the conversation exceed the model limit of 32768",
        ),
        ("any", "Token count exceeds the limit"),
        ("any", "The number of tokens in the prompt exceeds 32768"),
        ("any", "Prompt exceeds limit"),
        ("any", "Context overflow: the conversation does not fit"),
        ("any", "Query is too long"),
        ("vLLM", "prompt (9000) exceeds max_model_len (8192)"),
        (
            "any",
            "Prompt length 131073 exceeds model maximum length 131072",
        ),
        ("any", "输入长度超过最大限制"),
        ("any", "上下文长度超出限制"),
        (
            "any",
            "litellm.ContextWindowExceededError: litellm.BadRequestError: AnthropicException",
        ),
    ];
    let at = |status| {
        move |(host, message)| -> Row {
            let body = json!({"error": {"message": message, "type": "invalid_request_error"}});
            (host, status, body, ContextLength)
        }
    };
    check(messages.map(at(400)).into());
    check(messages.map(at(413)).into());
    check(messages.map(at(500)).into());
}

#[test]
fn a_prompt_that_is_too_long_has_a_code_at_some_hosts() {
    let codes = [
        json!({"error": {"code": "context_length_exceeded"}}),
        json!({"error": {"type": "exceed_context_size_error"}}),
        json!({"error": {"type": "too_many_prompt_tokens"}}),
        json!({"error": {"code": "model_max_prompt_tokens_exceeded"}}),
        json!({"error": {"code": "1261", "message": "提示"}}),
        json!({"error": {"code": 1261}}),
        json!({"error_code": 336103, "error_msg": "the max input characters is 20000"}),
        json!({"error": {"code": "tokens_limit_reached", "message": "Request body too large"}}),
        json!({"error": {"message": "upstream", "metadata": {"raw": "{\"error\":{\"code\":\"context_length_exceeded\"}}"}}}),
    ];
    check(
        codes
            .map(|body| -> Row { ("any", 400, body, ContextLength) })
            .into(),
    );
}

#[test]
fn what_else_can_be_too_long_is_not_the_prompt() {
    let messages = [
        (
            "OpenAI",
            "max_tokens is too large: 100000. This model supports at most 16384 completion tokens, whereas you provided 100000.",
        ),
        (
            "OpenAI",
            "`max_completion_tokens` is too large: 200000. This model supports at most 128000 completion tokens.",
        ),
        (
            "Anthropic",
            "max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens for claude-3-7-sonnet-20250219",
        ),
        (
            "Groq",
            "`max_tokens` must be less than or equal to `8192`, the maximum value for `max_tokens` is less than the `context_window` for this model",
        ),
        (
            "DashScope",
            "<400> InternalError.Algo.InvalidParameter: Range of max_tokens should be [1, 8192]",
        ),
        (
            "DeepSeek",
            "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]",
        ),
        (
            "Bedrock",
            "The maximum tokens you requested exceeds the model limit of 4096. Try again with a maximum tokens value that is lower than 4096.",
        ),
        (
            "Vertex",
            "Unable to submit request because it has a maxOutputTokens value of 100000 but the supported range is from 1 (inclusive) to 65537 (exclusive).",
        ),
        (
            "OpenAI",
            "Invalid 'messages[0].content': string too long. Expected a string with maximum length 1048576, but got a string with length 2000000 instead.",
        ),
        (
            "OpenAI",
            "Invalid 'messages': array too long. Expected an array with maximum length 2048, but got an array with length 3000 instead.",
        ),
        (
            "OpenAI",
            "Invalid 'stop': array too long. Expected an array with maximum length 4, but got an array with length 5 instead.",
        ),
        (
            "Anthropic",
            "`max_tokens` must be greater than `thinking.budget_tokens`.",
        ),
        (
            "Anthropic",
            "messages.0.content.1.image.source.base64: image exceeds 5 MB maximum: 6000000 bytes > 5242880 bytes",
        ),
        (
            "Google",
            "Request payload size exceeds the limit: 20971520 bytes.",
        ),
        (
            "any",
            "Requested max tokens 100000 exceeds model limit 8192",
        ),
        (
            "any",
            "The max_tokens you provided (100000) exceeds the model's maximum output tokens 8192",
        ),
        ("vLLM", "Expecting value: unexpected token at line 1"),
        (
            "Google",
            "The number of messages exceeds the maximum of 2048",
        ),
    ];
    let row = |(host, message)| -> Row {
        let body = json!({"error": {"message": message, "type": "invalid_request_error"}});
        (host, 400, body, InvalidRequest)
    };
    check(messages.map(row).into());
}
