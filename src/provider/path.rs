//! Where below the base URL a request goes, for hosts whose paths are not those of their wire format.

use http::Uri;

use crate::wire::segment;

/// What stands for the model's name in a template.
const MODEL: &str = "{model}";

/// The paths of a model's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// Where a whole answer is asked for.
    pub whole: PathTemplate,
    /// Where a stream is asked for.
    pub stream: PathTemplate,
}

impl Paths {
    /// The path of a request to this model.
    pub fn path(&self, model: &str, stream: bool) -> String {
        match stream {
            true => self.stream.filled(model),
            false => self.whole.filled(model),
        }
    }
}

/// A path, perhaps with a query, in which `{model}` stands for the model's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate(String);

/// Why a text is no template of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTemplate {
    /// It does not begin with a slash.
    #[error("it does not begin with `/`")]
    Relative,
    /// Something else than `{model}` stands in braces.
    #[error("the only placeholder is `{{model}}`")]
    Placeholder,
    /// It has characters that no URL has, or dots that lead out of the base URL.
    #[error("it is not the path of a URL")]
    NoPath,
}

impl PathTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// [`BadTemplate`].
    pub fn parse(text: &str) -> Result<Self, BadTemplate> {
        if !text.starts_with('/') {
            return Err(BadTemplate::Relative);
        }
        let filled = text.replace(MODEL, "model");
        if filled.contains(['{', '}']) {
            return Err(BadTemplate::Placeholder);
        }
        let (path, _) = filled.split_once('?').unwrap_or((&filled, ""));
        let leads_out = path
            .split('/')
            .any(|segment| matches!(segment, "." | "..") || segment.contains('\\'));
        let is_path = filled.is_ascii() && !filled.contains('#') && !leads_out;
        if !is_path || format!("http://host{filled}").parse::<Uri>().is_err() {
            return Err(BadTemplate::NoPath);
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether it has a place for the model's name.
    pub fn names_model(&self) -> bool {
        self.0.contains(MODEL)
    }

    /// The path for a model, whose name is percent-encoded.
    fn filled(&self, model: &str) -> String {
        self.0.replace(MODEL, &segment::encoded(model))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_model_is_filled_in_as_one_segment() {
        let table = [
            (
                "/m/{model}:rawPredict",
                "claude-opus-4-5@20251101",
                "/m/claude-opus-4-5@20251101:rawPredict",
            ),
            (
                "/m/{model}/x?alt=sse",
                "meta/llama 3",
                "/m/meta%2Fllama%203/x?alt=sse",
            ),
            (
                "/{model}/{model}",
                "../ü?#",
                "/..%2F%C3%BC%3F%23/..%2F%C3%BC%3F%23",
            ),
            ("/chat", "m", "/chat"),
        ];
        for (template, model, path) in table {
            let template = PathTemplate::parse(template).expect("a template");

            assert_eq!(template.filled(model), path);
            assert_eq!(template.names_model(), path != "/chat");
        }
    }

    #[test]
    fn what_is_no_template_of_a_path_is_refused() {
        let table = [
            ("", BadTemplate::Relative),
            ("{model}", BadTemplate::Relative),
            ("https://host/{model}", BadTemplate::Relative),
            ("/{Model}", BadTemplate::Placeholder),
            ("/{project}/{model}", BadTemplate::Placeholder),
            ("/{model", BadTemplate::Placeholder),
            ("/{{model}}", BadTemplate::Placeholder),
            ("/a b", BadTemplate::NoPath),
            ("/a#b", BadTemplate::NoPath),
            ("/../{model}", BadTemplate::NoPath),
            ("/ä", BadTemplate::NoPath),
            ("/a\n", BadTemplate::NoPath),
        ];
        for (text, expected) in table {
            assert_eq!(PathTemplate::parse(text), Err(expected), "{text:?}");
        }
    }
}
