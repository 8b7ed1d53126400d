//! What the operating system knows of this process.

use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// One look at the process. A figure that can't be had is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    pub(super) resident_bytes: u64,
    pub(super) virtual_bytes: u64,
    pub(super) threads: u64,
    pub(super) open_fds: u64,
    /// None if there is no limit.
    pub(super) fds_max: Option<u64>,
    pub(super) cpu: Duration,
}

impl Process {
    pub(super) fn look() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let whole = |number: i64| u64::try_from(number).unwrap_or(0);
        Self {
            resident_bytes: number(&status, "VmRSS:") * 1024,
            virtual_bytes: number(&status, "VmSize:") * 1024,
            threads: number(&status, "Threads:"),
            // One of them is the folder that is being read.
            open_fds: std::fs::read_dir("/proc/self/fd")
                .map_or(0, |fds| fds.count().saturating_sub(1) as u64),
            fds_max: getrlimit(Resource::Nofile).current,
            cpu: Duration::from_secs(whole(cpu.tv_sec)) + Duration::from_nanos(whole(cpu.tv_nsec)),
        }
    }
}

/// The number behind `key` in a file of the kind of `/proc/self/status`.
fn number(status: &str, key: &str) -> u64 {
    let value = status.lines().find_map(|line| line.strip_prefix(key));
    value
        .and_then(|value| value.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_behind_their_keys() {
        let status = "Name:\tVmRSS: 7\nVmSize:\t  2000 kB\nVmRSS:\t   1234 kB\nThreads:\t3\n";
        assert_eq!(
            (
                number(status, "VmRSS:"),
                number(status, "Threads:"),
                number(status, "VmSwap:")
            ),
            (1234, 3, 0)
        );
    }

    #[test]
    fn this_process_has_memory_threads_and_descriptors() {
        let process = Process::look();
        assert!(
            process.resident_bytes > 1 << 20 && process.virtual_bytes > process.resident_bytes,
            "{process:?}"
        );
        assert!(process.threads >= 1 && process.open_fds >= 3, "{process:?}");
    }
}
