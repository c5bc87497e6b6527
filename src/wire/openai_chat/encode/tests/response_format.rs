//! How is the format of the answer written?

use super::*;
use crate::chat::FunctionTool;

#[test]
fn the_form_of_the_answer_is_spelled() {
    let schema = ResponseFormat::JsonSchema {
        description: String::new(),
        name: "n".into(),
        schema: r#"{"type":"object","additionalProperties":false}"#.into(),
        strict: true,
    };
    let broken = ResponseFormat::JsonSchema {
        description: String::new(),
        name: "n".into(),
        schema: "{".into(),
        strict: false,
    };
    let asking = |response_format| ChatRequest {
        response_format,
        ..hi()
    };

    let (body, adapted) = spelled_to(&TO, &openai(), &asking(ResponseFormat::JsonObject));
    assert_eq!(body["response_format"], json!({ "type": "json_object" }));
    assert_eq!(body["messages"][0]["content"], "Answer with a JSON object.");
    assert_eq!(adapted, ["response_format"]);
    let speaking_of_it = ChatRequest {
        response_format: ResponseFormat::JsonObject,
        ..conversation([message(Role::User, [text("Give me Json!")])])
    };
    let body = spelled(&openai(), &speaking_of_it);
    assert_eq!(body["messages"].as_array().unwrap().len(), 1);
    assert_eq!(
        spelled(&openai(), &asking(schema))["response_format"],
        json!({
            "type": "json_schema",
            "json_schema": {
                "name": "n",
                "schema": { "type": "object", "additionalProperties": false },
                "strict": true,
            },
        })
    );
    assert_eq!(
        refused(&openai(), &asking(broken)),
        Unsupported::Value {
            field: "response_format.json_schema.schema",
            why: "it is not JSON",
        }
    );
}

#[test]
fn what_is_strict_is_narrowed_and_an_answer_that_cannot_be_held_to_its_schema_is_not_strict() {
    let asking = |schema: &str, strict| ChatRequest {
        response_format: ResponseFormat::JsonSchema {
            description: String::new(),
            name: "n".into(),
            schema: schema.into(),
            strict,
        },
        ..hi()
    };
    let open = r#"{"type":"object","properties":{"a":{"type":"string"}}}"#;
    let wanting_more = r#"{"type":"object","additionalProperties":true}"#;
    const SCHEMA: &str = "response_format.json_schema.schema";

    for (schema, strict, is_strict, adapted) in [
        (open, false, Value::Null, vec![]),
        (open, true, json!(true), vec![SCHEMA]),
        (wanting_more, false, Value::Null, vec![]),
        (
            wanting_more,
            true,
            Value::Null,
            vec!["response_format.json_schema.strict"],
        ),
    ] {
        let (body, told) = spelled_to(&TO, &openai(), &asking(schema, strict));

        let format = &body["response_format"]["json_schema"];
        assert_eq!(format["strict"], is_strict);
        assert_eq!(told, adapted);
        if told.contains(&SCHEMA) {
            assert_eq!(format["schema"]["required"], json!(["a"]));
        } else {
            assert_eq!(
                format["schema"],
                serde_json::from_str::<Value>(schema).unwrap()
            );
        }
    }
    let strict_tool = ChatRequest {
        tools: vec![Tool::Function(FunctionTool {
            name: "t".into(),
            description: String::new(),
            parameters: Some(wanting_more.into()),
            strict: true,
        })],
        ..hi()
    };
    assert!(matches!(
        refused(&openai(), &strict_tool),
        Unsupported::Value {
            field: "tools.parameters",
            ..
        }
    ));
}
