//! The endings by which HTTP/2 itself says whether a request was taken up (RFC 9113, section 8.7), in every wire format.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::SystemTime;

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use modelway::grpc::v1::{AttemptOutcome, BillingClass};
use modelway::limits::Now;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Cell, FORMATS, PRICE, WAYS, Way, compare, settled_rows};
use crate::ledger::{found, table};
use crate::support::frames::{
    DATA, END_STREAM, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame,
};
use crate::support::{Gateway, Method, Timerless, ask, scratch};

/// The codes of RFC 9113, section 7.
const NO_ERROR: u8 = 0;
const INTERNAL_ERROR: u8 = 2;
const REFUSED_STREAM: u8 = 7;
const ENHANCE_YOUR_CALM: u8 = 11;

/// What the host says in place of an answer.
#[derive(Clone, Copy)]
enum Refusal {
    /// It resets the stream for this reason.
    Reset(u8),
    /// It ends the connection for this reason. The last stream that it has taken up is the request's own, or none.
    GoAway { reason: u8, is_taken: bool },
}

/// An ending and its class.
struct Ending {
    name: &'static str,
    refusal: Refusal,
    class: BillingClass,
}

const fn go_away(reason: u8, is_taken: bool) -> Refusal {
    Refusal::GoAway { reason, is_taken }
}

static ENDINGS: [Ending; 6] = [
    Ending {
        name: "stream refused",
        refusal: Refusal::Reset(REFUSED_STREAM),
        class: BillingClass::Zero,
    },
    Ending {
        name: "GOAWAY before the stream",
        refusal: go_away(NO_ERROR, false),
        class: BillingClass::Zero,
    },
    Ending {
        name: "GOAWAY after the stream, then the end",
        refusal: go_away(NO_ERROR, true),
        class: BillingClass::Uncertain,
    },
    Ending {
        name: "stream reset",
        refusal: Refusal::Reset(INTERNAL_ERROR),
        class: BillingClass::Uncertain,
    },
    // What a host that is in trouble says of streams is not believed: it may have done the work.
    Ending {
        name: "GOAWAY before the stream, in trouble",
        refusal: go_away(INTERNAL_ERROR, false),
        class: BillingClass::Uncertain,
    },
    Ending {
        name: "GOAWAY before the stream, calm down",
        refusal: go_away(ENHANCE_YOUR_CALM, false),
        class: BillingClass::Uncertain,
    },
];

/// A host that refuses each request in this way.
async fn host(refusal: Refusal) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(async move {
                // The other end may leave at any time.
                let _ = refuse(stream, refusal).await;
            });
        }
    });
    (address, serving)
}

async fn refuse(mut stream: TcpStream, refusal: Refusal) -> std::io::Result<()> {
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    stream.read_exact(&mut vec![0; PREFACE.len()]).await?;
    loop {
        let mut prefix = [0; 9];
        stream.read_exact(&mut prefix).await?;
        let [a, b, c, kind, flags, id @ ..] = prefix;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).await?;
        // The whole request is there.
        if !matches!(kind, DATA | HEADERS) || flags & END_STREAM == 0 {
            continue;
        }
        match refusal {
            Refusal::Reset(reason) => {
                let id = u32::from_be_bytes(id);
                stream
                    .write_all(&frame(RST_STREAM, 0, id, &[0, 0, 0, reason]))
                    .await?;
            }
            Refusal::GoAway { reason, is_taken } => {
                let last = if is_taken { id } else { [0; 4] };
                let told = [last, [0, 0, 0, reason]].concat();
                stream.write_all(&frame(GOAWAY, 0, 0, &told)).await?;
                return stream.shutdown().await;
            }
        }
    }
}

#[tokio::test]
async fn requests_that_http2_refuses_cost_nothing_and_those_that_it_loses_are_charged_for() {
    let data = scratch::path("data");
    let limit = "[[limits]]\nid = 'money'\nmoney = '1000000 USD'\nwindow = 'total'\n\
                 [[limits]]\nid = 'tokens'\ntokens = 1000000000\nwindow = 'day'\n\
                 [[limits]]\nid = 'open'\nconcurrent_calls = 1000\n";
    let mut config = format!("{}{limit}", table(&data, ""));
    let mut cells = BTreeMap::new();
    let mut calls = Vec::new();
    let mut hosts = Vec::new();
    for (number, ending) in ENDINGS.iter().enumerate() {
        for format in FORMATS {
            for way in WAYS {
                // No two requests share a connection.
                let (address, host) = host(ending.refusal).await;
                hosts.push(host);
                let provider = format!("{format}-{number}-{way:?}").to_lowercase();
                let target = format!("{provider}/m");
                let mode = match way {
                    Way::Whole => "upstream_mode = 'whole'\n",
                    Way::Streamed | Way::Collected => "",
                };
                let _ = write!(
                    config,
                    "[providers.{provider}]\nbase_url = 'http://{address}'\nauth = 'none'\nhttp = '2'\nwire_format = {format:?}\n\
                     [models.{target:?}]\n{mode}{PRICE}\
                     [scenarios.{provider}]\ntargets = [{target:?}]\nmax_attempts = 1\n"
                );
                let cell = Cell {
                    ending: format!("{} {way:?}", ending.name),
                    format,
                    class: ending.class,
                    is_useful: false,
                };
                cells.insert(target, cell);
                calls.push((way, provider));
            }
        }
    }
    let mut gateway = Gateway::start(&config).await;
    let client = Timerless::connect(gateway.address).await;

    let calls = calls.into_iter().map(|(way, scenario)| {
        let client = &client;
        async move {
            let method = match way {
                Way::Streamed => Method::StreamGenerate,
                Way::Collected | Way::Whole => Method::Generate,
            };
            let told = client
                .call(method, ask(&scenario, "Hello there"), "60S")
                .await;
            told.expect_err("it is refused");
        }
    });
    iter(calls).buffer_unordered(24).collect::<Vec<()>>().await;
    let now = Now {
        wall: SystemTime::now(),
        mono: Instant::now(),
    };
    let states = gateway.limits.states(now);
    gateway.stop();
    gateway.stopped().await;

    compare(&data, &cells, &[]);
    let rows = settled_rows(&data);
    let failed = i64::from(AttemptOutcome::Failed as i32);
    assert!(rows.iter().all(|row| row.outcome == failed), "{rows:?}");
    let select = "SELECT n.text FROM attempts a JOIN names n ON n.id = a.reason";
    let reasons = found(&data, select, |row| row.get::<_, String>(0));
    assert_eq!(reasons.len(), cells.len());
    let is_told = |reason: &String| reason == "PROVIDER_UNREACHABLE";
    assert!(reasons.iter().all(is_told), "{reasons:?}");
    let reserved: Vec<_> = states.iter().map(|state| state.reserved).collect();
    println!("set aside at rest: {reserved:?}");
    assert!(!reserved.is_empty() && reserved.iter().all(|reserved| *reserved == 0));
    let nanos: i64 = rows.iter().map(|row| row.nanos).sum();
    let money = states.iter().find(|state| &*state.limit.id == "money");
    assert_eq!(money.unwrap().used, nanos);
}
