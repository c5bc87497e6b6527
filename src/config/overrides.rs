//! What do the command line and the environment say in place of the file?

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::error::probably_meant;
use crate::server::ListenAddress;
use crate::telemetry;

use super::mistake::Location;

/// The word for a listener that is not wanted.
pub(super) const NONE: &str = "none";

/// Who encrypts where the service does not.
pub(super) const BEHIND_PROXY: &str = "behind-proxy";

/// What all our variables begin with.
const PREFIX: &str = "MODELWAY_";

/// Variables of commands that ask a service, and of our examples of clients. The service does not read them.
const OF_CLIENTS: [&str; 3] = ["MODELWAY_ADDRESS", "MODELWAY_API_KEY", "MODELWAY_ADMIN_KEY"];

/// Variables that nobody sets by hand: `cargo run` has them from `build.rs`.
const OF_BUILDS: [&str; 2] = ["MODELWAY_COMMIT", "MODELWAY_RUSTC"];

/// The variables that are known.
const KNOWN: [&str; 6] = [
    "MODELWAY_LISTEN",
    "MODELWAY_ADMIN_LISTEN",
    "MODELWAY_PROBES_LISTEN",
    "MODELWAY_PLAINTEXT",
    "MODELWAY_LOG",
    "MODELWAY_CONFIG",
];

/// A variable that is unknown or cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongVariable {
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub what: &'static str,
    /// What to do.
    pub remedy: String,
}

/// Settings in place of those of the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Where callers connect.
    pub listen: Option<ListenAddress>,
    /// Where operators connect; `Some(None)`: nowhere.
    pub admin_listen: Option<Option<ListenAddress>>,
    /// Where probes connect; `Some(None)`: nowhere.
    pub probes_listen: Option<Option<ListenAddress>>,
    /// Whether a proxy or a mesh encrypts where the service does not.
    pub behind_proxy: bool,
    /// The filter of logs.
    pub log: Option<String>,
    /// The file itself, if nothing else names one.
    pub config: Option<PathBuf>,
    /// What is wrong with the environment.
    pub wrong: Vec<WrongVariable>,
}

impl From<Option<SocketAddr>> for Overrides {
    fn from(listen: Option<SocketAddr>) -> Self {
        Self {
            listen: listen.map(ListenAddress::Tcp),
            ..Self::default()
        }
    }
}

impl Overrides {
    /// What these environment variables say. Mistakes are told with those of the file.
    pub fn from_variables(variables: impl IntoIterator<Item = (String, OsString)>) -> Self {
        let mut read = Self::default();
        for (name, value) in variables {
            let is_of_others = OF_CLIENTS.contains(&&*name) || OF_BUILDS.contains(&&*name);
            if !name.starts_with(PREFIX)
                || is_of_others
                || is_of_service(&name, &value.to_string_lossy())
            {
                continue;
            }
            read.variable(name, &value);
        }
        read
    }

    fn variable(&mut self, name: String, raw: &OsStr) {
        // What is no text is no value of any variable but the one that names a file.
        let value = raw.to_string_lossy();
        let value = value.trim();
        // An orchestrator sets a variable to nothing rather than not at all.
        if value.is_empty() && KNOWN.contains(&&*name) {
            return;
        }
        let address = "write an IP address and a port such as 127.0.0.1:50051, or unix:/PATH";
        let understood = match &*name {
            "MODELWAY_LISTEN" => {
                self.listen = value.parse().ok();
                self.listen.is_some().then_some(()).ok_or(address)
            }
            "MODELWAY_ADMIN_LISTEN" => {
                self.admin_listen = parse_listen_or_none(value);
                self.admin_listen.is_some().then_some(()).ok_or(address)
            }
            "MODELWAY_PROBES_LISTEN" => {
                self.probes_listen = parse_listen_or_none(value);
                self.probes_listen.is_some().then_some(()).ok_or(address)
            }
            "MODELWAY_PLAINTEXT" => {
                self.behind_proxy = value == BEHIND_PROXY;
                self.behind_proxy.then_some(()).ok_or("write behind-proxy")
            }
            "MODELWAY_LOG" => {
                self.log = Some(value.to_owned());
                let filter = telemetry::logging::filter::parse(value).is_ok();
                filter
                    .then_some(())
                    .ok_or("write a level such as info, or info,modelway=debug")
            }
            "MODELWAY_CONFIG" => {
                let is_text = raw.to_str().is_some();
                self.config = Some(PathBuf::from(match is_text {
                    true => OsStr::new(value),
                    false => raw,
                }));
                Ok(())
            }
            _ => {
                let what = "an unknown variable";
                let remedy = advice(&name);
                self.wrong.push(WrongVariable { name, what, remedy });
                return;
            }
        };
        if let Err(remedy) = understood {
            let what = "it cannot be understood";
            let remedy = remedy.to_owned();
            self.wrong.push(WrongVariable { name, what, remedy });
        }
    }

