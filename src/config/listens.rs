//! Where does a service listen? Read on its own, so that a mistake elsewhere in the file, or a secret that is not here,
//! keeps no command from finding the service.

use crate::server::{AdminSettings, ListenAddress, ProbesSettings, Settings};

use super::Overrides;
use super::overrides::NONE;
use super::reading;

/// Where a service listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listens {
    /// For callers.
    pub server: Where,
    /// For operators.
    pub admin: Option<Where>,
    /// For probes.
    pub probes: Option<Where>,
}

/// The address of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Where {
    /// Its address.
    pub address: ListenAddress,
    /// Whether it speaks TLS.
    pub has_tls: bool,
}

impl Listens {
    /// Where the service with this configuration and these overrides listens. Other mistakes of the file do not matter.
    ///
    /// # Errors
    /// The file cannot be read or is not TOML, or a variable of the environment is wrong.
    pub fn of(overrides: &Overrides) -> Result<Self, String> {
        let (text, table) = match &overrides.config {
            Some(path) => reading::table(path)?,
            None => Default::default(),
        };
        overrides.check_beside(&text)?;
        Ok(Self::within(&table, overrides))
    }

    fn within(file: &toml::Table, overrides: &Overrides) -> Self {
        let table = |name: &str| file.get(name).and_then(toml::Value::as_table);
        let written = |name| table(name)?.get("listen")?.as_str();
        let has_tls = |name| table(name).is_some_and(|table| table.contains_key("tls"));
        let of = |name, default: Option<ListenAddress>, above: Option<Option<ListenAddress>>| {
            let address = match (above, written(name)) {
                (Some(above), _) => above,
                (None, Some(NONE)) => None,
                (None, Some(text)) => text.parse().ok().or(default),
                (None, None) => default,
            };
            let has_tls = has_tls(name);
            address.map(|address| Where { address, has_tls })
        };
        let default = Settings::default().listen;
        let above = overrides.listen.clone().map(Some);
        let server = of("server", Some(default.clone()), above);
        Self {
            server: server.unwrap_or(Where {
                address: default,
                has_tls: false,
            }),
            admin: of(
                "admin",
                AdminSettings::default().listen,
                overrides.admin_listen.clone(),
            ),
            probes: of(
                "probes",
                ProbesSettings::default().listen,
                overrides.probes_listen.clone(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, overrides: &Overrides) -> [String; 3] {
        let listens = Listens::within(&text.parse().unwrap(), overrides);
        let one = |of: Option<&Where>| match of {
            Some(of) if of.has_tls => format!("{} tls", of.address),
            Some(of) => of.address.to_string(),
            None => "none".to_owned(),
        };
        [
            one(Some(&listens.server)),
            one(listens.admin.as_ref()),
            one(listens.probes.as_ref()),
        ]
    }

    #[test]
    fn addresses_are_found_in_a_file_that_has_mistakes_elsewhere() {
        let text = "
            [server]
            listen = '0.0.0.0:7'
            tls = { cert = 'no such file' }
            [admin]
            listen = 'none'
            [probes]
            listen = 'unix:/run/probes'
            [scenarios]
            broken = 1
        ";
        let found = shown(text, &Overrides::default());
        assert_eq!(found, ["0.0.0.0:7 tls", "none", "unix:/run/probes"]);

        let overrides = Overrides {
            probes_listen: Some("127.0.0.1:9".parse().ok()),
            ..Overrides::default()
        };
        assert_eq!(shown(text, &overrides)[2], "127.0.0.1:9");
    }

    #[test]
    fn without_a_file_the_defaults_hold() {
        let found = shown("", &Overrides::default());
        assert_eq!(found, ["127.0.0.1:50051", "127.0.0.1:50052", "none"]);
    }
}
