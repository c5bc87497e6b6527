//! Where does a service keep its ledger? Read on its own, so that a mistake elsewhere in the file, or a secret that is not
//! here, keeps nobody from reading the ledger.

use std::path::{Path, PathBuf};

use super::Overrides;
use super::reading;

/// The directory that `ledger.path` of the configuration at `path` names. Other mistakes of the file do not matter.
///
/// # Errors
/// The file cannot be read, is not TOML or names no directory, or a variable of the environment is wrong.
pub fn data_directory(path: &Path, overrides: &Overrides) -> Result<PathBuf, String> {
    let (text, table) = reading::table(path)?;
    overrides.check_beside(&text)?;
    of_table(&table).map_err(|why| format!("`{}` {why}", path.display()))
}

fn of_table(file: &toml::Table) -> Result<PathBuf, &'static str> {
    let written = file.get("ledger").and_then(|ledger| ledger.get("path"));
    match written.map(toml::Value::as_str) {
        None => Err(
            "sets no `ledger.path`, so its service keeps no data; set it, or name the data directory with --data",
        ),
        Some(None | Some("")) => {
            Err("has a `ledger.path` that names no directory; write one such as \"data\"")
        }
        Some(Some(path)) => Ok(path.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Result<PathBuf, &'static str> {
        of_table(&text.parse().unwrap())
    }

    #[test]
    fn the_directory_is_found_in_a_file_that_has_mistakes_elsewhere() {
        let text = "
            [ledger]
            path = 'büro daten'
            keep = 'for ever'
            [providers.p]
            api_key = 'env:NOT_HERE'
        ";
        assert_eq!(found(text), Ok("büro daten".into()));
    }

    #[test]
    fn a_file_without_a_directory_says_what_to_do() {
        assert!(found("").unwrap_err().contains("--data"));
        for text in ["ledger.path = ''", "ledger.path = 7"] {
            assert!(found(text).unwrap_err().contains("\"data\""), "{text}");
        }
    }
}
