//! Who may operate the service from other machines? A client certificate or a key, and nothing without TLS unless a proxy
//! encrypts.
//!
//! The listeners are bound to every address; the tests connect from this machine, which counts as any other there.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Output;

use modelway::config::Overrides;
use modelway::config::check::check;
use modelway::grpc::v1::operations_service_client::OperationsServiceClient;
use modelway::grpc::v1::{Action, CreateKeyRequest, Key, ListBreakersRequest};
use modelway::server::ListenAddress;
use modelway::simulator::{Settings, Simulator};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tonic::{Code, Request};

use crate::support::foreign::authority::{Authority, Issued, Purpose};
use crate::support::{Gateway, ONE_MODEL, Process, program, scratch};

use super::support::{Administered, authorized, keys, scope, secret_of};

/// How the listener for operators is set up.
struct Way {
    servers: Authority,
    clients: Authority,
    /// The files of the service's certificate and its key.
    cert: (PathBuf, PathBuf),
}

impl Way {
    fn new() -> Self {
        let servers = Authority::new();
        Self {
            cert: servers.issue(Purpose::Server).files(),
            clients: Authority::new(),
            servers,
        }
    }

    /// `[admin.tls]`; `more` goes on with its keys.
    fn tls(&self, more: &str) -> String {
        let (cert, key) = &self.cert;
        format!("[admin.tls]\ncert = {cert:?}\nkey = {key:?}\n{more}\n")
    }

    /// The same, with the authority of clients.
    fn mutual(&self, auth: &str) -> String {
        let ca = self.clients.file();
        self.tls(&format!("client_ca = {ca:?}\nclient_auth = {auth:?}"))
    }

    /// A connection with TLS to this port, of this client or of one without a certificate.
    async fn connect(&self, port: u16, client: Option<&Issued>) -> Result<Channel, String> {
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(self.servers.pem()))
            .domain_name("localhost");
        if let Some(client) = client {
            tls = tls.identity(Identity::from_pem(client.pem(), client.key()));
        }
        let endpoint = Channel::from_shared(format!("https://127.0.0.1:{port}")).unwrap();
        let connected = endpoint.tls_config(tls).unwrap().connect().await;
        connected.map_err(|error| error.to_string())
    }
}

/// The beginning of a file whose listener for operators is on every address, and its data directory.
fn exposed(name: &str, store: bool) -> (PathBuf, PathBuf, String) {
    let folder = scratch::folder(name);
    let data = folder.join("data");
    let ledger = match store {
        true => format!("[ledger]\npath = {:?}\n", data.display().to_string()),
        false => String::new(),
    };
    let text = format!(
        "{ledger}[server]\npredrain = '0s'\n[providers.openai]\nsimulated = true\nwire_format = 'openai_chat'\n{ONE_MODEL}\n\
         [admin]\nlisten = '0.0.0.0:0'\n"
    );
    (folder.join("modelway.toml"), data, text)
}

/// What `modelway check` says of a file: nothing if it is right.
fn mistakes(name: &str, store: bool, more: &str) -> String {
    let (file, _, text) = exposed(name, store);
    fs::write(&file, format!("{text}{more}")).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    check(&file, false, &Overrides::default(), &mut out, &mut err).unwrap();
    String::from_utf8(err).unwrap()
}

#[test]
fn every_way_to_open_the_listener_to_other_machines_is_judged_with_its_remedy() {
    let way = Way::new();
    let plaintext = "plaintext = 'behind-proxy'\n";
    let admin = "[[accounts]]\nid = 'ops'\nkind = 'caller'\nscopes = ['OPERATE']\n";
    let caller = "[[accounts]]\nid = 'c'\nkind = 'caller'\n";
    const KEYS_IN_PLAINTEXT: &str = "keys of administrators would travel in plaintext to 0.0.0.0:0";
    const NOBODY: &str = "nobody could operate the service at 0.0.0.0:0";
    let ways = [
        ("plain", true, String::new(), KEYS_IN_PLAINTEXT),
        ("proxy", true, plaintext.to_owned(), ""),
        ("tls", true, way.tls(""), ""),
        ("optional", true, way.mutual("optional"), ""),
        ("required", true, way.mutual("required"), ""),
        // Where no keys are kept, an account of the file may prove by its key, token or certificate who it is.
        ("proxy", false, plaintext.to_owned(), NOBODY),
        ("tls", false, way.tls(""), NOBODY),
        ("optional", false, way.mutual("optional"), NOBODY),
        ("required", false, way.mutual("required"), ""),
        ("tls", false, way.tls("") + caller, NOBODY),
        ("tls", false, way.tls("") + admin, ""),
    ];
    for (name, store, more, expected) in &ways {
        let told = mistakes("judged", *store, more);
        match *expected {
            "" => assert_eq!(told, "", "{name}, store: {store}"),
            expected => assert!(
                told.contains(expected) && told.contains("admin.listen"),
                "{name}, store: {store}: {told}"
            ),
        }
    }
    let told = mistakes("judged", true, "");
    for remedy in [
        "[admin.tls]",
        "client_ca",
        "loopback",
        "plaintext = \"behind-proxy\"",
    ] {
        assert!(told.contains(remedy), "{remedy}: {told}");
    }
    let told = mistakes("judged", false, plaintext);
    for remedy in ["ledger.path", "keys create --admin", "OPERATE", "client_ca"] {
        assert!(told.contains(remedy), "{remedy}: {told}");
    }
    println!("ways to open the listener: {}, each judged", ways.len());
}

