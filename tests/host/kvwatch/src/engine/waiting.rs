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

/// The threads that clocks, sockets and files of synchronous sessions run on. A session must not use the runtime of the program
/// that it is in: that runtime may have a single thread, which is the one that waits for the session.
pub(crate) fn runtime() -> io::Result<&'static Handle> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime.handle());
    }
    let made = Builder::new_multi_thread().worker_threads(1).thread_name("kvwatch waiting").enable_all().build()?;
    // Another thread may have been quicker; the runtime that was not needed ends in the background.
    if let Err(unneeded) = RUNTIME.set(made) {
        unneeded.shutdown_background();
    }
    RUNTIME.get().map(Runtime::handle).ok_or_else(|| io::Error::other("the runtime is gone"))
}

/// Waits on this thread for a future, within a tokio runtime or without.
pub(crate) fn wait_for<F: Future>(runtime: &Handle, future: F) -> F::Output {
    let _entered = runtime.enter();
    // Within a task of tokio's, its budget for one poll would run out, and then nothing would ever be ready.
    block_on(unconstrained(future))
}

/// The future's output, or `None` if the event's time is used up first. The future is dropped then, and its work with it.
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
