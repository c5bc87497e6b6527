//! How do words and files of a command line become a request?

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use tonic::Request;

use crate::config::reading;
use crate::error::{advise, excerpt};
use crate::grpc::v1;

use super::console::parse_time;

/// The largest prompt or file that is read; services refuse less than that.
const MAX_BYTES: u64 = 256 << 20;

/// Stands for standard input.
const STDIN: &str = "-";

/// What is asked.
#[derive(Clone, Debug, Args)]
pub(super) struct RequestArguments {
    /// The scenario. With --model it is left out, and the first word is the prompt.
    scenario: Option<String>,
    /// The prompt; `-`, or nothing where standard input is no terminal: read it from there.
    prompt: Option<String>,
    /// A model of the catalogue, such as openai/gpt-5, in place of a scenario.
    #[arg(long, value_name = "ID")]
    model: Option<String>,
    /// A picture, document, sound or film to send with the prompt, by its extension. May be repeated.
    #[arg(long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Instructions above the conversation.
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// The most tokens that the answer may have.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(1..))]
    max_output_tokens: Option<i32>,
    /// The longest time that the call may take, such as 30s. Default: the scenario's.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    timeout: Option<Duration>,
}

/// What kind of part a file is, and its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileKind {
    Image,
    Document,
    Audio,
    Video,
}

/// Extensions of files that can be sent.
const EXTENSIONS: [(&str, FileKind, &str); 25] = [
    ("png", FileKind::Image, "image/png"),
    ("jpg", FileKind::Image, "image/jpeg"),
    ("jpeg", FileKind::Image, "image/jpeg"),
    ("gif", FileKind::Image, "image/gif"),
    ("webp", FileKind::Image, "image/webp"),
    ("heic", FileKind::Image, "image/heic"),
    ("pdf", FileKind::Document, "application/pdf"),
    ("txt", FileKind::Document, "text/plain"),
    ("text", FileKind::Document, "text/plain"),
    ("log", FileKind::Document, "text/plain"),
    ("md", FileKind::Document, "text/plain"),
    ("csv", FileKind::Document, "text/csv"),
    ("html", FileKind::Document, "text/html"),
    ("xml", FileKind::Document, "text/xml"),
    ("json", FileKind::Document, "application/json"),
    ("wav", FileKind::Audio, "audio/wav"),
    ("mp3", FileKind::Audio, "audio/mpeg"),
    ("flac", FileKind::Audio, "audio/flac"),
    ("ogg", FileKind::Audio, "audio/ogg"),
    ("m4a", FileKind::Audio, "audio/mp4"),
    ("aac", FileKind::Audio, "audio/aac"),
    ("mp4", FileKind::Video, "video/mp4"),
    ("mpeg", FileKind::Video, "video/mpeg"),
    ("mov", FileKind::Video, "video/quicktime"),
    ("webm", FileKind::Video, "video/webm"),
];

impl RequestArguments {
    /// The call's time, if it has a limit.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// The request. `otherwise` is the prompt if none is given; without it, standard input is read.
    ///
    /// # Errors
    /// The command line does not say what to ask, or a file cannot be read.
    pub(super) fn request(
        &self,
        otherwise: Option<&str>,
    ) -> Result<Request<v1::GenerateRequest>, String> {
        let (scenario, prompt) = self.names()?;
        let text = match (prompt, otherwise) {
            (Some(STDIN), _) => standard_input()?,
            (Some(text), _) => text.to_owned(),
            (None, Some(text)) => text.to_owned(),
            (None, None) if !self.file.is_empty() => String::new(),
            (None, None) if io::stdin().is_terminal() => {
                return Err(
                    "there is no prompt: write it behind the scenario, or `-` to type it here"
                        .into(),
                );
            }
            (None, None) => standard_input()?,
        };
        let mut messages = Vec::new();
        if let Some(text) = &self.system {
            messages.push(v1::Message {
                role: v1::Role::System.into(),
                text: text.clone(),
                parts: Vec::new(),
            });
        }
        if text.is_empty() && self.file.is_empty() && otherwise.is_none() {
            return Err(
                "the prompt is empty: write it behind the scenario, or into standard input".into(),
            );
        }
        messages.push(self.question(text)?);
        let mut request = Request::new(v1::GenerateRequest {
            scenario: scenario.unwrap_or_default().to_owned(),
            model: self.model.clone().unwrap_or_default(),
            messages,
            sampling: self.max_output_tokens.map(|count| v1::SamplingParams {
                max_output_tokens: Some(count),
                ..v1::SamplingParams::default()
            }),
            ..v1::GenerateRequest::default()
        });
        if let Some(timeout) = self.timeout {
            request.set_timeout(timeout);
        }
        Ok(request)
    }

    /// The scenario and the prompt. With a model, the only word is the prompt.
    fn names(&self) -> Result<(Option<&str>, Option<&str>), String> {
        let (scenario, prompt) = (self.scenario.as_deref(), self.prompt.as_deref());
        match (&self.model, scenario, prompt) {
            (None, None, _) => Err("name a scenario, or a model with --model".to_owned()),
            (None, Some(_), _) => Ok((scenario, prompt)),
            (Some(_), only, None) => Ok((None, only)),
            (Some(_), Some(_), Some(_)) => Err(
                "name a scenario or a model, not both; with --model, the only word is the prompt"
                    .to_owned(),
            ),
            (Some(_), None, Some(_)) => Ok((None, prompt)),
        }
    }

