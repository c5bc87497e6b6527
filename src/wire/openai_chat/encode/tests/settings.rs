//! How are the model, the stream and the sampling settings written?

use super::*;

#[test]
fn a_plain_request_holds_nothing_that_was_not_asked() {
    let spelled = encode(&openai(), &hi(), &TO).unwrap();

    assert_eq!(
        spelled.body,
        r#"{"model":"m-1","messages":[{"role":"user","content":"hi"}]}"#
    );
    assert_eq!(spelled.path, "/chat/completions");
    assert_eq!(spelled.headers[CONTENT_TYPE], "application/json");
}

#[test]
fn streams_are_asked_to_report_usage_where_the_host_takes_it() {
    let to = Recipient { stream: true, ..TO };
    let silent = Dialect {
        stream_usage: false,
        ..openai()
    };

    let (asked, _) = spelled_to(&to, &openai(), &hi());
    let (unasked, _) = spelled_to(&to, &silent, &hi());

    assert_eq!(asked["stream"], true);
    assert_eq!(asked["stream_options"], json!({ "include_usage": true }));
    assert_eq!(unasked["stream"], true);
    assert_eq!(unasked["stream_options"], Value::Null);
}

#[test]
fn sampling_is_spelled_field_by_field() {
    let request = ChatRequest {
        sampling: Sampling {
            max_output_tokens: Some(100),
            temperature: Some(0.5),
            top_p: Some(0.9),
            top_k: Some(40),
            frequency_penalty: Some(-1.0),
            presence_penalty: Some(1.5),
            seed: Some(-7),
            stop_sequences: vec!["a".into(), "b".into(), "c".into(), "d".into()],
            top_logprobs: None,
        },
        ..hi()
    };
    let mistral = Dialect {
        output_cap: OutputCap::MaxTokens,
        seed: SeedField::RandomSeed,
        ..openai()
    };

    assert_eq!(
        spelled(&openai(), &request),
        json!({
            "model": "m-1",
            "messages": [{ "role": "user", "content": "hi" }],
            "max_completion_tokens": 100,
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 40,
            "frequency_penalty": -1.0,
            "presence_penalty": 1.5,
            "seed": -7,
            "stop": ["a", "b", "c", "d"],
        })
    );
    let body = spelled(&mistral, &request);
    assert_eq!(body["max_tokens"], 100);
    assert_eq!(body["random_seed"], -7);
    assert_eq!(body["max_completion_tokens"], Value::Null);
    assert_eq!(body["seed"], Value::Null);
}

#[test]
fn a_fifth_stop_sequence_is_refused() {
    let mut request = hi();
    request.sampling.stop_sequences = vec!["x".into(); 5];

    assert_eq!(
        refused(&openai(), &request),
        Unsupported::Value {
            field: "sampling.stop_sequences",
            why: "at most four stop sequences are accepted",
        }
    );
}
