use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Ends the builds that were started with it, from any thread: cargo and the compilers that it runs.
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
    /// The processes of cargo that run, each the leader of its process group.
    running: Vec<u32>,
}

impl Stop {
    /// Ends the builds that run. Builds that are started later fail at once.
    ///
    /// Where there are no process groups (not Unix), the builds that run go on to their end.
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
        // With its own group, one signal reaches the compilers too.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        // The lock is held until the process is known, so that none escapes.
        let mut state = self.state();
        if state.stopped {
            return Ok(None);
        }
        let child = command.spawn()?;
        state.running.push(child.id());
        Ok(Some(child))
    }

    /// Forgets a program. It must be called before the program is waited for: afterwards another process may get its number.
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
        // It may have ended by itself.
        let _ = killpg(Pid::from_raw(leader), Signal::SIGTERM);
    }
}

#[cfg(not(unix))]
fn end_group(_leader: u32) {}
