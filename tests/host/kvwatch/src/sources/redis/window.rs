//! Limits how far a subscription is read ahead of the watcher.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most bytes that are read before their events are handled.
const WINDOW: usize = 256 * 1024;
/// If a reader waits this long for room, it is behind the server. A burst alone causes shorter waits.
const BEHIND: Duration = Duration::from_millis(100);
/// If a reader that was behind finds nothing to read for this long, it has all that the server sent meanwhile. If there is more to
/// read, it comes within a round trip.
const CAUGHT_UP: Duration = Duration::from_secs(1);

/// The number of bytes up to which a connection may be read.
///
/// The client library reads a subscription as fast as the server writes it, and keeps the messages that were not taken. With a
/// window, it stops when the bytes of the window are read. [`reopen`](Self::reopen) opens the next window when all messages
/// were taken. So the memory is bounded, and the server notices a process that is too slow.
#[derive(Clone, Debug, Default)]
pub(super) struct Window(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    read_in_window: usize,
    /// The reader that waits for room, and the begin of its wait.
    waiting: Option<(Instant, Waker)>,
    /// The begin of the time in which there was nothing to read.
    empty_since: Option<Instant>,
    is_behind: bool,
}

impl State {
    /// Notes that bytes, the end of the connection, or an error came.
    fn received(&mut self, count: usize) {
        self.read_in_window += count;
        if self.empty_since.take().is_some_and(|since| since.elapsed() >= CAUGHT_UP) {
            self.is_behind = false;
        }
    }
}

impl Window {
    /// The connection, read through this window.
    pub(super) fn over<T>(&self, inner: T) -> Windowed<T> {
        Windowed { inner, window: self.clone() }
    }

    /// Allows the next window to be read, because everything that was read has been taken.
    pub(super) fn reopen(&self) {
        let mut state = self.lock();
        state.read_in_window = 0;
        let Some((since, waker)) = state.waiting.take() else { return };
        state.is_behind |= since.elapsed() >= BEHIND;
        drop(state);
        waker.wake();
    }

    /// Whether the reader was behind the server when the server sent the last bytes.
    pub(super) fn was_behind(&self) -> bool {
        self.lock().is_behind
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
        if polled.is_pending() {
            state.empty_since.get_or_insert_with(Instant::now);
        } else {
            state.received(count);
        }
        drop(state);
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
        tokio::time::sleep(BEHIND + Duration::from_millis(20)).await;
        window.reopen();
        let mut reader = reading.await.unwrap().unwrap();
        assert!(window.was_behind());
        // The reader stays behind if the next bytes come soon.
        for (wait, is_behind) in [(Duration::from_millis(20), true), (CAUGHT_UP + Duration::from_millis(20), false)] {
            let reading = tokio::spawn(async move { reader.read_u8().await.map(|_| reader) });
            tokio::time::sleep(wait).await;
            far.write_all(&[7]).await.unwrap();
            reader = reading.await.unwrap().unwrap();
            assert_eq!(window.was_behind(), is_behind, "after {wait:?}");
        }
    }
}
