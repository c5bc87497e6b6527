//! Requests with schemas and tools in each wire format, and what is found in their answers.

use super::*;

/// A tool in the words of a format.
fn tool(wire: WireName, name: &str, schema: &Value) -> Value {
    match wire {
        OpenAiChat => json!({"type": "function", "function": {"name": name, "parameters": schema}}),
        OpenAiResponses => {
            json!({"type": "function", "name": name, "parameters": schema, "strict": false})
        }
        Anthropic => json!({"name": name, "input_schema": schema}),
        Gemini => json!({"name": name, "parametersJsonSchema": schema}),
    }
}

/// Declares tools in a request.
pub(super) fn declare(wire: WireName, body: &mut Value, tools: &[(&str, Value)]) {
    let tools: Vec<Value> = tools
        .iter()
        .map(|(name, schema)| tool(wire, name, schema))
        .collect();
    body["tools"] = match wire {
        OpenAiChat | OpenAiResponses | Anthropic => json!(tools),
        Gemini => json!([{"functionDeclarations": tools}]),
    };
}

/// Asks for JSON that obeys a schema.
pub(super) fn ask_for_json(wire: WireName, body: &mut Value, schema: &Value) {
    match wire {
        OpenAiChat => {
            body["response_format"] =
                json!({"type": "json_schema", "json_schema": {"name": "it", "schema": schema}});
        }
        OpenAiResponses => {
            body["text"] =
                json!({"format": {"type": "json_schema", "name": "it", "schema": schema}});
        }
        Anthropic => {
            body["output_config"] = json!({"format": {"type": "json_schema", "schema": schema}});
        }
        Gemini => {
            body["generationConfig"] =
                json!({"responseMimeType": "application/json", "responseJsonSchema": schema});
        }
    }
}

/// A message of the user.
pub(super) fn says(wire: WireName, text: &str) -> Value {
    match wire {
        OpenAiChat | OpenAiResponses | Anthropic => json!({"role": "user", "content": text}),
        Gemini => json!({"role": "user", "parts": [{"text": text}]}),
    }
}

/// The list of messages in a request.
pub(super) fn messages(wire: WireName, body: &mut Value) -> &mut Vec<Value> {
    let field = match wire {
        OpenAiChat | Anthropic => "messages",
        OpenAiResponses => "input",
        Gemini => "contents",
    };
    body[field].as_array_mut().unwrap()
}

/// Adds calls and their results to a conversation.
pub(super) fn return_results(wire: WireName, body: &mut Value, calls: &[Call], result: &str) {
    let mut added = Vec::new();
    match wire {
        OpenAiChat => {
            let tool_calls: Vec<Value> = calls
                .iter()
                .map(|call| {
                    let function = json!({"name": call.name, "arguments": call.arguments});
                    json!({"id": call.id, "type": "function", "function": function})
                })
                .collect();
            added.push(json!({"role": "assistant", "content": null, "tool_calls": tool_calls}));
            for call in calls {
                added.push(json!({"role": "tool", "tool_call_id": call.id, "content": result}));
            }
        }
        OpenAiResponses => {
            for call in calls {
                added.push(json!({
                    "type": "function_call", "call_id": call.id, "name": call.name,
                    "arguments": call.arguments,
                }));
            }
            for call in calls {
                added.push(json!({
                    "type": "function_call_output", "call_id": call.id, "output": result,
                }));
            }
        }
        Anthropic => {
            let used = |call: &Call| json!({"type": "tool_use", "id": call.id, "name": call.name, "input": call.input()});
            let given = |call: &Call| json!({"type": "tool_result", "tool_use_id": call.id, "content": result});
            let used: Vec<Value> = calls.iter().map(used).collect();
            let given: Vec<Value> = calls.iter().map(given).collect();
            added.push(json!({"role": "assistant", "content": used}));
            added.push(json!({"role": "user", "content": given}));
        }
        Gemini => {
            let used =
                |call: &Call| json!({"functionCall": {"name": call.name, "args": call.input()}});
            let given = |call: &Call| json!({"functionResponse": {"name": call.name, "response": {"result": result}}});
            let used: Vec<Value> = calls.iter().map(used).collect();
            let given: Vec<Value> = calls.iter().map(given).collect();
            added.push(json!({"role": "model", "parts": used}));
            added.push(json!({"role": "user", "parts": given}));
        }
    }
    messages(wire, body).extend(added);
}

/// A call in an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
}

impl Call {
    pub(super) fn input(&self) -> Value {
        serde_json::from_str(&self.arguments).unwrap()
    }
}

/// What an answer says and calls.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) refusal: String,
    pub(super) calls: Vec<Call>,
    pub(super) finish: String,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Sends a request; reads the answer whole or from its stream.