    fn question(&self, text: String) -> Result<v1::Message, String> {
        let role = v1::Role::User.into();
        if self.file.is_empty() {
            return Ok(v1::Message {
                role,
                text,
                parts: Vec::new(),
            });
        }
        let mut parts = Vec::with_capacity(self.file.len() + 1);
        for path in &self.file {
            parts.push(v1::ContentPart {
                part: Some(part(path)?),
                ..v1::ContentPart::default()
            });
        }
        if !text.is_empty() {
            parts.push(v1::ContentPart {
                part: Some(v1::content_part::Part::Text(text)),
                ..v1::ContentPart::default()
            });
        }
        Ok(v1::Message {
            role,
            text: String::new(),
            parts,
        })
    }
}

/// A file as a part of the question.
fn part(path: &Path) -> Result<v1::content_part::Part, String> {
    use v1::content_part::Part;
    let name = path.display();
    let (kind, media_type) = kind_of(path)?;
    let cannot = |error: io::Error| format!("`{name}` cannot be read: {}", reading::why(&error));
    let bytes = File::open(path).and_then(bounded).map_err(cannot)?;
    let media = v1::Media {
        source: Some(v1::media::Source::Data(Bytes::from(bytes))),
        media_type: media_type.to_owned(),
        filename: path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
        ..v1::Media::default()
    };
    Ok(match kind {
        FileKind::Image => Part::Image(media),
        FileKind::Document => Part::Document(media),
        FileKind::Audio => Part::Audio(media),
        FileKind::Video => Part::Video(media),
    })
}

/// What a file is, by its extension.
fn kind_of(path: &Path) -> Result<(FileKind, &'static str), String> {
    let extension = path
        .extension()
        .map(|extension| extension.to_string_lossy().to_ascii_lowercase())
        .unwrap_or_default();
    let known = EXTENSIONS.iter().find(|(name, _, _)| *name == extension);
    match known {
        Some((_, kind, media_type)) => Ok((*kind, media_type)),
        None => {
            let remedy = advise(&extension, EXTENSIONS.iter().map(|(name, _, _)| *name));
            let name = path.display();
            Err(match &*extension {
                "" => format!("`{name}`: its name has no extension that says its type; {remedy}"),
                extension => format!(
                    "`{name}`: the extension {} says no type that can be sent; {remedy}",
                    excerpt(extension)
                ),
            })
        }
    }
}

fn standard_input() -> Result<String, String> {
    let cannot = |error: io::Error| format!("standard input cannot be read: {error}");
    let bytes = bounded(io::stdin().lock()).map_err(cannot)?;
    String::from_utf8(bytes).map_err(|_| "standard input is not UTF-8 text".to_owned())
}

/// All of it, if it is not too much.
fn bounded(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MAX_BYTES {
        true => Err(io::Error::other(format!(
            "it is larger than {} MiB",
            MAX_BYTES >> 20
        ))),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(
        scenario: Option<&str>,
        prompt: Option<&str>,
        model: Option<&str>,
    ) -> RequestArguments {
        RequestArguments {
            scenario: scenario.map(str::to_owned),
            prompt: prompt.map(str::to_owned),
            model: model.map(str::to_owned),
            file: Vec::new(),
            system: Some("Be brief.".to_owned()),
            max_output_tokens: Some(7),
            timeout: Some(Duration::from_secs(3)),
        }
    }

    #[test]
    fn a_scenario_or_a_model_is_asked() {
        for (arguments, scenario, model) in [
            (asked(Some("general"), Some("Hi"), None), "general", ""),
            (asked(Some("Hi"), None, Some("a/b")), "", "a/b"),
        ] {
            let request = arguments.request(None).unwrap();

            assert!(request.metadata().contains_key("grpc-timeout"));
            let request = request.into_inner();
            assert_eq!((&*request.scenario, &*request.model), (scenario, model));
            let texts: Vec<_> = request.messages.iter().map(|one| &*one.text).collect();
            assert_eq!(texts, ["Be brief.", "Hi"]);
            assert_eq!(request.sampling.unwrap().max_output_tokens, Some(7));
        }
        for wrong in [
            asked(None, None, None),
            asked(Some("general"), Some("Hi"), Some("a/b")),
        ] {
            assert!(wrong.request(Some("Hi")).is_err());
        }
    }

    #[test]
    fn a_file_is_what_its_extension_says() {
        for (name, kind, media_type) in [
            ("a.PNG", FileKind::Image, "image/png"),
            ("b.pdf", FileKind::Document, "application/pdf"),
            ("c.tar.mp3", FileKind::Audio, "audio/mpeg"),
            ("d.mp4", FileKind::Video, "video/mp4"),
        ] {
            assert_eq!(kind_of(Path::new(name)).unwrap(), (kind, media_type));
        }
        let unknown = kind_of(Path::new("picture.pngg")).unwrap_err();
        assert!(unknown.contains("did you mean `png`?"), "{unknown}");
        assert!(kind_of(Path::new("picture")).is_err());
    }

    #[test]
    fn what_is_too_large_is_refused_before_all_of_it_is_read() {
        let refused = bounded(io::repeat(b'a')).unwrap_err();

        assert_eq!(refused.to_string(), "it is larger than 256 MiB");
    }
}
