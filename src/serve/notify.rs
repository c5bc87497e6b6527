//! What does the service manager learn about the process? systemd's notifications for `Type=notify`: when the process
//! serves, reads its configuration again and stops.
//!
//! The protocol is one datagram of `KEY=value` lines for each change, sent to the socket that `NOTIFY_SOCKET` names
//! (sd_notify(3)). Without that variable nothing is sent. A notification that cannot be delivered never disturbs the
//! service.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::time::{ClockId, clock_gettime};
use tracing::{debug, warn};

/// Notifies the service manager, if there is one, of what the process does.
#[derive(Debug, Default)]
pub struct Notifier {
    manager: Option<(UnixDatagram, SocketAddr)>,
}

impl Notifier {
    /// For the manager that `NOTIFY_SOCKET` names. An address that cannot be used is logged once, as a warning.
    pub fn of_process() -> Self {
        let Some(address) = env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty())
        else {
            return Self::default();
        };
        Self::to(&address).unwrap_or_else(|error| {
            warn!(%error, "NOTIFY_SOCKET cannot be used: the service manager is not notified");
            Self::default()
        })
    }

    /// For the manager that listens on this address: a path, or a name that begins with `@` for a socket without a
    /// file.
    ///
    /// # Errors
    /// The address is none, or the process can have no more sockets.
    pub fn to(address: &OsStr) -> io::Result<Self> {
        let address = socket_address(address)?;
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            manager: Some((socket, address)),
        })
    }

    /// The service takes calls; `status` is what `systemctl status` shows.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// The configuration is being read again, until [`Notifier::reloaded`].
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
    }

    /// The reload has ended, whether the configuration was applied or refused.
    pub fn reloaded(&self) {
        self.send("READY=1");
    }

    /// The process has been asked to stop; open calls may go on for a time.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=open calls end");
    }

    fn send(&self, text: &str) {
        let Some((socket, address)) = &self.manager else {
            return;
        };
        // A manager that does not read must not stop us, so that the socket does not block.
        if let Err(error) = socket.send_to_addr(text.as_bytes(), address) {
            debug!(%error, "the service manager was not notified");
        }
    }
}

fn socket_address(address: &OsStr) -> io::Result<SocketAddr> {
    match address.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(address),
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => {
            use std::os::linux::net::SocketAddrExt as _;
            SocketAddr::from_abstract_name(name)
        }
        _ => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "it is neither an absolute path nor a name after `@`",
        )),
    }
}

/// A line feed would begin another key.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt as _;
    use std::time::Duration;

    use super::*;

    fn manager(name: &str) -> UnixDatagram {
        let socket =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        socket
    }

    fn name(test: &str) -> String {
        format!("modelway-{test}-{}", std::process::id())
    }

    fn received(manager: &UnixDatagram) -> String {
        let mut bytes = [0; 512];
        let count = manager.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    }

    #[test]
    fn each_change_is_one_datagram_of_keys() {
        let name = name("changes");
        let manager = manager(&name);
        let notifier = Notifier::to(OsStr::new(&format!("@{name}"))).unwrap();

        notifier.ready("serves on\n127.0.0.1:50051");
        notifier.reloading();
        notifier.reloaded();
        notifier.stopping();

        assert_eq!(
            received(&manager),
            "READY=1\nSTATUS=serves on 127.0.0.1:50051"
        );
        let reloading = received(&manager);
        assert!(
            reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="),
            "{reloading}"
        );
        assert_eq!(received(&manager), "READY=1");
        assert!(received(&manager).starts_with("STOPPING=1\n"));
    }

    #[test]
    fn a_manager_that_does_not_read_stops_nothing() {
        let name = name("deaf");
        let manager = manager(&name);
        let notifier = Notifier::to(OsStr::new(&format!("@{name}"))).unwrap();

        for _ in 0..10_000 {
            notifier.ready("serves");
        }

        drop(manager);
        notifier.stopping();
    }

    #[test]
    fn an_address_that_is_none_is_an_error() {
        for address in ["notify", "", "vsock:2:1234"] {
            assert!(Notifier::to(OsStr::new(address)).is_err(), "{address}");
        }
    }
}
