//! Which attacks on HTTP/2 connections are played, and what must each of them lead to?

use std::io;
use std::time::Duration;

use futures_util::FutureExt as _;
use prost::Message as _;
use tokio::time::sleep;

use super::attacker::{Assault, Line};
use super::frames::{
    CANCEL, CONTINUATION, DATA, EMPTY_MESSAGE, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE,
    RST_STREAM, SETTINGS, frame, head,
};
use super::service::ask;

const GENERATE: &str = "/modelway.v1.GenerationService/Generate";
const STREAM: &str = "/modelway.v1.GenerationService/StreamGenerate";
const LIST: &str = "/modelway.v1.CatalogService/ListModels";

/// An attack and its bounds.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// Connections that take part in it.
    pub(crate) connections: usize,
    pub(crate) assault: Assault,
    /// Whether the service has to close every connection, within [`super::abuse::LIMIT`].
    pub(crate) closed: bool,
    /// Calls upstream that it may cause in ten seconds; `None` for those that it pays for.
    pub(crate) upstream: Option<usize>,
}

/// Every attack that needs only a few connections.
pub(crate) fn attacks() -> Vec<Attack> {
    let attack = |name, connections, closed, assault| Attack {
        name,
        connections,
        assault,
        closed,
        upstream: Some(0),
    };
    vec![
        Attack {
            upstream: Some(EARLY_CANCELS),
            ..attack("rapid reset", 4, false, |line| rapid_reset(line).boxed())
        },
        Attack {
            upstream: Some(EARLY_CANCELS),
            ..attack("open and cancel", 4, false, |line| {
                open_and_cancel(line).boxed()
            })
        },
        attack("CONTINUATION flood", 4, true, |line| {
            continuations(line).boxed()
        }),
        attack("SETTINGS flood", 4, false, |line| settings(line).boxed()),
        attack("PING flood", 4, false, |line| pings(line).boxed()),
        attack("PING flood, unread", 4, true, |line| {
            pings_unread(line).boxed()
        }),
        attack("small DATA frames", 4, false, |line| data(line, 1).boxed()),
        attack("empty DATA frames", 4, false, |line| data(line, 0).boxed()),
        Attack {
            upstream: None,
            ..attack("zero window", 4, false, |line| {
                zero_window(line, STREAM).boxed()
            })
        },
        Attack {
            upstream: None,
            ..attack("zero window, whole", 4, false, |line| {
                zero_window(line, GENERATE).boxed()
            })
        },
        attack("header bomb", 4, false, |line| header_bomb(line).boxed()),
        attack("slow preface", 200, true, |line| slow_preface(line).boxed()),
        attack("slow head", 200, true, |line| slow_head(line).boxed()),
        attack("slow body", 4, false, |line| slow_body(line).boxed()),
        attack("unused connections", 200, true, |line| unused(line).boxed()),
    ]
}

/// Calls that a caller may cancel before they are answered, in ten seconds.
const EARLY_CANCELS: usize = 20;

/// The wait between two bytes of those that are slow.
const SLOWLY: Duration = Duration::from_millis(100);

/// The numbers of the streams that a caller opens.
fn streams() -> impl Iterator<Item = u32> {
    (1..1 << 31).step_by(2)
}

/// A whole request for the scenario that is attacked.
fn call(path: &str, stream: u32) -> Vec<u8> {
    let message = ask("attacked").encode_to_vec();
    let mut data = vec![0];
    data.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    data.extend(message);
    let mut bytes = frame(HEADERS, END_HEADERS, stream, &head(path));
    bytes.extend(frame(DATA, END_STREAM, stream, &data));
    bytes
}

/// Opens calls and resets them at once.
async fn rapid_reset(mut line: Line) -> io::Result<()> {
    line.begin(&[]).await?;
    let mut batch = Vec::new();
    for stream in streams() {
        batch.extend(call(GENERATE, stream));
        batch.extend(frame(RST_STREAM, 0, stream, &CANCEL));
        if batch.len() > 16 << 10 {
            line.exchange(&batch).await?;
            batch.clear();
        }
    }
    Ok(())
}

/// Opens calls and resets each as soon as the provider works on it.
async fn open_and_cancel(mut line: Line) -> io::Result<()> {
    line.begin(&[]).await?;
    for stream in streams() {
        line.exchange(&call(STREAM, stream)).await?;
        sleep(Duration::from_millis(10)).await;
        line.exchange(&frame(RST_STREAM, 0, stream, &CANCEL))
            .await?;
    }
    Ok(())
}

/// Sends a head that does not end.
async fn continuations(mut line: Line) -> io::Result<()> {
    line.begin(&[]).await?;
    line.exchange(&frame(HEADERS, 0, 1, &head(LIST))).await?;
    // A field that is not indexed, again and again.
    let fields = [0, 1, b'a', 1, b'b'].repeat(1000);
    let more = frame(CONTINUATION, 0, 1, &fields);
    loop {
        line.exchange(&more).await?;
        line.exchange(&frame(CONTINUATION, 0, 1, &[])).await?;
    }
}

