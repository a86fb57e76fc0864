//! The messages of [`Error`].
//!
//! The formatting macros are not used here: their code would be a sixth of a small watcher, and every watcher that reads
//! through `Read` or `BufRead` links these messages.

use std::fmt::{self, Display, Formatter, Write as _};

use super::{Call, Error, reason};

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // This message has no placeholder for the name of a call.
        let none = Call::Read;
        match self {
            Self::Host { call, trace } => {
                fill(f, "the host refused `@`: ", *call, 0, 0)?;
                f.write_str(reason(trace))
            }
            Self::BodyUnavailable => f.write_str(
                "the host refused `value-write-body` and gives no reason: nothing can be written to this value",
            ),
            Self::Finished => f.write_str("the value is finished: write before `finish`, or make a new value"),
            Self::Stream { call } => fill(f, "the stream failed at `@`; the draft gives no reason", *call, 0, 0),
            Self::Excess { call, asked, answered } => {
                let template = "the host answered `@` with # bytes, where at most # were asked for";
                fill(f, template, *call, *answered, *asked)
            }
            Self::NotReady { call, attempts } => {
                fill(f, "`@` brought neither data nor the end in # attempts", *call, u64::from(*attempts), 0)
            }
            Self::WriteZero { call, attempts } => {
                fill(f, "`@` took no byte in # attempts", *call, u64::from(*attempts), 0)
            }
            Self::TooLarge { limit, size } => {
                fill(f, "the payload is larger than the limit of # bytes", none, *limit as u64, 0)?;
                match size {
                    Some(size) => fill(f, "; the host gives its size as #", none, *size, 0),
                    None => Ok(()),
                }
            }
            Self::Utf8 { position, bytes } => {
                let template = "the payload is not UTF-8: byte # of # does not continue the text";
                fill(f, template, none, *position as u64, bytes.len() as u64)
            }
            Self::Store(error) => error.fmt(f),
            #[cfg(feature = "json")]
            Self::Json { error, .. } => {
                f.write_str("the payload is not the JSON expected: ")?;
                error.fmt(f)
            }
        }
    }
}

/// Writes `template`, which is ASCII. The name of `call` replaces `@`, and a number replaces each `#`. There are at most two `#`.
#[inline(never)]
fn fill(f: &mut Formatter<'_>, template: &str, call: Call, mut number: u64, next: u64) -> fmt::Result {
    for byte in template.bytes() {
        match byte {
            b'@' => f.write_str(call.as_str())?,
            b'#' => {
                decimal(f, number)?;
                number = next;
            }
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
