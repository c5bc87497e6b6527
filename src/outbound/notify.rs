//! Who is told over HTTP that a threshold of a limit is reached? One webhook, at least once for each notice, and always
//! with the same id.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use ring::hmac;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::hash::in_digits;
use crate::limits::LimitNotice;
use crate::provider::link::Link;

use super::SetupError;
use super::post::{PostVersion, Poster};

/// The header with the signature: `sha256=` and the HMAC-SHA256 of the body in hexadecimal digits.
pub const SIGNATURE_HEADER: &str = "x-modelway-signature";

/// How long the receiver may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pauses before the tries that follow the first.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(25),
];

/// The most notices that wait. More than this at a time means that the receiver has been gone for long.
const MOST_WAITING: usize = 256;

/// The most notices that are on their way, most of them in the pause between two tries.
const MOST_UNDER_WAY: usize = 256;

/// The most notices that are sent at a time.
const MOST_POSTS: usize = 8;

/// How long notices may take that are under way when the service ends.
const LAST_NOTICES: Duration = Duration::from_secs(5);

/// Who is told.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The webhook, if there is one.
    pub webhook: Option<Webhook>,
}

/// Where notices are sent.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Its URL. It may hold a key, so it is shown nowhere.
    pub url: String,
    /// What notices are signed with.
    pub secret: SecretString,
}

/// Takes notices that are to be sent. A clone is the same.
#[derive(Clone, Debug)]
pub struct NoticeSender {
    notices: mpsc::Sender<LimitNotice>,
    settings: Arc<ArcSwap<Settings>>,
    counts: Arc<NoticeCounts>,
    done: NoticeEnd,
}

/// Is told the id of each notice that needs no more tries: it was accepted or given up, or there is no webhook any more.
pub type NoticeFollower = Box<dyn Fn(String) + Send + Sync>;

/// Who is told of notices that need no more tries.
#[derive(Clone, Default)]
struct NoticeEnd(Arc<OnceLock<NoticeFollower>>);

impl NoticeEnd {
    fn tell(&self, id: &str) {
        if let Some(follower) = self.0.get() {
            follower(id.to_owned());
        }
    }
}

impl fmt::Debug for NoticeEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NoticeEnd").finish()
    }
}

/// What became of notices.
#[derive(Debug, Default)]
pub struct NoticeCounts {
    delivered: AtomicU64,
    failed: AtomicU64,
}

impl NoticeCounts {
    /// How many the receiver has accepted.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// How many were given up.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

/// Sends notices while [`NoticeWorker::run`] is awaited.
#[derive(Debug)]
pub struct NoticeWorker {
    notices: mpsc::Receiver<LimitNotice>,
    settings: Arc<ArcSwap<Settings>>,
    counts: Arc<NoticeCounts>,
    poster: Poster,
    posts: Arc<Semaphore>,
    done: NoticeEnd,
    under_way: JoinSet<()>,
}

/// Both ends of a queue of notices.
///
/// # Errors
/// The HTTP client cannot be set up.
pub fn notices(settings: Settings) -> Result<(NoticeSender, NoticeWorker), SetupError> {
    let poster = Poster::new(&Link::default(), PostVersion::Http1)?;
    let (sender, receiver) = mpsc::channel(MOST_WAITING);
    let settings = Arc::new(ArcSwap::from_pointee(settings));
    let counts = Arc::<NoticeCounts>::default();
    let worker = NoticeWorker {
        notices: receiver,
        settings: Arc::clone(&settings),
        counts: Arc::clone(&counts),
        poster,
        posts: Arc::new(Semaphore::new(MOST_POSTS)),
        done: NoticeEnd::default(),
        under_way: JoinSet::new(),
    };
    let sender = NoticeSender {
        notices: sender,
        settings,
        counts,
        done: worker.done.clone(),
    };
    Ok((sender, worker))
}

impl NoticeSender {
    /// Has a notice sent, if there is a webhook. Never waits.
    pub fn send(&self, notice: LimitNotice) {
        if !self.has_webhook() {
            return;
        }
        if let Err(notice) = self.offer(notice) {
            self.counts.failed.fetch_add(1, Ordering::Relaxed);
            warn!(
                notice = notice.id,
                limit = &*notice.limit,
                "notice not sent to the webhook: too many wait"
            );
        }
    }

    /// Whether there is a webhook.
    pub fn has_webhook(&self) -> bool {
        self.settings.load().webhook.is_some()
    }

    /// Has a notice sent. Never waits.
    ///
    /// # Errors
    /// The notice, if too many wait.
    pub fn offer(&self, notice: LimitNotice) -> Result<(), LimitNotice> {
        let offered = self.notices.try_send(notice);
        offered.map_err(TrySendError::into_inner)
    }

    /// Tells this of each notice that needs no more tries. Only the first one is told.
    pub fn tell_done(&self, follower: NoticeFollower) {
        let _ = self.done.0.set(follower);
    }

