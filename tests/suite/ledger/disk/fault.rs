//! What goes wrong with the disk of a running service, and how does a test bring it about?
//!
//! Each fault is one of the system: a small file system of the process's own, a limit on its files, or system calls of
//! the writing thread that a tracer lets fail or wait.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::simulator::{Received, Settings, Simulator, WireName};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::PROMPTLY;
use crate::ledger::{days, table};
use crate::support::posted::fetched;
use crate::support::{Process, ask, collect, nobody, scratch};

/// The size of the process's own file system.
const SMALL: &str = "2m";

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The file system is full.
    Full,
    /// No file may be written.
    Limited,
    /// Writes fail with this error.
    Fails(&'static str),
    /// A write takes much longer than anything here.
    Stalls,
    /// The same for what is done beside the writing: moving the log into its file.
    StallsBeside,
}

/// Whether a command of the shell succeeds.
fn works(command: &str) -> bool {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    let output = shell.output();
    output.is_ok_and(|output| output.status.success())
}

impl Fault {
    /// Why it cannot be made here; `None` if it can.
    pub(super) fn obstacle(self) -> Option<&'static str> {
        let (works, obstacle) = match self {
            Self::Full => (
                works("unshare --user --map-root-user --mount mount -t tmpfs tmpfs /mnt"),
                "no file system may be mounted",
            ),
            Self::Limited => (works("prlimit --pid $$ --fsize"), "there is no `prlimit`"),
            Self::Fails(_) | Self::Stalls | Self::StallsBeside => (
                works("strace -o /dev/null -e inject=write:delay_enter=1 true"),
                "`strace` is missing, or may not trace",
            ),
        };
        (!works).then_some(obstacle)
    }
}

/// A service in a process, in front of a simulator.
pub(super) struct Service {
    process: Process,
    pub(super) simulator: Simulator,
    pub(super) channel: Channel,
    /// Where its metrics are.
    metrics: String,
    /// Its data directory, as it sees it.
    data: PathBuf,
    /// What leads from the root of this test's file system to that of the process.
    root: PathBuf,
}

/// A fault that goes on until this is ended.
pub(super) struct Ongoing {
    fault: Fault,
    tracer: Option<Child>,
}

impl Service {
    pub(super) async fn start(name: &str, fault: Fault, more: &str) -> Self {
        let folder = scratch::folder(name);
        let data = folder.join("data");
        let simulator = Simulator::start(Settings::default()).await.unwrap();
        let probes = nobody();
        let text = format!(
            "{}
            [server]
            predrain = '0s'
            [probes]
            listen = '{probes}'
            [providers.sim]
            wire_format = 'openai_chat'
            base_url = '{}'
            auth = 'none'
            propagate_trace = true
            [models.'sim/first']
            model = 'first'
            max_output_tokens = 1000
            price = {{ input = 2.5, output = 15.0 }}
            [models.'sim/slow']
            model = 'slow'
            max_output_tokens = 1000
            price = {{ input = 2.5, output = 15.0 }}
            [scenarios.s]
            targets = ['sim/first']
            [scenarios.slow]
            targets = ['sim/slow']
            [[limits]]
            id = 'day'
            money = '1000 USD'
            window = 'day'
            per = ['caller']
            enforcement = 'watch'",
            table(&data, more),
            simulator.base_url(WireName::OpenAiChat),
        );
        let config = folder.with_extension("toml");
        fs::write(&config, text).unwrap();
        let process = match fault {
            Fault::Full => {
                let folder = folder.to_str().unwrap();
                let mount = format!("mount -t tmpfs -o size={SMALL} tmpfs '{folder}'");
                Process::mounting(&mount, &config)
            }
            Fault::Limited => Process::limited("trap '' XFSZ", &config),
            Fault::Fails(_) | Fault::Stalls | Fault::StallsBeside => {
                Process::serve(Some(&config), &[])
            }
        };
        let root = match fault {
            Fault::Full => PathBuf::from(format!("/proc/{}/root", process.id())),
            Fault::Limited | Fault::Fails(_) | Fault::Stalls | Fault::StallsBeside => {
                PathBuf::from("/")
            }
        };
        Self {
            channel: process.connect().await,
            process,
            simulator,
            metrics: format!("http://{probes}/metrics"),
            data,
            root,
        }
    }

    pub(super) async fn call(&self, scenario: &str) -> Result<(), Status> {
        let mut client = GenerationServiceClient::new(self.channel.clone());
        let answered = timeout(PROMPTLY, client.generate(ask(scenario, "Hello"))).await;
        answered.expect("an answer").map(drop)
    }

    /// So many streams of the slow model, all of which its provider has got, after `before` other requests. Each yields how
    /// it failed.
    pub(super) async fn under_way(&self, count: usize, before: usize) -> JoinSet<Option<Status>> {
        let mut under_way = JoinSet::new();
        for _ in 0..count {
            let mut client = GenerationServiceClient::new(self.channel.clone());
            under_way.spawn(async move {
                let stream = client.stream_generate(ask("slow", "Hello")).await.unwrap();
                collect(stream.into_inner()).await.failure
            });
        }
        let sent = self.simulator.wait_for(|log| log.len() == before + count);
        timeout(PROMPTLY, sent).await.unwrap();
        under_way
    }

