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

#[test]
fn system_messages_are_moved_to_the_beginning_and_stand_for_a_user_if_there_is_none() {
    let later = chat(vec![
        text(Role::User, "a"),
        text(Role::System, "be brief"),
        text(Role::User, "b"),
    ]);
    let alone = chat(vec![text(Role::System, "be"), text(Role::System, "brief")]);
    for (request, expected) in [
        (
            later,
            concat!(
                r#"{"systemInstruction":{"parts":[{"text":"be brief"}]},"#,
                r#""contents":[{"role":"user","parts":[{"text":"a"},{"text":"b"}]}]}"#
            ),
        ),
        (
            alone,
            r#"{"contents":[{"role":"user","parts":[{"text":"be"},{"text":"brief"}]}]}"#,
        ),
    ] {
        let written = encoded(&request, Generation::Third).unwrap();

        assert_eq!(written.body, expected);
        assert_eq!(fields(&written), ["messages"]);
    }
}

#[test]
fn a_part_of_the_provider_goes_back_to_it_in_place_and_to_no_other() {
    let request = |provider: &str| {
        let part = Part::Provider(ProviderPart {
            provider: provider.into(),
            kind: "executableCode".into(),
            content: r#"{"executableCode":{"code":"1"},"thoughtSignature":"s"}"#.into(),
        });
        let said = [Part::Text("a".into()), part, Part::Text("b".into())];
        chat(vec![text(Role::User, "go"), message(Role::Assistant, said)])
    };

    let own = encoded(&request("gemini"), Generation::Third).unwrap();
    let foreign = encoded(&request("other"), Generation::Third).unwrap();

    let own_body = String::from_utf8(own.body.to_vec()).unwrap();
    assert!(
        own_body.contains(
            r#"{"text":"a"},{"executableCode":{"code":"1"},"thoughtSignature":"s"},{"text":"b"}"#
        ),
        "{own_body}"
    );
    assert!(own.adaptations.is_empty());
    let foreign_body = String::from_utf8(foreign.body.to_vec()).unwrap();
    assert!(
        foreign_body.contains(r#"{"text":"a"},{"text":"b"}"#),
        "{foreign_body}"
    );
    assert_eq!(fields(&foreign), ["messages.parts.provider_part"]);
}
