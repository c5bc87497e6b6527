//! How are images and documents written?

use super::*;

#[test]
fn images_and_documents_are_sent_in_place() {
    let parts = [
        text("look"),
        Part::Image(data("image/png", "", ImageDetail::Auto)),
        Part::Image(data("image/png", "", ImageDetail::Low)),
        Part::Image(uri("https://example.com/a.jpg")),
        Part::Document(data("application/pdf", "a.pdf", ImageDetail::Auto)),
        Part::Document(data("application/pdf", "", ImageDetail::Auto)),
    ];

    assert_eq!(
        messages(&openai(), [message(Role::User, parts)]).0,
        json!([{ "role": "user", "content": [
            { "type": "text", "text": "look" },
            { "type": "image_url", "image_url": { "url": "data:image/png;base64,AP8+" } },
            { "type": "image_url", "image_url": {
                "url": "data:image/png;base64,AP8+",
                "detail": "low",
            } },
            { "type": "image_url", "image_url": { "url": "https://example.com/a.jpg" } },
            { "type": "file", "file": {
                "filename": "a.pdf",
                "file_data": "data:application/pdf;base64,AP8+",
            } },
            { "type": "file", "file": {
                "filename": "document",
                "file_data": "data:application/pdf;base64,AP8+",
            } },
        ] }])
    );
}

#[test]
fn documents_are_sent_as_the_host_takes_them() {
    let bytes = || data("application/pdf", "a.pdf", ImageDetail::Auto);
    let page = || uri("https://example.com/a.pdf");
    let none = Documents::None;
    let mistral = Documents::DocumentUrl;
    let refuses = |feature| Err(Unsupported::Feature(feature));
    let cases = [
        (none, bytes(), refuses(Feature::DocumentData)),
        (none, page(), refuses(Feature::DocumentUri)),
        (Documents::File, page(), refuses(Feature::DocumentUri)),
        (
            mistral,
            bytes(),
            Ok(json!({
                "type": "document_url",
                "document_url": "data:application/pdf;base64,AP8+",
                "document_name": "a.pdf",
            })),
        ),
        (
            mistral,
            page(),
            Ok(json!({
                "type": "document_url",
                "document_url": "https://example.com/a.pdf",
            })),
        ),
    ];

    for (documents, media, expected) in cases {
        let dialect = Dialect {
            documents,
            ..openai()
        };
        let request = conversation([message(Role::User, [Part::Document(media)])]);
        let spelled = encode(&dialect, &request, &TO).map(|spelled| {
            let body: Value = serde_json::from_slice(&spelled.body).unwrap();
            body["messages"][0]["content"][0].clone()
        });

        assert_eq!(spelled, expected, "{documents:?}");
    }
}

#[test]
fn an_image_by_another_name_of_its_type_is_the_same_image() {
    let image = Part::Image(data("image/jpg", "", ImageDetail::Auto));

    let (messages, _) = messages(&openai(), [message(Role::User, [image])]);

    let url = messages[0]["content"][0]["image_url"]["url"]
        .as_str()
        .unwrap();
    assert!(url.starts_with("data:image/jpeg;base64,"), "{url}");
}

#[test]
fn sound_and_films_are_sent_as_the_host_takes_them() {
    let vllm = Dialect {
        audio: AudioInput::AudioUrl,
        video: true,
        ..openai()
    };
    let none = Dialect {
        audio: AudioInput::None,
        ..openai()
    };
    let sound = |media_type: &str| Part::Audio(data(media_type, "", ImageDetail::Auto));
    let film = || Part::Video(data("video/mp4", "", ImageDetail::Auto));
    let sent = |dialect: &Dialect, part: Part| {
        let request = conversation([message(Role::User, [part])]);
        encode(dialect, &request, &TO).map(|spelled| {
            let body: Value = serde_json::from_slice(&spelled.body).unwrap();
            body["messages"][0]["content"][0].clone()
        })
    };

    for (media_type, format) in [
        ("audio/mpeg", "mp3"),
        ("audio/mp3", "mp3"),
        ("audio/x-wav", "wav"),
        ("Audio/WAV; rate=16000", "wav"),
        ("audio/flac", "flac"),
        ("audio/mp4", "m4a"),
    ] {
        assert_eq!(
            sent(&openai(), sound(media_type)),
            Ok(json!({
                "type": "input_audio",
                "input_audio": { "data": "AP8+", "format": format },
            }))
        );
    }
    assert_eq!(
        sent(&vllm, sound("audio/wav")),
        Ok(json!({
            "type": "audio_url",
            "audio_url": { "url": "data:audio/wav;base64,AP8+" },
        }))
    );
    assert_eq!(
        sent(&vllm, film()),
        Ok(json!({
            "type": "video_url",
            "video_url": { "url": "data:video/mp4;base64,AP8+" },
        }))
    );
    let page = || uri("https://example.com/a");
    for (dialect, part, feature) in [
        (&none, sound("audio/wav"), Feature::AudioData),
        (&none, Part::Audio(page()), Feature::AudioUri),
        (&openai(), Part::Audio(page()), Feature::AudioUri),
        (&openai(), film(), Feature::VideoData),
        (&openai(), Part::Video(page()), Feature::VideoUri),
    ] {
        assert_eq!(sent(dialect, part), Err(Unsupported::Feature(feature)));
    }
}

