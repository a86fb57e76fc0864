//! Limits how far a subscription is read ahead of the watcher.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most bytes that are read before their events are handled.
const WINDOW: usize = 256 * 1024;
/// If a subscriber waits this long for room, it is behind the server.
const BEHIND: Duration = Duration::from_secs(1);

/// The approximate size of the buffers of both operating systems. If the server has closed the connection, it may have done so
/// this many bytes ago.
const BUFFERED: u64 = 16 * 1024 * 1024;

/// The number of bytes up to which a connection may be read.
///
/// The client library reads a subscription as fast as the server writes it, and keeps the messages that were not taken. With a
/// window, it stops when the bytes of the window are read. [`reopen`](Self::reopen) gives it the next window when all messages
/// were taken. So the memory is bounded, and the server notices a process that is too slow.
#[derive(Clone, Debug, Default)]
pub(super) struct Window(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    read_in_window: usize,
    /// The number of bytes that were read in all.
    read: u64,
    /// The reader that waits for room, and the begin of its wait.
    waiting: Option<(Instant, Waker)>,
    /// The value of `read` when a reader last waited for a long time.
    behind_at: Option<u64>,
}

impl Window {
    /// The connection, read through this window.
    pub(super) fn over<T>(&self, inner: T) -> Windowed<T> {
        Windowed { inner, window: self.clone() }
    }

    /// Everything that was read has been taken: the next window may be read.
    pub(super) fn reopen(&self) {
        let mut state = self.lock();
        state.read_in_window = 0;
        let Some((since, waker)) = state.waiting.take() else { return };
        if since.elapsed() >= BEHIND {
            state.behind_at = Some(state.read);
        }
        drop(state);
        waker.wake();
    }

    /// Whether the reader may have been far behind the server when the last bytes were sent.
    pub(super) fn was_behind(&self) -> bool {
        let state = self.lock();
        state.behind_at.is_some_and(|at| state.read - at <= BUFFERED)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is read through a [`Window`].
pub(super) struct Windowed<T> {
    inner: T,
    window: Window,
}

impl<T: AsyncRead + Unpin> AsyncRead for Windowed<T> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = {
            let mut state = self.window.lock();
            let room = WINDOW.saturating_sub(state.read_in_window);
            if room == 0 {
                let since = state.waiting.take().map_or_else(Instant::now, |(since, _)| since);
                state.waiting = Some((since, context.waker().clone()));
                return Poll::Pending;
            }
            room
        };
        let before = buf.filled().len();
        let polled = if buf.remaining() <= room {
            Pin::new(&mut self.inner).poll_read(context, buf)
        } else {
            let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
            let polled = Pin::new(&mut self.inner).poll_read(context, &mut part);
            let count = part.filled().len();
            buf.advance(count);
            polled
        };
        let count = buf.filled().len() - before;
        let mut state = self.window.lock();
        state.read_in_window += count;
        state.read += count as u64;
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Windowed<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_reader_waits_at_the_end_of_the_window_until_it_is_opened_again() {
        let (near, mut far) = tokio::io::duplex(4 * WINDOW);
        far.write_all(&vec![7; 2 * WINDOW + 10]).await.unwrap();
        let window = Window::default();
        let mut reader = window.over(near);
        let mut buf = vec![0; 2 * WINDOW + 10];
        reader.read_exact(&mut buf[..WINDOW]).await.unwrap();
        let waits = tokio::time::timeout(Duration::from_millis(20), reader.read_exact(&mut buf[WINDOW..])).await;
        assert!(waits.is_err(), "it read past the window");
        assert!(!window.was_behind());
        window.reopen();
        let rest = tokio::spawn(async move { reader.read_exact(&mut buf[..WINDOW]).await.map(|_| reader) });
        let mut reader = rest.await.unwrap().unwrap();
        window.reopen();
        let mut last = [0; 10];
        reader.read_exact(&mut last).await.unwrap();
        assert_eq!(last, [7; 10]);
    }

    #[tokio::test]
    async fn a_reader_that_waited_for_long_was_behind() {
        let (near, mut far) = tokio::io::duplex(4 * WINDOW);
        far.write_all(&vec![7; WINDOW + 10]).await.unwrap();
        let window = Window::default();
        let mut reader = window.over(near);
        let reading = tokio::spawn(async move { reader.read_exact(&mut vec![0; WINDOW + 10]).await.map(|_| reader) });
        tokio::time::sleep(BEHIND + Duration::from_millis(200)).await;
        window.reopen();
        reading.await.unwrap().unwrap();
        assert!(window.was_behind());
    }
}
