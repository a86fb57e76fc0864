use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Ends builds from any thread: cargo and the compilers that it runs. A build gets its `Stop` with
/// [`Build::stop`](super::Build::stop).
///
/// ```
/// use kvwatch::build::Stop;
///
/// let stop = Stop::default();
/// stop.stop();
/// assert!(stop.is_stopped());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Stop {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    stopped: bool,
    /// The running processes of cargo. Each is the leader of its process group.
    running: Vec<u32>,
}

impl Stop {
    /// Ends the running builds. Builds that are started later fail at once.
    ///
    /// Systems other than Unix have no process groups. There the running builds continue to their end.
    pub fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        state.running.drain(..).for_each(end_group);
    }

    /// Whether [`stop`](Self::stop) was called.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    /// Starts a program that [`stop`](Self::stop) ends, or `None` after it was called.
    pub(super) fn spawn(&self, command: &mut Command) -> std::io::Result<Option<Child>> {
        // The group is its own, so that one signal reaches the compilers too.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        // The lock is held until the process is known, so that no process escapes.
        let mut state = self.state();
        if state.stopped {
            return Ok(None);
        }
        let child = command.spawn()?;
        state.running.push(child.id());
        Ok(Some(child))
    }

    /// Forgets a program. The caller must call this before it waits for the program: afterwards another process may get its
    /// number.
    pub(super) fn forget(&self, child: &Child) {
        self.state().running.retain(|id| *id != child.id());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(unix)]
fn end_group(leader: u32) {
    use nix::sys::signal::{Signal, killpg};
    use nix::unistd::Pid;

    if let Ok(leader) = i32::try_from(leader) {
        // The process may have ended by itself.
        let _ = killpg(Pid::from_raw(leader), Signal::SIGTERM);
    }
}

#[cfg(not(unix))]
fn end_group(_leader: u32) {}