    /// The value of a series.
    pub(super) async fn metric(&self, series: &str) -> f64 {
        let page = fetched(&self.metrics).await;
        let value = page.lines().find_map(|line| {
            let value = line.strip_prefix(series)?.strip_prefix(' ')?;
            value.parse().ok()
        });
        value.unwrap_or_else(|| panic!("{series}: {page}"))
    }

    /// The changes of its health, from how it is now.
    pub(super) async fn watch(&self) -> Streaming<HealthCheckResponse> {
        let mut client = HealthClient::new(self.channel.clone());
        let watch = client.watch(HealthCheckRequest::default()).await;
        watch.unwrap().into_inner()
    }

    /// The thread of this name.
    fn thread(&self, wanted: &str) -> String {
        let mut threads = self.process.threads().into_iter();
        let (_, task) = threads.find(|(name, _)| name == wanted).unwrap();
        task.file_name().unwrap().to_str().unwrap().to_owned()
    }

    /// A path of the process, as this test sees it.
    fn seen(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap())
    }

    fn limit_files(&self, limit: &str) {
        let pid = self.process.id().to_string();
        let mut prlimit = Command::new("prlimit");
        let done = prlimit.args(["--pid", &pid, &format!("--fsize={limit}:")]);
        assert!(done.status().unwrap().success());
    }

    /// Lets something go wrong.
    pub(super) fn suffer(&self, fault: Fault) -> Ongoing {
        let inject = match fault {
            Fault::Full => {
                let filler = self.seen(&self.data.join("filler"));
                // Longer than the file system: it is filled to its end.
                fs::write(filler, vec![0; 4 << 20]).unwrap_err();
                None
            }
            Fault::Limited => {
                self.limit_files("0");
                None
            }
            Fault::Fails(error) => Some(format!("error={error}")),
            Fault::Stalls | Fault::StallsBeside => Some("delay_enter=600000000".to_owned()),
        };
        let tracer = inject.map(|inject| {
            let mut strace = Command::new("strace");
            // Only what is written into the file of the day and its log: the thread also writes lines of the service's log.
            let file = days(&self.data).remove(0);
            let file = file.to_str().unwrap();
            let thread = match fault {
                Fault::StallsBeside => "ledger-keeper",
                _ => "ledger-writer",
            };
            let calls = "write,pwrite64,fsync,fdatasync";
            strace.args(["-p", &self.thread(thread), "-o", "/dev/null"]);
            strace.args(["-P", file, "-P", &format!("{file}-wal")]);
            strace.args(["-e", &format!("trace={calls}")]);
            strace.args(["-e", &format!("inject={calls}:{inject}")]);
            let mut strace = strace.stderr(Stdio::piped()).spawn().unwrap();
            let mut attached = String::new();
            let mut told = BufReader::new(strace.stderr.as_mut().unwrap());
            told.read_line(&mut attached).unwrap();
            assert!(attached.contains("attached"), "{attached}");
            strace
        });
        Ongoing { fault, tracer }
    }

    /// Lets that end.
    pub(super) fn recover(&self, ongoing: Ongoing) {
        match ongoing.fault {
            Fault::Full => fs::remove_file(self.seen(&self.data.join("filler"))).unwrap(),
            Fault::Limited => self.limit_files("unlimited"),
            Fault::Fails(_) | Fault::Stalls | Fault::StallsBeside => {}
        }
        if let Some(mut tracer) = ongoing.tracer {
            // This ends it, and the thread goes on without it, also in the middle of a wait.
            assert!(works(&format!("kill -TERM {}", tracer.id())));
            tracer.wait().unwrap();
        }
    }

    /// Ends the service while its disk fails. What it logs; the simulator; the data and what it was configured with.
    pub(super) async fn ends_in_trouble(self) -> (String, Simulator, PathBuf, PathBuf) {
        self.process.terminate();
        let (_, log) = timeout(PROMPTLY, self.process.ended()).await.unwrap();
        let config = self.data.parent().unwrap().with_extension("toml");
        (log, self.simulator, self.data, config)
    }

    /// Ends the service, and copies its files to where they can be read. A file system of its own lasts until the copy is
    /// made, because this holds a directory of it open.
    pub(super) async fn ended(self) -> (PathBuf, Vec<Received>) {
        let held = File::open(self.seen(&self.data.join("ledger"))).unwrap();
        let has_own_file_system = self.root != Path::new("/");
        self.process.terminate();
        let (status, log) = timeout(PROMPTLY, self.process.ended()).await.unwrap();
        assert!(status.success(), "{log}");
        let [fails, works] = [
            "the ledger cannot be written",
            "the ledger can be written again",
        ]
        .map(|line| log.lines().filter(|told| told.contains(line)).count());
        assert!(fails == works, "{fails} {works}: {log}");
        assert!(fails <= 1 || has_own_file_system, "{log}");
        let copy = self.data.with_file_name("copy");
        fs::create_dir_all(copy.join("ledger")).unwrap();
        let inside = format!("/proc/self/fd/{}", held.as_raw_fd());
        for file in fs::read_dir(inside).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), copy.join("ledger").join(file.file_name())).unwrap();
        }
        (copy, self.simulator.requests())
    }
}

/// Waits until the health is this.
pub(super) async fn reaches(health: &mut Streaming<HealthCheckResponse>, wanted: ServingStatus) {
    let reached = async { while health.message().await.unwrap().unwrap().status() != wanted {} };
    timeout(PROMPTLY, reached).await.expect("the health");
}
