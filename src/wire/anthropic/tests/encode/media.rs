//! How are images and documents written?

use super::*;

#[test]
fn images_and_documents_are_carried_or_named() {
    let mut titled = media(data(b"%PDF"), "application/pdf");
    titled.filename = "a.pdf".into();
    let table = [
        (
            Part::Image(media(data(b"\x89PNG"), "image/png")),
            r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw=="}}"#,
        ),
        (
            Part::Image(media(uri("https://x/a.png"), "")),
            r#"{"type":"image","source":{"type":"url","url":"https://x/a.png"}}"#,
        ),
        (
            Part::Document(titled),
            r#"{"type":"document","title":"a.pdf","source":{"type":"base64","media_type":"application/pdf","data":"JVBERg=="}}"#,
        ),
        (
            Part::Document(media(data(b"plain"), "text/plain; charset=utf-8")),
            r#"{"type":"document","source":{"type":"text","media_type":"text/plain","data":"plain"}}"#,
        ),
        (
            Part::Document(media(uri("http://x/a.pdf"), "application/pdf")),
            r#"{"type":"document","source":{"type":"url","url":"http://x/a.pdf"}}"#,
        ),
    ];
    for (part, expected) in table {
        let direct = request(vec![message(Role::User, vec![part.clone()])]);
        let in_result = request(vec![
            message(Role::User, vec![text("look")]),
            message(Role::Assistant, vec![call("toolu_1", "")]),
            message(Role::Tool, vec![result("toolu_1", vec![part])]),
        ]);

        let direct = json(&written(ADAPTIVE, &direct).body);
        let in_result = json(&written(ADAPTIVE, &in_result).body);

        let expected = json(expected.as_bytes());
        assert_eq!(direct["messages"][0]["content"][0], expected);
        assert_eq!(
            in_result["messages"][2]["content"][0]["content"][0],
            expected
        );
    }
}

#[test]
fn the_detail_of_an_image_is_left_out_and_told() {
    let mut image = media(uri("https://x/a.png"), "");
    image.detail = ImageDetail::High;
    let request = request(vec![message(
        Role::User,
        vec![Part::Image(image.clone()), Part::Image(image)],
    )]);

    assert_eq!(
        adapted_fields(ADAPTIVE, &request),
        ["messages.parts.image.detail"]
    );
}

#[test]
fn an_image_by_another_name_of_its_type_is_the_same_image() {
    for written in ["image/jpg", "IMAGE/JPEG", "image/pjpeg; charset=binary"] {
        let mut request = hello();
        request.messages[0]
            .parts
            .push(Part::Image(media(data(b"jpeg"), written)));

        let body = json(&self::written(Anthropic::default(), &request).body);

        let source = &body["messages"][0]["content"][1]["source"];
        assert_eq!(source["media_type"], "image/jpeg", "{written}");
    }
}

#[test]
fn a_stored_file_is_named_to_its_own_provider_alone() {
    let stored = |provider: &str| MediaSource::File {
        provider: provider.into(),
        id: "file_1".into(),
    };
    let asking = |provider: &str| {
        let image = Part::Image(media(stored(provider), ""));
        let document = Part::Document(media(stored(provider), "text/csv"));
        request(vec![message(Role::User, vec![image, document])])
    };

    let written = written(ADAPTIVE, &asking("anthropic"));

    assert_eq!(written.headers["anthropic-beta"], "files-api-2025-04-14");
    assert_eq!(
        json(&written.body)["messages"][0]["content"],
        json(
            br#"[{"type":"image","source":{"type":"file","file_id":"file_1"}},
            {"type":"document","source":{"type":"file","file_id":"file_1"}}]"#
        )
    );
    assert_refused(ADAPTIVE, &asking("other"), "messages.parts.image.file");
}
