//! Whether the machine did anything else meanwhile.
//!
//! CPU clocks leave out the time of others, but not what others do to the caches and to the wakeups.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::process::Process;

/// The state of the machine at a moment.
#[derive(Debug)]
pub(super) struct QuietWatch {
    at: Instant,
    machine: Duration,
    own: Duration,
}

impl QuietWatch {
    /// Starts watching; `process` and this program are those that may work.
    pub(super) fn begin(process: &Process) -> io::Result<Self> {
        let generator = clock_gettime(ClockId::ProcessCPUTime);
        let generator = Duration::new(generator.tv_sec.cast_unsigned(), generator.tv_nsec as u32);
        let machine = busy_time(&fs::read_to_string("/proc/stat")?)?;
        Ok(Self { at: Instant::now(), machine, own: generator + process.cpu()? })
    }

    /// Whether nothing else took more than a few percent of one core between `self` and `later`.
    pub(super) fn is_quiet_until(&self, later: &Self) -> bool {
        let others = later.machine.saturating_sub(self.machine).saturating_sub(later.own.saturating_sub(self.own));
        others <= (later.at - self.at).mul_f64(OTHERS_SHARE_MAX) + TICK * 2
    }
}

/// All time that the cores were not idle: the line is user, nice, system, idle, iowait, irq, softirq, steal, in ticks.
fn busy_time(stat: &str) -> io::Result<Duration> {
    let line = stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).unwrap_or_default();
    let ticks: Vec<u32> = line.split_whitespace().map_while(|ticks| ticks.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = ticks[..] else {
        return Err(io::Error::other("/proc/stat has not its known form"));
    };
    Ok(TICK * user + TICK * nice + TICK * system + TICK * irq + TICK * softirq + TICK * steal)
}

/// `USER_HZ`, a constant of the interface on every architecture in use.
const TICK: Duration = Duration::from_millis(10);
const OTHERS_SHARE_MAX: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_everything_but_idle_and_waiting() {
        let stat = "cpu  1 2 4 1000 2000 8 16 32 0 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(busy_time(stat).unwrap(), TICK * 63);
        assert!(busy_time("intr 1").is_err());
    }
}
