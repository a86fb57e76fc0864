//! The answer of a store, at once or later.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use super::StoreError;

/// The answer of a [`Store`](super::Store).
///
/// ```
/// use inbound_keyvalue_host::store::{Answer, StoreError};
///
/// let at_once: Answer<u64> = Answer::Now(Ok(42));
/// let later: Answer<u64> = Answer::later(async { Err(StoreError::Unavailable("it restarts".into())) });
/// assert_eq!(at_once.block(), Ok(42));
/// assert_eq!(later.block().unwrap_err().to_string(), "the store cannot be reached: it restarts");
/// ```
#[must_use = "a store may wait until its answer is awaited"]
pub enum Answer<T> {
    /// The store has answered.
    Now(Result<T, StoreError>),
    /// The store answers when this future is awaited. A call that is no longer wanted is dropped.
    Later(Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>),
}

impl<T> Answer<T> {
    /// An answer that comes later.
    pub fn later(answer: impl Future<Output = Result<T, StoreError>> + Send + 'static) -> Self {
        Self::Later(Box::pin(answer))
    }

    /// Changes the result of the answer.
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U + Send + 'static) -> Answer<U>
    where
        T: 'static,
    {
        match self {
            Self::Now(answer) => Answer::Now(answer.map(change)),
            Self::Later(answer) => Answer::later(async { answer.await.map(change) }),
        }
    }

    /// Waits for the answer.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn wait(self) -> Result<T, StoreError> {
        match self {
            Self::Now(answer) => answer,
            Self::Later(answer) => answer.await,
        }
    }

    /// Waits for the answer on this thread, for code without a runtime.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub fn block(self) -> Result<T, StoreError> {
        match self {
            Self::Now(answer) => answer,
            Self::Later(answer) => block_on(answer),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(answer) => f.debug_tuple("Now").field(answer).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread. The thread sleeps until the future wakes it. For code without a runtime.
///
/// ```
/// assert_eq!(inbound_keyvalue_host::store::block_on(async { 42 }), 42);
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
