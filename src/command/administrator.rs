//! How does a command have a running service do what an administrator asks for? Through AdminService, with a key or a
//! certificate.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use crate::grpc::v1::admin_service_client::AdminServiceClient;

use super::address::ServiceAddress;
use super::bearer::Bearer;
use super::client::{Connection, For, NoService, ServiceArguments};
use super::console::{BROKEN, Unwritten, print_error};
use super::failure;
use super::nothing_done::NothingDone;

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The variable that holds the key of an administrator.
pub(super) const ADMIN_KEY: &str = "MODELWAY_ADMIN_KEY";

/// Which service is asked, and who asks.
#[derive(Debug, Args)]
pub(super) struct ServerArguments {
    /// Ask this service: the address of its listener for operators, HOST:PORT, https://HOST:PORT or unix:/PATH. The key of
    /// an administrator is taken from MODELWAY_ADMIN_KEY or --admin-key-file.
    #[arg(long, value_name = "ADDRESS", global = true)]
    server: Option<ServiceAddress>,
    /// The file that holds the key of an administrator.
    #[arg(long, value_name = "FILE", global = true)]
    admin_key_file: Option<PathBuf>,
    /// Speak TLS, and trust the authorities in this file (PEM) besides the system's.
    #[arg(long, value_name = "FILE", global = true)]
    ca: Option<PathBuf>,
    /// The name in the service's certificate, if it is not the host of the address.
    #[arg(long, value_name = "NAME", global = true)]
    server_name: Option<String>,
    /// Our certificate (PEM), for a service that asks for one. No key is needed if it names an administrator.
    #[arg(long, value_name = "FILE", global = true, requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// The private key of our certificate (PEM).
    #[arg(long, value_name = "FILE", global = true, requires = "client_cert")]
    client_key: Option<PathBuf>,
}

/// AdminService of a running service.
pub(super) type AdminClient = AdminServiceClient<Connection>;

/// What proves to the service who asks, beside the certificate of the connection.
pub(super) struct AdminProof(Option<Bearer>);

impl AdminProof {
    /// A request with this message.
    pub(super) fn with<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(bearer) = &self.0 {
            bearer.show(&mut request);
        }
        request
    }
}

/// Why there is no answer.
pub(super) enum NoAnswer {
    /// The command line is at fault.
    Usage(String),
    /// Something outside failed.
    Failed(String),
    /// The service refuses.
    Status(Status),
    /// It does not answer in time.
    Late,
}

impl From<NothingDone> for NoAnswer {
    fn from(nothing: NothingDone) -> Self {
        match nothing {
            NothingDone::Usage(why) => Self::Usage(why),
            NothingDone::Failed(why) => Self::Failed(why),
        }
    }
}

impl From<Unwritten> for NoAnswer {
    fn from(unwritten: Unwritten) -> Self {
        Self::Failed(unwritten.into())
    }
}

impl From<Status> for NoAnswer {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// The answer to a request, if it arrives in time.
///
/// # Errors
/// The service refuses, or does not answer.
pub(super) async fn answered<T>(
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, NoAnswer> {
    match timeout(ANSWER_LIMIT, call).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(NoAnswer::Late),
    }
}

impl ServerArguments {
    /// The service that is asked; `None` if the command works on the store itself.
    pub(super) fn address(&self) -> Option<&ServiceAddress> {
        self.server.as_ref()
    }

    /// Connects to the service at this address, and asks it. Says on standard error why there is no answer.
    ///
    /// # Errors
    /// What failed outside of the service.
    pub(super) async fn ask(
        &self,
        address: &ServiceAddress,
        asking: impl AsyncFnOnce(AdminClient, AdminProof) -> Result<ExitCode, NoAnswer>,
    ) -> Result<ExitCode, String> {
        let proof = match self.proof() {
            Ok(proof) => proof,
            Err(why) => return Ok(NoService::Usage(why).report()),
        };
        let service = ServiceArguments::at(address.clone(), self.ca.clone())
            .named(self.server_name.clone())
            .with_certificate(self.client_cert.clone(), self.client_key.clone());
        let reached = match service.address(For::Operations) {
            Ok(address) => service.connect(&address).await,
            Err(no_service) => Err(no_service),
        };
        let connection = match reached {
            Ok(connection) => connection,
            Err(no_service) => return Ok(no_service.report()),
        };
        let origin = connection.origin();
        let client = AdminServiceClient::with_origin(connection, origin);
        match asking(client, proof).await {
            Ok(code) => Ok(code),
            Err(NoAnswer::Usage(why)) => {
                print_error(why);
                Ok(ExitCode::from(BROKEN))
            }
            Err(NoAnswer::Failed(why)) => Err(why),
            Err(NoAnswer::Status(status)) => {
                print_error(failure::message(&status).trim_end().to_owned());
                Ok(ExitCode::from(failure::exit_code(&status)))
            }
            Err(NoAnswer::Late) => {
                let why = format!("{address} does not answer: it took over {ANSWER_LIMIT:?}");
                Ok(NoService::Unreachable(why).report())
            }
        }
    }

    /// The key of the administrator, which only a certificate makes needless.
    fn proof(&self) -> Result<AdminProof, String> {
        let read = Bearer::read(self.admin_key_file.as_deref(), ADMIN_KEY)?;
        if read.is_none() && self.client_cert.is_none() {
            return Err(format!(
                "set {ADMIN_KEY} to the key of an administrator, or name a file with --admin-key-file"
            ));
        }
        Ok(AdminProof(read))
    }
}
