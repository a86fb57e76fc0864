//! The messages of [`Error`](super::Error).
//!
//! The macros of formatting are not used here: the code behind them would be a sixth of a small watcher, and every watcher that reads
//! through `Read` or `BufRead` links these messages.

#![allow(
    clippy::ptr_arg,
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "thiserror passes each field by reference"
)]

use std::fmt::{self, Formatter, Write as _};

use super::{Call, reason};

pub(super) fn host(call: &Call, trace: &str, f: &mut Formatter<'_>) -> fmt::Result {
    fill(f, "the host refused `@`: ", Some(*call), &[])?;
    f.write_str(reason(trace))
}

pub(super) fn body_unavailable(f: &mut Formatter<'_>) -> fmt::Result {
    f.write_str("the host refused `value-write-body` and gives no reason: nothing can be written to this value")
}

pub(super) fn finished(f: &mut Formatter<'_>) -> fmt::Result {
    f.write_str("the value is finished: write before `finish`, or make a new value")
}

pub(super) fn stream(call: &Call, f: &mut Formatter<'_>) -> fmt::Result {
    fill(f, "the stream failed at `@`; the draft gives no reason", Some(*call), &[])
}

pub(super) fn excess(call: &Call, asked: &u64, answered: &u64, f: &mut Formatter<'_>) -> fmt::Result {
    let template = "the host answered `@` with # bytes, where at most # were asked for";
    fill(f, template, Some(*call), &[*answered, *asked])
}

pub(super) fn not_ready(call: &Call, attempts: &u32, f: &mut Formatter<'_>) -> fmt::Result {
    fill(f, "`@` brought neither data nor the end in # attempts", Some(*call), &[u64::from(*attempts)])
}

pub(super) fn write_zero(call: &Call, attempts: &u32, f: &mut Formatter<'_>) -> fmt::Result {
    fill(f, "`@` took no byte in # attempts", Some(*call), &[u64::from(*attempts)])
}

pub(super) fn too_large(limit: &usize, size: &Option<u64>, f: &mut Formatter<'_>) -> fmt::Result {
    fill(f, "the payload is larger than the limit of # bytes", None, &[*limit as u64])?;
    match size {
        Some(size) => fill(f, "; the host gives its size as #", None, &[*size]),
        None => Ok(()),
    }
}

pub(super) fn utf8(position: &usize, bytes: &Vec<u8>, f: &mut Formatter<'_>) -> fmt::Result {
    let template = "the payload is not UTF-8: byte # of # does not continue the text";
    fill(f, template, None, &[*position as u64, bytes.len() as u64])
}

#[cfg(feature = "json")]
pub(super) fn json(error: &serde_json::Error, _: &Vec<u8>, f: &mut Formatter<'_>) -> fmt::Result {
    f.write_str("the payload is not the JSON expected: ")?;
    fmt::Display::fmt(error, f)
}

/// Writes `template`, which is ASCII, with the name of `call` in place of `@` and the next of `numbers` in place of each `#`.
#[inline(never)]
fn fill(f: &mut Formatter<'_>, template: &str, call: Option<Call>, numbers: &[u64]) -> fmt::Result {
    let mut numbers = numbers.iter();
    for byte in template.bytes() {
        match byte {
            b'@' => f.write_str(call.map_or("", Call::as_str))?,
            b'#' => decimal(f, numbers.next().copied().unwrap_or_default())?,
            other => f.write_char(char::from(other))?,
        }
    }
    Ok(())
}

fn decimal(f: &mut Formatter<'_>, number: u64) -> fmt::Result {
    if number >= 10 {
        decimal(f, number / 10)?;
    }
    let digit = u8::try_from(number % 10).unwrap_or_default();
    f.write_char(char::from(b'0' + digit))
}