/// A service whose listener for operators is on every address.
struct Exposed {
    administered: Administered,
    file: PathBuf,
    begin: String,
    port: u16,
    /// The secrets of a key with OPERATE, of one with ADMIN_READ, and of a caller.
    operator: String,
    reader: String,
    caller: String,
}

impl Exposed {
    async fn start(name: &str, more: &str) -> Self {
        let (file, data, begin) = exposed(name, true);
        let make = |arguments: &[&str]| secret_of(&keys(&data, arguments));
        let ops = make(&[
            "create",
            "--caller",
            "ops",
            "--admin",
            "OPERATE",
            "--admin",
            "ADMIN_READ",
        ]);
        let operator = make(&["create", "--caller", "ops", "--admin", "OPERATE"]);
        let reader = make(&["create", "--caller", "ops", "--admin", "ADMIN_READ"]);
        let accounts = "[[accounts]]\nid = 'caller'\nkind = 'caller'\n";
        let begin = format!("{accounts}{begin}");
        fs::write(&file, format!("{begin}{more}")).unwrap();
        let mut create = program();
        create.args(["keys", "create", "--caller", "caller", "--config"]);
        let caller = secret_of(&create.arg(&file).output().unwrap());
        let simulator = Simulator::start(Settings::default()).await.unwrap();
        let gateway = Gateway::following(simulator, &file).await;
        let Some(ListenAddress::Tcp(SocketAddr::V4(address))) = gateway.admin.clone() else {
            panic!("{:?}", gateway.admin);
        };
        assert_eq!(*address.ip(), Ipv4Addr::UNSPECIFIED);
        Self {
            port: address.port(),
            administered: Administered { gateway, data, ops },
            file,
            begin,
            operator,
            reader,
            caller,
        }
    }

    /// What comes of operating over this connection with each of the proofs.
    async fn codes(&self, channel: &Channel) -> [Code; 4] {
        let keys = [
            None,
            Some(&self.caller),
            Some(&self.reader),
            Some(&self.operator),
        ];
        let mut codes = [Code::Ok; 4];
        for (code, key) in codes.iter_mut().zip(keys) {
            *code = operate(channel, key.map(String::as_str)).await;
        }
        codes
    }
}

async fn operate(channel: &Channel, key: Option<&str>) -> Code {
    let mut client = OperationsServiceClient::new(channel.clone());
    let mut request = Request::new(ListBreakersRequest::default());
    if let Some(key) = key {
        request = authorized(request, key);
    }
    let listed = client.list_breakers(request).await;
    listed.map_or_else(|status| status.code(), |_| Code::Ok)
}

/// Nothing, a key for calls, one that may not operate, one that may.
const BY_KEY: [Code; 4] = [
    Code::Unauthenticated,
    Code::PermissionDenied,
    Code::PermissionDenied,
    Code::Ok,
];

/// A certificate of the operators' authority is enough; a key beside it says what it may do.
const BY_CERTIFICATE: [Code; 4] = [
    Code::Ok,
    Code::PermissionDenied,
    Code::PermissionDenied,
    Code::Ok,
];

#[tokio::test]
async fn over_tls_without_client_certificates_operating_takes_a_key_that_may() {
    let way = Way::new();
    let exposed = Exposed::start("keys", &way.tls("")).await;
    let channel = way.connect(exposed.port, None).await.unwrap();
    assert_eq!(exposed.codes(&channel).await, BY_KEY);

    // Metrics tell names and money; whether the process lives is told to everybody.
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured((*way.servers.client(None, &["http/1.1"])).clone())
        .build()
        .unwrap();
    let get = async |path: &str, key: Option<&str>| {
        let mut request = client.get(format!("https://localhost:{}{path}", exposed.port));
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        let answer = request.send().await.unwrap();
        let scheme = answer.headers().contains_key("www-authenticate");
        (answer.status().as_u16(), scheme)
    };
    assert_eq!(get("/livez", None).await, (200, false));
    assert_eq!(get("/readyz", None).await, (200, false));
    assert_eq!(get("/metrics", None).await, (401, true));
    assert_eq!(get("/metrics", Some("mwa_wrong")).await, (401, true));
    assert_eq!(get("/metrics", Some(&exposed.caller)).await, (403, false));
    assert_eq!(get("/metrics", Some(&exposed.reader)).await, (403, false));
    assert_eq!(get("/metrics", Some(&exposed.operator)).await, (200, false));

    // In plaintext no key arrives.
    let plain = Channel::from_shared(format!("http://127.0.0.1:{}", exposed.port)).unwrap();
    if let Ok(plain) = plain.connect().await {
        assert_ne!(operate(&plain, Some(&exposed.operator)).await, Code::Ok);
    }
}

