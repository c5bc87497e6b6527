//! What does a service say of itself at its start: what is served, and how to try it?

use std::fmt::Write as _;

use crate::server::ListenAddress;

use super::Service;

/// The scenario that the first lines of the program show how to call, if there is one of this name.
const SHOWN_SCENARIO: &str = "general";

impl Service {
    /// The text that is printed at the start: what is served and how to try it.
    pub fn banner(&self) -> String {
        let mut text = format!(
            "Modelway {} serves gRPC on {}\n",
            env!("CARGO_PKG_VERSION"),
            self.listens_on()
        );
        // Writing to a String cannot fail.
        if let Some(address) = self.admin_address() {
            let _ = writeln!(text, "operators: {address}");
        }
        if let Some(address) = self.probes_address() {
            let _ = writeln!(text, "probes: {address}");
        }
        text.push('\n');
        let routes = self.dispatcher.routes();
        let scenarios = &routes.catalog().scenarios;
        let width = scenarios.keys().map(String::len).max().unwrap_or(0);
        for (name, scenario) in scenarios {
            let targets: Vec<_> = scenario
                .targets
                .iter()
                .map(|target| target.id.as_str())
                .collect();
            let _ = writeln!(text, "  {name:width$}  {}", targets.join(", then "));
        }
        // The first scenario of the built-in configuration shows an answer that breaks off.
        let shown = scenarios.get_key_value(SHOWN_SCENARIO);
        if let Some((name, _)) = shown.or_else(|| scenarios.first_key_value()) {
            let body = format!(
                r#"{{"scenario":"{name}","messages":[{{"role":"ROLE_USER","text":"Hello"}}]}}"#
            );
            let address = match self.listens_on() {
                ListenAddress::Unix(path) => format!("unix://{}", path.display()),
                ListenAddress::Tcp(address) => address.to_string(),
            };
            let config = &self.judged.config;
            let security = match &config.server.tls {
                Some(tls) if tls.asks_for_proof() => "-cacert CA.pem -cert CERT.pem -key KEY.pem",
                Some(_) => "-cacert CA.pem",
                None => "-plaintext",
            };
            let credential = match config.identity.anonymous {
                Some(_) => "",
                None => " -H \"authorization: Bearer $MODELWAY_API_KEY\"",
            };
            let _ = writeln!(
                text,
                "\nTry it:\n\n  grpcurl {security}{credential} -d '{body}' {address} modelway.v1.GenerationService/Generate"
            );
        }
        text
    }
}
