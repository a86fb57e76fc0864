//! Ctrl-C and SIGTERM in a run: the first ends it after the event in hand, the second at once.

pub(crate) use imp::Signals;

#[cfg(unix)]
mod imp {
    use std::io::{self, BufRead, BufReader, Read};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use nix::errno::Errno;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::{flag, low_level};

    /// The signals that end a run.
    #[derive(Clone, Debug)]
    pub(crate) struct Signals {
        caught: Arc<AtomicUsize>,
        /// Whether the next signal ends the process at once.
        at_once: Arc<AtomicBool>,
        /// Becomes readable with the first signal.
        wake: Arc<UnixStream>,
    }

    impl Signals {
        /// From now on, the first signal is only noted.
        pub(crate) fn install() -> io::Result<Self> {
            let (wake, woken) = UnixStream::pair()?;
            let (caught, at_once) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
            for signal in [SIGINT, SIGTERM] {
                // In this order: the first signal sets what the second one finds.
                flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&at_once))?;
                flag::register(signal, Arc::clone(&at_once))?;
                flag::register_usize(signal, Arc::clone(&caught), usize::try_from(signal).unwrap_or(0))?;
                low_level::pipe::register(signal, woken.try_clone()?)?;
            }
            Ok(Self { caught, at_once, wake: Arc::new(wake) })
        }

        /// The exit code of the signal that came, 128 and its number.
        pub(crate) fn code(&self) -> Option<u8> {
            match self.caught.load(Ordering::SeqCst) {
                0 => None,
                signal => Some(128 + u8::try_from(signal).unwrap_or(0)),
            }
        }

        /// From now on, the first signal ends the process.
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

        pub(crate) fn end_at_once(&self) {}

        pub(crate) fn stoppable<R: Read>(&self, reader: R) -> impl BufRead + use<R> {
            BufReader::with_capacity(64 * 1024, reader)
        }
    }
}
