//! What is wrong with a request blames neither our account nor the model, however much the words are alike.

use serde_json::json;

use super::{Row, check, kinds::*};

#[test]
fn what_a_host_says_of_a_wrong_request_blames_nothing_else() {
    let messages = [
        (
            "OpenAI",
            "Invalid 'messages[2].tool_calls': empty array. Expected an array with minimum length 1, but got an empty array instead.",
        ),
        (
            "OpenAI",
            "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.",
        ),
        (
            "OpenAI",
            "Invalid schema for function 'create_payment': In context=('properties', 'account'), 'additionalProperties' is required to be supplied and to be false.",
        ),
        (
            "OpenAI",
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
        ),
        (
            "OpenAI",
            "Missing required parameter: 'messages[1].content[0].type'.",
        ),
        (
            "OpenAI",
            "Invalid type for 'messages[0].content': expected one of a string or array of objects, but got an integer instead.",
        ),
        ("OpenAI", "Unknown parameter: 'thinking'."),
        (
            "OpenAI",
            "Unrecognized request argument supplied: reasoning_effort",
        ),
        (
            "OpenAI",
            "Error while downloading https://example.com/billing/account-disabled.png.",
        ),
        (
            "OpenAI",
            "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, but got an object with 20 properties instead.",
        ),
        ("OpenAI", "Could not parse the JSON body of your request."),
        (
            "OpenAI",
            "Invalid 'tools[0].function.name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
        ),
        (
            "Anthropic",
            "messages.1.content.0: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_01. Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
        ),
        (
            "Anthropic",
            "messages: text content blocks must be non-empty",
        ),
        ("Anthropic", "max_tokens: Field required"),
        (
            "Anthropic",
            "temperature: Input should be less than or equal to 1",
        ),
        (
            "Anthropic",
            "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
        ),
        (
            "Anthropic",
            "tools.0.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12",
        ),
        (
            "Anthropic",
            "Unable to download the file. Please verify the URL and try again.",
        ),
        (
            "Anthropic",
            "The request body is not valid JSON: unexpected character: line 1 column 1 (char 0)",
        ),
        (
            "Anthropic",
            "messages.0.content.0.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'",
        ),
        (
            "Anthropic",
            "messages: Input tag 'credit' found using 'type' does not match any of the expected tags",
        ),
        (
            "Google",
            "Invalid JSON payload received. Unknown name \"balance\" at 'generation_config': Cannot find field.",
        ),
        (
            "Google",
            "Please ensure that function call turn comes immediately after a user turn or after a function response turn.",
        ),
        (
            "Google",
            "* GenerateContentRequest.contents: contents is not specified",
        ),
        (
            "Google",
            "Function call is missing a thought_signature in functionCall parts.",
        ),
        (
            "Google",
            "Budget 40000 is invalid. Please choose a value between 512 and 24576.",
        ),
        (
            "Mistral",
            "Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant",
        ),
        (
            "Mistral",
            "Not the same number of function calls and responses",
        ),
        (
            "vLLM",
            "As of transformers v4.44, default chat template is no longer allowed, so you must provide a chat template if the tokenizer does not define one.",
        ),
        (
            "vLLM",
            "Conversation roles must alternate user/assistant/user/assistant/...",
        ),
        ("Qwen", "System message must be at the beginning."),
        (
            "DeepSeek",
            "Invalid assistant message: content or tool_calls must be set",
        ),
        ("Moonshot", "Invalid request: tool_call_id is not found"),
        (
            "any",
            "Invalid model parameter: temperature must be between 0 and 2",
        ),
        (
            "Bedrock",
            "Malformed input request: #: required key [messages] not found, please reformat your input and try again.",
        ),
        (
            "Bedrock",
            "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
        ),
        (
            "Bedrock",
            "A conversation must start with a user message. Try again with a conversation that starts with a user message.",
        ),
        (
            "Groq",
            "Failed to call a function. Please adjust your prompt. See 'failed_generation' for more details.",
        ),
        (
            "Groq",
            "Failed to validate JSON. Please adjust your prompt.",
        ),
        (
            "Cohere",
            "invalid request: message must be at least 1 token long or tool results must be specified.",
        ),
        ("any", "tool_choice 'close_account' not found in tools"),
        ("any", "Function names must be unique: account, account"),
        ("any", "logit_bias has too many entries: at most 300"),
    ];
    let row = |(host, message)| -> Row {
        let body = json!({"error": {"message": message, "type": "invalid_request_error"}});
        (host, 400, body, InvalidRequest)
    };
    check(messages.map(row).into());
    check(vec![
        (
            "FastAPI",
            422,
            json!({"detail": [{"type": "extra_forbidden", "loc": ["body", "account"], "msg": "Extra inputs are not permitted", "input": "the account is suspended"}]}),
            InvalidRequest,
        ),
        (
            "any",
            400,
            json!({"error": {"message": "Bad request", "param": "credit_balance", "code": "invalid_value"}}),
            InvalidRequest,
        ),
        (
            "OpenAI",
            400,
            json!({"error": {"message": "Your input image may contain content that is not allowed by our safety system."}}),
            ContentBlocked,
        ),
    ]);
}
