//! The program itself, as an operator starts it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use tonic::transport::Channel;

/// A running `modelway serve`. Killed when dropped.
pub(crate) struct Process {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    child: Child,
    /// Reads what it logs, all the time: a full pipe would stop it.
    log: Option<JoinHandle<String>>,
}

/// A filter that lets through every line of the program and of its libraries.
pub(crate) const EVERYTHING: &str = "trace,h2=trace,hyper=trace,hyper_util=trace,mio=trace,opentelemetry=trace,\
     opentelemetry_sdk=trace,opentelemetry_otlp=trace,reqwest=trace,rustls=trace,tokio=trace,tokio_util=trace,tonic=trace,\
     tower=trace,want=trace";

/// The program, without any of the surroundings' settings.
pub(crate) fn program() -> Command {
    without_settings(env!("CARGO_BIN_EXE_modelway"))
}

/// Another program, which runs ours, without any of the surroundings' settings for ours.
pub(crate) fn without_settings(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("OTEL_") || text.starts_with("MODELWAY_") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG");
    command
}

impl Process {
    /// Starts to serve a configuration, or the built-in one, on any free port, with these
    /// environment variables; returns when it says where.
    pub(crate) fn serve(config: Option<&Path>, variables: &[(&str, &str)]) -> Self {
        Self::start(program(), config, variables)
    }

    /// The same, after this command of the shell has set its limits, such as `ulimit -n 100`.
    pub(crate) fn limited(limits: &str, config: &Path) -> Self {
        let mut command = without_settings("sh");
        command
            .args(["-c", &format!("{limits} && exec \"$0\" \"$@\"")])
            .arg(env!("CARGO_BIN_EXE_modelway"));
        Self::start(command, Some(config), &[])
    }

    /// The same, where the configuration says where it listens.
    pub(crate) fn listening(config: &Path) -> Self {
        let mut command = program();
        command.arg("serve");
        Self::started(command, Some(config), &[])
    }

    /// The same with mounts of its own, after this command of the shell has made them.
    pub(crate) fn mounting(mounts: &str, config: &Path) -> Self {
        let mut command = without_settings("unshare");
        command
            .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
            .arg(format!("{mounts} && exec \"$0\" \"$@\""))
            .arg(env!("CARGO_BIN_EXE_modelway"));
        Self::start(command, Some(config), &[])
    }

    fn start(mut command: Command, config: Option<&Path>, variables: &[(&str, &str)]) -> Self {
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        Self::started(command, config, variables)
    }

    fn started(mut command: Command, config: Option<&Path>, variables: &[(&str, &str)]) -> Self {
        if let Some(config) = config {
            command.arg("--config").arg(config);
        }
        let mut child = command
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut log = Vec::new();
            stderr.read_to_end(&mut log).unwrap();
            String::from_utf8(log).unwrap()
        });
        let mut banner = String::new();
        let mut output = BufReader::new(child.stdout.as_mut().unwrap());
        output.read_line(&mut banner).unwrap();
        let address = banner.trim().rsplit(' ').next().unwrap().parse();
        Self {
            address: address.unwrap_or_else(|error| panic!("{error}: {banner}")),
            child,
            log: Some(log),
        }
    }

    /// Connects to it.
    pub(crate) async fn connect(&self) -> Channel {
        let address = format!("http://{}", self.address);
        Channel::from_shared(address)
            .unwrap()
            .connect()
            .await
            .unwrap()
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Memory that it holds, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        resident_kib(self.id())
    }

    /// The most memory that it has held so far, in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        kib_of(self.id(), "VmHWM:")
    }

    /// The processor time that it has taken so far, to a hundredth of a second.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        // The name in brackets may hold anything; user and system time are the 12th and 13th field after it.
        let fields = stat.rsplit(')').next().unwrap().split_whitespace();
        let times = fields
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<u64>().unwrap());
        Duration::from_millis(10 * times.sum::<u64>())
    }

    /// The processor time that the threads have taken so far that serve calls, one for each of `server.runtimes`.
    /// Threads for blocking work do not count.
    pub(crate) fn core_time(&self) -> Duration {
        let cores = self.threads().into_iter();
        let cores = cores.filter(|(name, _)| name.starts_with("core-"));
        let worked = cores.map(|(_, task)| {
            let counted = fs::read_to_string(task.join("schedstat")).unwrap();
            let worked = counted.split(' ').next().unwrap();
            worked.parse::<u64>().unwrap()
        });
        Duration::from_nanos(worked.sum())
    }

    /// The names of its threads, and the folders in which the kernel tells of them. A thread that ends meanwhile has
    /// no name.
    pub(crate) fn threads(&self) -> Vec<(String, PathBuf)> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id())).unwrap();
        let named = tasks.map(|task| {
            let task = task.unwrap().path();
            let name = fs::read_to_string(task.join("comm")).unwrap_or_default();
            (name.trim().to_owned(), task)
        });
        named.collect()
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Sends SIGHUP.
    pub(crate) fn hang_up(&self) {
        self.signal("-HUP");
    }

    /// Sends a signal, such as `-USR1`.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the program's end, elsewhere than on the runtime's thread: how it ended and what
    /// it logged.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let wait = move || {
            let log = self.log.take().unwrap().join().unwrap();
            (self.child.wait().unwrap(), log)
        };
        tokio::task::spawn_blocking(wait).await.unwrap()
    }
}

/// Memory that a process holds, in KiB.
pub(crate) fn resident_kib(process: u32) -> u64 {
    kib_of(process, "VmRSS:")
}

fn kib_of(process: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name));
    let number = line.unwrap().split_whitespace().nth(1).unwrap();
    number.parse().unwrap()
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
