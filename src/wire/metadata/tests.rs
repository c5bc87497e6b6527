use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::wire::anthropic::Anthropic;
use crate::wire::gemini::Gemini;
use crate::wire::openai_chat::OpenAiChat;
use crate::wire::openai_responses::OpenAiResponses;

fn collected(format: &dyn WireFormat, frames: &[&str]) -> Metadata {
    let mut collector = Collector::new(format, Vec::new());
    for frame in frames {
        collector.frame("", frame);
    }
    collector.finish(|text| text).unwrap_or_default()
}

fn fields(format: &dyn WireFormat, frames: &[&str]) -> String {
    collected(format, frames).fields
}

#[test]
fn what_no_decoder_reads_is_told_at_its_place() {
    let body = r#"{"id":"a","object":"chat.completion","system_fingerprint":"fp","choices":[{"index":0,"message":
        {"role":"assistant","content":"hello","remarks":[{"url":"u\n"},{"a.b":1.50}]},"finish_reason":"stop",
        "content_filter_results":{"hate":{"filtered":false}},"nothing":null}],"usage":{"prompt_tokens":1,"queue":[1,[2]]}}"#;

    assert_eq!(
        fields(&OpenAiChat::default(), &[body]),
        r#"{"choices":[{"content_filter_results":{"hate":{"filtered":false}},"message":{"remarks":[{"url":"u\n"},{"a.b":1.50}]}}],"system_fingerprint":"fp","usage":{"queue":[1,[2]]}}"#
    );
}

