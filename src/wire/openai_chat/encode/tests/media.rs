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