    /// These settings where there are any, and otherwise those of `others`: a flag wins over the environment.
    pub fn or(self, others: Self) -> Self {
        Self {
            listen: self.listen.or(others.listen),
            admin_listen: self.admin_listen.or(others.admin_listen),
            probes_listen: self.probes_listen.or(others.probes_listen),
            behind_proxy: self.behind_proxy || others.behind_proxy,
            log: self.log.or(others.log),
            config: self.config.or(others.config),
            wrong: [self.wrong, others.wrong].concat(),
        }
    }

    /// Notes the mistakes of the environment. A variable from which the file takes a secret may have any name.
    pub(super) fn judge(&self, file: &str, root: &Location<'_>) {
        for WrongVariable { name, what, remedy } in self.wrong_beside(file) {
            root.variable(name).wrong(*what, remedy);
        }
    }

    /// Nothing, if the environment is right beside a file with this text.
    ///
    /// # Errors
    /// The first mistake and its remedy.
    pub(super) fn check_beside(&self, file: &str) -> Result<(), String> {
        match self.wrong_beside(file).next() {
            None => Ok(()),
            Some(WrongVariable { name, what, remedy }) => Err(format!("{name}: {what}; {remedy}")),
        }
    }

    /// What is wrong with the environment, where this is the text of the file.
    pub(super) fn wrong_beside<'a>(
        &'a self,
        file: &'a str,
    ) -> impl Iterator<Item = &'a WrongVariable> {
        let is_of_file =
            move |wrong: &&WrongVariable| file.contains(&format!("env:{}", wrong.name));
        self.wrong.iter().filter(move |wrong| !is_of_file(wrong))
    }
}

/// What to do about an unknown variable. What all of them begin with makes no two of them alike.
fn advice(name: &str) -> String {
    let ending = |name: &'static str| name.trim_start_matches(PREFIX);
    let written = name.trim_start_matches(PREFIX);
    let known = KNOWN.into_iter().chain(OF_CLIENTS);
    match probably_meant(written, known.clone().map(ending)) {
        Some(meant) => format!("did you mean `{PREFIX}{meant}`?"),
        None => format!(
            "use one of `{}`; everything else is set in the configuration file, such as the data directory with \
             `ledger.path`",
            known.collect::<Vec<_>>().join("`, `")
        ),
    }
}

/// Where a listener listens, if it does.
fn parse_listen_or_none(text: &str) -> Option<Option<ListenAddress>> {
    match text {
        NONE => Some(None),
        _ => text.parse().ok().map(Some),
    }
}

