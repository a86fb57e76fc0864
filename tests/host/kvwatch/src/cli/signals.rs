//! Ctrl-C and SIGTERM. In a replay, the first one ends it after the event in hand, and the second one ends the process at once.
//! Outside of a replay, the first one ends the process at once, with the builds that run.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU8, Ordering};

pub(crate) use imp::Signals;

/// The exit code of the signal that ends the process at once, or 0.
static ENDING: AtomicU8 = AtomicU8::new(0);

/// The exit code of the signal that is ending the process at once. The command may notice first that its build has ended. Its own
/// result does not matter then.
pub(crate) fn ending() -> Option<ExitCode> {
    match ENDING.load(Ordering::SeqCst) {
        0 => None,
        code => Some(code.into()),
    }
}

/// The exit code of a process that a signal ended.
#[cfg(unix)]
fn exit_code(signal: i32) -> u8 {
    128 + u8::try_from(signal).unwrap_or(0)
}

#[cfg(unix)]
mod imp {
    use std::io::{self, BufRead, BufReader, Read, Write as _};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
    use std::time::Duration;
    use std::{process, thread};

    use nix::errno::Errno;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::{SigId, low_level};

    use super::super::watcher::stop_builds;
    use super::super::{stdout, style};
    use super::{ENDING, exit_code};

    /// If the run has not ended this long after the first signal, the user gets a note.
    const PATIENCE: Duration = Duration::from_millis(500);
    const STILL_RUNNING: &str = "an event is still running, and kvwatch ends after it; a second Ctrl-C ends kvwatch at once, and \
                                 --time limits the time of an event";

    /// The next signal must be noticed also while a terminal or a pipe takes no text.
    fn tell_in_a_thread() {
        let tell = || style::note_at_once(STILL_RUNNING);
        let _ = thread::Builder::new().name("kvwatch note".into()).spawn(tell);
    }

    fn is_timeout(error: &io::Error) -> bool {
        matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
    }

    /// The signals that end a run.
    #[derive(Clone, Debug)]
    pub(crate) struct Signals {
        /// The exit code of the signal that came, or 0.
        caught: Arc<AtomicU8>,
        /// Whether the next signal ends the process at once.
        at_once: Arc<AtomicBool>,
        /// Becomes readable with the first signal.
        wake: Arc<UnixStream>,
        #[cfg_attr(not(feature = "serve"), allow(dead_code, reason = "only `serve` takes the signals over"))]
        handlers: Arc<[SigId]>,
    }

    impl Signals {
        /// From now on, a signal ends the process and the builds that run.
        pub(crate) fn install() -> io::Result<Self> {
            let (wake, waker) = UnixStream::pair()?;
            let (caught, at_once) = (Arc::new(AtomicU8::new(0)), Arc::new(AtomicBool::new(true)));
            let mut handlers = Vec::new();
            for signal in [SIGINT, SIGTERM] {
                let (mut arrived, handler) = UnixStream::pair()?;
                handlers.push(low_level::pipe::register(signal, handler)?);
                let (caught, at_once, mut waker) = (Arc::clone(&caught), Arc::clone(&at_once), waker.try_clone()?);
                let code = exit_code(signal);
                // A signal handler may do very little, so a thread does the work.
                thread::Builder::new().name("kvwatch signals".into()).spawn(move || {
                    loop {
                        match arrived.read_exact(&mut [0]) {
                            Ok(()) => {}
                            Err(error) if is_timeout(&error) => {
                                let _ = arrived.set_read_timeout(None);
                                tell_in_a_thread();
                                continue;
                            }
                            Err(_) => return,
                        }
                        if at_once.swap(true, Ordering::SeqCst) {
                            ENDING.store(code, Ordering::SeqCst);
                            stop_builds();
                            process::exit(code.into());
                        }
                        caught.store(code, Ordering::SeqCst);
                        // The waiting reader is gone only when the run has ended.
                        let _ = waker.write_all(&[0]);
                        let _ = arrived.set_read_timeout(Some(PATIENCE));
                    }
                })?;
            }
            Ok(Self { caught, at_once, wake: Arc::new(wake), handlers: handlers.into() })
        }

        /// Leaves the signals to handlers that were installed later.
        #[cfg(feature = "serve")]
        pub(crate) fn leave(self) {
            for handler in self.handlers.iter() {
                low_level::unregister(*handler);
            }
        }

        /// From now on, the first signal is only noted: see [`code`](Self::code).
        pub(crate) fn finish_the_event(&self) {
            self.at_once.store(false, Ordering::SeqCst);
        }

        /// The exit code of the signal that came, 128 and its number.
        pub(crate) fn code(&self) -> Option<u8> {
            match self.caught.load(Ordering::SeqCst) {
                0 => None,
                code => Some(code),
            }
        }

        /// From now on, the next signal ends the process.
        pub(crate) fn end_at_once(&self) {
            self.at_once.store(true, Ordering::SeqCst);
        }

        /// A reader that fails when a signal comes while it waits.
        pub(crate) fn stoppable<R: Read + AsFd>(&self, reader: R) -> impl BufRead + use<R> {
            BufReader::with_capacity(64 * 1024, Stoppable { reader, signals: self.clone() })
        }
    }

    /// A reader that fails when a signal comes while it waits.
    struct Stoppable<R> {
        reader: R,
        signals: Signals,
    }

    impl<R: Read + AsFd> Read for Stoppable<R> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            // Output is written first, because this may wait for input for a long time.
            stdout::flush_aside();
            loop {
                let mut waited = [
                    PollFd::new(self.signals.wake.as_fd(), PollFlags::POLLIN),
                    PollFd::new(self.reader.as_fd(), PollFlags::POLLIN),
                ];
                match poll(&mut waited, PollTimeout::NONE) {
                    Err(Errno::EINTR) => continue,
                    Err(error) => return Err(error.into()),
                    Ok(_) => {}
                }
                if self.signals.code().is_some() {
                    return Err(io::Error::other("a signal ends the run"));
                }
                match self.reader.read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => return read,
                }
            }
        }
    }
}

#[cfg(not(unix))]
mod imp {
    use std::io::{self, BufRead, BufReader, Read};

    /// The signals that end a run: here they end the process.
    #[derive(Clone, Debug)]
    pub(crate) struct Signals;

    impl Signals {
        pub(crate) fn install() -> io::Result<Self> {
            Ok(Self)
        }

        pub(crate) fn code(&self) -> Option<u8> {
            None
        }

        pub(crate) fn finish_the_event(&self) {}

        pub(crate) fn end_at_once(&self) {}

        pub(crate) fn stoppable<R: Read>(&self, reader: R) -> impl BufRead + use<R> {
            BufReader::with_capacity(64 * 1024, reader)
        }
    }
}
