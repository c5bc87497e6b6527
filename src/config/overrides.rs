//! What do the command line and the environment say in place of the file?

use std::net::SocketAddr;

use crate::server::{AdminSettings, ListenAddress};

use super::Config;

/// Addresses in place of those of the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Where callers connect.
    pub listen: Option<ListenAddress>,
    /// Where operators connect.
    pub admin_listen: Option<ListenAddress>,
    /// Where probes connect.
    pub probes_listen: Option<ListenAddress>,
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
    /// Puts these addresses in place of the configured ones. Where callers get any free port and nothing says where
    /// operators connect, they get any free port as well, so that many instances fit on one machine.
    pub fn apply(&self, config: &mut Config) {
        let Self {
            listen,
            admin_listen,
            probes_listen,
        } = self.clone();
        if let Some(listen) = listen {
            config.server.listen = listen;
        }
        if probes_listen.is_some() {
            config.probes.listen = probes_listen;
        }
        let usual = AdminSettings::default().listen;
        if admin_listen.is_some() {
            config.admin.listen = admin_listen;
        } else if config.server.listen.is_any_port()
            && config.admin.listen == usual
            && let Some(ListenAddress::Tcp(address)) = &mut config.admin.listen
        {
            address.set_port(0);
        }
    }
}
