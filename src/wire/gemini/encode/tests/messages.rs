//! Which turns do the messages of a chat become?

use super::*;

#[test]
fn messages_become_alternating_turns() {
    let messages = vec![
        text(Role::System, "be"),
        text(Role::System, "brief"),
        text(Role::User, "a"),
        text(Role::User, "b"),
        message(
            Role::Assistant,
            [Part::Text("c".into()), Part::Text(String::new())],
        ),
        message(Role::Assistant, [Part::Refusal("no".into())]),
        message(Role::User, [Part::Image(png()), Part::Document(pdf_uri())]),
    ];

    assert_eq!(
        body(&chat(messages), Generation::Third),
        concat!(
            r#"{"systemInstruction":{"parts":[{"text":"be"},{"text":"brief"}]},"contents":["#,
            r#"{"role":"user","parts":[{"text":"a"},{"text":"b"}]},"#,
            r#"{"role":"model","parts":[{"text":"c"},{"text":"no"}]},"#,
            r#"{"role":"user","parts":[{"inlineData":{"mimeType":"image/png","data":"//79"}},"#,
            r#"{"fileData":{"mimeType":"application/pdf","fileUri":"gs://bucket/a.pdf"}}]}]}"#
        )
    );
}
