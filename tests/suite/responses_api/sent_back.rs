//! Is an answer of the Responses API, when it is sent back, what the host gave?

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use modelway::grpc::v1::content_part::Part;
use modelway::grpc::v1::{GenerateRequest, JsonObject, ProviderOptions, Role, json_object};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::{Gateway, METHODS, ask, message};

/// A host that keeps the bodies of its requests and answers each of them with these items.
struct Host {
    address: SocketAddr,
    bodies: Arc<Mutex<Vec<Value>>>,
    _serving: JoinSet<()>,
}

impl Host {
    async fn answering(items: &Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let bodies = Arc::default();
        let kept = Arc::clone(&bodies);
        let answer = stream(items);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                serve(connection, &answer, &kept).await;
            }
        });
        Self {
            address,
            bodies,
            _serving: serving,
        }
    }

    fn last_body(&self) -> Value {
        self.bodies.lock().unwrap().last().unwrap().clone()
    }
}

async fn serve(mut connection: TcpStream, answer: &str, bodies: &Mutex<Vec<Value>>) {
    let mut request = Vec::new();
    let body = loop {
        if connection.read_buf(&mut request).await.unwrap() == 0 {
            return;
        }
        let text = String::from_utf8_lossy(&request);
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body);
        if let Some(body) = body.and_then(|body| serde_json::from_str(body).ok()) {
            break body;
        }
    };
    bodies.lock().unwrap().push(body);
    connection.write_all(answer.as_bytes()).await.unwrap();
    let _ = connection.shutdown().await;
    let _ = connection.read_buf(&mut request).await;
}

/// A stream in which each item comes whole, and the answer with all of them at the end.
fn stream(items: &Value) -> String {
    let mut stream = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n".to_owned();
    let done = items.as_array().unwrap().iter().enumerate().map(|(index, item)| {
        json!({"type": "response.output_item.done", "output_index": index, "item": item})
    });
    let response = json!({"id": "resp_1", "status": "completed", "output": items});
    let end = json!({"type": "response.completed", "response": response});
    for event in done.chain([end]) {
        stream.push_str(&format!("data: {event}\n\n"));
    }
    stream
}

async fn before(host: &Host) -> Gateway {
    Gateway::start(&format!(
        r#"
        [providers.host]
        wire_format = "openai_responses"
        base_url = "http://{}/v1"
        auth = "none"
        provider_options = ["include"]
        [models."host/model"]
        [scenarios.host]
        targets = ["host/model"]
        "#,
        host.address
    ))
    .await
}

#[tokio::test]
async fn phases_pictures_and_calls_of_the_provider_go_back_in_their_order() {
    let said = |id: &str, text: &str, phase: &str| {
        let content = json!([{"type": "output_text", "text": text, "annotations": []}]);
        json!({"type": "message", "id": id, "role": "assistant", "status": "completed", "phase": phase, "content": content})
    };
    let items = json!([
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
        said("msg_1", "Looking.", "commentary"),
        {"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["q"], "results": null},
        {"type": "code_interpreter_call", "id": "ci_1", "status": "completed", "code": "1", "container_id": "c", "outputs": []},
        {"type": "mcp_call", "id": "mcp_1", "name": "n", "server_label": "s", "arguments": "{}", "output": "o"},
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "revised_prompt": "a cat", "result": "aGk="},
        {"type": "computer_call", "id": "cu_1", "call_id": "call_1", "status": "completed", "action": {"type": "wait"}, "pending_safety_checks": []},
        said("msg_2", "Found.", "final_answer"),
    ]);
    let host = Host::answering(&items).await;
    let gateway = before(&host).await;
    for method in METHODS {
        let request = ask("host", "Hello");
        let first = gateway.call(method, request.clone()).await.unwrap();
        let output = first.output.unwrap();
        let pictures = output
            .parts
            .iter()
            .filter(|part| matches!(part.part, Some(Part::Image(_))));
        assert_eq!(pictures.count(), 1);
        let mut next = request;
        next.messages.extend([output, message(Role::User, "Go on")]);
        let second = gateway.call(method, next).await.unwrap();

        assert_eq!(second.warnings, []);
        let body = host.last_body();
        let sent = body["input"].as_array().unwrap();
        let expected: Vec<Value> = items.as_array().unwrap().iter().map(as_sent_back).collect();
        assert_eq!(sent[1..=expected.len()], expected);
    }
}

/// An item as it is sent back: what the model said needs no id, and is one text.
fn as_sent_back(item: &Value) -> Value {
    let mut item = item.clone();
    if item["type"] == "message" {
        item["content"] = item["content"][0]["text"].clone();
        let members = item.as_object_mut().unwrap();
        members.retain(|name, _| name != "id" && name != "status");
    }
    item
}

#[tokio::test]
async fn options_name_what_else_an_answer_includes_and_nothing_is_named_twice() {
    let host = Host::answering(&json!([{"type": "message", "content": "Hello"}])).await;
    let gateway = before(&host).await;
    let fields = r#"{"include":["file_search_call.results","reasoning.encrypted_content"]}"#;
    let options = ProviderOptions {
        target: "host".to_owned(),
        fields: Some(JsonObject {
            value: Some(json_object::Value::Text(fields.to_owned())),
        }),
        optional: false,
    };

    let request = GenerateRequest {
        provider_options: vec![options],
        ..ask("host", "Hello")
    };
    gateway.generate(request).await.unwrap();

    assert_eq!(
        host.last_body()["include"],
        json!(["reasoning.encrypted_content", "file_search_call.results"])
    );
}
