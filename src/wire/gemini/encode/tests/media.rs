//! How are images and documents written?

use super::*;

#[test]
fn media_of_a_tool_result_stand_where_the_generation_reads_them() {
    let messages = || {
        vec![
            message(
                Role::Assistant,
                [Part::ToolCall(signed(call("1", "{}"), "sig", "gemini"))],
            ),
            message(
                Role::Tool,
                [result("1", [Part::Image(png()), Part::Document(pdf_uri())])],
            ),
        ]
    };
    let within = r#""response":{"result":""},"parts":[{"inlineData":{"mimeType":"image/png","data":"//79"}}]}},{"fileData":"#;
    let beside = r#""response":{"result":""}}},{"inlineData":{"mimeType":"image/png","data":"//79"}},{"fileData":"#;

    assert!(contents(messages(), Generation::Third).contains(within));
    assert!(contents(messages(), Generation::Second).contains(beside));
}

#[test]
fn vertex_fetches_media_within_a_tool_result_if_it_is_told_their_type() {
    let messages = || {
        let untyped = Part::Document(Media {
            media_type: String::new(),
            ..media(MediaSource::Uri("https://e.org/a".into()), "")
        });
        vec![
            message(
                Role::Assistant,
                [Part::ToolCall(signed(call("1", "{}"), "sig", "gemini"))],
            ),
            message(
                Role::Tool,
                [result("1", [Part::Document(pdf_uri()), untyped])],
            ),
        ]
    };
    let sent = |host| {
        let asking = Asking {
            host,
            ..asking(Generation::Third)
        };
        let wire = encoded_for(&chat(messages()), asking).unwrap();
        String::from_utf8(wire.body.to_vec()).unwrap()
    };
    let pdf = r#"{"fileData":{"mimeType":"application/pdf","fileUri":"gs://bucket/a.pdf"}}"#;
    let untyped = r#"{"fileData":{"fileUri":"https://e.org/a"}}"#;

    let vertex = sent(Host::Vertex);
    let within = format!(r#""response":{{"result":""}},"parts":[{pdf}]}}}},{untyped}"#);
    assert!(vertex.contains(&within), "{vertex}");
    let gemini = sent(Host::Gemini);
    let beside = format!(r#""response":{{"result":""}}}}}},{pdf},{untyped}"#);
    assert!(gemini.contains(&beside), "{gemini}");
}

#[test]
fn what_media_lose_is_told() {
    let media = Media {
        filename: "a.png".into(),
        detail: ImageDetail::High,
        ..png()
    };

    let request = chat(vec![message(Role::User, [Part::Image(media)])]);

    assert_eq!(
        fields(&encoded(&request, Generation::Third).unwrap()),
        ["messages.parts.filename", "messages.parts.image.detail"]
    );
}

#[test]
fn an_image_by_another_name_of_its_type_is_the_same_image() {
    let jpg = Media {
        source: MediaSource::Data(Bytes::from_static(b"jpeg")),
        media_type: "image/jpg".into(),
        filename: String::new(),
        detail: ImageDetail::Auto,
    };

    let contents = contents(
        vec![message(Role::User, [Part::Image(jpg)])],
        Generation::Third,
    );

    assert!(
        contents.contains(r#""mimeType":"image/jpeg""#),
        "{contents}"
    );
}

fn media(source: MediaSource, media_type: &str) -> Media {
    Media {
        source,
        media_type: media_type.into(),
        ..png()
    }
}

#[test]
fn sound_and_films_are_sent_inline_and_by_address() {
    let data = || MediaSource::Data(Bytes::from_static(&[0xFF, 0xFE, 0xFD]));
    let uri = |uri: &str| MediaSource::Uri(uri.into());
    let said = vec![
        Part::Audio(media(data(), "audio/L16;rate=24000")),
        Part::Video(media(data(), "Video/MP4; codecs=x")),
        Part::Audio(media(uri("gs://bucket/a.mp3"), "audio/mpeg")),
        Part::Video(media(uri("https://www.youtube.com/watch?v=x"), "")),
        Part::Image(media(
            MediaSource::File {
                provider: "gemini".into(),
                id: "https://host/v1beta/files/f".into(),
            },
            "image/png",
        )),
    ];
    let messages = vec![Message {
        role: Role::User,
        parts: said,
    }];

    assert_eq!(
        contents(messages, Generation::Third),
        concat!(
            r#"[{"role":"user","parts":[{"inlineData":{"mimeType":"audio/L16;rate=24000","data":"//79"}},"#,
            r#"{"inlineData":{"mimeType":"video/mp4","data":"//79"}},"#,
            r#"{"fileData":{"mimeType":"audio/mpeg","fileUri":"gs://bucket/a.mp3"}},"#,
            r#"{"fileData":{"fileUri":"https://www.youtube.com/watch?v=x"}},"#,
            r#"{"fileData":{"mimeType":"image/png","fileUri":"https://host/v1beta/files/f"}}]}]"#
        )
    );
}

#[test]
fn a_file_of_another_provider_is_refused_unless_the_model_sent_it() {
    let file = || {
        let source = MediaSource::File {
            provider: "other".into(),
            id: "f".into(),
        };
        Part::Image(media(source, "image/png"))
    };
    let asked = chat(vec![message(Role::User, [file()])]);
    let answered = chat(vec![
        text(Role::User, "go"),
        message(Role::Assistant, [Part::Text("so".into()), file()]),
    ]);

    let refused = encoded(&asked, Generation::Third).unwrap_err();
    let written = encoded(&answered, Generation::Third).unwrap();

    assert!(matches!(
        refused,
        Unsupported::Value {
            field: "messages.parts.file",
            ..
        }
    ));
    assert_eq!(fields(&written), ["messages.parts"]);
}

#[test]
fn an_image_of_the_model_goes_back_with_its_signature() {
    let signature = |text: &'static str, provider: &str| reasoning("", text, provider);
    let image = || Part::Image(png());
    for (said, expected, told) in [
        (
            vec![
                image(),
                signature("media:sig", "gemini"),
                Part::Text("b".into()),
            ],
            r#"{"inlineData":{"mimeType":"image/png","data":"//79"},"thoughtSignature":"sig"},{"text":"b"}"#,
            vec![],
        ),
        // Without its image, the signature says nothing.
        (
            vec![Part::Text("b".into()), signature("media:sig", "gemini")],
            r#"{"text":"b"}"#,
            vec![],
        ),
        // The signature of a part of its own.
        (
            vec![image(), signature("sig", "other")],
            concat!(
                r#"{"inlineData":{"mimeType":"image/png","data":"//79"},"#,
                r#""thoughtSignature":"skip_thought_signature_validator"}"#
            ),
            vec!["messages.parts.image", "messages.parts.reasoning"],
        ),
    ] {
        let message = Message {
            role: Role::Assistant,
            parts: said,
        };
        let written = encoded(&chat(vec![message]), Generation::Third).unwrap();

        let expected = format!(r#"{{"contents":[{{"role":"model","parts":[{expected}]}}]}}"#);
        assert_eq!(written.body, expected);
        assert_eq!(fields(&written), told);
    }
}

#[test]
fn sound_of_a_tool_result_stands_beside_it() {
    let sound = Part::Audio(media(
        MediaSource::Data(Bytes::from_static(&[0xFF, 0xFE, 0xFD])),
        "audio/wav",
    ));
    let messages = vec![
        message(
            Role::Assistant,
            [Part::ToolCall(signed(call("1", "{}"), "sig", "gemini"))],
        ),
        message(Role::Tool, [result("1", [sound])]),
    ];

    let contents = contents(messages, Generation::Third);

    let beside =
        r#""response":{"result":""}}},{"inlineData":{"mimeType":"audio/wav","data":"//79"}}"#;
    assert!(contents.contains(beside), "{contents}");
}
