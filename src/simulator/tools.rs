//! Which tools does a simulated model call, and what does it say to their results?
//!
//! A *turn* is what followed the caller's last words: calls of the model and their results. Each tool is called at most
//! once in a turn, so that a loop of calls ends:
//!
//! 1. tools that the behaviour names (`call=TOOL`);
//! 2. or else those that the caller's last words name, in their order, if the request declares and allows them;
//! 3. or else, if the request requires a call, the first allowed tool.
//!
//! They are called in parallel, or one by one if the request says so. If there is none (left) to call, the model answers
//! in text that repeats the results.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::behaviour::ToolCall;
use super::fingerprint::fingerprint;
use super::schema;

/// Characters of a result that an answer repeats.
const LONGEST_RESULT: usize = 1000;

/// The tools of a request, and what it says about calling them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct DeclaredTools {
    /// Each with the schema of its arguments, if it has one.
    pub(super) tools: Vec<(String, Option<Value>)>,
    /// The only tools that may be called; `None` for all.
    pub(super) allowed: Option<Vec<String>>,
    /// Whether one must be called.
    pub(super) is_required: bool,
    /// Whether only one may be called at a time.
    pub(super) is_serial: bool,
}

impl DeclaredTools {
    /// Declares a tool, unless what stands there has no name.
    pub(super) fn declare(&mut self, name: &Value, schema: Option<&Value>) {
        if let Some(name) = name.as_str() {
            self.tools.push((name.to_owned(), schema.cloned()));
        }
    }

    /// Requires a call of this tool.
    pub(super) fn require(&mut self, name: &Value) {
        self.is_required = true;
        self.allowed = Some(name.as_str().map(str::to_owned).into_iter().collect());
    }

    /// Allows these tools alone.
    pub(super) fn allow(&mut self, names: impl IntoIterator<Item = String>) {
        self.allowed = Some(names.into_iter().collect());
    }

    fn may_call(&self, name: &str) -> bool {
        let allowed = self.allowed.as_ref();
        allowed.is_none_or(|allowed| allowed.iter().any(|allowed| allowed == name))
    }

    fn first(&self) -> Option<&str> {
        match &self.allowed {
            Some(allowed) => allowed.first().map(String::as_str),
            None => self.tools.first().map(|(name, _)| name.as_str()),
        }
    }

    /// The call of a tool with arguments that obey its schema.
    fn call(&self, name: &str, seed: u64) -> ToolCall {
        let declared = self.tools.iter().find(|(declared, _)| declared == name);
        let Some((_, schema)) = declared else {
            return ToolCall::of(name);
        };
        let seed = fingerprint((seed, name));
        let arguments = schema.as_ref().map(|schema| schema::instance(schema, seed));
        let arguments = arguments.filter(Value::is_object).unwrap_or(json!({}));
        ToolCall {
            name: name.to_owned(),
            arguments: arguments.to_string(),
        }
    }
}

/// The end of a conversation: the caller's last words, and what followed them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct LastTurn {
    /// The last words, as names of tools can stand in them: in small letters, in their order.
    named: Vec<String>,
    /// Tells the last words apart from others.
    fingerprint: u64,
    /// The names of the tools that were called since.
    called: Vec<String>,
    /// The tools that have answered since, and what.
    results: Vec<(String, String)>,
}

impl LastTurn {
    /// The tools that are called now. `scripted` are those that the behaviour names.
    pub(super) fn calls(
        &self,
        declared: &DeclaredTools,
        scripted: &[String],
        seed: u64,
    ) -> Vec<ToolCall> {
        let mut names: Vec<&str> = scripted.iter().map(String::as_str).collect();
        if names.is_empty() {
            names = self.named(declared);
        }
        if names.is_empty() && declared.is_required {
            names.extend(declared.first());
        }
        names.retain(|name| !self.called.iter().any(|called| called == name));
        if declared.is_serial && scripted.is_empty() {
            names.truncate(1);
        }
        let seed = self.seed(seed);
        names
            .into_iter()
            .map(|name| declared.call(name, seed))
            .collect()
    }

