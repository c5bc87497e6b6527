//! What does the system say about this process? Asked at each scrape; what it does not say is left out.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::names;
use super::readings::Readings;

/// Adds what the system says.
pub(super) fn read(readings: &mut Readings) {
    if let Some(started) = started() {
        readings.gauge(&names::PROCESS_START, [], started);
    }
    if let Some(bytes) = resident_bytes() {
        readings.gauge(&names::PROCESS_MEMORY, [], bytes as f64);
    }
    readings.count(&names::PROCESS_CPU, [], cpu_nanos());
    if let Some(open) = fs::read_dir("/proc/self/fd").ok().map(Iterator::count) {
        // One of them is the folder itself, which is open while it is read.
        readings.gauge(
            &names::PROCESS_OPEN_FILES,
            [],
            open.saturating_sub(1) as f64,
        );
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        readings.gauge(&names::PROCESS_MOST_FILES, [], most as f64);
    }
}

/// The processor time of all threads so far, in nanoseconds.
fn cpu_nanos() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let nanos = i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
    u64::try_from(nanos).unwrap_or(0)
}

/// The resident memory in bytes.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// When the process began, in seconds since 1970.
fn started() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program may contain spaces and parentheses; the last one ends it. The start is the 22nd field
    // (proc_pid_stat(5)), the 20th behind the name.
    let (_, behind_name) = stat.rsplit_once(')')?;
    let ticks: u64 = behind_name.split_whitespace().nth(19)?.parse().ok()?;
    let ticks_per_second = rustix::param::clock_ticks_per_second();
    let since_boot = ticks as f64 / ticks_per_second as f64;
    let uptime = clock_gettime(ClockId::Boottime);
    let uptime = Duration::new(
        u64::try_from(uptime.tv_sec).ok()?,
        u32::try_from(uptime.tv_nsec).ok()?,
    );
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let started = now.as_secs_f64() - uptime.as_secs_f64() + since_boot;
    // Not finer than the system's ticks, so that it is the same at each scrape.
    Some((started * 10.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::super::configured::ShownNames;
    use super::super::readings::Reading;
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_tells_all_about_the_process() {
        let mut readings = Readings::new(ShownNames::default());

        read(&mut readings);

        let shown = |name: &str| {
            let mut families = readings.families();
            let family = families.find(|family| family.definition.prometheus == name);
            match family.unwrap().samples[0].reading {
                Reading::Gauge(value) => value,
                Reading::Nanos(nanos) => nanos as f64 / 1e9,
                ref other => panic!("{other:?}"),
            }
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let age = now.as_secs_f64() - shown("process_start_time_seconds");
        assert!((-1.0..3600.0).contains(&age), "{age}");
        let memory = shown("process_resident_memory_bytes");
        assert!((1e6..1e11).contains(&memory), "{memory}");
        let cpu = shown("process_cpu_seconds_total");
        assert!((1e-6..1e6).contains(&cpu), "{cpu}");
        let (open, most) = (shown("process_open_fds"), shown("process_max_fds"));
        assert!(3.0 <= open && open <= most, "{open} of {most}");
    }
}