/// Whether Kubernetes or Docker sets this variable for a service that is called `modelway`, such as
/// `MODELWAY_SERVICE_HOST` and `MODELWAY_PORT_50051_TCP_ADDR`
/// (<https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>).
fn is_of_service(name: &str, value: &str) -> bool {
    const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
    let is_link = name.ends_with("_PORT") && value.contains("://");
    let of_port = name.split("_PORT_").skip(1).any(|rest| {
        let mut parts = rest.split('_');
        let port = parts.next().is_some_and(|port| port.parse::<u16>().is_ok());
        port && parts
            .next()
            .is_some_and(|protocol| PROTOCOLS.contains(&protocol))
    });
    is_link || of_port || name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Overrides {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), OsString::from(value));
        Overrides::from_variables(variables.iter().map(owned))
    }

    #[test]
    fn the_environment_is_read_and_flags_win() {
        let environment = read(&[
            ("MODELWAY_LISTEN", "0.0.0.0:50051"),
            ("MODELWAY_ADMIN_LISTEN", "none"),
            ("MODELWAY_PROBES_LISTEN", "unix:/run/probes"),
            ("MODELWAY_PLAINTEXT", "behind-proxy"),
            ("MODELWAY_LOG", "debug"),
            ("MODELWAY_CONFIG", "/etc/modelway.toml"),
            ("MODELWAY_RUSTC", "rustc 1.88.0"),
            ("HOME", "/"),
        ]);
        assert!(environment.wrong.is_empty(), "{:?}", environment.wrong);
        assert_eq!(environment.admin_listen, Some(None));
        assert_eq!(environment.log.as_deref(), Some("debug"));
        let flag = "127.0.0.1:1".parse().ok();
        let flags = Overrides {
            listen: flag.clone(),
            ..Overrides::default()
        };

        let both = flags.or(environment);

        assert_eq!(both.listen, flag);
        assert!(both.behind_proxy);
        assert_eq!(both.config, Some(PathBuf::from("/etc/modelway.toml")));
    }

    #[test]
    fn a_variable_that_is_unknown_or_cannot_be_understood_is_a_mistake() {
        let wrong = read(&[
            ("MODELWAY_LISTN", "127.0.0.1:1"),
            ("MODELWAY_LISTEN", "localhost:1"),
            ("MODELWAY_PLAINTEXT", "yes"),
            ("MODELWAY_LOG", "a=b=c"),
        ])
        .wrong;

        let names: Vec<_> = wrong.iter().map(|wrong| wrong.name.as_str()).collect();
        let all = [
            "MODELWAY_LISTN",
            "MODELWAY_LISTEN",
            "MODELWAY_PLAINTEXT",
            "MODELWAY_LOG",
        ];
        assert_eq!(names, all);
        assert_eq!(wrong[0].remedy, "did you mean `MODELWAY_LISTEN`?");
        let wrong = read(&[("MODELWAY_APIKEY", "x")]).wrong;
        assert_eq!(wrong[0].remedy, "did you mean `MODELWAY_API_KEY`?");
    }

    #[test]
    fn an_unknown_variable_that_is_like_no_other_is_told_where_settings_stand() {
        for name in ["MODELWAY_DATA", "MODELWAY_KEY", "MODELWAY_"] {
            let wrong = read(&[(name, "x")]).wrong;

            let remedy = &wrong[0].remedy;
            assert!(!remedy.contains("did you mean"), "{name}: {remedy}");
            for told in [
                "`MODELWAY_LOG`",
                "`MODELWAY_ADDRESS`",
                "`MODELWAY_API_KEY`",
                "`MODELWAY_ADMIN_KEY`",
                "`ledger.path`",
            ] {
                assert!(remedy.contains(told), "{name}: {remedy}");
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_may_have_a_name_that_is_no_text() {
        use std::os::unix::ffi::OsStringExt as _;

        let name = OsString::from_vec(b"/etc/m\xffdelway.toml".to_vec());

        let read = Overrides::from_variables([("MODELWAY_CONFIG".to_owned(), name.clone())]);

        assert_eq!(read.config, Some(PathBuf::from(name)));
        assert!(read.wrong.is_empty());
    }

    #[test]
    fn what_kubernetes_sets_for_a_service_of_this_name_is_no_mistake() {
        let set = [
            ("MODELWAY_SERVICE_HOST", "10.0.0.1"),
            ("MODELWAY_SERVICE_PORT", "50051"),
            ("MODELWAY_SERVICE_PORT_GRPC", "50051"),
            ("MODELWAY_PORT", "tcp://10.0.0.1:50051"),
            ("MODELWAY_PORT_50051_TCP", "tcp://10.0.0.1:50051"),
            ("MODELWAY_PORT_50051_TCP_PROTO", "tcp"),
            ("MODELWAY_PORT_50051_TCP_PORT", "50051"),
            ("MODELWAY_PORT_50051_TCP_ADDR", "10.0.0.1"),
            ("MODELWAY_METRICS_SERVICE_HOST", "10.0.0.2"),
        ];

        assert!(read(&set).wrong.is_empty(), "{:?}", read(&set).wrong);
    }
}