    /// The declared and allowed tools that the caller's last words name.
    fn named<'a>(&self, declared: &'a DeclaredTools) -> Vec<&'a str> {
        let mut callable = HashMap::new();
        for (name, _) in &declared.tools {
            if declared.may_call(name) {
                callable
                    .entry(name.to_ascii_lowercase())
                    .or_insert(name.as_str());
            }
        }
        let named = self.named.iter();
        // Removed, so that a tool that is named twice is called once.
        named.filter_map(|word| callable.remove(word)).collect()
    }

    /// What is said to the results; empty if there are none.
    pub(super) fn said(&self) -> String {
        let sentences: Vec<String> = self
            .results
            .iter()
            .map(|(name, result)| format!("{name} returned: {result}"))
            .collect();
        sentences.join(" ")
    }

    /// A seed for what is made up: the simulator's own, and the caller's last words.
    pub(super) fn seed(&self, seed: u64) -> u64 {
        fingerprint((seed, self.fingerprint))
    }
}

/// Reads a conversation in its order, and keeps its last turn.
#[derive(Default)]
pub(super) struct Listener<'a> {
    words: Vec<&'a str>,
    /// Whether something followed the words, so that further words begin another turn.
    is_answered: bool,
    /// Every call by its id.
    ids: HashMap<&'a str, &'a str>,
    called: Vec<&'a str>,
    results: Vec<(&'a str, String)>,
}

impl<'a> Listener<'a> {
    /// The caller says something.
    pub(super) fn words(&mut self, text: &'a str) {
        if self.is_answered {
            self.words.clear();
            self.called.clear();
            self.results.clear();
            self.is_answered = false;
        }
        self.words.push(text);
    }

    /// The model says something.
    pub(super) fn answer(&mut self) {
        self.is_answered = true;
    }

    /// The model calls a tool.
    pub(super) fn call(&mut self, id: &'a Value, name: &'a Value) {
        self.is_answered = true;
        let name = name.as_str().unwrap_or_default();
        self.called.push(name);
        if let Some(id) = id.as_str() {
            self.ids.insert(id, name);
        }
    }

    /// A tool gives a result. `name` if the conversation names the tool, and not only its call.
    pub(super) fn result(&mut self, id: &'a Value, name: &'a Value, result: &str) {
        self.is_answered = true;
        let by_id = id.as_str().and_then(|id| self.ids.get(id).copied());
        let name = by_id.or(name.as_str()).unwrap_or("the tool");
        let mut text: String = result.chars().take(LONGEST_RESULT).collect();
        if text.len() < result.len() {
            text.push('…');
        }
        self.results.push((name, text));
    }

    /// The last turn. Of its words only those that can name one of these tools are kept.
    pub(super) fn finish(self, declared: &DeclaredTools) -> LastTurn {
        let names = declared.tools.iter();
        let names: HashSet<String> = names.map(|(name, _)| name.to_ascii_lowercase()).collect();
        let mut named = Vec::new();
        if !names.is_empty() {
            for word in self.words.iter().flat_map(|text| words_of(text)) {
                let word = word.to_ascii_lowercase();
                if names.contains(&word) && !named.contains(&word) {
                    named.push(word);
                }
            }
        }
        LastTurn {
            named,
            fingerprint: fingerprint(&self.words),
            called: self.called.into_iter().map(str::to_owned).collect(),
            results: self
                .results
                .into_iter()
                .map(|(name, result)| (name.to_owned(), result))
                .collect(),
        }
    }
}

/// The words of a text that can name a tool: letters and digits of ASCII, `_`, `-`, and `.` and `:` inside.
fn words_of(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || "_-.:".contains(character);
    text.split(move |character| !is_part(character))
        .map(|word| word.trim_matches(['.', ':']))
        .filter(|word| !word.is_empty())
}

