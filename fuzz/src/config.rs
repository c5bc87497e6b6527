//! Does every text of a configuration resolve or tell its mistakes, each with its line?

use std::io;
use std::path::Path;

use modelway::config::{InUse, Surroundings};
use modelway::config::file::File;

/// What every secret is that can be fetched.
const SECRET: &str = "s3cret-of-the-surroundings";

/// Holds the reading of the configuration `input` to its laws.
///
/// # Panics
/// A law is broken.
pub fn hold(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let file = File::parse(text);
    let simulator = file.needs_simulator().then_some("http://127.0.0.1:9");
    // Some secrets are there and some are not: the name decides, so that both ways are taken.
    let surroundings = Surroundings {
        variable: &|name| (name.len() % 4 != 0).then(|| SECRET.to_owned()),
        read_file: &|path: &Path| match path.as_os_str().len() % 4 {
            0 => Err(io::ErrorKind::NotFound.into()),
            _ => Ok(SECRET.to_owned()),
        },
        simulator,
        in_use: InUse::default(),
    };
    let Err(mistakes) = file.resolve(&surroundings) else {
        return;
    };

    let lines = 1 + text.matches('\n').count();
    let mut last = 1;
    for mistake in mistakes.iter() {
        assert!((last..=lines).contains(&mistake.line), "{mistake:?}");
        assert!(!mistake.what.is_empty() && !mistake.remedy.is_empty());
        let told = mistake.to_string();
        assert!(!told.contains(SECRET), "{told}");
        assert!(!told.contains(char::is_control), "{told:?}");
        last = mistake.line;
    }
    assert!(mistakes.iter().next().is_some(), "refused for a reason");
    assert_eq!(file.resolve(&surroundings).err(), Some(mistakes));
}
