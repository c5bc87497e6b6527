//! How does a running service make, list, replace and revoke keys for a command? Through AdminService, with a key.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Args;
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use crate::command::address::ServiceAddress;
use crate::command::bearer::Bearer;
use crate::command::client::{Connection, NoService, ServiceArguments};
use crate::command::console::{BROKEN, print, print_error};
use crate::command::failure;
use crate::grpc::v1::admin_service_client::AdminServiceClient;
use crate::grpc::{admin, answer, v1};

use super::KeysCommand;
use super::made::SecretPlace;
use super::told::{line_of, table_of};

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The variable that holds the key of an administrator.
const ADMIN_KEY: &str = "MODELWAY_ADMIN_KEY";

/// Which service does it, and who asks.
#[derive(Debug, Args)]
pub(super) struct ServerArguments {
    /// Have this service do it: the address of its listener for operators, HOST:PORT, https://HOST:PORT or unix:/PATH. The
    /// key of an administrator is taken from MODELWAY_ADMIN_KEY or --admin-key-file.
    #[arg(long, value_name = "ADDRESS", global = true)]
    server: Option<ServiceAddress>,
    /// The file that holds the key of an administrator.
    #[arg(long, value_name = "FILE", global = true)]
    admin_key_file: Option<PathBuf>,
    /// Speak TLS, and trust the authorities in this file (PEM) besides the system's.
    #[arg(long, value_name = "FILE", global = true)]
    ca: Option<PathBuf>,
}

impl ServerArguments {
    pub(super) fn address(&self) -> Option<&ServiceAddress> {
        self.server.as_ref()
    }

    /// Has the service at this address do what the command says.
    pub(super) async fn run(
        &self,
        address: &ServiceAddress,
        command: KeysCommand,
        comment: String,
    ) -> Result<ExitCode, String> {
        let key = match self.key() {
            Ok(key) => key,
            Err(why) => return Ok(NoService::Usage(why).told()),
        };
        let service = ServiceArguments::at(address.clone(), self.ca.clone());
        let reached = match service.address(crate::command::client::For::Operations) {
            Ok(address) => service.connect(&address).await,
            Err(no_service) => Err(no_service),
        };
        let connection = match reached {
            Ok(connection) => connection,
            Err(no_service) => return Ok(no_service.told()),
        };
        let origin = connection.origin();
        let client = AdminServiceClient::with_origin(connection, origin);
        let done = asked(client, &key, command, comment).await;
        match done {
            Ok(code) => Ok(code),
            Err(Unanswered::Usage(why)) => {
                print_error(why);
                Ok(ExitCode::from(BROKEN))
            }
            Err(Unanswered::Failed(why)) => Err(why),
            Err(Unanswered::Status(status)) => {
                print_error(failure::told(&status).trim_end().to_owned());
                Ok(ExitCode::from(failure::exit_code(&status)))
            }
            Err(Unanswered::Late) => {
                let why = format!("{address} does not answer: it took over {ANSWER_LIMIT:?}");
                Ok(NoService::Unreachable(why).told())
            }
        }
    }

    /// The key of the administrator.
    fn key(&self) -> Result<Bearer, String> {
        let read = Bearer::read(self.admin_key_file.as_deref(), ADMIN_KEY)?;
        read.ok_or_else(|| {
            format!("set {ADMIN_KEY} to the key of an administrator, or name a file with --admin-key-file")
        })
    }
}

/// Why there is no answer.
enum Unanswered {
    Usage(String),
    Failed(String),
    Status(Status),
    Late,
}

impl From<Status> for Unanswered {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

async fn answered<T>(
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Unanswered> {
    match timeout(ANSWER_LIMIT, call).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(Unanswered::Late),
    }
}

async fn asked(
    mut client: AdminServiceClient<Connection>,
    bearer: &Bearer,
    command: KeysCommand,
    comment: String,
) -> Result<ExitCode, Unanswered> {
    match command {
        KeysCommand::Create(arguments) => {
            let shown = arguments.secret.shown().map_err(Unanswered::Usage)?;
            let now = SystemTime::now();
            let scopes = arguments.scopes().unwrap_or_default();
            let wish = v1::Key {
                account: arguments.caller,
                display_name: arguments.name,
                scopes: scopes.iter().map(admin::scope).collect(),
                expire_time: arguments.expires.map(|life| answer::timestamp(now + life)),
                ..v1::Key::default()
            };
            let request = v1::CreateKeyRequest {
                key: Some(wish),
                comment,
            };
            match answered(client.create_key(with(request, bearer))).await {
                Ok(v1::CreateKeyResponse { key, secret }) => tell(shown, secret, key),
                Err(unanswered) => {
                    shown.discard();
                    Err(unanswered)
                }
            }
        }
        KeysCommand::Rotate {
            id,
            overlap,
            secret,
        } => {
            let shown = secret.shown().map_err(Unanswered::Usage)?;
            let request = v1::RotateKeyRequest {
                id,
                overlap: Some(answer::duration(overlap)),
                expire_time: None,
                comment,
            };
            match answered(client.rotate_key(with(request, bearer))).await {
                Ok(v1::RotateKeyResponse { key, secret }) => tell(shown, secret, key),
                Err(unanswered) => {
                    shown.discard();
                    Err(unanswered)
                }
            }
        }
        KeysCommand::List { account } => {
            let mut keys = Vec::new();
            let mut page_token = String::new();
            loop {
                let request = v1::ListKeysRequest {
                    page_size: 1_000,
                    page_token,
                    account: account.clone().unwrap_or_default(),
                    state: 0,
                };
                let page = answered(client.list_keys(with(request, bearer))).await?;
                keys.extend(page.keys);
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
            print(table_of(&keys));
            Ok(ExitCode::SUCCESS)
        }
        KeysCommand::Revoke { id, let_calls_end } => {
            let request = v1::RevokeKeyRequest {
                id,
                comment,
                let_calls_end,
            };
            let revoked = answered(client.revoke_key(with(request, bearer))).await?;
            print(revoked.key.as_ref().map(line_of).unwrap_or_default());
            Ok(ExitCode::SUCCESS)
        }
        KeysCommand::Show => Err(Unanswered::Usage(
            "`show` works on the store itself: a secret is not sent anywhere; leave --server out"
                .to_owned(),
        )),
    }
}

fn with<T>(message: T, bearer: &Bearer) -> Request<T> {
    let mut request = Request::new(message);
    bearer.show(&mut request);
    request
}

fn tell(shown: SecretPlace, secret: String, key: Option<v1::Key>) -> Result<ExitCode, Unanswered> {
    let about = key.as_ref().map(line_of).unwrap_or_default();
    shown
        .tell(&secret.into(), &about)
        .map_err(Unanswered::Failed)
}
