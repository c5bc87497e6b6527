//! Which requests to Gemini mean the same?

use serde_json::{Map, Value, json};

use super::{Sameness, items, take, without_default, without_nulls};

pub(super) const ALL: &[Sameness] = &[
    Sameness::new("protobuf's JSON takes names in both spellings", camel_case),
    Sameness::new("a member that is null is absent", without_nulls),
    Sameness::new("the model's name stands in the path", without_model),
    Sameness::new("one part is a list of one", parts_are_lists),
    Sameness::new(
        "the role of the system's instruction means nothing",
        roleless_system,
    ),
    Sameness::new("a content without role is the user's", user_by_default),
    Sameness::new("a part is no thought by default", no_thought_by_default),
    Sameness::new("an empty text says nothing", without_empty_texts),
    Sameness::new("contents of one role in a row are one", contents_in_a_row),
    Sameness::new("a tool with several members is several tools", tools_apart),
    Sameness::new(
        "a schema of OpenAPI says what one of JSON Schema says",
        json_schemas,
    ),
    Sameness::new(
        "an empty description says nothing",
        without_empty_descriptions,
    ),
    Sameness::new("the model chooses by default", auto_by_default),
    Sameness::new("names of modes and levels have any case", upper_case),
    Sameness::new("one answer is given by default", one_answer),
    Sameness::new("any text is the format by default", text_by_default),
    Sameness::new("an empty configuration is absent", without_empty_config),
];

/// Members whose values are the caller's own.
const OWN: [&str; 7] = [
    "args",
    "response",
    "parameters",
    "parametersJsonSchema",
    "responseSchema",
    "responseJsonSchema",
    "labels",
];

/// Writes names with capitals in place of underscores, except in what is the caller's own.
/// <https://protobuf.dev/programming-guides/json/>: "Parsers accept both"
pub(crate) fn camel_case(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let spelled = std::mem::take(members)
                .into_iter()
                .map(|(name, mut value)| {
                    let name = camel(&name);
                    if !OWN.contains(&&*name) {
                        camel_case(&mut value);
                    }
                    (name, value)
                });
            *members = spelled.collect();
        }
        Value::Array(items) => items.iter_mut().for_each(camel_case),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut name, word| {
        let mut letters = word.chars();
        name.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        name.push_str(letters.as_str());
        name
    })
}

/// A schema of OpenAPI, as Gemini knows them, written as a JSON Schema.
/// <https://ai.google.dev/api/caching#Schema>
pub(crate) fn json_schema_of(schema: Value) -> Value {
    let Value::Object(members) = schema else {
        return schema;
    };
    let mut written = Map::new();
    let mut is_nullable = false;
    for (name, value) in members {
        let value = match (&*name, value) {
            ("nullable", Value::Bool(nullable)) => {
                is_nullable = nullable;
                continue;
            }
            ("type", Value::String(name)) => json!(name.to_ascii_lowercase()),
            ("properties", Value::Object(properties)) => {
                let properties = properties.into_iter();
                let written = properties.map(|(name, schema)| (name, json_schema_of(schema)));
                Value::Object(written.collect())
            }
            ("items", schema) => json_schema_of(schema),
            ("anyOf", Value::Array(schemas)) => schemas.into_iter().map(json_schema_of).collect(),
            (_, value) => value,
        };
        written.insert(name, value);
    }
    if is_nullable && let Some(kind) = written.get_mut("type") {
        *kind = json!([kind, "null"]);
    }
    Value::Object(written)
}

fn without_model(body: &mut Value) {
    take(body, "model");
}

/// The contents and the system's instruction, which is one as well.
fn contents(body: &mut Value) -> impl Iterator<Item = &mut Value> {
    let members = body.as_object_mut().into_iter().flatten();
    members.flat_map(|(name, value)| match (&**name, value) {
        ("contents", Value::Array(contents)) => contents.iter_mut().collect(),
        ("systemInstruction", system) => vec![system],
        _ => Vec::new(),
    })
}

