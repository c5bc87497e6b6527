//! Do estimates of prompts cover what providers counted? Looked at with recorded exchanges, which are read in place.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use modelway::money::{ModelTokens, PromptExpectations, PromptSize};
use serde_json::Value;

/// A prompt that was sent, by the provider and model that counted it.
struct Prompt {
    target: String,
    size: PromptSize,
    tokens: u64,
}

fn recordings() -> Option<PathBuf> {
    let named = std::env::var_os("MODELWAY_EXCHANGES").map(PathBuf::from);
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/wire/exchanges");
    let folder = named.unwrap_or_else(beside);
    folder.join("index.json").is_file().then_some(folder)
}

fn json(path: &Path) -> Option<Value> {
    serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
}

/// The bytes of all texts in a value, and of its keys where they are part of what the model reads.
fn text_bytes(value: &Value, with_keys: bool) -> u64 {
    match value {
        Value::String(text) => text.len() as u64,
        Value::Array(items) => items.iter().map(|item| text_bytes(item, with_keys)).sum(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| {
                let key = if with_keys { key.len() as u64 + 4 } else { 0 };
                key + text_bytes(value, with_keys)
            })
            .sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

/// Whether all that the provider counts stands in the body as text: no media or documents, nothing that was stored
/// before, and nothing that the provider fetches.
fn is_text(body: &str) -> bool {
    let media = [
        "image",
        "input_audio",
        "inlineData",
        "inline_data",
        "fileData",
        "file_data",
        "file_id",
    ];
    let unseen = [
        "previous_response_id",
        "cachedContent",
        "elided ",
        "encrypted",
        "REDACTED",
    ];
    let fetched = [
        "\"document\"",
        "mcp_servers",
        "groq/compound",
        "web_search_options",
        "plugins",
    ];
    let mut signs = media.into_iter().chain(unseen).chain(fetched);
    !signs.any(|sign| body.contains(sign))
}

/// Whether the provider runs tools of its own for a request, which lets the prompt grow.
fn runs_tools(tools: &Value) -> bool {
    let own = |tool: &Value| {
        let kind = tool.get("type").and_then(Value::as_str);
        let is_function = tool.get("functionDeclarations").is_some()
            || tool.get("function_declarations").is_some()
            || tool.get("input_schema").is_some()
            || kind.is_some_and(|kind| kind == "function" || kind == "custom");
        !is_function
    };
    tools.as_array().is_some_and(|tools| tools.iter().any(own))
}

fn prompt(folder: &Path, entry: &Value) -> Option<Prompt> {
    let is_clean = entry["outcome"] == "answer" && entry["confidence"] != "suspect";
    let path = entry["path"].as_str().filter(|_| is_clean)?;
    let exchange = json(&folder.join(path))?;
    let expected = json(&folder.join(path.replace(".json", ".expected.json")))?;
    let tokens = expected["answer"]["usage"]["input_tokens"].as_u64()?;
    let body = &exchange["request"]["body"];
    let body: Value = match body.as_str() {
        Some(text) => serde_json::from_str(text).ok()?,
        None => body.clone(),
    };
    if tokens == 0 || !body.is_object() || !is_text(&body.to_string()) {
        return None;
    }
    let turns = ["messages", "contents", "input"].map(|key| &body[key]);
    let turns: Vec<&Value> = turns.into_iter().filter(|turns| !turns.is_null()).collect();
    if turns.is_empty() || runs_tools(&body["tools"]) {
        return None;
    }
    let besides = [
        "system",
        "instructions",
        "systemInstruction",
        "system_instruction",
    ];
    let said = turns.iter().copied().chain(besides.map(|key| &body[key]));
    let declared = ["tools", "response_format", "text", "functions"].map(|key| &body[key]);
    let schema = [&body["generationConfig"], &body["generation_config"]];
    let declared = declared.into_iter().chain(schema);
    let messages = turns
        .iter()
        .map(|turns| turns.as_array().map_or(1, Vec::len) as u64);
    let tools = &body["tools"];
    Some(Prompt {
        target: format!(
            "{} {}",
            entry["provider"].as_str()?,
            body["model"]
                .as_str()
                .unwrap_or(exchange["request"]["url"].as_str()?)
        ),
        size: PromptSize {
            bytes: said.map(|said| text_bytes(said, false)).sum::<u64>()
                + declared
                    .map(|declared| text_bytes(declared, true))
                    .sum::<u64>(),
            messages: messages.sum(),
            has_tools: tools.as_array().is_some_and(|tools| !tools.is_empty())
                || !body["functions"].is_null(),
            ..PromptSize::default()
        },
        tokens,
    })
}

#[test]
fn estimates_cover_nearly_all_prompts_that_were_recorded() {
    let Some(folder) = recordings() else {
        println!("skipped: no recordings beside the crate, nor where MODELWAY_EXCHANGES says");
        return;
    };
    let index = json(&folder.join("index.json")).expect("the list of recordings");
    let entries = index.as_array().expect("a list");
    let mut prompts: Vec<_> = entries
        .iter()
        .filter_map(|entry| prompt(&folder, entry))
        .collect();
    assert!(prompts.len() > 300, "{} prompts", prompts.len());
    let (mut covered, mut all) = (0_u32, 0_u32);
    let (mut of_learned, mut learned) = (0_u32, 0_u32);
    let mut factors = Vec::new();
    for seed in 0..10 {
        fastrand::Rng::with_seed(seed).shuffle(&mut prompts);
        let mut known: BTreeMap<&str, (PromptExpectations, [u32; 2])> = BTreeMap::new();
        for Prompt {
            target,
            size,
            tokens,
        } in &prompts
        {
            let (expectations, seen) = known.entry(target).or_default();
            let most = expectations.most(size, &ModelTokens::default());
            let seen = &mut seen[usize::from(size.has_tools)];
            let is_covered = u32::from(most >= *tokens);
            (covered, all) = (covered + is_covered, all + 1);
            if *seen >= 5 {
                (of_learned, learned) = (of_learned + is_covered, learned + 1);
                if *tokens >= 500 {
                    factors.push(most * 100 / tokens);
                }
            }
            *seen += 1;
            expectations.learn(size, *tokens);
        }
    }
    factors.sort_unstable();
    let factor = |percent: usize| factors[(factors.len() - 1) * percent / 100];
    let share = |part: u32, of: u32| f64::from(part) / f64::from(of);
    println!(
        "{} prompts in 10 orders: covered {:.4} of all, {:.4} of the {learned} with 5 before them; of those with \
         500 tokens and more the estimate is {:.2} times as large in the median, {:.2} at the 95th percentile",
        prompts.len(),
        share(covered, all),
        share(of_learned, learned),
        factor(50) as f64 / 100.0,
        factor(95) as f64 / 100.0,
    );
    assert!(share(covered, all) >= 0.985);
    assert!(share(of_learned, learned) >= 0.985);
    assert!(factor(50) <= 200);
}
