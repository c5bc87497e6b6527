//! Which fields in a provider's own words does the operator allow?

use serde_json::value::RawValue;

use super::OptionsPlace;
use super::members::members;

/// The most objects within each other that are looked into.
const MOST_DEPTH: usize = 32;

/// Paths of fields that callers may set at a provider, such as `safetySettings`, `generationConfig.responseModalities`,
/// `tools.google_maps` or `parts.videoMetadata`. A path allows everything below it; `*` allows everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedOptions(Vec<String>);

/// No field at all.
pub static NO_OPTIONS: AllowedOptions = AllowedOptions(Vec::new());

impl AllowedOptions {
    /// Every field.
    pub fn all() -> Self {
        Self(vec!["*".to_owned()])
    }

    /// The paths, as they were written.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether all these fields are allowed at this place.
    ///
    /// # Errors
    /// The path of the first field that is not, from the place on.
    pub(super) fn check(&self, place: OptionsPlace, fields: &RawValue) -> Result<(), String> {
        if self.0.iter().any(|path| path == "*") {
            return Ok(());
        }
        match place {
            OptionsPlace::Request => self.walk("", fields.get(), 0),
            OptionsPlace::Part => self.walk("parts.", fields.get(), 0),
            OptionsPlace::Tool => self.walk("tools.", fields.get(), 0),
            OptionsPlace::ProviderTool => {
                let mut kinds = kinds_of_tool(fields.get()).into_iter();
                let refused = kinds.find(|kind| !self.allows(&format!("tools.{kind}")));
                refused.map_or(Ok(()), Err)
            }
        }
        .map_err(|path| {
            let begun = ["parts.", "tools."];
            let rest = begun.iter().find_map(|begun| path.strip_prefix(begun));
            rest.unwrap_or(&path).escape_debug().to_string()
        })
    }

    fn walk(&self, before: &str, object: &str, depth: usize) -> Result<(), String> {
        let Some(members) = members(object) else {
            return Err(before.to_owned());
        };
        for (name, value) in members {
            let path = format!("{before}{name}");
            if self.allows(&path) {
                continue;
            }
            let below = format!("{path}.");
            let has_some = self.0.iter().any(|allowed| allowed.starts_with(&below));
            if has_some && value.starts_with('{') && depth < MOST_DEPTH {
                self.walk(&below, value, depth + 1)?;
            } else {
                return Err(path);
            }
        }
        Ok(())
    }

    /// Whether this field and everything below it is allowed.
    fn allows(&self, path: &str) -> bool {
        self.0.iter().any(|allowed| {
            let allowed = allowed.strip_suffix(".*").unwrap_or(allowed);
            path == allowed
                || path
                    .strip_prefix(allowed)
                    .is_some_and(|rest| rest.starts_with('.'))
        })
    }
}

impl FromIterator<String> for AllowedOptions {
    fn from_iter<I: IntoIterator<Item = String>>(paths: I) -> Self {
        Self(paths.into_iter().collect())
    }
}

/// What a provider's tool may be called: its `type`, or any of its fields where it has none, as in
/// `{"google_maps":{}}`. An empty name stands for a definition that says neither.
fn kinds_of_tool(definition: &str) -> Vec<String> {
    let members = members(definition).unwrap_or_default();
    let types = members.iter().filter(|(name, _)| name == "type");
    let mut kinds: Vec<_> = types
        .map(|(_, value)| serde_json::from_str(value).unwrap_or_default())
        .collect();
    if kinds.is_empty() {
        let names = members.iter();
        kinds = names.map(|(name, _)| name.to_string()).collect();
    }
    if kinds.is_empty() {
        kinds.push(String::new());
    }
    kinds
}