fn parts_are_lists(body: &mut Value) {
    for content in contents(body) {
        if let Some(parts) = content.get_mut("parts")
            && parts.is_object()
        {
            *parts = json!([parts]);
        }
    }
}

fn roleless_system(body: &mut Value) {
    if let Some(system) = body.get_mut("systemInstruction") {
        take(system, "role");
    }
}

fn user_by_default(body: &mut Value) {
    for content in items(body, "contents") {
        without_default(content, "role", "user");
    }
}

fn no_thought_by_default(body: &mut Value) {
    for content in contents(body) {
        for part in items(content, "parts") {
            without_default(part, "thought", false);
        }
    }
}

fn without_empty_texts(body: &mut Value) {
    for content in contents(body) {
        if let Some(parts) = content.get_mut("parts").and_then(Value::as_array_mut) {
            parts.retain(|part| *part != json!({"text": ""}));
        }
    }
    without_default(body, "systemInstruction", json!({"parts": []}));
}

/// The API takes turns of the user and of the model, and clients write one turn in pieces.
fn contents_in_a_row(body: &mut Value) {
    let Some(contents) = body.get_mut("contents").and_then(Value::as_array_mut) else {
        return;
    };
    for content in std::mem::take(contents) {
        match contents.last_mut() {
            Some(last) if last.get("role") == content.get("role") => {
                let more = content["parts"].as_array().cloned().unwrap_or_default();
                if let Some(parts) = last["parts"].as_array_mut() {
                    parts.extend(more);
                }
            }
            _ => contents.push(content),
        }
    }
}

/// All functions in one tool, which comes first, and every other member in a tool of its own.
fn tools_apart(body: &mut Value) {
    let Some(Value::Array(tools)) = take(body, "tools") else {
        return;
    };
    let mut functions = Vec::new();
    let mut others = Vec::new();
    for (name, value) in tools.into_iter().flat_map(|tool| match tool {
        Value::Object(members) => members,
        _ => Map::new(),
    }) {
        match (&*name, value) {
            ("functionDeclarations", Value::Array(declared)) => functions.extend(declared),
            (_, value) => others.push(json!({name: value})),
        }
    }
    if !functions.is_empty() {
        others.insert(0, json!({"functionDeclarations": functions}));
    }
    if !others.is_empty() {
        body["tools"] = Value::Array(others);
    }
}

fn json_schemas(body: &mut Value) {
    for tool in items(body, "tools") {
        for function in items(tool, "functionDeclarations") {
            if let Some(schema) = take(function, "parameters") {
                function["parametersJsonSchema"] = json_schema_of(schema);
            }
        }
    }
    if let Some(config) = body.get_mut("generationConfig")
        && let Some(schema) = take(config, "responseSchema")
    {
        config["responseJsonSchema"] = json_schema_of(schema);
    }
}

fn without_empty_descriptions(body: &mut Value) {
    for tool in items(body, "tools") {
        for function in items(tool, "functionDeclarations") {
            without_default(function, "description", "");
        }
    }
}

fn auto_by_default(body: &mut Value) {
    if let Some(config) = body.get_mut("toolConfig") {
        if let Some(calling) = config.get_mut("functionCallingConfig") {
            without_default(calling, "mode", "AUTO");
        }
        without_default(config, "functionCallingConfig", json!({}));
    }
    without_default(body, "toolConfig", json!({}));
}

fn upper_case(body: &mut Value) {
    for pointer in [
        "/toolConfig/functionCallingConfig/mode",
        "/generationConfig/thinkingConfig/thinkingLevel",
    ] {
        if let Some(Value::String(word)) = body.pointer_mut(pointer) {
            word.make_ascii_uppercase();
        }
    }
}

fn one_answer(body: &mut Value) {
    if let Some(config) = body.get_mut("generationConfig") {
        without_default(config, "candidateCount", 1);
    }
}

fn text_by_default(body: &mut Value) {
    if let Some(config) = body.get_mut("generationConfig") {
        without_default(config, "responseMimeType", "text/plain");
    }
}

fn without_empty_config(body: &mut Value) {
    without_default(body, "generationConfig", json!({}));
}
