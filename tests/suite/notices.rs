//! Who learns that a threshold of a limit is reached? A receiver over real HTTP, however often it fails.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use modelway::error::LimitUnit;
use modelway::hash::in_digits;
use modelway::identity::{Identity, Labels};
use modelway::limits::{
    Announce, Asked, Enforcement, Limit, LimitDimension, LimitMatch, LimitWindow, Limits, Now, Zone,
};
use modelway::outbound::notify::{Settings, Webhook, notices};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

/// A request as it arrived: when, its head in small letters, its body.
#[derive(Clone)]
struct Arrived {
    at: Instant,
    head: String,
    body: Vec<u8>,
}

/// Receives requests, and answers each with the next of these statuses, the last one for ever.
struct Receiver {
    url: String,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    _task: tokio::task::JoinSet<()>,
}

impl Receiver {
    async fn start(statuses: &'static [u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "http://{}/hooks/s3cret-path",
            listener.local_addr().unwrap()
        );
        let arrived = Arc::<Mutex<Vec<Arrived>>>::default();
        let seen = Arc::clone(&arrived);
        let mut task = tokio::task::JoinSet::new();
        task.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let Some((head, body)) = request(&mut stream).await else {
                    continue;
                };
                let number = {
                    let mut seen = seen.lock().unwrap();
                    seen.push(Arrived {
                        at: Instant::now(),
                        head,
                        body,
                    });
                    seen.len() - 1
                };
                let status = statuses[number.min(statuses.len() - 1)];
                let answer = format!(
                    "HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self {
            url,
            arrived,
            _task: task,
        }
    }
}

/// Reads one request.
async fn request(stream: &mut tokio::net::TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))?;
            let length: usize = length.parse().ok()?;
            if bytes.len() >= end + 4 + length {
                return Some((head, bytes[end + 4..].to_vec()));
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn requests_per_team(amount: i64) -> Limit {
    Limit {
        id: "team-day".into(),
        description: String::new(),
        matching: LimitMatch::default(),
        per: vec![LimitDimension::Caller],
        unit: LimitUnit::Requests,
        amount,
        window: Some(LimitWindow::Day),
        zone: Zone::UTC,
        thresholds: vec![80],
        enforcement: Enforcement::Hard,
        unknown_ceiling: None,
    }
}

/// Makes calls, of which each counts as a request.
fn call(limits: &Limits, times: usize) {
    let now = Now {
        wall: SystemTime::now(),
        mono: Instant::now(),
    };
    let labels = Labels::new();
    let identity = Identity::local();
    let asked = Asked {
        identity: &identity,
        scenario: "general",
        provider: "",
        model: "",
        labels: &labels,
    };
    for _ in 0..times {
        limits.admit(&asked, now).unwrap().sent();
    }
}

/// Row 19 of the invariants: each threshold is told once, to a receiver that fails twice.
#[tokio::test]
async fn a_notice_is_sent_again_with_the_same_id_until_it_is_accepted() {
    const SECRET: &str = "s3cret-of-the-webhook";
    let receiver = Receiver::start(&[500, 503, 200]).await;
    let settings = Settings {
        webhook: Some(Webhook {
            url: receiver.url.clone(),
            secret: SECRET.to_owned().into(),
        }),
    };
    let (sender, mut worker) = notices(settings).unwrap();
    let counts = Arc::clone(sender.counts());
    let announce: Announce = Arc::new(move |notice| sender.send(notice));
    let limits = Limits::new(vec![requests_per_team(10)], Some(announce));

    call(&limits, 10);
    let is_delivered = async {
        while counts.delivered() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = worker.run() => unreachable!("the sender is there"),
        delivered = timeout(Duration::from_secs(60), is_delivered) => delivered.unwrap(),
    }

    let arrived = receiver.arrived.lock().unwrap().clone();
    assert_eq!(arrived.len(), 3);
    let pauses: Vec<_> = arrived
        .windows(2)
        .map(|pair| pair[1].at - pair[0].at)
        .collect();
    assert!(pauses[0] >= Duration::from_secs(1), "{pauses:?}");
    assert!(pauses[1] >= Duration::from_secs(5), "{pauses:?}");
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    for request in &arrived {
        assert_eq!(
            request.body, arrived[0].body,
            "the same id and the same numbers"
        );
        let signature = in_digits(ring::hmac::sign(&key, &request.body).as_ref());
        assert!(
            request
                .head
                .contains(&format!("x-modelway-signature: sha256={signature}")),
            "{}",
            request.head
        );
        assert!(request.head.starts_with("post /hooks/s3cret-path "));
        assert!(request.head.contains("content-type: application/json"));
    }
    let body: serde_json::Value = serde_json::from_slice(&arrived[0].body).unwrap();
    assert_eq!(body["limit"], "team-day");
    assert_eq!(body["key"], serde_json::json!({"caller": "local"}));
    assert_eq!(body["unit"], "requests");
    assert_eq!(
        (&body["threshold"], &body["amount"], &body["used"]),
        (&80.into(), &10.into(), &8.into())
    );
    assert_eq!(body["id"].as_str().unwrap().len(), 32);
    assert!(
        body["window"]["start"]
            .as_str()
            .unwrap()
            .ends_with("T00:00:00Z")
    );
    println!("notices by id: 1; tries: {}", arrived.len());
}

#[tokio::test]
async fn without_a_webhook_nothing_is_queued() {
    let (sender, worker) = notices(Settings::default()).unwrap();
    let counts = Arc::clone(sender.counts());
    let announce: Announce = Arc::new(move |notice| sender.send(notice));
    let limits = Limits::new(vec![requests_per_team(1)], Some(announce));

    call(&limits, 1);
    worker.finish().await;

    assert_eq!((counts.delivered(), counts.failed()), (0, 0));
    assert_eq!(limits.counts()[0].announced, 1);
}