fn stored(provider: &str) -> Media {
    Media {
        source: MediaSource::File {
            provider: provider.into(),
            id: "file-1".into(),
        },
        ..uri("")
    }
}

#[test]
fn a_stored_document_is_named_to_the_provider_that_has_it() {
    let mistral = Dialect {
        documents: Documents::DocumentUrl,
        ..openai()
    };
    let asked = |part| conversation([message(Role::User, [part])]);

    for (dialect, piece) in [
        (
            openai(),
            json!({ "type": "file", "file": { "file_id": "file-1" } }),
        ),
        (mistral, json!({ "type": "file", "file_id": "file-1" })),
    ] {
        let own = asked(Part::Document(stored("primary")));

        assert_eq!(
            spelled(&dialect, &own)["messages"][0]["content"],
            json!([piece])
        );
        for part in [
            Part::Document(stored("other")),
            Part::Image(stored("other")),
            Part::Image(stored("primary")),
            Part::Audio(stored("primary")),
        ] {
            assert!(matches!(
                refused(&dialect, &asked(part)),
                Unsupported::Value {
                    field: "messages.parts",
                    ..
                }
            ));
        }
    }
}

#[test]
fn of_an_earlier_answer_only_sound_that_the_host_keeps_is_sent_back() {
    let answer = [
        text("so"),
        Part::Image(data("image/png", "", ImageDetail::Auto)),
        Part::Audio(data("audio/wav", "", ImageDetail::Auto)),
        Part::Video(data("video/mp4", "", ImageDetail::Auto)),
    ];

    let kept = [Part::Audio(stored("primary"))];

    assert_eq!(
        messages(&openai(), [message(Role::Assistant, answer)]),
        (
            json!([{ "role": "assistant", "content": "so" }]),
            vec![
                "messages.parts.image",
                "messages.parts.video",
                "messages.parts.audio"
            ]
        )
    );
    assert_eq!(
        messages(&openai(), [message(Role::Assistant, kept)]),
        (
            json!([{ "role": "assistant", "content": null, "audio": { "id": "file-1" } }]),
            vec![]
        )
    );
}

#[test]
fn pictures_of_a_tool_stand_in_its_message_or_in_the_next_one() {
    let history = || {
        [
            message(Role::Assistant, [call("c", "look", "{}")]),
            message(
                Role::Tool,
                [result(
                    "c",
                    "look",
                    [Part::Image(uri("https://a.example/b"))],
                )],
            ),
            message(Role::User, [text("what is it?")]),
        ]
    };
    let takes = Dialect {
        tool_result_images: true,
        ..openai()
    };
    let image = json!({ "type": "image_url", "image_url": { "url": "https://a.example/b" } });

    let (sent, adapted) = messages(&takes, history());
    assert_eq!(
        sent[1],
        json!({ "role": "tool", "tool_call_id": "c", "content": [image] })
    );
    assert_eq!(adapted, [""; 0]);

    let (sent, adapted) = messages(&openai(), history());
    assert_eq!(
        sent.as_array().unwrap()[1..],
        [
            json!({
                "role": "tool",
                "tool_call_id": "c",
                "content": "The result follows in the next message.",
            }),
            json!({ "role": "user", "content": [
                { "type": "text", "text": "Returned by the tool:" },
                { "type": "text", "text": "look" },
                image,
                { "type": "text", "text": "what is it?" },
            ] }),
        ]
    );
    assert_eq!(adapted, ["messages.parts.tool_result.content"]);
}
