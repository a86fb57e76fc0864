//! Measures how the cost of `kvwatch run` grows with events, bytes of a payload, and live handles.

use std::fmt::{self, Display};
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Duration;

use wasm_targets::Target;
use wasmtime::Result;

use crate::guests::Side;
use crate::program::Programs;
use crate::table::{grouped, markdown};

/// The CPU time of a run for each size.
#[derive(Clone, Debug)]
pub struct Growth {
    /// The name of the size that grows.
    pub what: &'static str,
    /// The sizes, each with the median of its times.
    pub points: Vec<(u64, Duration)>,
}

/// Measures the growth with events, payloads and handles.
///
/// # Errors
///
/// When a run fails.
pub fn all(programs: &Programs) -> Result<[Growth; 3]> {
    Ok([events(programs)?, payload(programs)?, handles(programs)?])
}

fn events(programs: &Programs) -> Result<Growth> {
    let guest = programs.component(Side::WithSdk, Target::UnknownUnknown, "sdk_sums")?;
    measured("events", programs, &guest, &[1, 1_000, 10_000, 100_000, 1_000_000, 10_000_000], |count| {
        programs.events(count)
    })
}

fn payload(programs: &Programs) -> Result<Growth> {
    let guest = programs.component(Side::WithSdk, Target::UnknownUnknown, "sdk_drains_buf_read")?;
    measured(
        "bytes of a payload",
        programs,
        &guest,
        &[1, 1_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000],
        |len| {
            // The file is sparse: it has no blocks on the disk.
            File::create(programs.folder().join("payload"))?.set_len(len)?;
            event(programs, r#""file":"payload""#)
        },
    )
}

fn handles(programs: &Programs) -> Result<Growth> {
    let guest = programs.component(Side::WithSdk, Target::UnknownUnknown, "sdk_handles")?;
    measured("live handles", programs, &guest, &[1, 1_000, 10_000, 100_000, 1_000_000], |count| {
        event(programs, &format!(r#""value":"{count}""#))
    })
}

/// Writes a file with one set. Returns its path.
fn event(programs: &Programs, content: &str) -> Result<PathBuf> {
    let path = programs.folder().join("one.jsonl");
    fs::write(&path, format!("{{\"op\":\"set\",\"key\":\"k\",{content}}}\n"))?;
    Ok(path)
}

fn measured(
    what: &'static str,
    programs: &Programs,
    guest: &std::path::Path,
    sizes: &[u64],
    mut file: impl FnMut(u64) -> Result<PathBuf>,
) -> Result<Growth> {
    let points = sizes.iter().map(|size| {
        let events = file(*size)?;
        let time = || Programs::cpu_time(programs.kvwatch(guest, &events, &[]));
        // The first run may not find the compiled component in the cache.
        let mut times = [time()?, time()?, time()?];
        times.sort();
        Ok((*size, times[1]))
    });
    Ok(Growth { what, points: points.collect::<Result<_>>()? })
}

impl Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = self.points.first().map_or(Duration::ZERO, |(_, time)| *time);
        let mut lines = vec![[self.what, "CPU time", "for one, beyond the start"].map(str::to_owned)];
        lines.extend(self.points.iter().map(|(size, time)| {
            #[expect(clippy::cast_precision_loss, reason = "no size comes near 2^52")]
            let each = time.saturating_sub(start).as_secs_f64() * 1e9 / *size as f64;
            let each = if time > &(start * 2) { format!("{each:.1} ns") } else { String::new() };
            [grouped(*size), format!("{:.1} ms", time.as_secs_f64() * 1e3), each]
        }));
        markdown(f, &lines, &(0..3))
    }
}
