//! The processes that a measurement starts.

use std::process::Child;
use std::time::Duration;

use wasmtime::Result;
use wasmtime::error::Context as _;

/// The unit of the times in `/proc`. It is the same on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// A process. Dropping it kills the process.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    /// The memory that the process uses now, in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// The peak memory of the process so far, in bytes.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    /// The CPU time of all its threads so far, in the program and in the system.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        let path = format!("/proc/{}/stat", self.0.id());
        let stat = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        // The name of the program may have spaces in it. The two times are the 14th and the 15th field; the third follows the name.
        let (_, fields) = stat.rsplit_once(')').with_context(|| format!("{path} has an unexpected format"))?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        Ok(TICK * u32::try_from(ticks.sum::<Result<u64, _>>()?)?)
    }

    fn status(&self, field: &str) -> Result<u64> {
        let path = format!("/proc/{}/status", self.0.id());
        let status = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let value = status.lines().find_map(|line| line.strip_prefix(field)?.trim().strip_suffix(" kB"));
        Ok(value.with_context(|| format!("{path} has no {field}"))?.trim().parse::<u64>()? * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
