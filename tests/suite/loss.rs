//! How long do streams stand still where packets are lost, over one connection, over several, and over one for each?

use std::time::Duration;

use modelway::grpc::v1::stream_generate_response::Event;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::support::foreign::answer::Manner;
use crate::support::foreign::authority::{Authority, Purpose};
use crate::support::foreign::front::Front;
use crate::support::foreign::http1::{End, Http1};
use crate::support::foreign::http2::Http2;
use crate::support::foreign::losing::{Line, Losing, Losses};
use crate::support::{Gateway, ask, number_from};

/// The streams that are open at once, and how far apart the words of each are.
const STREAMS: u32 = 100;
const APART: Duration = Duration::from_millis(50);

/// A word that comes this much later than it should shows a stall.
const STALL: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Http1,
    /// So many streams on a connection at most.
    Http2(u32),
}

/// A service whose provider answers slowly behind a line that loses packets.
struct Stage {
    gateway: Gateway,
    http2: Option<Http2>,
    http1: Option<Http1>,
    _front: Option<Front>,
    _line: Losing,
}

impl Stage {
    async fn set(way: Way, losses: Losses, manner: Manner) -> Self {
        let authority = Authority::new();
        let (mut http1, mut http2, mut front) = (None, None, None);
        let (server, http, most) = match way {
            Way::Http1 => {
                let provider = Http1::start(manner, End::Chunked, None).await;
                let tls = authority.server(Purpose::Server, &["http/1.1"]);
                let before = Front::before(provider.address, tls).await;
                let address = before.address;
                (http1, front) = (Some(provider), Some(before));
                (address, "1.1", 64)
            }
            Way::Http2(most) => {
                let tls = authority.server(Purpose::Server, &["h2"]);
                let provider = Http2::start(None, Some(tls)).await;
                provider.set(manner);
                let address = provider.address;
                http2 = Some(provider);
                (address, "2", most)
            }
        };
        let line = Losing::before(server, losses).await;
        let gateway = Gateway::start(&format!(
            r#"
            [server]
            runtimes = 1
            predrain = "0s"
            [admission]
            max_inflight = 1000
            max_inflight_per_caller = 1000
            [transport]
            ca_file = {:?}
            max_streams = {most}
            [providers.far]
            wire_format = "openai_chat"
            base_url = "https://{}/v1"
            auth = "none"
            http = "{http}"
            [models."far/slow"]
            [scenarios.one]
            targets = ["far/slow"]
            timeout = "2m"
            "#,
            authority.file(),
            line.address,
        ))
        .await;
        Self {
            gateway,
            http2,
            http1,
            _front: front,
            _line: line,
        }
    }

    fn connections(&self) -> usize {
        let http1 = self.http1.as_ref().map(Http1::connections);
        let http2 = self.http2.as_ref().map(|provider| provider.seen().len());
        http1.or(http2).unwrap()
    }

    /// The gaps between the words of each stream, and how many connections carried them.
    async fn gaps(&self) -> (Vec<Vec<Duration>>, usize) {
        let mut streams = JoinSet::new();
        for _ in 0..STREAMS {
            // So that words of different streams come at different times.
            sleep(APART / STREAMS).await;
            let mut client = self.gateway.generation();
            streams.spawn(async move {
                let stream = client.stream_generate(ask("one", "Hello")).await.unwrap();
                let mut stream = stream.into_inner();
                let (mut gaps, mut last) = (Vec::new(), None);
                while let Some(message) = stream.message().await.unwrap() {
                    if let Some(Event::TextDelta(_)) = message.event {
                        let now = Instant::now();
                        gaps.extend(last.replace(now).map(|last| now - last));
                    }
                }
                gaps
            });
        }
        let gaps = streams.join_all().await;
        (gaps, self.connections())
    }
}

/// The same for this many connections without the pool, the protocols and the machine, in time that is only reckoned.
/// The streams are spread evenly, and each word is a packet.
fn reckoned(connections: u32, losses: Losses, words: u32) -> Vec<Vec<Duration>> {
    let start = Instant::now();
    let mut arrivals = vec![Vec::new(); STREAMS as usize];
    for connection in 0..connections {
        let mut line = Line::new(losses, connection.into());
        for word in 0..words {
            for stream in (connection..STREAMS).step_by(connections as usize) {
                let now = start + APART * word + APART / STREAMS * stream;
                read(&mut line, now, &mut arrivals);
                line.send(&[stream as u8], now);
            }
        }
        let end = start + APART * words + losses.timeout;
        read(&mut line, end, &mut arrivals);
    }
    let gaps = |times: &Vec<Instant>| times.windows(2).map(|two| two[1] - two[0]).collect();
    arrivals.iter().map(gaps).collect()
}

