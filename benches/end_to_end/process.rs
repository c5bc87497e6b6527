//! Starts the processes under test, and measures the CPU time and memory that they use.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::Failed;
use super::roles::{Layout, Role};

/// A process of this program in another role. Dropping it ends it.
pub(crate) struct Process {
    pub(crate) role: Role,
    /// Where it listens; a front tells the file of its certificate, too.
    pub(crate) address: String,
    child: Child,
}

impl Process {
    /// Starts a process and waits until it listens.
    pub(crate) fn start(role: Role, layout: Layout, upstream: &str) -> Result<Self, Failed> {
        let name = match role {
            Role::Simulator => "simulator",
            Role::Floor => "floor",
            Role::Gateway => "gateway",
            Role::Keyed => "keyed",
            Role::Tokened => "tokened",
            Role::Observed => "observed",
            Role::Front => "front",
            Role::Sink => "sink",
        };
        let layout = match layout {
            Layout::Shared => "shared",
            Layout::PerCore => "per-core",
        };
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--role", name, "--layout", layout, "--upstream", upstream])
            .env_remove("RUST_LOG")
            .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
            .env_remove("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut address = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut address)?;
        }
        let address = address.trim().to_owned();
        if address.is_empty() {
            return Err(format!("the {name} does not start").into());
        }
        Ok(Self {
            role,
            address,
            child,
        })
    }

    /// User and system time of all its threads so far, to the nanosecond.
    pub(crate) fn cpu_time(&self) -> Result<Duration, Failed> {
        let mut nanos = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let times = fs::read_to_string(thread?.path().join("schedstat"))?;
            let running = times.split(' ').next().unwrap_or_default();
            nanos += running.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> Result<f64, Failed> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"))
            .ok_or("the system does not tell resident memory")?;
        Ok(kib.trim().parse()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The two servers that are compared, in one layout.
pub(crate) struct Processes {
    pub(crate) floor: Process,
    pub(crate) gateway: Process,
}

impl Processes {
    /// Starts both in front of one provider.
    pub(crate) fn start(layout: Layout, simulator: &Process) -> Result<Self, Failed> {
        Ok(Self {
            floor: Process::start(Role::Floor, layout, &simulator.address)?,
            gateway: Process::start(Role::Gateway, layout, &simulator.address)?,
        })
    }
}
