//! Does the proxy of these tests do to bytes what it is told?

use std::io::ErrorKind;
use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use crate::support::proxy::{Cut, Faults, Proxy, Towards};

const TOWARDS: [Towards; 2] = [Towards::Server, Towards::Client];

/// Both ends of a proxy, and connections through it.
struct Ends {
    server: TcpListener,
    proxy: Proxy,
}

impl Ends {
    async fn new() -> Self {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start(server.local_addr().unwrap()).unwrap();
        Self { server, proxy }
    }

    /// The client's and the server's end of a connection.
    async fn connect(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.proxy.address()).await.unwrap();
        (client, self.server.accept().await.unwrap().0)
    }

    /// The end that sends and the one that receives in a direction.
    async fn directed(&self, towards: Towards) -> (TcpStream, TcpStream) {
        let (client, server) = self.connect().await;
        match towards {
            Towards::Server => (client, server),
            Towards::Client => (server, client),
        }
    }
}

/// Reads to the end.
async fn all(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await?;
    Ok(read)
}

async fn is_silent(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    let read = timeout(Duration::from_millis(50), stream.read(&mut byte));
    read.await.is_err()
}

#[tokio::test]
async fn without_faults_everything_passes_and_each_direction_ends_by_itself() {
    let ends = Ends::new().await;
    let (mut client, mut server) = ends.connect().await;
    let many = vec![7; 5_000_000];

    let (sent, received) = tokio::join!(
        async {
            client.write_all(&many).await.unwrap();
            client.shutdown().await
        },
        all(&mut server)
    );
    sent.unwrap();
    server.write_all(b"received").await.unwrap();
    drop(server);

    assert!(received.unwrap() == many);
    assert_eq!(all(&mut client).await.unwrap(), b"received");
}

#[tokio::test]
async fn latency_and_a_slow_close_delay_and_lose_nothing() {
    for towards in TOWARDS {
        let ends = Ends::new().await;
        let (mut from, mut to) = ends.directed(towards).await;
        let faults = Faults {
            latency: Duration::from_millis(60),
            slow_close: Duration::from_millis(40),
            ..Faults::default()
        };
        ends.proxy.set(towards, faults);

        let began = Instant::now();
        from.write_all(b"late").await.unwrap();
        from.shutdown().await.unwrap();
        let mut read = [0; 4];
        to.read_exact(&mut read).await.unwrap();
        let (first, rest) = (began.elapsed(), all(&mut to).await.unwrap());

        assert_eq!((&read, rest.len()), (b"late", 0));
        assert!(first >= Duration::from_millis(60), "{first:?}");
        assert!(began.elapsed() >= Duration::from_millis(100));
    }
}

#[tokio::test]
async fn a_bandwidth_is_not_exceeded() {
    for towards in TOWARDS {
        let ends = Ends::new().await;
        let (mut from, mut to) = ends.directed(towards).await;
        let bandwidth = NonZeroU64::new(100_000);
        ends.proxy.set(
            towards,
            Faults {
                bandwidth,
                ..Faults::default()
            },
        );

        let began = Instant::now();
        from.write_all(&[7; 20_000]).await.unwrap();
        drop(from);
        let read = all(&mut to).await.unwrap();

        assert_eq!(read, [7; 20_000]);
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(170), "{took:?}");
    }
}

#[tokio::test]
async fn slices_are_small_and_in_order() {
    let ends = Ends::new().await;
    let (mut from, mut to) = ends.directed(Towards::Client).await;
    let faults = Faults {
        slice: NonZeroUsize::new(3),
        // The second comes much later than the first is read.
        bandwidth: NonZeroU64::new(1),
        ..Faults::default()
    };
    ends.proxy.set(Towards::Client, faults);

    from.write_all(b"abcdefgh").await.unwrap();
    let mut first = [0; 8];
    let size = to.read(&mut first).await.unwrap();
    ends.proxy.heal();
    drop(from);
    let rest = all(&mut to).await.unwrap();

    assert_eq!(&first[..size], b"abc");
    assert_eq!(rest, b"defgh");
}

#[tokio::test]
async fn a_limit_lets_so_many_bytes_of_each_connection_pass() {
    for towards in TOWARDS {
        let ends = Ends::new().await;
        for cut in [Cut::Close, Cut::Reset] {
            let faults = Faults {
                limit: Some((5, cut)),
                ..Faults::default()
            };
            ends.proxy.set(towards, faults);
            let (mut from, mut to) = ends.directed(towards).await;

            from.write_all(b"too much").await.unwrap();
            let mut passed = [0; 5];
            to.read_exact(&mut passed).await.unwrap();
            let end = to.read(&mut [0]).await;

            assert_eq!(&passed, b"too m");
            match cut {
                Cut::Close => assert_eq!(end.unwrap(), 0),
                Cut::Reset => assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset),
            }
        }
    }
}

#[tokio::test]
async fn silence_holds_everything_back_until_it_is_over() {
    for towards in TOWARDS {
        let ends = Ends::new().await;
        let (mut from, mut to) = ends.directed(towards).await;
        ends.proxy.set(
            towards,
            Faults {
                silent: true,
                ..Faults::default()
            },
        );

        from.write_all(b"held back").await.unwrap();
        from.shutdown().await.unwrap();
        assert!(is_silent(&mut to).await);
        // The other direction is another matter.
        to.write_all(b"?").await.unwrap();
        assert_eq!(from.read_u8().await.unwrap(), b'?');
        ends.proxy.heal();

        assert_eq!(all(&mut to).await.unwrap(), b"held back");
    }
}

#[tokio::test]
async fn a_cut_ends_what_is_open_and_spares_what_comes() {
    let ends = Ends::new().await;
    for cut in [Cut::Close, Cut::Reset] {
        let (mut client, mut server) = ends.connect().await;
        // Both ends are connected through before the cut.
        server.write_all(b"!").await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'!');

        ends.proxy.cut(cut);

        for end in [&mut client, &mut server] {
            let end = end.read(&mut [0]).await;
            match cut {
                Cut::Close => assert_eq!(end.unwrap(), 0),
                Cut::Reset => assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset),
            }
        }
    }
    ends.connect().await;
}

#[tokio::test]
async fn a_proxy_that_is_down_refuses_until_it_is_up_again() {
    let mut ends = Ends::new().await;
    let (mut client, _server) = ends.connect().await;

    ends.proxy.down(Cut::Close).await;

    assert_eq!(all(&mut client).await.unwrap(), b"");
    let refused = TcpStream::connect(ends.proxy.address()).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    ends.proxy.up().unwrap();
    ends.connect().await;
}

#[tokio::test]
async fn a_server_that_refuses_or_resets_is_passed_on_as_a_reset() {
    let ends = Ends::new().await;
    let (mut client, server) = ends.connect().await;
    server.set_zero_linger().unwrap();
    drop(server);
    let reset = client.read(&mut [0]).await;
    assert_eq!(reset.unwrap_err().kind(), ErrorKind::ConnectionReset);

    let Ends { server, proxy } = ends;
    drop(server);
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let refused = client.read(&mut [0]).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionReset);
}