fn read(line: &mut Line, until: Instant, arrivals: &mut [Vec<Instant>]) {
    while let Some(due) = line.due().filter(|due| *due <= until) {
        for stream in line.arrived(due) {
            arrivals[usize::from(stream)].push(due);
        }
    }
}

/// What gaps between words show.
struct Stalls {
    /// The longest gap of all, of 99.9 and of 99 in a hundred.
    longest: [Duration; 3],
    /// Stalls of a stream in a minute.
    a_minute: f64,
    /// The share of time in which a stream waits for a word that is late.
    share: f64,
}

impl Stalls {
    fn of(gaps: &[Vec<Duration>]) -> Self {
        let mut all: Vec<_> = gaps.iter().flatten().copied().collect();
        all.sort_unstable();
        let last = all.len() - 1;
        let took: Duration = all.iter().sum();
        let late = all.iter().map(|gap| gap.saturating_sub(APART));
        let late: Vec<_> = late.filter(|late| *late > STALL).collect();
        Self {
            longest: [all[last], all[last - last / 1000], all[last - last / 100]],
            a_minute: 60.0 * late.len() as f64 / took.as_secs_f64(),
            share: late.iter().sum::<Duration>().as_secs_f64() / took.as_secs_f64(),
        }
    }
}

const HEAD: &str = "| round trip | lost | HTTP | connections | longest gap | 99.9 % | 99 % | stalls a minute | stands still |\n|---|---|---|---|---|---|---|---|---|";

fn line(losses: Losses, way: Way, connections: usize, stalls: &Stalls) -> String {
    let way = match way {
        Way::Http1 => "1.1".to_owned(),
        Way::Http2(most) => format!("2, {most} streams each"),
    };
    let [all, most, many] = stalls.longest.map(|gap| gap.as_millis());
    format!(
        "| {} ms | {:.2} % | {way} | {connections} | {all} ms | {most} ms | {many} ms | {:.1} | {:.1} % |",
        losses.round_trip.as_millis(),
        100.0 * losses.share,
        stalls.a_minute,
        100.0 * stalls.share,
    )
}

/// A line of this length. Without three later packets, a loss is noticed after 200 ms more (RFC 6298).
fn losses(round_trip: u64, share: f64) -> Losses {
    Losses {
        share,
        round_trip: Duration::from_millis(round_trip),
        timeout: Duration::from_millis(200 + round_trip),
        seed: number_from("MODELWAY_SEED", 1),
    }
}

/// With how many connections the pool carries the streams.
const WAYS: [(Way, u32); 6] = [
    (Way::Http1, STREAMS),
    (Way::Http2(1000), 1),
    (Way::Http2(64), 2),
    (Way::Http2(32), 4),
    (Way::Http2(16), 7),
    (Way::Http2(8), 13),
];

/// The table of docs/reaching-providers.md. `MODELWAY_WORDS` is the length of an answer, 50 ms each.
#[test]
fn over_a_short_way_http2_stalls_for_less_time_and_over_a_long_one_fewer_streams_do() {
    let words = number_from("MODELWAY_WORDS", 400) as u32;
    println!("{HEAD}");
    for round_trip in [10, 40, 150] {
        for share in [0.0001, 0.001, 0.01] {
            let losses = losses(round_trip, share);
            let mut stalls = WAYS.map(|(way, connections)| {
                let stalls = Stalls::of(&reckoned(connections, losses, words));
                println!("{}", line(losses, way, connections as usize, &stalls));
                stalls
            });
            let [http1, http2 @ ..] = &mut stalls;
            if round_trip <= 40 {
                assert!(
                    http2
                        .iter()
                        .all(|http2| http2.longest[0] < http1.longest[0])
                );
            } else if share < 0.01 {
                assert!(http2.is_sorted_by(|more, fewer| more.share > fewer.share));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures minutes of real time on a machine that does nothing else: `just loss`"]
async fn streams_stand_still_where_packets_are_lost() {
    let manner = Manner {
        words: number_from("MODELWAY_WORDS", 200) as u32,
        apart: APART,
        ..Manner::default()
    };
    println!("{HEAD}");
    for share in [0.0, 0.001, 0.01] {
        for (way, _) in WAYS {
            let losses = losses(40, share);
            let stage = Stage::set(way, losses, manner).await;
            let gaps = timeout(Duration::from_secs(120), stage.gaps());
            let (gaps, connections) = gaps.await.unwrap();
            println!("{}", line(losses, way, connections, &Stalls::of(&gaps)));
        }
    }
}
