//! How much memory may requests take by default? Half of what the process may use, within bounds.

use std::fs;
use std::sync::LazyLock;

/// The most, however much memory there is.
const MOST: usize = 2 << 30;

/// The least, however little memory there is.
const LEAST: usize = 64 << 20;

/// Files in which a control group says how much memory its processes may use: a number, or `max`.
const OF_GROUP: [&str; 2] = [
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
];

/// Half of the memory that the process may use, within bounds; in bytes.
pub(super) fn room_for_requests() -> usize {
    static ROOM: LazyLock<usize> = LazyLock::new(|| {
        let of_group = OF_GROUP
            .iter()
            .filter_map(|path| fs::read_to_string(path).ok());
        let of_machine = fs::read_to_string("/proc/meminfo").ok();
        share_of(of_group, of_machine.as_deref())
    });
    *ROOM
}

fn share_of(of_group: impl Iterator<Item = String>, of_machine: Option<&str>) -> usize {
    let of_group = of_group.filter_map(|text| text.trim().parse().ok());
    let of_machine = of_machine.and_then(total_of);
    let memory: Option<u64> = of_group.chain(of_machine).min();
    let half = memory.map_or(MOST, |memory| usize::try_from(memory / 2).unwrap_or(MOST));
    half.clamp(LEAST, MOST)
}

/// Reads `MemTotal:  24000000 kB` among other lines.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: usize = 1 << 30;

    fn share(of_group: &[&str], of_machine: Option<&str>) -> usize {
        share_of(of_group.iter().map(ToString::to_string), of_machine)
    }

    #[test]
    fn it_is_half_of_what_the_process_may_use() {
        let machine = "MemFree: 1 kB\nMemTotal:       3145728 kB\n";

        assert_eq!(share(&[], Some(machine)), 3 * GIB / 2);
        assert_eq!(share(&["max\n"], Some(machine)), 3 * GIB / 2);
        assert_eq!(share(&["1073741824\n"], Some(machine)), GIB / 2);
        assert_eq!(share(&["9223372036854771712\n"], None), MOST);
        assert_eq!(share(&["1048576"], Some(machine)), LEAST);
        assert_eq!(share(&[], Some("MemTotal: much")), MOST);
        assert_eq!(share(&[], None), MOST);
    }
}
