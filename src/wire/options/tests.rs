//! Which fields are sent, which are left out, and which make a target ineligible.

use super::*;

fn entry(target: &str, fields: &str, optional: bool) -> ProviderOptions {
    ProviderOptions {
        target: target.to_owned(),
        fields: fields.to_owned(),
        optional,
    }
}

fn choose(
    options: &[ProviderOptions],
    place: OptionsPlace,
    allowed: &[&str],
) -> (Result<Option<String>, String>, Vec<String>) {
    let allowed = allowed.iter().map(|path| (*path).to_owned()).collect();
    let words = Words {
        provider: "claude",
        format: "anthropic",
        allowed: &allowed,
    };
    let mut adaptations = Adaptations::default();
    let chosen = words.chosen(options, place, format_args!("options"), &mut adaptations);
    let chosen = chosen
        .map(|fields| fields.map(|fields| fields.get().to_owned()))
        .map_err(|error| error.to_string());
    let left_out = adaptations.0.into_iter();
    let left_out = left_out.map(|adaptation| adaptation.field.into_owned());
    (chosen, left_out.collect())
}

#[test]
fn entries_for_the_format_and_the_provider_are_merged_and_the_provider_holds() {
    let options = [
        entry("claude", r#"{"a":2}"#, false),
        entry("anthropic", r#"{"a":1,"b":1}"#, true),
        entry("gemini", r#"{"c":1}"#, false),
    ];

    let (chosen, left_out) = choose(&options, OptionsPlace::Request, &["*"]);

    assert_eq!(chosen, Ok(Some(r#"{"a":2,"b":1}"#.to_owned())));
    assert_eq!(left_out, [""; 0]);
}

#[test]
fn a_target_that_nothing_fits_is_skipped_unless_all_of_it_is_optional() {
    let (needed, wished) = (entry("gemini", "{}", false), entry("gemini", "{}", true));

    let (chosen, _) = choose(&[needed, wished.clone()], OptionsPlace::Request, &["*"]);
    assert!(chosen.unwrap_err().contains("`options`"));
    let (chosen, left_out) = choose(&[wished], OptionsPlace::Request, &["*"]);
    assert_eq!((chosen, left_out), (Ok(None), vec!["options".to_owned()]));
    assert_eq!(choose(&[], OptionsPlace::Request, &[]), (Ok(None), vec![]));
}

#[test]
fn only_what_the_operator_allows_is_sent() {
    use OptionsPlace::{Part, ProviderTool, Request, Tool};
    // Place, fields, what is allowed, the first field that is not.
    let table = [
        (Request, r#"{"a":1}"#, &[][..], Some("a")),
        (Request, r#"{"a":1}"#, &["a"], None),
        (Request, r#"{"a":{"b":1}}"#, &["a"], None),
        (Request, r#"{"a":{"b":1}}"#, &["a.*"], None),
        (Request, r#"{"a":{"b":1}}"#, &["a.b"], None),
        (Request, r#"{"a":{"b":1,"c":1}}"#, &["a.b"], Some("a.c")),
        (Request, r#"{"a":1}"#, &["a.b"], Some("a")),
        (Request, r#"{"ab":1}"#, &["a"], Some("ab")),
        (Request, r#"{"a":1}"#, &["parts.a", "tools.a"], Some("a")),
        (Part, r#"{"a":1}"#, &["a"], Some("a")),
        (Part, r#"{"a":1}"#, &["parts.a"], None),
        (Tool, r#"{"a":1}"#, &["tools.a"], None),
        (
            ProviderTool,
            r#"{"type":"x_1","a":1}"#,
            &["tools.x_1"],
            None,
        ),
        (ProviderTool, r#"{"type":"x_1"}"#, &["tools.x"], Some("x_1")),
        (ProviderTool, r#"{"maps":{"b":1}}"#, &["tools.maps"], None),
        (ProviderTool, r#"{"maps":{}}"#, &["*"], None),
        // What is said twice, or under a name that is no text, is not hidden.
        (
            Request,
            r#"{"a":{"c":1},"a":{"b":1}}"#,
            &["a.b"],
            Some("a.c"),
        ),
        (Request, r#"{"\ud800":1}"#, &[], Some(r#"\"\\ud800\""#)),
        (
            Request,
            r#"{"\ud800":1,"a":1}"#,
            &[],
            Some(r#"\"\\ud800\""#),
        ),
        (
            ProviderTool,
            r#"{"maps":{},"search":{}}"#,
            &["tools.maps"],
            Some("search"),
        ),
        (
            ProviderTool,
            r#"{"type":"x","type":"y"}"#,
            &["tools.x"],
            Some("y"),
        ),
        (ProviderTool, "{}", &["tools.x"], Some("")),
    ];
    for (place, fields, allowed, refused) in table {
        let (chosen, _) = choose(&[entry("claude", fields, false)], place, allowed);
        match refused {
            None => assert_eq!(chosen, Ok(Some(fields.to_owned())), "{fields} {allowed:?}"),
            Some(field) => {
                let error = chosen.unwrap_err();
                assert!(
                    error.contains(&format!("options[0].fields.{field}`")),
                    "{error}"
                );
            }
        }
        let (chosen, left_out) = choose(&[entry("claude", fields, true)], place, allowed);
        let field = refused.map(|field| format!("options[0].fields.{field}"));
        assert_eq!(left_out, field.clone().into_iter().collect::<Vec<_>>());
        assert_eq!(chosen.unwrap().is_some(), field.is_none());
    }
}

#[test]
fn a_piece_is_extended_but_never_changed() {
    #[derive(Serialize)]
    struct Piece {
        text: &'static str,
    }
    let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
    let piece = Piece { text: "hi" };
    let path = format_args!("messages[0].parts[1].provider_options");

    let extended = Words::extended(&piece, &raw(r#"{"more":1.0}"#), path).unwrap();
    assert_eq!(extended.get(), r#"{"text":"hi","more":1.0}"#);
    let refused = Words::extended(&piece, &raw(r#"{"text":"ho"}"#), path).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "it cannot be sent `messages[0].parts[1].provider_options: text`: \
         the rest of the request says this already"
    );
}