#[tokio::test]
async fn a_client_certificate_that_is_optional_opens_as_a_key_does_and_without_one_a_key_is_needed()
{
    let way = Way::new();
    let exposed = Exposed::start("optional", &way.mutual("required")).await;
    let client = way.clients.issue(Purpose::Client);
    let stranger = Authority::new().issue(Purpose::Client);
    let certified = way.connect(exposed.port, Some(&client)).await.unwrap();
    assert_eq!(exposed.codes(&certified).await, BY_CERTIFICATE);
    if let Ok(channel) = way.connect(exposed.port, None).await {
        assert_ne!(operate(&channel, Some(&exposed.operator)).await, Code::Ok);
    }

    // A reload lets clients without a certificate in: they do not get what the certificate was for.
    fs::write(
        &exposed.file,
        format!("{}{}", exposed.begin, way.mutual("optional")),
    )
    .unwrap();
    assert!(exposed.administered.gateway.reload().await);
    let without = loop {
        if let Ok(channel) = way.connect(exposed.port, None).await
            && operate(&channel, Some(&exposed.operator)).await == Code::Ok
        {
            break channel;
        }
    };
    assert_eq!(exposed.codes(&without).await, BY_KEY);
    let certified = way.connect(exposed.port, Some(&client)).await.unwrap();
    assert_eq!(exposed.codes(&certified).await, BY_CERTIFICATE);
    if let Ok(channel) = way.connect(exposed.port, Some(&stranger)).await {
        assert_ne!(operate(&channel, Some(&exposed.operator)).await, Code::Ok);
    }
}

#[tokio::test]
async fn behind_a_proxy_that_encrypts_operating_takes_a_key_whatever_the_address() {
    let exposed = Exposed::start("proxy", "plaintext = 'behind-proxy'\n").await;
    let address = format!("http://127.0.0.1:{}", exposed.port);
    let channel = Channel::from_shared(address)
        .unwrap()
        .connect()
        .await
        .unwrap();
    assert_eq!(exposed.codes(&channel).await, BY_KEY);

    // The proxy may stand on this machine.
    for (name, keys, expected) in [
        ("shared", "plaintext = 'behind-proxy'\n", BY_KEY[0]),
        ("own", "", Code::Ok),
    ] {
        let data = exposed.administered.data.display();
        let text = format!(
            "{ONE_MODEL}[admin]\nlisten = '127.0.0.1:0'\n{keys}[ledger]\npath = '{data}-{name}'\n"
        );
        let gateway = Gateway::start(&text).await;
        let Some(ListenAddress::Tcp(address)) = gateway.admin.clone() else {
            panic!("{:?}", gateway.admin);
        };
        let channel = Channel::from_shared(format!("http://{address}")).unwrap();
        let channel = channel.connect().await.unwrap();
        assert_eq!(operate(&channel, None).await, expected, "{name}");
    }
}

#[tokio::test]
async fn operators_at_the_listener_for_callers_need_a_key_where_other_machines_reach_it() {
    let way = Way::new();
    let (cert, key) = &way.cert;
    let ca = way.clients.file();
    let data = scratch::path("data");
    let operator = secret_of(&keys(
        &data,
        &["create", "--caller", "ops", "--admin", "OPERATE"],
    ));
    let text = format!(
        "{ONE_MODEL}[auth]\nanonymous = 'local'\nanonymous_beyond_loopback = true\n[ledger]\npath = {:?}\n\
         [providers.openai]\nsimulated = true\nwire_format = 'openai_chat'\n\
         [server]\nlisten = '0.0.0.0:0'\npredrain = '0s'\nadmin = true\n\
         [server.tls]\ncert = {cert:?}\nkey = {key:?}\nclient_ca = {ca:?}\n",
        data.display().to_string()
    );
    let file = data.join("modelway.toml");
    fs::write(&file, text).unwrap();
    let process = Process::listening(&file);
    let client = way.clients.issue(Purpose::Client);
    let port = process.address.port();
    let channel = way.connect(port, Some(&client)).await.unwrap();

    // Every caller has a certificate of this authority.
    assert_eq!(operate(&channel, None).await, Code::Unauthenticated);
    assert_eq!(operate(&channel, Some(&operator)).await, Code::Ok);
}

