//! In which roles, and in what order, are messages written?

use super::*;

#[test]
fn instructions_bear_the_role_that_the_host_knows() {
    let developer = Dialect {
        system_role: SystemRole::Developer,
        ..openai()
    };
    let instructions = [
        message(Role::System, [text("be brief")]),
        message(Role::System, [text("be"), text("kind")]),
    ];

    assert_eq!(
        messages(&openai(), instructions.clone()).0,
        json!([
            { "role": "system", "content": "be brief\n\nbe\n\nkind" },
        ])
    );
    assert_eq!(messages(&developer, instructions).0[0]["role"], "developer");
}

#[test]
fn a_refusal_goes_back_as_text() {
    let refusal = Part::Refusal("I cannot.".into());

    assert_eq!(
        messages(&openai(), [message(Role::Assistant, [refusal])]).0,
        json!([{ "role": "assistant", "content": "I cannot." }])
    );
}

#[test]
fn a_turn_of_which_nothing_may_be_sent_is_left_out() {
    let history = [
        message(Role::User, [text("hi")]),
        message(Role::Assistant, [reasoning("other", "hm", "s")]),
    ];

    assert_eq!(
        messages(&openai(), history),
        (
            json!([{ "role": "user", "content": "hi" }]),
            vec!["messages.parts.reasoning"]
        )
    );
}

#[test]
fn parts_in_a_message_that_cannot_hold_them_are_refused() {
    let misplaced = [
        (Role::System, Part::Image(uri("https://example.com/a.jpg"))),
        (Role::User, call("c", "now", "{}")),
        (Role::Assistant, result("c", "now", [])),
        (Role::Tool, text("noon")),
    ];

    for (role, part) in misplaced {
        let request = conversation([message(role, [part])]);

        assert!(matches!(
            refused(&openai(), &request),
            Unsupported::Value {
                field: "messages.parts",
                ..
            }
        ));
    }
}

#[test]
fn texts_beside_nothing_else_are_one_string_in_every_role() {
    let (messages, adapted) = messages(
        &openai(),
        [
            message(Role::User, [text("a"), text("b")]),
            message(Role::Assistant, [text("c"), text("d")]),
            message(Role::User, [text("e\"")]),
        ],
    );

    assert_eq!(
        messages,
        json!([
            { "role": "user", "content": "a\nb" },
            { "role": "assistant", "content": "c\nd" },
            { "role": "user", "content": "e\"" },
        ])
    );
    assert_eq!(adapted, [""; 0]);
}

#[test]
fn instructions_of_ours_join_those_of_the_caller() {
    let request = ChatRequest {
        response_format: ResponseFormat::JsonObject,
        ..conversation([
            message(Role::System, [text("Be kind.")]),
            message(Role::User, [text("hi")]),
        ])
    };

    let (body, _) = spelled_to(&TO, &openai(), &request);

    assert_eq!(
        body["messages"][0]["content"],
        "Be kind.\n\nAnswer with a JSON object."
    );
    assert_eq!(body["messages"][1]["content"], "hi");
}

#[test]
fn a_word_of_the_assistant_parts_tool_results_from_the_user_where_the_host_demands_one() {
    let history = || {
        [
            message(Role::Assistant, [call("1", "f", "{}")]),
            message(Role::Tool, [result("1", "f", [text("sunny")])]),
            message(Role::User, [text("and tomorrow?")]),
        ]
    };
    let mistral = Dialect {
        tool_call_ids: ToolCallIds::NineAlphanumerics,
        ..openai()
    };
    let newer = Dialect {
        user_after_tool: Some(true),
        ..mistral.clone()
    };
    let like_mistral = Dialect {
        user_after_tool: Some(false),
        ..openai()
    };

    for (dialect, roles) in [
        (&openai(), &["assistant", "tool", "user"][..]),
        (&mistral, &["assistant", "tool", "assistant", "user"]),
        (&newer, &["assistant", "tool", "user"]),
        (&like_mistral, &["assistant", "tool", "assistant", "user"]),
    ] {
        let (messages, adapted) = messages(dialect, history());

        let sent: Vec<_> = messages.as_array().unwrap().iter().collect();
        assert_eq!(
            sent.iter().map(|one| &one["role"]).collect::<Vec<_>>(),
            roles
        );
        assert_eq!(adapted.len(), roles.len() - 3);
    }
}

#[test]
fn messages_around_one_of_which_nothing_is_left_become_one() {
    let image = || Part::Image(uri("https://example.com/a.png"));
    let around = |before: Part, after: Part| {
        let history = [
            message(Role::User, [before]),
            message(Role::Assistant, [reasoning("elsewhere", "secret", "")]),
            message(Role::User, [after]),
        ];
        messages(&openai(), history).0
    };
    let shown = json!({ "type": "image_url", "image_url": { "url": "https://example.com/a.png" } });
    let said = json!({ "type": "text", "text": "a" });

    for (before, after, content) in [
        (text("a"), text("b"), json!("a\nb")),
        (text("a"), image(), json!([said, shown])),
        (image(), text("a"), json!([shown, said])),
        (image(), image(), json!([shown, shown])),
    ] {
        assert_eq!(
            around(before, after),
            json!([{ "role": "user", "content": content }])
        );
    }
    let apart = [
        message(Role::User, [text("a")]),
        message(Role::User, [text("b")]),
    ];
    assert_eq!(messages(&openai(), apart).0.as_array().unwrap().len(), 2);
}

#[test]
fn instructions_between_messages_stay_there_or_are_moved_to_the_beginning() {
    let history = || {
        [
            message(Role::System, [text("be brief")]),
            message(Role::User, [text("hi")]),
            message(Role::System, [text("be"), text("kind")]),
            message(Role::User, [text("well?")]),
        ]
    };
    let strict = Dialect {
        system_anywhere: false,
        ..openai()
    };

    assert_eq!(
        messages(&openai(), history()),
        (
            json!([
                { "role": "system", "content": "be brief" },
                { "role": "user", "content": "hi" },
                { "role": "system", "content": "be\n\nkind" },
                { "role": "user", "content": "well?" },
            ]),
            vec![]
        )
    );
    assert_eq!(
        messages(&strict, history()),
        (
            json!([
                { "role": "system", "content": "be brief\n\nbe\n\nkind" },
                { "role": "user", "content": "hi" },
                { "role": "user", "content": "well?" },
            ]),
            vec!["messages"]
        )
    );
}

#[test]
fn a_conversation_may_be_of_instructions_alone() {
    assert_eq!(
        messages(&openai(), [message(Role::System, [text("be brief")])]),
        (json!([{ "role": "system", "content": "be brief" }]), vec![])
    );
}
