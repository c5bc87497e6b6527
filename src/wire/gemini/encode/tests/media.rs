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
