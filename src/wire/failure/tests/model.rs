//! A model that the host does not have, and one that does not support the request.

use serde_json::json;

use super::{Row, check, kinds::*};

#[test]
fn a_model_that_is_not_there_is_ours_with_any_status() {
    let rows: Vec<Row> = vec![
        (
            "Groq",
            400,
            json!({"error": {"message": "The model `alpha` has been decommissioned and is no longer supported.", "type": "invalid_request_error", "code": "model_decommissioned"}}),
            ModelNotFound,
        ),
        (
            "Groq",
            400,
            json!({"error": {"message": "The model `alpha` has been decommissioned and is no longer supported.", "type": "invalid_request_error"}}),
            ModelNotFound,
        ),
        (
            "SiliconFlow",
            400,
            json!({"code": 20012, "message": "Model does not exist. Please check it carefully.", "data": null}),
            ModelNotFound,
        ),
        (
            "Zhipu",
            400,
            json!({"error": {"code": "1211", "message": "模型不存在，请检查模型代码。"}}),
            ModelNotFound,
        ),
        (
            "DeepSeek",
            400,
            json!({"error": {"message": "Model Not Exist", "type": "invalid_request_error", "code": "invalid_request_error"}}),
            ModelNotFound,
        ),
        (
            "DeepSeek",
            400,
            json!({"error": {"message": "The supported API model names are a or b, but you passed c."}}),
            ModelNotFound,
        ),
        (
            "Mistral",
            400,
            json!({"object": "error", "message": "Invalid model: a", "type": "invalid_model", "code": "1500"}),
            ModelNotFound,
        ),
        (
            "xAI",
            400,
            json!({"code": "Client specified an invalid argument", "error": "Model not found: grok-1"}),
            ModelNotFound,
        ),
        (
            "xAI",
            404,
            json!({"code": "Some requested entity was not found", "error": "The model grok-1 does not exist or your team 1 does not have access to it."}),
            ModelNotFound,
        ),
        (
            "OpenAI",
            400,
            json!({"error": {"message": "The requested model 'a' does not exist."}}),
            ModelNotFound,
        ),
        (
            "OpenAI",
            404,
            json!({"error": {"message": "The model `a` has been deprecated, learn more here", "code": "model_not_found"}}),
            ModelNotFound,
        ),
        (
            "Copilot",
            400,
            json!({"error": {"message": "The requested model is not supported.", "code": "model_not_supported"}}),
            ModelNotFound,
        ),
        (
            "Copilot",
            400,
            json!({"error": {"message": "The requested model is not supported."}}),
            ModelNotFound,
        ),
        (
            "OpenRouter",
            400,
            json!({"error": {"message": "openai/x is not a valid model ID", "code": 400}}),
            ModelNotFound,
        ),
        (
            "OpenRouter",
            404,
            json!({"error": {"message": "No allowed providers are available for the selected model.", "code": 404}}),
            ModelNotFound,
        ),
        (
            "Together",
            400,
            json!({"error": {"message": "Unable to access non-serverless model a. Please visit https://api.together.ai to create and start a new dedicated endpoint for the model.", "code": "model_not_available"}}),
            ModelNotFound,
        ),
        (
            "Fireworks",
            404,
            json!({"error": {"message": "Model not found, inaccessible, and/or not deployed"}}),
            ModelNotFound,
        ),
        (
            "Perplexity",
            400,
            json!({"error": {"message": "Invalid model 'a'. Permitted models can be found in the documentation.", "type": "invalid_model", "code": 400}}),
            ModelNotFound,
        ),
        (
            "Cohere",
            400,
            json!({"message": "model 'command-xlarge' was removed on September 15, 2025"}),
            ModelNotFound,
        ),
        (
            "Bedrock",
            400,
            json!({"message": "The provided model identifier is invalid."}),
            ModelNotFound,
        ),
        (
            "Bedrock",
            400,
            json!({"message": "Invocation of model ID a with on-demand throughput isn\u{2019}t supported. Retry your request with the ID or ARN of an inference profile."}),
            ModelNotFound,
        ),
        (
            "Bedrock",
            400,
            json!({"message": "This model version has reached the end of its life. The model is no longer available."}),
            ModelNotFound,
        ),
        (
            "Volcengine",
            404,
            json!({"error": {"code": "InvalidEndpointOrModel.NotFound", "message": "The model or endpoint a does not exist or you do not have access to it."}}),
            ModelNotFound,
        ),
        (
            "Volcengine",
            404,
            json!({"error": {"code": "ModelNotOpen", "message": "Your account 1 has not activated the model a."}}),
            ModelNotFound,
        ),
        (
            "Cloudflare",
            400,
            json!({"success": false, "errors": [{"message": "AiError: No such model @cf/a or task", "code": 5007}]}),
            ModelNotFound,
        ),
        (
            "NVIDIA",
            410,
            json!({"detail": "The model has reached its end of life"}),
            ModelNotFound,
        ),
        (
            "LM Studio",
            400,
            json!({"error": {"message": "No models loaded. Please load a model in the developer page."}}),
            ModelNotFound,
        ),
        (
            "Ollama",
            404,
            json!({"error": {"message": "model \"a\" not found, try pulling it first"}}),
            ModelNotFound,
        ),
        (
            "LiteLLM",
            400,
            json!({"error": {"message": "/chat/completions: Invalid model name passed in model=a. Call `/v1/models` to view available models for your key.", "code": "400"}}),
            ModelNotFound,
        ),
        (
            "new-api",
            503,
            json!({"error": {"code": "model_not_found", "message": "No available channel for model a under group default (distributor)"}}),
            ModelNotFound,
        ),
        (
            "one-api",
            503,
            json!({"error": {"message": "当前分组 default 下对于模型 a 无可用渠道"}}),
            ModelNotFound,
        ),
        (
            "Google",
            404,
            json!({"error": {"code": 404, "message": "models/a is not found for API version v1beta, or is not supported for generateContent. Call ModelService.ListModels to see the list of available models and their supported methods.", "status": "NOT_FOUND"}}),
            ModelNotFound,
        ),
        (
            "a relay",
            500,
            json!({"error": {"message": "The model a does not exist"}}),
            ModelNotFound,
        ),
        (
            "any",
            400,
            json!({"error": {"message": "Unknown model: a"}}),
            ModelNotFound,
        ),
        (
            "MiniMax",
            200,
            json!({"base_resp": {"status_code": 2013, "status_msg": "invalid params, unknown model 'a'"}}),
            ModelNotFound,
        ),
        (
            "one-api",
            400,
            json!({"error": {"message": "模型 a 不存在"}}),
            ModelNotFound,
        ),
        (
            "new-api",
            503,
            json!({"error": {"message": "分组 default 下没有可用的渠道"}}),
            ModelNotFound,
        ),
        (
            "LM Studio",
            400,
            json!({"error": {"message": "Invalid model identifier \"a\". There are no downloaded llm models."}}),
            ModelNotFound,
        ),
        (
            "any",
            400,
            json!({"error": {"message": "Unknown model"}}),
            ModelNotFound,
        ),
        (
            "any",
            400,
            json!({"error": {"message": "The model a has been retired. Please migrate to b."}}),
            ModelNotFound,
        ),
        // Another thing is not there.
        (
            "OpenAI",
            400,
            json!({"error": {"code": "previous_response_not_found"}}),
            InvalidRequest,
        ),
        (
            "DeepSeek",
            400,
            json!({"error": {"message": "No tool output found for tool call call-a.", "code": "invalid_request_error"}}),
            InvalidRequest,
        ),
    ];
    check(rows);
}