#[test]
fn a_stream_tells_the_last_value_of_each_field_at_the_place_that_a_whole_answer_has_for_it() {
    let chunks = [
        r#"{"choices":[{"index":0,"delta":{"content":"a","extra":1}}],"provider":"one"}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"b","extra":2}}],"provider":"two"}"#,
        r#"{"choices":[],"usage":{"cost_details":{"upstream":0.1}}}"#,
        "[DONE]",
    ];
    assert_eq!(
        fields(&OpenAiChat::default(), &chunks),
        r#"{"choices":[{"message":{"extra":2}}],"provider":"two","usage":{"cost_details":{"upstream":0.1}}}"#
    );

    let events = [
        r#"{"type":"message_start","message":{"id":"a","role":"assistant","container":{"id":"c"}}}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":"","note":"n"}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"text":"a"}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_details":{"why":"w"}},"usage":{"speed":"fast"}}"#,
    ];
    let told = fields(&Anthropic::default(), &events);
    assert!(told.contains(r#""container":{"id":"c"}"#), "{told}");
    assert!(told.contains(r#""content":[null,{"note":"n""#), "{told}");
    assert!(told.contains(r#""stop_details":{"why":"w"}"#), "{told}");
    assert!(told.contains(r#""usage":{"speed":"fast"}"#), "{told}");

    let events = [
        r#"{"type":"response.output_item.done","output_index":1,"item":{"type":"message","note":"n"}}"#,
        r#"{"type":"response.completed","response":{"id":"a","billing":{"payer":"p"},"tools":[{"authorization":"secret"}]}}"#,
    ];
    assert_eq!(
        fields(&OpenAiResponses::default(), &events),
        r#"{"billing":{"payer":"p"},"output":[null,{"note":"n"}]}"#
    );
}

#[test]
fn of_further_choices_everything_is_told() {
    let body = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}},{"index":1,"content":{"parts":[{"text":"b"}]}}]}"#;

    assert_eq!(
        fields(&Gemini::default(), &[body]),
        r#"{"candidates":[null,{"content":{"parts":[{"text":"b"}]},"index":1}]}"#
    );
}

#[test]
fn a_name_with_dots_does_not_pass_for_a_path() {
    let body = r#"{"choices.finish_reason":"x","usage.prompt_tokens":1}"#;

    assert_eq!(fields(&OpenAiChat::default(), &[body]), body);
}

#[test]
fn what_is_not_json_says_nothing() {
    for frame in [
        "",
        "[DONE]",
        "null",
        "{",
        r#"{"a":}"#,
        "7",
        "[",
        "{\"a\":1} {",
    ] {
        let metadata = collected(&OpenAiChat::default(), &[frame]);
        assert_eq!(metadata, Metadata::default(), "{frame}");
    }
}

#[test]
fn no_answer_takes_more_memory_than_it_may_and_what_is_left_out_is_named() {
    let long = format!(r#"{{"long":"{}","short":1}}"#, "a".repeat(300_000));
    let told = collected(&OpenAiChat::default(), &[&long]);
    assert_eq!(told.fields, r#"{"short":1}"#);
    assert_eq!(told.not_kept, ["long"]);

    let many: Vec<_> = (0..10_000).map(|n| format!(r#""n{n}":{n}"#)).collect();
    let told = collected(
        &OpenAiChat::default(),
        &[&format!("{{{}}}", many.join(","))],
    );
    assert!(told.fields.len() < 100_000);
    assert_eq!(told.not_kept.len(), MOST_PATHS);

    let far = r#"{"choices":[{"index":4000000000,"a":1}],"b":1}"#;
    let told = collected(&OpenAiChat::default(), &[far]);
    assert_eq!(told.fields, r#"{"b":1}"#);
    assert_eq!(
        told.not_kept,
        ["choices.a", "choices.index"]
            .map(str::to_owned)
            .as_slice()
            .iter()
            .rev()
            .cloned()
            .collect::<Vec<_>>()
    );
}

#[test]
fn lists_in_lists_take_the_room_of_values() {
    let nest = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    let nests = |count| format!(r#"{{"a":[{}],"b":1}}"#, vec![&*nest; count].join(","));

    let some = collected(&OpenAiChat::default(), &[&nests(90)]);
    let many = collected(&OpenAiChat::default(), &[&nests(1000)]);

    assert_eq!(some.fields, nests(90));
    // Each list takes half a kilobyte in memory.
    assert!(many.fields.matches('[').count() < 5000);
    assert_eq!(many.not_kept[0], "a");
}

#[test]
fn a_deep_value_is_kept_as_one_text() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));

    let told = fields(&OpenAiChat::default(), &[&deep]);

    assert_eq!(told, deep);
}

#[test]
fn a_value_that_takes_another_kind_replaces_the_old_one() {
    let frames = [
        r#"{"a":{"b":1}}"#,
        r#"{"a":[1,2]}"#,
        r#"{"a":"c"}"#,
        r#"{"a":null}"#,
    ];

    assert_eq!(
        fields(&OpenAiChat::default(), &frames[..2]),
        r#"{"a":[1,2]}"#
    );
    assert_eq!(fields(&OpenAiChat::default(), &frames), r#"{"a":"c"}"#);
}

#[test]
fn the_tables_are_sorted_and_say_nothing_twice() {
    let formats: [&dyn WireFormat; 4] = [
        &OpenAiChat::default(),
        &OpenAiResponses::default(),
        &Anthropic::default(),
        &Gemini::default(),
    ];
    for format in formats {
        let fields = format.answer_fields();
        assert!(fields.read.is_sorted_by(|a, b| a < b), "{}", format.name());
        let bookkeeping = fields.bookkeeping;
        let is_sorted = bookkeeping.is_sorted_by(|(a, _), (b, _)| a < b);
        assert!(is_sorted, "{}", format.name());
        let twice = bookkeeping
            .iter()
            .find(|(path, _)| fields.read.contains(path));
        assert_eq!(twice, None, "{}", format.name());
    }
}

/// Nothing is known of an answer.
const NOTHING_READ: AnswerFields = AnswerFields {
    read: &[],
    bookkeeping: &[],
    first_only: &[],
    numbered: &[],
    renamed: &[],
    moved: &[],
};

/// A value without what says nothing; `None` if nothing is left.
fn pruned(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(value.clone()),
        Value::Array(items) => {
            let mut items: Vec<_> = items.iter().map(pruned).collect();
            while items.pop_if(|item| item.is_none()).is_some() {}
            let items = items.into_iter().map(Option::unwrap_or_default);
            let items: Vec<_> = items.collect();
            (!items.is_empty()).then_some(Value::Array(items))
        }
        Value::Object(members) => {
            let members = members.iter();
            let members = members.filter_map(|(name, value)| Some((name.clone(), pruned(value)?)));
            let members: serde_json::Map<_, _> = members.collect();
            (!members.is_empty()).then_some(Value::Object(members))
        }
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}|[\"\\\\{}\\[\\]:, \n]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-c.\"\\\\ {]{0,4}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn all_of_an_answer_is_kept_of_which_nothing_is_known(
        members in prop::collection::btree_map("[a-c.\"\\\\ {]{0,4}", json(), 0..6),
        is_pretty: bool,
    ) {
        let body = Value::Object(members.into_iter().collect());
        let text = match is_pretty {
            true => serde_json::to_string_pretty(&body).unwrap(),
            false => body.to_string(),
        };
        let mut tree = Tree::default();
        walk::leaves(&NOTHING_READ, "", &text, &mut |place, _, leaf| {
            assert!(tree.put(place, leaf));
        });

        let kept = tree.into_json();

        let kept: Option<Value> = (!kept.is_empty()).then(|| serde_json::from_str(&kept).unwrap());
        prop_assert_eq!(kept, pruned(&body));
    }

    #[test]
    fn no_frames_break_the_collector(frames in prop::collection::vec("[a-c{}\\[\\]\":,.0-9nul\\\\ ]{0,40}", 0..6)) {
        for format in [&OpenAiChat::default() as &dyn WireFormat, &OpenAiResponses::default(), &Anthropic::default()] {
            let frames: Vec<_> = frames.iter().map(|frame| &**frame).collect();
            let fields = fields(format, &frames);
            prop_assert!(fields.is_empty() || serde_json::from_str::<Value>(&fields).is_ok());
        }
    }
}
