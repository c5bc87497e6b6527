//! Is JSON answered that obeys the schema of the request?

use std::fs;
use std::path::Path;

use jsonschema::Validator;

use crate::support::recordings::exchanges;

use super::conversation::{ask_for_json, declare, messages, said, says};
use super::*;

fn invoice() -> Value {
    json!({
        "type": "object",
        "properties": {
            "number": {"type": "string", "pattern": "^INV-[0-9]{6}$"},
            "issued": {"type": "string", "format": "date"},
            "customer": {"$ref": "#/$defs/party"},
            "lines": {
                "type": "array",
                "minItems": 2,
                "maxItems": 5,
                "items": {
                    "type": "object",
                    "properties": {
                        "text": {"type": "string", "minLength": 3, "maxLength": 40},
                        "count": {"type": "integer", "minimum": 1, "maximum": 99},
                        "price": {"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.01},
                    },
                    "required": ["text", "count", "price"],
                    "additionalProperties": false,
                },
            },
            "status": {"enum": ["open", "paid"]},
            "note": {"type": ["string", "null"]},
        },
        "required": ["number", "issued", "customer", "lines", "status", "note"],
        "additionalProperties": false,
        "$defs": {"party": {
            "type": "object",
            "properties": {
                "email": {"type": "string", "format": "email"},
                "parent": {"anyOf": [{"$ref": "#/$defs/party"}, {"type": "null"}]},
            },
            "required": ["email", "parent"],
            "additionalProperties": false,
        }},
    })
}

fn validator(schema: &Value) -> Validator {
    jsonschema::options()
        .should_validate_formats(true)
        .build(schema)
        .unwrap()
}

#[tokio::test]
async fn json_obeys_the_schema_in_every_format_streamed_and_whole() {
    let simulator = start().await;
    let schema = invoice();
    let validator = validator(&schema);

    for wire in WIRES {
        let mut body = body(wire, "sim", false);
        ask_for_json(wire, &mut body, &schema);
        let whole = said(&simulator, wire, &body, false).await;
        let streamed = said(&simulator, wire, &body, true).await;

        let answer: Value = serde_json::from_str(&whole.text).unwrap();
        assert!(validator.is_valid(&answer), "{wire:?}: {answer}");
        assert_eq!(streamed, whole, "{wire:?}");
        assert!(whole.calls.is_empty());
    }
}

#[tokio::test]
async fn other_words_and_another_seed_get_other_json() {
    let one = start().await;
    let settings = Settings {
        seed: 7,
        ..Settings::default()
    };
    let other = Simulator::start(settings).await.unwrap();
    let mut asked = body(OpenAiChat, "sim", false);
    ask_for_json(OpenAiChat, &mut asked, &invoice());
    let mut otherwise = asked.clone();
    messages(OpenAiChat, &mut otherwise).push(says(OpenAiChat, "And this?"));

    let first = said(&one, OpenAiChat, &asked, false).await.text;

    assert_eq!(said(&one, OpenAiChat, &asked, false).await.text, first);
    assert_ne!(said(&one, OpenAiChat, &otherwise, false).await.text, first);
    assert_ne!(said(&other, OpenAiChat, &asked, false).await.text, first);
}

#[tokio::test]
async fn a_limit_cuts_json_like_any_answer() {
    let simulator = start().await;
    let mut body = body(OpenAiChat, "sim", false);
    ask_for_json(OpenAiChat, &mut body, &invoice());
    body["max_tokens"] = json!(3);

    let answer = said(&simulator, OpenAiChat, &body, false).await;

    assert_eq!(answer.finish, "length");
    assert!(serde_json::from_str::<Value>(&answer.text).is_err());
}

#[tokio::test]
async fn a_choice_of_gemini_is_answered_without_quotes() {
    let simulator = start().await;
    let mut body = body(Gemini, "sim", false);
    body["generationConfig"] = json!({
        "responseMimeType": "text/x.enum",
        "responseSchema": {"type": "STRING", "enum": ["red", "green"]},
    });

    let answer = said(&simulator, Gemini, &body, false).await;

    assert!(["red", "green"].contains(&&*answer.text), "{}", answer.text);
}

#[tokio::test]
async fn a_hostile_schema_gets_an_answer_of_bounded_size() {
    let simulator = start().await;
    let endless = json!({
        "type": "object",
        "properties": {"one": {"$ref": "#"}, "two": {"$ref": "#"}},
        "required": ["one", "two"],
    });
    let huge = json!({"type": "array", "items": {"type": "string", "minLength": 9_000_000}, "minItems": 9_000_000});
    let contradiction = json!({"type": "integer", "minimum": 3, "maximum": 2});

    for schema in [endless, huge, contradiction, json!({"not": {}}), json!(17)] {
        for wire in WIRES {
            let mut body = body(wire, "sim", false);
            ask_for_json(wire, &mut body, &schema);
            let answer = said(&simulator, wire, &body, false).await;

            let length = answer.text.len();
            assert!(length < 400_000, "{length}");
            assert!(serde_json::from_str::<Value>(&answer.text).is_ok());
        }
    }
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn schema_of(wire: WireName, body: &Value) -> Option<Value> {
    let config = &body["generationConfig"];
    let schema = match wire {
        OpenAiChat => &body["response_format"]["json_schema"]["schema"],
        OpenAiResponses => &body["text"]["format"]["schema"],
        Anthropic => match &body["output_config"]["format"]["schema"] {
            Value::Null => &body["output_format"]["schema"],
            schema => schema,
        },
        Gemini => match &config["responseJsonSchema"] {
            Value::Null => &config["responseSchema"],
            schema => schema,
        },
    };
    schema.is_object().then(|| schema.clone())
}

/// The functions of a request, with their schemas.
fn functions_of(wire: WireName, body: &Value) -> Vec<(String, Value)> {
    let mut functions = Vec::new();
    for tool in body["tools"].as_array().into_iter().flatten() {
        let declared: Vec<(&Value, &Value)> = match wire {
            OpenAiChat => vec![(&tool["function"]["name"], &tool["function"]["parameters"])],
            OpenAiResponses if tool["type"] == "function" => {
                vec![(&tool["name"], &tool["parameters"])]
            }
            OpenAiResponses => Vec::new(),
            Anthropic => vec![(&tool["name"], &tool["input_schema"])],
            Gemini => {
                let functions = tool["functionDeclarations"]
                    .as_array()
                    .into_iter()
                    .flatten();
                functions
                    .map(|function| match &function["parametersJsonSchema"] {
                        Value::Null => (&function["name"], &function["parameters"]),
                        schema => (&function["name"], schema),
                    })
                    .collect()
            }
        };
        for (name, schema) in declared {
            // One recording shows that a provider refuses arguments that are a text.
            let is_object = schema.is_object() && schema["type"] != "string";
            if let (Some(name), true) = (name.as_str(), is_object) {
                functions.push((name.to_owned(), schema.clone()));
            }
        }
    }
    functions.dedup_by(|one, other| one.0 == other.0);
    functions
}

/// Types in small letters, as the judge wants them.
fn in_small_letters(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(text) if name == "type" => *text = text.to_lowercase(),
                    // Older clients of Gemini send the numbers of types.
                    Value::Number(number) if name == "type" => {
                        let names = [
                            "", "string", "number", "integer", "boolean", "array", "object",
                        ];
                        let place = usize::try_from(number.as_u64().unwrap()).unwrap();
                        *field = json!(names[place]);
                    }
                    _ => in_small_letters(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(in_small_letters),
        _ => {}
    }
}

fn judge(schema: &Value, answer: &Value, name: &str) {
    let mut schema = schema.clone();
    in_small_letters(&mut schema);
    if let Err(error) = validator(&schema).validate(answer) {
        panic!("{name}: {error}\nschema: {schema}\nanswer: {answer}");
    }
}

#[tokio::test]
async fn schemas_of_recorded_requests_are_obeyed() {
    let Some(directory) = exchanges() else {
        return;
    };
    let simulator = start().await;
    let index = read(&directory.join("index.json"));
    let (mut schemas, mut calls) = (0, 0);
    for entry in index.as_array().unwrap() {
        let name = entry["path"].as_str().unwrap();
        let recorded = read(&directory.join(name));
        let wire = match recorded["api"].as_str().unwrap() {
            "openai.chat" => OpenAiChat,
            "openai.responses" => OpenAiResponses,
            "anthropic.messages" => Anthropic,
            "gemini.generateContent" | "gemini.streamGenerateContent" => Gemini,
            _ => continue,
        };
        let mut recorded = recorded["request"]["body"].clone();
        if let Some(text) = recorded.as_str() {
            recorded = serde_json::from_str(text).unwrap_or_default();
        }
        if let Some(schema) = schema_of(wire, &recorded) {
            let mut body = body(wire, "sim", false);
            for field in [
                "response_format",
                "text",
                "output_config",
                "output_format",
                "generationConfig",
            ] {
                if !recorded[field].is_null() {
                    body[field] = recorded[field].clone();
                }
            }
            if let Some(config) = body["generationConfig"].as_object_mut() {
                config.remove("maxOutputTokens");
            }
            let answer = said(&simulator, wire, &body, false).await;
            judge(&schema, &serde_json::from_str(&answer.text).unwrap(), name);
            schemas += 1;
        }
        let functions = functions_of(wire, &recorded);
        if !functions.is_empty() {
            let mut body = body(wire, "sim", false);
            body["tools"] = recorded["tools"].clone();
            let names: Vec<&str> = functions.iter().map(|(name, _)| &**name).collect();
            messages(wire, &mut body).push(says(wire, &names.join(" and ")));
            let answer = said(&simulator, wire, &body, true).await;
            assert_eq!(answer.calls.len(), functions.len(), "{name}: {answer:?}");
            for (call, (function, schema)) in answer.calls.iter().zip(&functions) {
                assert_eq!(&call.name, function, "{name}");
                judge(schema, &call.input(), name);
                calls += 1;
            }
        }
    }
    eprintln!("{schemas} schemas of answers and {calls} of tools were obeyed");
    assert!(schemas > 20 && calls > 300, "{schemas} {calls}");
}

#[tokio::test]
async fn arguments_obey_the_schema_of_their_tool() {
    let simulator = start().await;
    let validator = validator(&invoice());

    for wire in WIRES {
        let mut body = body(wire, "sim", false);
        declare(wire, &mut body, &[("file_invoice", invoice())]);
        messages(wire, &mut body).push(says(wire, "Use file_invoice, please."));
        let whole = said(&simulator, wire, &body, false).await;
        let streamed = said(&simulator, wire, &body, true).await;

        assert_eq!(whole.calls.len(), 1, "{wire:?}: {whole:?}");
        assert!(validator.is_valid(&whole.calls[0].input()));
        assert_eq!(streamed.calls[0].arguments, whole.calls[0].arguments);
        assert_eq!(streamed.finish, whole.finish);
    }
}
