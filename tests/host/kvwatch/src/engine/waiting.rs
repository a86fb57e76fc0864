//! Calls that may wait: they run in a fiber, and end when the event's time is used up.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::OnceLock;
use std::task::Poll;

use inbound_keyvalue_host::store::block_on;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::unconstrained;
use tokio::time::sleep;

use super::limits::Clock;

/// The threads for clocks, sockets and files of synchronous sessions. A session must not use the runtime of the program around
/// it: that runtime may have a single thread, which waits for the session.
pub(crate) fn runtime() -> io::Result<&'static Handle> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime.handle());
    }
    let made = Builder::new_multi_thread().worker_threads(1).thread_name("kvwatch waiting").enable_all().build()?;
    // Another thread may have been faster. The runtime that is not needed ends in the background.
    if let Err(unneeded) = RUNTIME.set(made) {
        unneeded.shutdown_background();
    }
    RUNTIME.get().map(Runtime::handle).ok_or_else(|| io::Error::other("the runtime is gone"))
}

/// Waits on this thread for a future, inside or outside of a tokio runtime.
pub(crate) fn wait_for<F: Future>(runtime: &Handle, future: F) -> F::Output {
    let _entered = runtime.enter();
    // Inside a tokio task, the budget of the task for one poll would run out, and then nothing would become ready any more.
    block_on(unconstrained(future))
}

/// The output of the future. `None` if the event's time is used up first. Then the future is dropped, and its work ends.
pub(crate) async fn within<F: Future>(clock: Option<&Clock>, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    // Most events never wait, and need no timer.
    let first = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
    if let Poll::Ready(output) = first {
        return Some(output);
    }
    let Some(clock) = clock else { return Some(future.await) };
    while let Some(left) = clock.left() {
        let mut timer = pin!(sleep(left));
        let output = poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => timer.as_mut().poll(context).map(|()| None),
        });
        if let Some(output) = output.await {
            return Some(output);
        }
    }
    None
}