/// Changes settings without end, each of which is to be acknowledged.
async fn settings(mut line: Line) -> io::Result<()> {
    line.begin(&[]).await?;
    // SETTINGS_HEADER_TABLE_SIZE of 4096.
    let flood = frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 16, 0]).repeat(1000);
    loop {
        line.exchange(&flood).await?;
    }
}

/// Sends pings without end.
async fn pings(mut line: Line) -> io::Result<()> {
    line.begin(&[]).await?;
    let flood = frame(PING, 0, 0, &[7; 8]).repeat(1000);
    loop {
        line.exchange(&flood).await?;
    }
}

/// Sends pings without end, and does not read the answers.
async fn pings_unread(mut line: Line) -> io::Result<()> {
    line.begin(&[]).await?;
    let flood = frame(PING, 0, 0, &[7; 8]).repeat(1000);
    loop {
        line.send(&flood).await?;
    }
}

/// Sends messages in frames of so many bytes.
async fn data(mut line: Line, bytes: usize) -> io::Result<()> {
    line.begin(&[]).await?;
    for stream in streams() {
        let mut batch = frame(HEADERS, END_HEADERS, stream, &head(GENERATE));
        // A message of 64 KiB is announced.
        batch.extend(frame(DATA, 0, stream, &[0, 0, 1, 0, 0]));
        batch.extend(frame(DATA, 0, stream, &vec![7; bytes]).repeat(10_000));
        line.exchange(&batch).await?;
    }
    Ok(())
}

/// Asks for answers and leaves no room for them.
async fn zero_window(mut line: Line, path: &str) -> io::Result<()> {
    // SETTINGS_INITIAL_WINDOW_SIZE of 0.
    line.begin(&[0, 4, 0, 0, 0, 0]).await?;
    for stream in streams().take(100) {
        line.exchange(&call(path, stream)).await?;
        // Not all at once: what the answers cost to read is no part of this.
        sleep(Duration::from_millis(30)).await;
    }
    line.stay().await
}

/// Lets the other side remember a long field, and repeats it a thousand times in every head.
async fn header_bomb(mut line: Line) -> io::Result<()> {
    line.begin(&[]).await?;
    let mut first = head(LIST);
    // A literal that is to be remembered, of 3900 bytes (RFC 7541, sections 5.1 and 6.2.1).
    first.extend([0x40, 1, b'a', 0x7f, 0xbd, 0x1d]);
    first.extend([b'b'; 3900]);
    let mut bomb = head(LIST);
    bomb.extend([0xbe; 10_000]);
    for stream in streams() {
        let block = if stream == 1 { &first } else { &bomb };
        let mut request = frame(HEADERS, END_HEADERS, stream, block);
        request.extend(frame(DATA, END_STREAM, stream, &EMPTY_MESSAGE));
        line.exchange(&request).await?;
    }
    Ok(())
}

/// Sends the very first bytes slowly.
async fn slow_preface(mut line: Line) -> io::Result<()> {
    for byte in PREFACE {
        line.exchange(&[*byte]).await?;
        sleep(SLOWLY).await;
    }
    line.stay().await
}

/// Makes a call, and then sends the head of another one slowly.
async fn slow_head(mut line: Line) -> io::Result<()> {
    line.begin(&[]).await?;
    let mut beginning = frame(HEADERS, END_HEADERS, 1, &head(LIST));
    beginning.extend(frame(DATA, END_STREAM, 1, &EMPTY_MESSAGE));
    beginning.extend(frame(HEADERS, 0, 3, &head(LIST)));
    line.send(&beginning).await?;
    loop {
        line.send(&frame(CONTINUATION, 0, 3, &[])).await?;
        sleep(SLOWLY).await;
    }
}

/// Sends the messages of hundreds of calls slowly.
async fn slow_body(mut line: Line) -> io::Result<()> {
    line.begin(&[]).await?;
    let mut open = Vec::new();
    for stream in streams() {
        let mut request = frame(HEADERS, END_HEADERS, stream, &head(GENERATE));
        request.extend(frame(DATA, 0, stream, &[0, 0, 1, 0, 0]));
        line.exchange(&request).await?;
        open.push(stream);
        if open.len() == 250 {
            for _ in 0..50 {
                let mut bytes = Vec::new();
                for stream in &open {
                    bytes.extend(frame(DATA, 0, *stream, &[7]));
                }
                line.exchange(&bytes).await?;
                sleep(SLOWLY).await;
            }
            open.clear();
        }
    }
    Ok(())
}

/// Connects and makes no call.
pub(crate) async fn unused(mut line: Line) -> io::Result<()> {
    line.begin(&[]).await?;
    line.stay().await
}