/// The text of a result: itself, the texts of its parts, or its only field if that is a text.
pub(super) fn text_of_result(result: &Value) -> String {
    match result {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(|part| part["text"].as_str());
            texts.collect::<Vec<_>>().join(" ")
        }
        Value::Object(fields) => match fields.values().next() {
            Some(Value::String(text)) if fields.len() == 1 => text.clone(),
            _ => result.to_string(),
        },
        Value::Bool(_) | Value::Number(_) => result.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(names: &[&str]) -> DeclaredTools {
        let mut declared = DeclaredTools::default();
        for name in names {
            declared.declare(&json!(name), None);
        }
        declared
    }

    fn called(turn: &LastTurn, declared: &DeclaredTools, scripted: &[&str]) -> Vec<String> {
        let scripted: Vec<String> = scripted.iter().map(|name| (*name).to_owned()).collect();
        let calls = turn.calls(declared, &scripted, 0);
        calls.into_iter().map(|call| call.name).collect()
    }

    fn after(prompt: &str, declared: &DeclaredTools) -> LastTurn {
        let mut listener = Listener::default();
        listener.words(prompt);
        listener.finish(declared)
    }

    #[test]
    fn tools_are_called_in_the_order_in_which_the_prompt_names_them() {
        let tools = declared(&["get_weather", "get_time", "search"]);
        let table: [(&str, &[&str]); 7] = [
            (
                "Call get_time, then get_weather.",
                &["get_time", "get_weather"],
            ),
            ("请调用get_weather查询上海的天气", &["get_weather"]),
            ("Search the web", &["search"]),
            ("research my_get_time get_timer", &[]),
            ("`get_time`? get_time!", &["get_time"]),
            ("What is the weather?", &[]),
            ("", &[]),
        ];
        for (prompt, expected) in table {
            assert_eq!(
                called(&after(prompt, &tools), &tools, &[]),
                expected,
                "{prompt}"
            );
        }
    }

    #[test]
    fn the_request_limits_what_is_called() {
        let prompt = "get_time and get_weather";
        let mut serial = declared(&["get_weather", "get_time"]);
        serial.is_serial = true;
        let mut one_allowed = declared(&["get_weather", "get_time"]);
        one_allowed.allow(["get_weather".to_owned()]);
        let mut none = declared(&["get_weather", "get_time"]);
        none.allow([]);
        let mut required = declared(&["get_weather", "get_time"]);
        required.is_required = true;
        let mut forced = declared(&["get_weather", "get_time"]);
        forced.require(&json!("get_time"));

        assert_eq!(called(&after(prompt, &serial), &serial, &[]), ["get_time"]);
        assert_eq!(
            called(&after(prompt, &one_allowed), &one_allowed, &[]),
            ["get_weather"]
        );
        assert!(called(&after(prompt, &none), &none, &[]).is_empty());
        assert_eq!(
            called(&after("Hello", &required), &required, &[]),
            ["get_weather"]
        );
        assert_eq!(called(&after("Hello", &forced), &forced, &[]), ["get_time"]);
        assert_eq!(
            called(&after("get_weather", &forced), &forced, &[]),
            ["get_time"]
        );
        assert_eq!(called(&after(prompt, &none), &none, &["other"]), ["other"]);
    }

    #[test]
    fn every_tool_is_called_once_in_a_turn() {
        let mut tools = declared(&["one", "two"]);
        tools.is_serial = true;
        tools.is_required = true;
        let (id, other_id, one, two, null) = (
            json!("1"),
            json!("2"),
            json!("one"),
            json!("two"),
            Value::Null,
        );
        let turn = |rounds: usize, and_then: Option<&'static str>| {
            let mut listener = Listener::default();
            listener.words("one and two");
            for (id, name) in [(&id, &one), (&other_id, &two)].into_iter().take(rounds) {
                listener.call(id, name);
                listener.result(id, &null, "42");
            }
            if let Some(words) = and_then {
                listener.words(words);
            }
            listener.finish(&tools)
        };

        assert_eq!(called(&turn(0, None), &tools, &[]), ["one"]);
        assert_eq!(called(&turn(1, None), &tools, &[]), ["two"]);
        assert!(called(&turn(2, None), &tools, &[]).is_empty());
        assert_eq!(turn(2, None).said(), "one returned: 42 two returned: 42");
        assert!(called(&turn(1, None), &tools, &["one"]).is_empty());
        assert_eq!(
            called(&turn(2, Some("two once more")), &tools, &[]),
            ["two"]
        );
        assert_eq!(turn(2, Some("two once more")).said(), "");
    }

    #[test]
    fn a_long_result_is_cut() {
        let (no_id, name) = (Value::Null, json!("look"));
        let mut listener = Listener::default();
        listener.result(&no_id, &name, &"é".repeat(5000));

        let said = listener.finish(&DeclaredTools::default()).said();

        assert_eq!(
            said.chars().count(),
            "look returned: ".len() + LONGEST_RESULT + 1
        );
    }
}
