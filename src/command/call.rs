//! `modelway call`: asks a running service, and writes the answer as it comes.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use prost::Message as _;
use tokio::signal::ctrl_c;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tonic::Status;

use crate::grpc::translated::{self, STREAM_RESPONSE};
use crate::grpc::v1::generation_service_client::GenerationServiceClient;
use crate::grpc::v1::stream_generate_response::Event;
use crate::grpc::v1::{self, content_part::Part};
use crate::json::form::{self, JsonTypes};

use super::bearer::Bearer;
use super::client::{Connection, For, NoService, ServiceArguments};
use super::console::{in_runtime, print_error, shown};
use super::failure;
use super::request::RequestArguments;
use super::summary;

/// The variable that holds the API key or the token of a caller.
const API_KEY: &str = "MODELWAY_API_KEY";

/// Exit code of a program that Ctrl-C has ended, as shells tell it.
const INTERRUPTED: u8 = 130;

/// How much longer than the call's time its status may take.
const GRACE: Duration = Duration::from_secs(2);

/// The most bytes of one message of the answer.
const MAX_MESSAGE_BYTES: usize = 256 << 20;

#[derive(Debug, Args)]
pub(super) struct CallArguments {
    #[command(flatten)]
    request: RequestArguments,
    /// Write each event as a line of JSON; a call that fails ends with a line that holds its status as `error`.
    #[arg(long)]
    json: bool,
    /// The file that holds the API key or the token that is shown to the service. Default: what MODELWAY_API_KEY holds.
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    #[command(flatten)]
    service: ServiceArguments,
}

/// How a call ended.
enum CallResult {
    Answered(Box<v1::GenerateResponse>),
    Failed(Status),
    /// Who reads the answer has closed standard output.
    Unread,
    /// Standard output cannot be written.
    Unwritable(io::Error),
}

impl CallArguments {
    pub(super) fn run(self) -> Result<ExitCode, String> {
        in_runtime(async move {
            let called = self.connect_and_call().await;
            Ok(called.unwrap_or_else(NoService::report))
        })
    }

    async fn connect_and_call(self) -> Result<ExitCode, NoService> {
        let address = self.service.address(For::Calls)?;
        let Self { request, .. } = &self;
        let time = request.timeout();
        let request = self.request.clone();
        let request = spawn_blocking(move || request.request(None)).await;
        let mut request = match request {
            Ok(request) => request.map_err(NoService::Usage)?,
            Err(error) => return Err(NoService::Usage(error.to_string())),
        };
        let key = Bearer::read(self.api_key_file.as_deref(), API_KEY).map_err(NoService::Usage)?;
        if let Some(key) = key {
            key.show(&mut request);
        }
        let connection = self.service.connect(&address).await?;
        let types = JsonTypes::read(translated::descriptors());
        let types = types.map_err(|error| NoService::Usage(error.to_string()))?;
        let mut output = Output {
            json: self.json.then_some(types),
            is_terminal: io::stdout().is_terminal(),
            ends_line: true,
        };
        let late = async {
            match time {
                Some(time) => sleep(time.saturating_add(GRACE)).await,
                None => std::future::pending().await,
            }
        };
        // Where the call is dropped, it is cancelled at the service, and by that at the provider.
        let ended = tokio::select! {
            ended = called(connection, request, &mut output) => ended,
            () = late => CallResult::Failed(Status::deadline_exceeded("the service did not end the call in its time")),
            _ = ctrl_c() => {
                output.end_line().await;
                print_error("interrupted: the call is cancelled".to_owned());
                return Ok(ExitCode::from(INTERRUPTED));
            }
        };
        Ok(output.conclude(ended).await)
    }
}

/// Makes the call and writes what comes.
async fn called(
    connection: Connection,
    request: tonic::Request<v1::GenerateRequest>,
    output: &mut Output,
) -> CallResult {
    let origin = connection.origin();
    let mut client = GenerationServiceClient::with_origin(connection, origin)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let mut events = match client.stream_generate(request).await {
        Ok(response) => response.into_inner(),
        Err(status) => return CallResult::Failed(status),
    };
    loop {
        let message = match events.message().await {
            Ok(Some(message)) => message,
            Ok(None) => {
                let status = Status::internal("the stream ended without its last event");
                return CallResult::Failed(status);
            }
            Err(status) => return CallResult::Failed(status),
        };
        if let Err(error) = output.event(&message).await {
            return match error.kind() {
                io::ErrorKind::BrokenPipe => CallResult::Unread,
                _ => CallResult::Unwritable(error),
            };
        }
        if let Some(Event::Completed(completed)) = message.event {
            return CallResult::Answered(Box::new(completed.response.unwrap_or_default()));
        }
    }
}

