//! An author who makes any call in any order, and the law that must hold then.
//!
//! The law of reading: the author gets the whole payload, in order, once, for every sequence of calls. An empty answer means the
//! end. A call that reads to the end reaches the end. An error has a reason in the host, and comes after all bytes before it. The
//! law of writing: the host has the bytes that the SDK has reported as written, in order, once.
//!
//! The property tests and the fuzz target share this file. They differ in the source of the calls.

use inbound_keyvalue::testing::{Personality, Repeat, TestHost};
use inbound_keyvalue::{HandleWatch, handle_watch};

mod reading;
mod writing;

pub(crate) use reading::{Finale, Reading, reads_in_order_once};
pub(crate) use writing::{Writing, writes_what_was_written};

/// A watcher that a host needs. The author calls the wrappers directly.
#[handle_watch]
#[derive(Debug, Default)]
pub(crate) struct Idle;

impl HandleWatch for Idle {}

/// The reason why the law does not hold.
pub(crate) type Checked = Result<(), String>;

macro_rules! ensure {
    ($holds:expr, $($message:tt)*) => {
        if !$holds {
            return Err(format!($($message)*));
        }
    };
}
pub(crate) use ensure;

/// The number of calls that a host answers with nothing before it answers with something, and that answer.
fn turns(repeat: Repeat) -> u32 {
    match repeat {
        Repeat::Times(times) => times.saturating_add(1),
        _ => u32::MAX,
    }
}

/// The most calls that one call of the author may need, on any host.
fn most_calls(bytes: usize) -> u64 {
    u64::from(inbound_keyvalue::MAX_ATTEMPTS) * (bytes as u64 + 4) + 16
}

/// Whether every handle was dropped once.
pub(crate) fn clean(mut host: TestHost<Idle>) -> Checked {
    let violations = host.settle();
    ensure!(violations.is_empty(), "{violations:?}");
    Ok(())
}

/// Whether the host refuses to open a stream.
fn refuses_streams(personality: &Personality) -> bool {
    personality.consume_async_error.is_some()
}
