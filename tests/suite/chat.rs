//! Does what a caller asks reach the provider, and its answer the caller, in every wire format?

use modelway::simulator::text;

use crate::support::{Gateway, METHODS, ask, lines, text_of};

const MODELS: &str = r#"
[models."openai/gpt"]
[models."anthropic/claude"]
max_output_tokens = 1000
[models."gemini/flash"]

[scenarios.openai]
targets = ["openai/gpt"]
[scenarios.anthropic]
targets = ["anthropic/claude"]
[scenarios.gemini]
targets = ["gemini/flash"]
"#;

const FORMATS: [(&str, &str); 3] = [
    ("openai", "gpt"),
    ("anthropic", "claude"),
    ("gemini", "flash"),
];

#[tokio::test]
async fn a_text_is_answered_in_every_format_unary_and_streamed() {
    let gateway = Gateway::start(MODELS).await;
    for (scenario, model) in FORMATS {
        for method in METHODS {
            let response = gateway.call(method, ask(scenario, "Hello")).await.unwrap();

            assert_eq!(text_of(&response), text(24), "{scenario} {method:?}");
            let expected = [format!("1 PRIMARY {scenario}/{model} SUCCEEDED")];
            assert_eq!(lines(&response.attempts), expected);
        }
    }
}
