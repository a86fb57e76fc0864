//! Standard output. A terminal gets each line at once. Everything else gets blocks, because a call of the system for each line takes
//! longer than most events.
//!
//! A block is written when it is full, before kvwatch waits for its source or writes to standard error, and otherwise after
//! [`LONGEST_WAIT`]. So a reader of both streams sees them in their order. The reader also sees the output of an event that never ends.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::Duration;

/// The number of bytes at which a block is written.
const BLOCK: usize = 64 * 1024;

/// The longest time that bytes wait in a block.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

#[derive(Debug)]
struct Pending {
    block: Vec<u8>,
    /// Why an earlier block could not be written.
    failure: Option<io::Error>,
}

static PENDING: Mutex<Pending> = Mutex::new(Pending { block: Vec::new(), failure: None });

/// Wakes the writing thread when a block has bytes.
static WAITING: Condvar = Condvar::new();

/// Whether standard output is a terminal. The system is asked once.
pub(crate) fn is_terminal() -> bool {
    static IS_TERMINAL: LazyLock<bool> = LazyLock::new(|| io::stdout().is_terminal());
    *IS_TERMINAL
}

/// Writes to standard output.
///
/// # Errors
///
/// When this or an earlier block could not be written. The bytes that could not be written are lost.
pub(crate) fn write(bytes: &[u8]) -> io::Result<()> {
    write_with(|block| {
        block.extend_from_slice(bytes);
        Ok(())
    })
}

/// Writes to standard output. The next [`check`], [`write`] or [`flush`] returns the error.
pub(crate) fn write_aside(bytes: &[u8]) {
    if let Err(error) = write(bytes) {
        pending().failure.get_or_insert(error);
    }
}

/// Fails if an earlier write has failed, and no call has returned its error.
pub(crate) fn check() -> io::Result<()> {
    pending().take_failure()
}

/// Writes the bytes that `fill` appends to standard output. If `fill` fails, nothing is written.
///
/// # Errors
///
/// When `fill` fails, or as for [`write`].
pub(crate) fn write_with(fill: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<()> {
    let mut pending = pending();
    pending.take_failure()?;
    let before = pending.block.len();
    if let Err(error) = fill(&mut pending.block) {
        pending.block.truncate(before);
        return Err(error);
    }
    if is_terminal() || pending.block.len() >= BLOCK {
        return pending.write();
    }
    if before == 0 {
        static WRITER: Once = Once::new();
        WRITER.call_once(|| {
            // Without the thread, a block waits until kvwatch waits itself.
            let _ = thread::Builder::new().name("kvwatch stdout".into()).spawn(write_what_waits);
        });
        WAITING.notify_one();
    }
    Ok(())
}

/// Writes the block.
///
/// # Errors
///
/// As for [`write`].
pub(crate) fn flush() -> io::Result<()> {
    let mut pending = pending();
    pending.take_failure()?;
    pending.write()
}

/// Writes the block. The next [`check`], [`write`] or [`flush`] returns the error.
pub(crate) fn flush_aside() {
    let mut pending = pending();
    if let Err(error) = pending.write() {
        pending.failure.get_or_insert(error);
    }
}

/// Writes each block that has waited for [`LONGEST_WAIT`]. Never ends.
fn write_what_waits() {
    loop {
        drop(WAITING.wait_while(pending(), |pending| pending.block.is_empty()));
        thread::sleep(LONGEST_WAIT);
        flush_aside();
    }
}

impl Pending {
    fn take_failure(&mut self) -> io::Result<()> {
        self.failure.take().map_or(Ok(()), Err)
    }

    fn write(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(&self.block).and_then(|()| stdout.flush());
        self.block.clear();
        // One large line must not take memory for the rest of the run.
        self.block.shrink_to(2 * BLOCK);
        written
    }
}

fn pending() -> MutexGuard<'static, Pending> {
    // A block is whole between any two calls.
    PENDING.lock().unwrap_or_else(PoisonError::into_inner)
}
