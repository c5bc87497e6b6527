//! Reads `path` and `stream_path`: where requests go, for hosts whose paths are not those of their wire format.

use crate::provider::path::{PathTemplate, Paths};
use crate::wire::{PathSays, WireFormat};

use super::mistake::Location;
use super::table::{Table, Value};

/// What a table says about paths.
#[derive(Clone, Default)]
pub(super) struct WrittenPaths {
    whole: Option<PathTemplate>,
    stream: Option<PathTemplate>,
}

impl WrittenPaths {
    /// Reads the keys of a provider or a model.
    pub(super) fn read(table: &mut Table<'_>) -> Self {
        Self {
            whole: table.optional("path", template),
            stream: table.optional("stream_path", template),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.whole.is_none() && self.stream.is_none()
    }

    /// These paths, and those of `base` for what is not set here.
    pub(super) fn over(self, base: &Self) -> Self {
        Self {
            whole: self.whole.or_else(|| base.whole.clone()),
            stream: self.stream.or_else(|| base.stream.clone()),
        }
    }

    /// The paths of requests in this format; `None` if nothing is set, or if it does not suffice.
    ///
    /// # Errors
    /// What is wrong, and the remedy.
    pub(super) fn resolve(
        self,
        format: &dyn WireFormat,
    ) -> Result<Option<Paths>, (&'static str, &'static str)> {
        let PathSays { model, stream } = format.path_says();
        let paths = match (self.whole, self.stream) {
            (None, None) => return Ok(None),
            (None, Some(_)) => {
                return Err((
                    "`stream_path` is set without `path`",
                    "add `path`, where whole answers are asked for",
                ));
            }
            (Some(_), None) if stream => {
                return Err((
                    "`path` is set without `stream_path`, and only the path says whether a stream is wanted",
                    "add `stream_path`, such as \"/models/{model}:streamRawPredict\" or \
                     \"/models/{model}:streamGenerateContent?alt=sse\"",
                ));
            }
            (Some(whole), None) => Paths {
                stream: whole.clone(),
                whole,
            },
            (Some(whole), Some(stream)) => Paths { whole, stream },
        };
        if model && !(paths.whole.names_model() && paths.stream.names_model()) {
            return Err((
                "the path lacks the model's name, and no other part of the request holds it",
                "write `{model}` in `path` and `stream_path` where the name belongs",
            ));
        }
        Ok(Some(paths))
    }
}

/// Notes what [`WrittenPaths::resolve`] finds wrong.
pub(super) fn noted(
    resolved: Result<Option<Paths>, (&'static str, &'static str)>,
    place: &Location<'_>,
) -> Option<Paths> {
    match resolved {
        Ok(paths) => paths,
        Err((what, remedy)) => {
            place.absent(what, remedy);
            None
        }
    }
}

fn template(value: &Value<'_>) -> Option<PathTemplate> {
    match PathTemplate::parse(value.string()?) {
        Ok(template) => Some(template),
        Err(why) => {
            value.place.wrong(
                format!("not a path below the base URL: {why}"),
                "write it like \"/models/{model}:rawPredict\"",
            );
            None
        }
    }
}
