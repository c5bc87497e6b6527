//! Do the listeners for operators and probes stay open for those who need them, whatever others do with their connections?

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use modelway::server::{ListenAddress, MAX_SIDE_CONNECTIONS_OF_ADDRESS};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::support::frames::{
    DATA, EMPTY_MESSAGE, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, Wire, frame, head,
};
use crate::support::{Gateway, ONE_MODEL};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(20);

/// The flag of a PING that answers one.
const ACK: u8 = 1;

/// A service with a listener for probes and these settings of connections, and where probes and operators connect.
async fn start(server: &str) -> (Gateway, [SocketAddr; 2]) {
    let config = format!(
        "[server]\npredrain = '0s'\n{server}\n[probes]\nlisten = '127.0.0.1:0'\n{ONE_MODEL}"
    );
    let gateway = Gateway::start(&config).await;
    let tcp = |address: &Option<ListenAddress>| match address {
        Some(ListenAddress::Tcp(address)) => *address,
        other => panic!("{other:?}"),
    };
    let sides = [tcp(&gateway.probes), tcp(&gateway.admin)];
    (gateway, sides)
}

async fn connect_from(last: u8, address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    // What is sent to it soon fills its room.
    socket.set_recv_buffer_size(4096).unwrap();
    let source = IpAddr::from(Ipv4Addr::new(127, 0, 0, last));
    socket.bind(SocketAddr::new(source, 0)).unwrap();
    socket.connect(address).await.unwrap()
}

/// Whether a probe from this address is answered.
async fn is_answered(last: u8, address: SocketAddr) -> bool {
    let asked = async {
        let mut stream = connect_from(last, address).await;
        let request = b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        answer.starts_with("HTTP/1.1 200").then_some(())
    };
    let asked = timeout(PROMPTLY, asked).await;
    asked.expect("an answer, or an end").is_some()
}

async fn until_answered(last: u8, address: SocketAddr) {
    let answered = async {
        while !is_answered(last, address).await {
            tokio::task::yield_now().await;
        }
    };
    timeout(PROMPTLY, answered).await.expect("an answer");
}

/// Reads until the connection ends.
async fn ended(stream: &mut TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    let end = timeout(PROMPTLY, stream.read_to_end(&mut read)).await;
    // It may be reset.
    let _ = end.expect("it ends");
    read
}

#[tokio::test]
async fn one_address_cannot_have_all_connections_and_those_above_the_limit_end_at_once() {
    let (_gateway, sides) = start("first_request_timeout = '1h'").await;
    for address in sides {
        let mut held = Vec::new();
        for _ in 0..MAX_SIDE_CONNECTIONS_OF_ADDRESS {
            held.push(connect_from(2, address).await);
        }
        let mut more = connect_from(2, address).await;

        assert_eq!(ended(&mut more).await, b"", "it is one too many");
        assert!(!is_answered(2, address).await);
        assert!(is_answered(1, address).await, "another address is served");
        drop(held);
        until_answered(2, address).await;
    }
}

#[tokio::test]
async fn a_client_that_asks_nothing_or_never_ends_its_question_is_cut_off() {
    let (_gateway, sides) = start("first_request_timeout = '2s'").await;
    let checks = sides.map(async |address| {
        let beginnings: [&[u8]; 5] = [
            b"",
            b"GET /li",
            b"GET /livez HTTP/1.1\r\nhost: x\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        ];
        let cut_off = beginnings.map(async |beginning| {
            let mut slow = connect_from(1, address).await;
            slow.write_all(beginning).await.unwrap();

            ended(&mut slow).await;
        });
        // A question after which the next one never ends.
        let answered = async {
            let mut slow = connect_from(1, address).await;
            let questions = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\nGET /livez HTTP/1.1\r\n";
            slow.write_all(questions).await.unwrap();
            let read = ended(&mut slow).await;
            assert!(read.starts_with(b"HTTP/1.1 200"), "the first is answered");
        };
        tokio::join!(join_all(cut_off), answered);
    });
    join_all(checks).await;
}

#[tokio::test]
async fn an_old_connection_is_asked_to_end() {
    let (_gateway, sides) = start("connection_age = '2s'").await;
    let asked = sides.map(async |address| {
        let mut wire = Wire::open(address).await;
        let check = head("/grpc.health.v1.Health/Check");
        wire.send(&frame(HEADERS, END_HEADERS, 1, &check)).await;
        wire.send(&frame(DATA, END_STREAM, 1, &EMPTY_MESSAGE)).await;

        let mut is_told = false;
        let ended = async {
            while let Some(frame) = wire.frame().await {
                is_told |= frame.kind == GOAWAY;
                if frame.kind == PING && frame.flags & ACK == 0 {
                    wire.send(&self::frame(PING, ACK, 0, &frame.payload)).await;
                }
            }
        };
        timeout(PROMPTLY, ended).await.expect("it ends");
        assert!(is_told);
    });
    join_all(asked).await;
}

#[tokio::test]
async fn a_scraper_that_does_not_read_is_cut_off() {
    let (_gateway, sides) = start("client_stall = '300ms'").await;
    for address in sides {
        let mut deaf = connect_from(1, address).await;
        // The answers are larger than all buffers on the way.
        let scrape = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(200);
        deaf.write_all(&scrape).await.unwrap();

        let cut_off = async {
            loop {
                // The peer's end shows in what is written, since nothing is read.
                if deaf.write_all(&scrape).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PROMPTLY, cut_off).await.expect("it is cut off");
        assert!(is_answered(1, address).await);
    }
}