pub(super) async fn said(
    simulator: &Simulator,
    wire: WireName,
    body: &Value,
    stream: bool,
) -> Said {
    let mut body = body.clone();
    if wire != Gemini {
        body["stream"] = json!(stream);
    }
    let model = body["model"].as_str().unwrap_or("sim").to_owned();
    let response = request(simulator, wire, &model, stream)
        .body(body.to_string())
        .send();
    let answer = response.await.unwrap().text().await.unwrap();
    if stream {
        return of_stream(wire, &events(&answer));
    }
    of_whole(wire, &serde_json::from_str(&answer).unwrap())
}

fn of_whole(wire: WireName, answer: &Value) -> Said {
    let mut said = Said::default();
    match wire {
        OpenAiChat => {
            let choice = &answer["choices"][0];
            said.text = text(&choice["message"]["content"]);
            said.refusal = text(&choice["message"]["refusal"]);
            said.finish = text(&choice["finish_reason"]);
            for call in choice["message"]["tool_calls"]
                .as_array()
                .into_iter()
                .flatten()
            {
                said.calls.push(Call {
                    id: text(&call["id"]),
                    name: text(&call["function"]["name"]),
                    arguments: text(&call["function"]["arguments"]),
                });
            }
        }
        OpenAiResponses => {
            said.finish = text(&answer["status"]);
            for item in answer["output"].as_array().unwrap() {
                if item["type"] == "function_call" {
                    said.calls.push(Call {
                        id: text(&item["call_id"]),
                        name: text(&item["name"]),
                        arguments: text(&item["arguments"]),
                    });
                }
                said.text += &text(&item["content"][0]["text"]);
                said.refusal += &text(&item["content"][0]["refusal"]);
            }
        }
        Anthropic => {
            said.finish = text(&answer["stop_reason"]);
            for block in answer["content"].as_array().unwrap() {
                said.text += &text(&block["text"]);
                if block["type"] == "tool_use" {
                    said.calls.push(Call {
                        id: text(&block["id"]),
                        name: text(&block["name"]),
                        arguments: block["input"].to_string(),
                    });
                }
            }
        }
        Gemini => {
            let candidate = &answer["candidates"][0];
            said.finish = text(&candidate["finishReason"]);
            for part in candidate["content"]["parts"].as_array().unwrap() {
                said.add_part(part);
            }
        }
    }
    said
}

impl Said {
    fn add_part(&mut self, part: &Value) {
        self.text += &text(&part["text"]);
        if part["functionCall"].is_object() {
            self.calls.push(Call {
                id: String::new(),
                name: text(&part["functionCall"]["name"]),
                arguments: part["functionCall"]["args"].to_string(),
            });
        }
    }
}

fn of_stream(wire: WireName, events: &[String]) -> Said {
    let mut said = Said::default();
    for event in events {
        let Ok(event) = serde_json::from_str::<Value>(event) else {
            continue;
        };
        match wire {
            OpenAiChat => {
                let choice = &event["choices"][0];
                said.text += &text(&choice["delta"]["content"]);
                said.refusal += &text(&choice["delta"]["refusal"]);
                said.finish += &text(&choice["finish_reason"]);
                let call = &choice["delta"]["tool_calls"][0];
                if call["id"].is_string() {
                    said.calls.push(Call {
                        id: text(&call["id"]),
                        name: text(&call["function"]["name"]),
                        arguments: String::new(),
                    });
                }
                if let Some(last) = said.calls.last_mut() {
                    last.arguments += &text(&call["function"]["arguments"]);
                }
            }
            OpenAiResponses => match event["type"].as_str().unwrap() {
                "response.output_text.delta" => said.text += &text(&event["delta"]),
                "response.refusal.delta" => said.refusal += &text(&event["delta"]),
                "response.output_item.added" if event["item"]["type"] == "function_call" => {
                    said.calls.push(Call {
                        id: text(&event["item"]["call_id"]),
                        name: text(&event["item"]["name"]),
                        arguments: String::new(),
                    });
                }
                "response.function_call_arguments.delta" => {
                    said.calls.last_mut().unwrap().arguments += &text(&event["delta"]);
                }
                "response.completed" | "response.incomplete" => {
                    said.finish = text(&event["response"]["status"]);
                    assert_eq!(of_whole(wire, &event["response"]), said);
                }
                _ => {}
            },
            Anthropic => {
                said.text += &text(&event["delta"]["text"]);
                said.finish += &text(&event["delta"]["stop_reason"]);
                let block = &event["content_block"];
                if block["type"] == "tool_use" {
                    said.calls.push(Call {
                        id: text(&block["id"]),
                        name: text(&block["name"]),
                        arguments: String::new(),
                    });
                }
                if let Some(last) = said.calls.last_mut() {
                    last.arguments += &text(&event["delta"]["partial_json"]);
                }
            }
            Gemini => {
                let candidate = &event["candidates"][0];
                said.finish += &text(&candidate["finishReason"]);
                for part in candidate["content"]["parts"].as_array().unwrap() {
                    said.add_part(part);
                }
            }
        }
    }
    said
}