    /// From now on notices go where these settings say.
    pub fn change(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    /// What became of notices.
    pub fn counts(&self) -> &Arc<NoticeCounts> {
        &self.counts
    }
}

impl NoticeWorker {
    /// Sends what is queued. Ends when every sender is gone.
    pub async fn run(&mut self) {
        loop {
            while self.under_way.len() >= MOST_UNDER_WAY {
                self.under_way.join_next().await;
            }
            tokio::select! {
                notice = self.notices.recv() => match notice {
                    Some(notice) => self.begin(notice),
                    None => return,
                },
                Some(_) = self.under_way.join_next() => {}
            }
        }
    }

    /// Sends what waits, within five seconds. What is not delivered by then is given up.
    pub async fn finish(mut self) {
        let delivering = async {
            while let Ok(notice) = self.notices.try_recv() {
                self.begin(notice);
            }
            while self.under_way.join_next().await.is_some() {}
        };
        // What is under way ends with the set.
        let _ = timeout(LAST_NOTICES, delivering).await;
    }

    fn begin(&mut self, notice: LimitNotice) {
        let delivery = NoticeDelivery {
            notice,
            settings: Arc::clone(&self.settings),
            counts: Arc::clone(&self.counts),
            poster: self.poster.clone(),
            posts: Arc::clone(&self.posts),
            done: self.done.clone(),
        };
        self.under_way.spawn(delivery.run());
    }
}

/// One notice on its way.
struct NoticeDelivery {
    notice: LimitNotice,
    settings: Arc<ArcSwap<Settings>>,
    counts: Arc<NoticeCounts>,
    poster: Poster,
    posts: Arc<Semaphore>,
    done: NoticeEnd,
}

impl NoticeDelivery {
    async fn run(self) {
        let body = Bytes::from(json(&self.notice));
        let mut pauses = PAUSES.into_iter();
        let failure = loop {
            // It may have changed since the last try.
            let settings = self.settings.load_full();
            let Some(webhook) = &settings.webhook else {
                self.done.tell(&self.notice.id);
                return;
            };
            let Err(why) = self.try_once(webhook, body.clone()).await else {
                self.counts.delivered.fetch_add(1, Ordering::Relaxed);
                self.done.tell(&self.notice.id);
                info!(notice = self.notice.id, "notice delivered to the webhook");
                return;
            };
            let Some(pause) = pauses.next() else {
                break why;
            };
            sleep(pause).await;
        };
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
        self.done.tell(&self.notice.id);
        warn!(
            notice = self.notice.id,
            limit = &*self.notice.limit,
            error = failure,
            "notice not accepted by the webhook: given up"
        );
    }

    /// # Errors
    /// Why it was not accepted.
    async fn try_once(&self, webhook: &Webhook, body: Bytes) -> Result<(), String> {
        // Pauses between tries take no place from others.
        let _place = self.posts.acquire().await;
        let headers = headers(&webhook.secret, &body);
        let posting = self.poster.post(&webhook.url, headers, body);
        match timeout(PATIENCE, posting).await {
            Err(_) => Err(format!(
                "it does not answer within {} s",
                PATIENCE.as_secs()
            )),
            Ok(Err(error)) => Err(error.to_string()),
            Ok(Ok(posted)) if posted.status.is_success() => Ok(()),
            Ok(Ok(posted)) => Err(format!(
                "it answers with the status {}",
                posted.status.as_u16()
            )),
        }
    }
}

fn headers(secret: &SecretString, body: &[u8]) -> HeaderMap {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
    let signature = format!("sha256={}", in_digits(hmac::sign(&key, body).as_ref()));
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(signature) = HeaderValue::from_str(&signature) {
        headers.insert(SIGNATURE_HEADER, signature);
    }
    headers
}

/// What is sent. Money is in nano-USD.
#[derive(Serialize)]
struct NoticeBody<'a> {
    id: &'a str,
    limit: &'a str,
    key: BTreeMap<String, &'a str>,
    unit: &'static str,
    threshold: u8,
    amount: i64,
    used: i64,
    window: Option<BodyWindow>,
}

#[derive(Serialize)]
struct BodyWindow {
    start: String,
    end: String,
}

fn json(notice: &LimitNotice) -> String {
    let LimitNotice {
        id,
        limit,
        key,
        unit,
        amount,
        used,
        threshold,
        window,
    } = notice;
    let body = NoticeBody {
        id,
        limit,
        key: key
            .iter()
            .map(|(dimension, value)| (dimension.name(), &**value))
            .collect(),
        unit: unit.name(),
        threshold: *threshold,
        amount: *amount,
        used: *used,
        window: window.map(|(start, end)| BodyWindow {
            start: rfc3339(start),
            end: rfc3339(end),
        }),
    };
    serde_json::to_string(&body).unwrap_or_default()
}

fn rfc3339(time: SystemTime) -> String {
    let time = jiff::Timestamp::try_from(time);
    time.map_or_else(|_| String::new(), |time| time.to_string())
}