/// `modelway` with these arguments against the listener for operators.
async fn command(exposed: &Exposed, arguments: Vec<String>, key: Option<&str>) -> Output {
    let mut command = program();
    let address = format!("https://localhost:{}", exposed.port);
    command.args(arguments).args(["--server", &address]);
    if let Some(key) = key {
        command.env("MODELWAY_ADMIN_KEY", key);
    }
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

#[tokio::test]
async fn commands_reach_the_listener_with_a_key_or_with_a_certificate_that_names_an_administrator()
{
    let way = Way::new();
    let bound = "[[accounts]]\nid = 'remote'\nkind = 'caller'\nscopes = ['ADMIN_READ']\n\
                 bindings = [{ certificate = { san = 'modelway.example' } }]\n";
    let exposed = Exposed::start("commands", &(way.mutual("required") + bound)).await;
    let client = way.clients.issue(Purpose::Client);
    let (cert, key) = client.files();
    let ca = way.servers.file();
    let ca = ["--ca".to_owned(), ca.display().to_string()];
    let shown = [
        "--client-cert".to_owned(),
        cert.display().to_string(),
        "--client-key".to_owned(),
        key.display().to_string(),
    ];
    for words in [
        &["keys", "list"][..],
        &["audit", "list"],
        &["audit", "verify"],
    ] {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        let without = [&words[..], &ca].concat();
        let without = command(&exposed, without, Some(&exposed.reader)).await;
        assert_ne!(without.status.code(), Some(0), "{without:?}");
        let with = [&words[..], &ca, &shown].concat();
        let with = command(&exposed, with, None).await;
        assert_eq!(with.status.code(), Some(0), "{words:?}: {with:?}");
    }
    // What the certificate may not, no command may.
    let create = ["keys", "create", "--caller", "caller"].map(str::to_owned);
    let create = [&create[..], &ca, &shown].concat();
    let refused = command(&exposed, create, None).await;
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");

    let way = Way::new();
    let exposed = Exposed::start("commands-keys", &way.tls("")).await;
    let ca = ["--ca".to_owned(), way.servers.file().display().to_string()];
    let list = ["keys", "list"].map(str::to_owned);
    let listed = command(&exposed, [&list[..], &ca].concat(), Some(&exposed.reader)).await;
    assert_eq!(listed.status.code(), Some(0), "{listed:?}");
    let request = CreateKeyRequest {
        key: Some(Key {
            account: "ops".to_owned(),
            scopes: vec![scope(Action::Operate)],
            ..Key::default()
        }),
        comment: String::new(),
    };
    let channel = way.connect(exposed.port, None).await.unwrap();
    let mut admin =
        modelway::grpc::v1::admin_service_client::AdminServiceClient::new(channel.clone());
    let denied = admin
        .create_key(authorized(Request::new(request), &exposed.reader))
        .await;
    assert_eq!(denied.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_plan_is_shown_to_whoever_shows_the_key_of_an_operator_from_a_file_or_a_variable() {
    let way = Way::new();
    let exposed = Exposed::start("explain", &way.tls("")).await;
    let address = format!("https://localhost:{}", exposed.port);
    let explain = async |file: Option<&str>, variable: Option<&str>| {
        let mut command = program();
        command.args(["explain", "one", "--address", &address, "--ca"]);
        command.arg(way.servers.file());
        if let Some(key) = file {
            let path = exposed.file.with_extension("key");
            fs::write(&path, format!("{key}\n")).unwrap();
            command.arg("--admin-key-file").arg(path);
        }
        if let Some(key) = variable {
            command.env("MODELWAY_ADMIN_KEY", key);
        }
        let asking = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = asking.await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let operator = exposed.operator.as_str();

    for shown in [
        explain(Some(operator), None).await,
        explain(None, Some(operator)).await,
        // The option wins over the variable.
        explain(Some(operator), Some(&exposed.reader)).await,
    ] {
        assert_eq!(shown.0, Some(0), "{shown:?}");
        assert!(shown.1.starts_with(" 1. openai/"), "{shown:?}");
    }
    for (refused, code) in [
        (explain(None, None).await, 4),
        (explain(Some(&exposed.reader), Some(operator)).await, 4),
        (explain(Some(&exposed.caller), None).await, 4),
        (explain(Some("two\nlines"), None).await, 2),
        (explain(Some(""), None).await, 2),
    ] {
        assert_eq!(refused.0, Some(code), "{refused:?}");
        assert!(!refused.1.contains(operator), "{refused:?}");
    }
}
