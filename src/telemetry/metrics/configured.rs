//! Which names does a configuration have that become labels?

/// The names in a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configured {
    /// Every scenario.
    pub scenarios: Vec<String>,
    /// Every model.
    pub models: Vec<ConfiguredModel>,
    /// Every provider that has a model.
    pub providers: Vec<String>,
}

/// The names of a model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConfiguredModel {
    /// Its id, such as `openai/gpt-5`.
    pub id: String,
    /// Its provider.
    pub provider: String,
    /// Its name at the provider.
    pub model: String,
}

/// The names whose counters are shown: those of the present configuration, and those that have left it in the last five
/// minutes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShownNames {
    /// Every scenario.
    pub scenarios: Vec<String>,
    /// Every model.
    pub models: Vec<ShownModel>,
    /// Every provider.
    pub providers: Vec<String>,
}

/// A model whose counters are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownModel {
    /// Its id, such as `openai/gpt-5`.
    pub id: String,
    /// Its provider.
    pub provider: String,
    /// Its label, as [`model_label`] says.
    pub label: String,
}

/// The label of a model: its id without the name of its provider, which has a label of its own.
pub fn model_label<'a>(id: &'a str, provider: &str) -> &'a str {
    let behind = id.strip_prefix(provider);
    behind
        .and_then(|behind| behind.strip_prefix('/'))
        .unwrap_or(id)
}
