//! Which requests does a model understand? Its name tells, unless the dialect does.

use serde::Deserialize;

use super::{Gemini, Host};

/// A generation of models, as far as requests differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub enum Generation {
    /// Gemini 2.5 and before: thinking is a budget of tokens, tools exclude JSON output.
    #[serde(rename = "2")]
    Second,
    /// Gemini 3 and later: thinking is a level, tool calls in the history must be signed, tool
    /// results may hold media.
    #[serde(rename = "3")]
    Third,
}

/// A level of thinking, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// `MINIMAL`
    Minimal,
    /// `LOW`
    Low,
    /// `MEDIUM`
    Medium,
    /// `HIGH`
    High,
}

impl Level {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Minimal, Self::Low, Self::Medium, Self::High];
}

/// Which requests a model understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asking<'a> {
    /// Its generation.
    pub generation: Generation,
    /// Whether tool calls carry ids.
    pub call_ids: bool,
    /// Its levels of thinking, if it is of the third generation.
    pub levels: &'a [Level],
    /// Its budgets for thinking, if it is of the second.
    pub budgets: Budgets,
    /// Whose API it is asked by.
    pub host: Host,
}

/// Which budgets for thinking a model takes, in tokens:
/// <https://ai.google.dev/gemini-api/docs/thinking#set-budget>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// The least besides none.
    pub least: u32,
    /// The most.
    pub most: u32,
    /// Whether thinking can be switched off.
    pub can_be_none: bool,
}

impl Budgets {
    /// Those of Gemini 2.5 Flash.
    pub(super) const WIDEST: Self = Self {
        least: 1,
        most: 24_576,
        can_be_none: true,
    };

    fn of(model: &str) -> Self {
        if model.contains("2.5-pro") {
            return Self {
                least: 128,
                most: 32_768,
                can_be_none: false,
            };
        }
        if model.contains("2.5-flash-lite") {
            return Self {
                least: 512,
                ..Self::WIDEST
            };
        }
        Self::WIDEST
    }
}

impl Gemini {
    pub(super) fn asking(&self, model: &str) -> Asking<'_> {
        Asking {
            generation: self.generation_of(model),
            call_ids: self.dialect.call_ids,
            levels: self.levels_of(model),
            budgets: Budgets::of(model),
            host: self.host(),
        }
    }

    fn host(&self) -> Host {
        match self.dialect.host {
            Some(host) => host,
            None if self.dialect.call_ids => Host::Gemini,
            None => Host::Vertex,
        }
    }

    /// <https://ai.google.dev/gemini-api/docs/thinking#thinking-levels>: Gemini 3 Pro has two, Pro since
    /// 3.1 has no `MINIMAL`.
    fn levels_of(&self, model: &str) -> &[Level] {
        match &self.dialect.levels {
            Some(written) => written,
            None if model.contains("gemini-3-pro") => &[Level::Low, Level::High],
            None if model.contains("-pro") => &[Level::Low, Level::Medium, Level::High],
            None => &Level::ALL,
        }
    }

    fn generation_of(&self, model: &str) -> Generation {
        match self.dialect.generation {
            Some(generation) => generation,
            None if model.starts_with("gemini-1.") || model.starts_with("gemini-2.") => {
                Generation::Second
            }
            None => Generation::Third,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::gemini::Dialect;

    #[test]
    fn the_generation_is_read_from_the_name_unless_it_is_configured() {
        let by_name = Gemini::default();
        let configured = Gemini::new(Dialect {
            generation: Some(Generation::Second),
            ..Dialect::default()
        });

        for (model, generation) in [
            ("gemini-1.5-pro-002", Generation::Second),
            ("gemini-2.5-flash", Generation::Second),
            ("gemini-3-pro-preview", Generation::Third),
            ("gemini-flash-latest", Generation::Third),
        ] {
            assert_eq!(by_name.generation_of(model), generation, "{model}");
        }
        assert_eq!(configured.generation_of("tuned"), Generation::Second);
    }

    #[test]
    fn levels_and_budgets_are_read_from_the_name_unless_levels_are_configured() {
        use Level::{High, Low, Medium};
        let by_name = Gemini::default();
        let configured = Gemini::new(toml::from_str(r#"levels = ["low"]"#).unwrap());

        for (model, levels) in [
            ("gemini-3-pro-preview", &[Low, High][..]),
            ("google/gemini-3-pro", &[Low, High]),
            ("gemini-3.1-pro-preview", &[Low, Medium, High]),
            ("gemini-3.5-flash", &Level::ALL),
            ("gemini-3.1-flash-lite", &Level::ALL),
        ] {
            assert_eq!(by_name.asking(model).levels, levels, "{model}");
            assert_eq!(configured.asking(model).levels, [Low]);
        }
        for (model, least, most, can_be_none) in [
            ("gemini-2.5-pro", 128, 32_768, false),
            ("gemini-2.5-flash", 1, 24_576, true),
            ("gemini-2.5-flash-lite", 512, 24_576, true),
        ] {
            let budgets = Budgets {
                least,
                most,
                can_be_none,
            };
            assert_eq!(by_name.asking(model).budgets, budgets, "{model}");
        }
    }
}
