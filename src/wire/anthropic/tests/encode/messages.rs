//! Which turns do the messages of a request become?

use super::*;

#[test]
fn system_messages_stand_apart_and_turns_alternate() {
    let request = request(vec![
        message(Role::System, vec![text("be brief"), text("be kind")]),
        message(Role::System, vec![text("be right")]),
        message(Role::User, vec![text("a")]),
        message(Role::User, vec![text(""), text("b")]),
        message(Role::Assistant, vec![text("c")]),
        message(Role::Assistant, vec![Part::Refusal("d".into())]),
        message(Role::User, vec![text("e")]),
    ]);

    assert_fields(
        ADAPTIVE,
        &request,
        r#"{"system":[{"type":"text","text":"be brief"},{"type":"text","text":"be kind"},{"type":"text","text":"be right"}],
        "messages":[
            {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
            {"role":"assistant","content":[{"type":"text","text":"c"},{"type":"text","text":"d"}]},
            {"role":"user","content":[{"type":"text","text":"e"}]}]}"#,
    );
}

#[test]
fn content_without_a_spelling_is_refused() {
    let user = |part| request(vec![message(Role::User, vec![part])]);
    let after_hello = |role, part| {
        request(vec![
            message(Role::User, vec![text("hello")]),
            message(role, vec![part]),
        ])
    };
    let table = [
        (request(vec![]), "messages"),
        (
            request(vec![message(Role::Assistant, vec![text("hi")])]),
            "messages",
        ),
        (
            after_hello(Role::System, Part::Image(media(uri("https://x"), ""))),
            "messages.parts",
        ),
        (
            after_hello(Role::Assistant, Part::Document(media(uri("https://x"), ""))),
            "messages.parts",
        ),
        (
            user(Part::Audio(media(data(b"x"), "audio/wav"))),
            "messages.parts.audio",
        ),
        (
            user(Part::Video(media(data(b"x"), "video/mp4"))),
            "messages.parts.video",
        ),
        (
            user(Part::Image(media(data(b"x"), "image/tiff"))),
            "messages.parts.image.media_type",
        ),
        (
            user(Part::Image(media(uri("gs://x/a.png"), ""))),
            "messages.parts.image.uri",
        ),
        (
            user(Part::Document(media(data(b"x"), "application/zip"))),
            "messages.parts.document.media_type",
        ),
        (
            user(Part::Document(media(data(b"\xff"), "text/plain"))),
            "messages.parts.document.data",
        ),
        (
            user(Part::Document(media(uri("https://x"), "text/plain"))),
            "messages.parts.document.media_type",
        ),
        (
            user(Part::Document(media(uri("file:///x"), ""))),
            "messages.parts.document.uri",
        ),
        (
            after_hello(
                Role::Tool,
                result("toolu_1", vec![Part::Refusal("no".into())]),
            ),
            "messages.parts.tool_result.content",
        ),
    ];
    for (request, field) in table {
        assert_refused(ADAPTIVE, &request, field);
    }
}

#[test]
fn texts_of_white_space_are_left_out_and_what_stands_beside_them_stays() {
    let mut request = hello();
    request.messages.extend([
        message(Role::Assistant, vec![text("\n\n")]),
        message(Role::User, vec![text(" "), text("and now?")]),
        message(
            Role::Assistant,
            vec![text("\u{3000}\n"), call("toolu_1", "{}")],
        ),
        message(Role::Tool, vec![result("toolu_1", vec![text("\t")])]),
    ]);

    assert_fields(
        Anthropic::default(),
        &request,
        r#"{"messages":[
            {"role":"user","content":[{"type":"text","text":"hello"},{"type":"text","text":"and now?"}]},
            {"role":"assistant","content":[{"type":"tool_use","id":"toolu_1","name":"weather","input":{}}]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1"}]}]}"#,
    );
    assert_eq!(
        adapted_fields(Anthropic::default(), &request),
        ["messages.parts.text"]
    );
}

#[test]
fn a_last_message_that_says_nothing_is_refused_since_the_answer_would_be_continued() {
    let mut request = hello();
    request.messages.extend([
        message(Role::Assistant, vec![text("Hi")]),
        message(Role::User, vec![text(" \n")]),
    ]);

    assert_refused(Anthropic::default(), &request, "messages");
}

#[test]
fn later_system_messages_are_moved_to_the_first_ones_and_alone_they_are_the_users() {
    let mut later = hello();
    later.messages.extend([
        message(Role::Assistant, vec![text("hi")]),
        message(Role::System, vec![text("be brief")]),
        message(Role::User, vec![text("and now?")]),
    ]);
    assert_fields(
        ADAPTIVE,
        &later,
        r#"{"system":[{"type":"text","text":"be brief"}],
        "messages":[
            {"role":"user","content":[{"type":"text","text":"hello"}]},
            {"role":"assistant","content":[{"type":"text","text":"hi"}]},
            {"role":"user","content":[{"type":"text","text":"and now?"}]}]}"#,
    );
    assert_eq!(adapted_fields(ADAPTIVE, &later), ["messages.role"]);

    let alone = request(vec![
        message(Role::System, vec![text("write")]),
        message(Role::System, vec![text("a poem")]),
    ]);
    assert_fields(
        ADAPTIVE,
        &alone,
        r#"{"system":null,
        "messages":[{"role":"user","content":[{"type":"text","text":"write"},{"type":"text","text":"a poem"}]}]}"#,
    );
    assert_eq!(adapted_fields(ADAPTIVE, &alone), ["messages.role"]);
}

#[test]
fn pictures_and_sounds_of_an_earlier_answer_are_left_out() {
    let mut request = hello();
    request.messages.extend([
        message(
            Role::Assistant,
            vec![
                Part::Image(media(data(b"x"), "image/png")),
                Part::Audio(media(data(b"x"), "audio/wav")),
                text("look"),
            ],
        ),
        message(Role::User, vec![text("fine")]),
    ]);

    assert_fields(
        ADAPTIVE,
        &request,
        r#"{"messages":[
            {"role":"user","content":[{"type":"text","text":"hello"}]},
            {"role":"assistant","content":[{"type":"text","text":"look"}]},
            {"role":"user","content":[{"type":"text","text":"fine"}]}]}"#,
    );
    assert_eq!(
        adapted_fields(ADAPTIVE, &request),
        ["messages.parts.image", "messages.parts.audio"]
    );
}
