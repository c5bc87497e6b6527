//! What do tests share with each other? They run at a time in one process, on one machine: what one of them changes there,
//! another may meet. So such things are named only where this list says why.

use std::path::Path;

use super::rust_files;

/// Something that all tests share, what a test uses in its place, and the files of `tests` that may name it, each with its
/// reason.
struct Shared {
    name: &'static str,
    instead: &'static str,
    allowed: &'static [(&'static str, &'static str)],
}

const HERE: (&str, &str) = ("suite/architecture/shared.rs", "lists them");

const SHARED: &[Shared] = &[
    Shared {
        name: "CARGO_TARGET_TMPDIR",
        instead: "a path that `support::scratch` gives to one test alone",
        allowed: &[
            HERE,
            (
                "suite/support/scratch.rs",
                "gives every test paths of its own",
            ),
        ],
    },
    Shared {
        name: "temp_dir()",
        instead: "a path that `support::scratch` gives to one test alone",
        allowed: &[HERE],
    },
    Shared {
        name: "set_current_dir(",
        instead: "whole paths, or a program with a folder of its own",
        allowed: &[HERE],
    },
    Shared {
        name: "set_global_default(",
        instead: "`support::subscribe`, which holds for one thread",
        allowed: &[HERE],
    },
    // The environment needs no row: to set a variable is unsafe, which the crate forbids.
];

/// A line for each name in a file of `tests` that may not be there.
fn named_without_reason(file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for shared in SHARED {
        let is_allowed = shared.allowed.iter().any(|(allowed, _)| *allowed == file);
        if text.contains(shared.name) && !is_allowed {
            let (name, instead) = (shared.name, shared.instead);
            found.push(format!("{file}: `{name}` is shared: use {instead}"));
        }
    }
    found
}

#[test]
fn tests_share_only_what_has_a_reason() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut found = Vec::new();
    let mut unused: Vec<_> = SHARED
        .iter()
        .flat_map(|shared| shared.allowed.iter().map(|(file, _)| (shared.name, *file)))
        .collect();

    for file in rust_files(&tests) {
        let text = std::fs::read_to_string(&file).expect("a source file can be read");
        let file = file.strip_prefix(&tests).expect("it lies in tests");
        let file = file.to_str().expect("its name is plain");
        found.extend(named_without_reason(file, &text));
        unused.retain(|(name, allowed)| *allowed != file || !text.contains(name));
    }

    assert!(found.is_empty(), "\n{}", found.join("\n"));
    assert!(unused.is_empty(), "allowed for nothing: {unused:?}");
}

#[test]
fn what_is_shared_is_found_in_a_file_without_a_reason() {
    for (text, named) in [
        (
            r#"let key = Path::new(env!("CARGO_TARGET_TMPDIR")).join("key");"#,
            "CARGO_TARGET_TMPDIR",
        ),
        ("let socket = std::env::temp_dir().join(name);", "temp_dir"),
        (
            "std::env::set_current_dir(folder).unwrap();",
            "set_current_dir",
        ),
        (
            "tracing::subscriber::set_global_default(subscriber)",
            "set_global_default",
        ),
    ] {
        let found = named_without_reason("suite/identity/planted.rs", text);

        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].contains(named), "{text}: {found:?}");
    }
    let harmless = r#"let key = scratch::file("key", "secret");"#;
    assert!(named_without_reason("suite/identity/planted.rs", harmless).is_empty());
}
