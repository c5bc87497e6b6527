//! A host that plays an issuer of tokens and a provider that wants them, as a test says.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What the host was asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    /// Path and query.
    pub(super) path: String,
    /// Names in small letters.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// A field of its form.
    pub(super) fn field(&self, name: &str) -> String {
        let fields = self
            .body
            .split('&')
            .filter_map(|field| field.split_once('='));
        let found = fields.into_iter().find(|(known, _)| *known == name);
        decoded(found.map_or("", |(_, value)| value))
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first == b'%' {
            let hex = std::str::from_utf8(&behind[..2]).unwrap();
            bytes.push(u8::from_str_radix(hex, 16).unwrap());
            rest = &behind[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// What the host answers.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
    pub(super) after: Duration,
}

impl Answered {
    pub(super) fn new(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            after: Duration::ZERO,
        }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A token as most issuers answer.
pub(super) fn token(text: &str) -> Answered {
    let body = json!({"access_token": text, "expires_in": 3600, "token_type": "Bearer"});
    Answered::new(200, body.to_string())
}

/// The answer of a model.
pub(super) fn completion() -> Answered {
    let body = json!({
        "id": "c1", "object": "chat.completion", "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello"}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    });
    Answered::new(200, body.to_string())
}

type Play = Arc<dyn Fn(&Asked) -> Answered + Send + Sync>;

/// A host on this machine. It ends when it is dropped.
pub(super) struct Host {
    pub(super) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    play: Arc<Mutex<Play>>,
    _tasks: JoinSet<()>,
}

impl Host {
    pub(super) async fn start(play: impl Fn(&Asked) -> Answered + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let play: Arc<Mutex<Play>> = Arc::new(Mutex::new(Arc::new(play)));
        let mut tasks = JoinSet::new();
        let (seen, played) = (Arc::clone(&asked), Arc::clone(&play));
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                open.spawn(serve(socket, Arc::clone(&seen), Arc::clone(&played)));
            }
        });
        Self {
            address,
            asked,
            play,
            _tasks: tasks,
        }
    }

    /// Plays otherwise from now on.
    pub(super) fn play(&self, play: impl Fn(&Asked) -> Answered + Send + Sync + 'static) {
        *self.play.lock().unwrap() = Arc::new(play);
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was asked at paths that begin like this.
    pub(super) fn asked(&self, path: &str) -> Vec<Asked> {
        let asked = self.asked.lock().unwrap();
        let at = asked.iter().filter(|asked| asked.path.starts_with(path));
        at.cloned().collect()
    }
}

async fn serve(mut socket: TcpStream, seen: Arc<Mutex<Vec<Asked>>>, play: Arc<Mutex<Play>>) {
    let mut read = Vec::new();
    loop {
        let (asked, length) = loop {
            if let Some(whole) = parsed(&read) {
                break whole;
            }
            let mut bytes = [0; 8192];
            match socket.read(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(count) => read.extend_from_slice(&bytes[..count]),
            }
        };
        read.drain(..length);
        let play = Arc::clone(&play.lock().unwrap());
        let answered = play(&asked);
        seen.lock().unwrap().push(asked);
        tokio::time::sleep(answered.after).await;
        let mut text = format!("HTTP/1.1 {} Told\r\n", answered.status);
        for (name, value) in &answered.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += &format!(
            "content-type: application/json\r\ncontent-length: {}\r\n\r\n{}",
            answered.body.len(),
            answered.body
        );
        if socket.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A request that has arrived completely, and its length.
fn parsed(read: &[u8]) -> Option<(Asked, usize)> {
    let text = String::from_utf8_lossy(read);
    let (head, _) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
    let whole = head.len() + 4 + length;
    let body = read.get(head.len() + 4..whole)?;
    let asked = Asked {
        method,
        path,
        headers,
        body: String::from_utf8_lossy(body).into_owned(),
    };
    Some((asked, whole))
}

/// The JSON of a request's body.
pub(super) fn json_of(asked: &Asked) -> Value {
    serde_json::from_str(&asked.body).unwrap()
}
