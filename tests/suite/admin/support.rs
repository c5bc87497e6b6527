//! A service with a control store, and its first administrator.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use modelway::grpc::v1::admin_service_client::AdminServiceClient;
use modelway::grpc::v1::{
    Account, AccountKind, Action, CreateKeyRequest, Key, PutAccountRequest, Scope,
};
use modelway::server::ListenAddress;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::support::{Gateway, ONE_MODEL, program, scratch};

/// All that an administrator can be allowed.
pub(crate) const ALL: [Action; 6] = [
    Action::LedgerRead,
    Action::Operate,
    Action::AdminAccounts,
    Action::AdminLimits,
    Action::AdminPrices,
    Action::AdminRead,
];

pub(crate) type AdminClient = AdminServiceClient<InterceptedService<Channel, Bearer>>;

/// Shows a key with each request.
#[derive(Clone)]
pub(crate) struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A running service whose store has the caller `ops`, which may do everything in administration.
pub(crate) struct Administered {
    pub(crate) gateway: Gateway,
    /// The data directory.
    pub(crate) data: PathBuf,
    /// The secret of the key of `ops`.
    pub(crate) ops: String,
}

impl Administered {
    /// Starts a service with one simulated model and what `more` says. `name` is that of its data directory.
    pub(crate) async fn start(name: &str, more: &str) -> Self {
        let data = scratch::path(name);
        let actions = ALL.map(|action| action.as_str_name().trim_start_matches("ACTION_"));
        let actions = actions.iter().flat_map(|action| ["--admin", action]);
        let mut arguments = vec!["create", "--caller", "ops"];
        arguments.extend(actions);
        let ops = secret_of(&keys(&data, &arguments));
        let ledger = format!("[ledger]\npath = {:?}\n", data.display().to_string());
        let gateway = Gateway::start(&format!("{ONE_MODEL}\n{ledger}\n{more}")).await;
        Self { gateway, data, ops }
    }

    /// Where the service listens for operators.
    pub(crate) fn admin_address(&self) -> String {
        match self.gateway.admin.as_ref().unwrap() {
            ListenAddress::Tcp(address) => address.to_string(),
            ListenAddress::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    /// A connection to the listener for operators.
    pub(crate) async fn admin_channel(&self) -> Channel {
        let address = format!("http://{}", self.admin_address());
        Channel::from_shared(address)
            .unwrap()
            .connect()
            .await
            .unwrap()
    }

    /// A client that shows the key of `ops`.
    pub(crate) async fn client(&self) -> AdminClient {
        self.client_with(&self.ops).await
    }

    pub(crate) async fn client_with(&self, secret: &str) -> AdminClient {
        client_at(self.gateway.admin.as_ref().unwrap(), secret).await
    }

    /// Makes a caller.
    pub(crate) async fn account(&self, admin: &mut AdminClient, id: &str) {
        let request = PutAccountRequest {
            account: Some(caller(id)),
            comment: String::new(),
        };
        admin.put_account(request).await.unwrap();
    }

    /// Makes a key of this account; its id and its secret.
    pub(crate) async fn key(&self, admin: &mut AdminClient, account: &str) -> (String, String) {
        let request = CreateKeyRequest {
            key: Some(Key {
                account: account.to_owned(),
                ..Key::default()
            }),
            comment: String::new(),
        };
        let made = admin.create_key(request).await.unwrap().into_inner();
        (made.key.unwrap().id, made.secret)
    }

    /// Every file in the data directory.
    pub(crate) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut folders = vec![self.data.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => files.push((path.clone(), fs::read(path).unwrap())),
                }
            }
        }
        files
    }
}

/// A client of the listener for operators that shows this key.
pub(super) async fn client_at(address: &ListenAddress, secret: &str) -> AdminClient {
    let ListenAddress::Tcp(address) = address else {
        panic!("a listener on a socket");
    };
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    let channel = channel.connect().await.unwrap();
    AdminServiceClient::with_interceptor(channel, Bearer(bearer(secret)))
}

/// A caller that may do what callers may.
pub(crate) fn caller(id: &str) -> Account {
    Account {
        id: id.to_owned(),
        kind: AccountKind::Caller.into(),
        ..Account::default()
    }
}

/// A scope for this action, for all scenarios.
pub(crate) fn scope(action: Action) -> Scope {
    let scenarios = match action {
        Action::Generate => vec!["*".to_owned()],
        _ => Vec::new(),
    };
    Scope {
        action: action.into(),
        scenarios,
        models: Vec::new(),
    }
}

pub(crate) fn bearer(secret: &str) -> MetadataValue<Ascii> {
    format!("Bearer {secret}").parse().unwrap()
}

/// The request with a key.
pub(crate) fn authorized<T>(mut request: Request<T>, secret: &str) -> Request<T> {
    request
        .metadata_mut()
        .insert("authorization", bearer(secret));
    request
}

/// `modelway keys` on the store itself.
pub(crate) fn keys_command(data: &Path, arguments: &[&str]) -> Command {
    let mut command = program();
    command.arg("keys").args(arguments).arg("--data").arg(data);
    command
}

/// What `modelway keys` says, which must do as it is asked.
pub(crate) fn keys(data: &Path, arguments: &[&str]) -> Output {
    let output = keys_command(data, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    output
}

/// The secret that a command has written.
pub(crate) fn secret_of(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let secret = text.strip_suffix('\n').unwrap();
    assert_eq!(secret.len(), 53, "{text}");
    secret.to_owned()
}
