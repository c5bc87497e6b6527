//! From which variables and files does a configuration take its secrets?

use std::path::PathBuf;

use super::secret::variable;
use super::table::Table;

/// The tables in which secrets stand.
const TABLES: [&str; 4] = ["providers", "transport", "telemetry", "notify"];

/// Keys whose values are paths of secrets, without `file:` before them.
const PATHS: [&str; 3] = ["file", "certificate_file", "token_file"];

/// Where secrets come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Those in variables of the environment, which only a restart changes.
    pub variables: Vec<VariableSecret>,
    /// The files that hold others.
    pub files: Vec<PathBuf>,
}

/// A secret in a variable of the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableSecret {
    /// Where the configuration refers to it, such as `providers.openai.api_key`.
    pub path: String,
    /// The variable's name.
    pub variable: String,
}

/// Where a configuration without mistakes takes its secrets from.
pub(super) fn read(root: &Table<'_>) -> References {
    let mut references = References::default();
    for (name, value) in root.named() {
        if TABLES.contains(&name) && value.is_table() {
            references.add(value.table());
        }
    }
    references
}

impl References {
    fn add(&mut self, table: Option<Table<'_>>) {
        for (key, value) in table.iter().flat_map(Table::named) {
            if value.is_table() {
                self.add(value.table());
                continue;
            }
            let Some(text) = value.text() else {
                continue;
            };
            if let Some(variable) = variable(text) {
                self.variables.push(VariableSecret {
                    path: value.place.path().to_owned(),
                    variable: variable.to_owned(),
                });
            } else if let Some(path) = text.strip_prefix("file:") {
                self.files.push(PathBuf::from(path));
            } else if PATHS.contains(&key) {
                self.files.push(PathBuf::from(text));
            }
        }
    }

    /// What an operator should know of the secrets in variables, a line for each.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        self.variables.iter().map(|VariableSecret { path, variable }| {
            format!("another value of {variable} (`{path}`) needs a restart; a secret in a file (`file:PATH`) needs none")
        })
    }
}