#[test]
fn what_only_this_model_refuses_is_told_from_what_all_would_refuse() {
    let rows: Vec<Row> = vec![
        (
            "OpenAI",
            400,
            json!({"error": {"message": "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is supported.", "type": "invalid_request_error", "param": "temperature", "code": "unsupported_value"}}),
            UnsupportedByModel,
        ),
        (
            "OpenAI",
            400,
            json!({"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", "code": "unsupported_parameter"}}),
            UnsupportedByModel,
        ),
        (
            "a relay of OpenAI",
            400,
            json!({"error": {"message": "Unsupported parameter: 'logprobs' is not supported with this model."}}),
            UnsupportedByModel,
        ),
        (
            "Mistral",
            400,
            json!({"code": "3051", "message": "Logprobs are not enabled for this model", "object": "error", "raw_status_code": 400, "type": "invalid_request_invalid_args"}),
            UnsupportedByModel,
        ),
        (
            "Ollama",
            400,
            json!({"error": {"message": "registry.ollama.ai/library/gemma:2b does not support tools"}}),
            UnsupportedByModel,
        ),
        (
            "vLLM",
            400,
            json!({"object": "error", "message": "\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set", "code": 400}),
            UnsupportedByModel,
        ),
        (
            "vLLM",
            400,
            json!({"object": "error", "message": "alpha is not a multimodal model", "code": 400}),
            UnsupportedByModel,
        ),
        (
            "Groq",
            400,
            json!({"error": {"message": "`tool calling` is not supported with this model", "type": "invalid_request_error"}}),
            UnsupportedByModel,
        ),
        (
            "Groq",
            400,
            json!({"error": {"message": "This model does not support response format `json_schema`. See supported models"}}),
            UnsupportedByModel,
        ),
        (
            "OpenRouter",
            404,
            json!({"error": {"message": "No endpoints found that support image input", "code": 404}}),
            UnsupportedByModel,
        ),
        (
            "OpenRouter",
            404,
            json!({"error": {"message": "No endpoints found that support tool use. To learn more about provider routing, visit: https://openrouter.ai/docs", "code": 404}}),
            UnsupportedByModel,
        ),
        (
            "Google",
            400,
            json!({"error": {"code": 400, "message": "Developer instruction is not enabled for models/gemma-3-27b-it", "status": "INVALID_ARGUMENT"}}),
            UnsupportedByModel,
        ),
        (
            "Google",
            400,
            json!({"error": {"code": 400, "message": "Budget 0 is invalid. This model only works in thinking mode.", "status": "INVALID_ARGUMENT"}}),
            UnsupportedByModel,
        ),
        (
            "Anthropic",
            400,
            json!({"type": "error", "error": {"type": "invalid_request_error", "message": "`temperature` and `top_p` cannot both be specified for this model. Please use only one."}}),
            UnsupportedByModel,
        ),
        (
            "Anthropic",
            400,
            json!({"type": "error", "error": {"type": "invalid_request_error", "message": "`temperature` is deprecated for this model."}}),
            UnsupportedByModel,
        ),
        (
            "Anthropic",
            400,
            json!({"type": "error", "error": {"type": "invalid_request_error", "message": "This model does not support assistant message prefill. The conversation must end with a user message."}}),
            UnsupportedByModel,
        ),
        (
            "Bedrock",
            400,
            json!({"message": "This model doesn't support tool use in streaming mode."}),
            UnsupportedByModel,
        ),
        (
            "Kimi",
            400,
            json!({"error": {"message": "invalid temperature: only 1 is allowed for this model", "type": "invalid_request_error"}}),
            UnsupportedByModel,
        ),
        (
            "Qwen",
            400,
            json!({"error": {"message": "The tool_choice parameter does not support being set to required or object in thinking mode", "code": "invalid_parameter_error"}}),
            UnsupportedByModel,
        ),
        (
            "DeepSeek",
            400,
            json!({"error": {"message": "deepseek-reasoner does not support this tool_choice", "type": "invalid_request_error"}}),
            UnsupportedByModel,
        ),
        (
            "LiteLLM",
            400,
            json!({"error": {"message": "litellm.UnsupportedParamsError: a does not support parameters: ['tools']", "code": "400"}}),
            UnsupportedByModel,
        ),
        // With 5xx it is the host that failed, whatever it blames.
        (
            "llama.cpp",
            500,
            json!({"error": {"code": 500, "message": "tools param requires --jinja flag", "type": "server_error"}}),
            ServerError,
        ),
        (
            "llama.cpp",
            500,
            json!({"error": {"code": 500, "message": "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj", "type": "server_error"}}),
            ServerError,
        ),
        (
            "any",
            400,
            json!({"error": {"message": "The dispatcher of this cluster declined.", "code": "E77"}}),
            InvalidRequest,
        ),
    ];
    check(rows);
}
