//! A server in front of a provider that terminates TLS, as a load balancer does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::ServerConfig;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Takes TLS connections and hands their bytes to a server behind it. Ends when it is dropped.
pub(crate) struct Front {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    handshakes: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl Front {
    /// Stands before the server at this address.
    pub(crate) async fn before(server: SocketAddr, tls: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let handshakes = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&handshakes);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                let acceptor = TlsAcceptor::from(Arc::clone(&tls));
                let handshakes = Arc::clone(&counted);
                connections.spawn(async move {
                    let Ok(mut near) = acceptor.accept(connection).await else {
                        return; // the client refuses the certificate
                    };
                    handshakes.fetch_add(1, Ordering::Relaxed);
                    let mut far = TcpStream::connect(server).await.unwrap();
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self {
            address,
            handshakes,
            _serving: serving,
        }
    }

    /// How many TLS handshakes were completed.
    pub(crate) fn handshakes(&self) -> usize {
        self.handshakes.load(Ordering::Relaxed)
    }
}