/// Standard output, as the answer is written to it.
struct Output {
    /// Set if events are written as JSON.
    json: Option<JsonTypes>,
    is_terminal: bool,
    /// Whether the cursor is at the beginning of a line.
    ends_line: bool,
}

impl Output {
    /// Writes what an event says of the answer.
    async fn event(&mut self, message: &v1::StreamGenerateResponse) -> io::Result<()> {
        if let Some(types) = &self.json {
            // A message without an event keeps a silent stream alive.
            if message.event.is_none() {
                return Ok(());
            }
            let mut line = Vec::new();
            let place = types.place(STREAM_RESPONSE).unwrap_or(usize::MAX);
            let written = form::write(types, place, &message.encode_to_vec(), &mut line);
            written.map_err(|_| io::Error::other("an event has no JSON"))?;
            line.push(b'\n');
            return write(line).await;
        }
        match &message.event {
            Some(Event::TextDelta(delta)) => self.text(&delta.text).await,
            Some(Event::RefusalDelta(delta)) => self.text(&delta.text).await,
            Some(Event::PartAdded(added)) => {
                let part = added.part.as_ref().and_then(|part| part.part.as_ref());
                if let Some(what) = part.and_then(described) {
                    self.end_line().await;
                    print_error(shown(&format!("[{what}: --json shows it]")).into_owned());
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn text(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.ends_line = text.ends_with('\n');
        let text = match self.is_terminal {
            true => shown(text).into_owned(),
            false => text.to_owned(),
        };
        write(text.into_bytes()).await
    }

    /// Goes to the beginning of a line, so that what is told begins one.
    async fn end_line(&mut self) {
        if !self.ends_line && self.is_terminal {
            self.ends_line = true;
            let _ = timeout(GRACE, write(b"\n".to_vec())).await;
        }
    }

    /// Tells how the call ended.
    async fn conclude(mut self, ended: CallResult) -> ExitCode {
        self.end_line().await;
        match ended {
            CallResult::Answered(response) => {
                if self.json.is_none() {
                    print_shown(&summary::of_answer(&response));
                }
                ExitCode::SUCCESS
            }
            CallResult::Failed(status) => {
                if let Some(types) = &self.json {
                    let mut line = failure::json(&status, types);
                    line.push(b'\n');
                    let _ = timeout(GRACE, write(line)).await;
                }
                print_shown(&failure::message(&status));
                ExitCode::from(failure::exit_code(&status))
            }
            // Whoever reads had enough of it.
            CallResult::Unread => ExitCode::SUCCESS,
            CallResult::Unwritable(error) => {
                print_error(format!("the answer cannot be written: {error}"));
                ExitCode::FAILURE
            }
        }
    }
}

fn print_shown(text: &str) {
    print_error(shown(text.trim_end()).into_owned());
}

/// Writes to standard output, elsewhere: a reader that is slow must not keep Ctrl-C from being heard.
async fn write(bytes: Vec<u8>) -> io::Result<()> {
    let write = move || {
        let mut stdout = io::stdout().lock();
        stdout.write_all(&bytes)?;
        stdout.flush()
    };
    spawn_blocking(write)
        .await
        .unwrap_or_else(|lost| Err(io::Error::other(lost)))
}

/// A part that is no text.
fn described(part: &Part) -> Option<String> {
    let media = |what: &str, media: &v1::Media| {
        let size = match &media.source {
            Some(v1::media::Source::Data(bytes)) => format!(", {} bytes", bytes.len()),
            _ => String::new(),
        };
        Some(format!("{what} {}{size}", media.media_type))
    };
    match part {
        Part::Image(of) => media("an image", of),
        Part::Document(of) => media("a document", of),
        Part::Audio(of) => media("a sound", of),
        Part::Video(of) => media("a film", of),
        Part::ProviderPart(of) => Some(format!("a part of {}: {}", of.provider, of.kind)),
        Part::Text(_)
        | Part::ToolCall(_)
        | Part::ToolResult(_)
        | Part::Reasoning(_)
        | Part::Refusal(_) => None,
    }
}
