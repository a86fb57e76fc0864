//! Writes the output of a watcher while the event's clock is stopped.

use std::sync::Arc;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::limits::Clock;

/// An output stream whose time does not count for the event.
pub(crate) struct Uncounted<S> {
    inner: S,
    clock: Arc<Clock>,
}

impl<S> Uncounted<S> {
    pub(crate) fn new(inner: S, clock: Arc<Clock>) -> Self {
        Self { inner, clock }
    }
}

impl<S: IsTerminal> IsTerminal for Uncounted<S> {
    fn is_terminal(&self) -> bool {
        self.inner.is_terminal()
    }
}

impl<S: StdoutStream> StdoutStream for Uncounted<S> {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        self.inner.async_stream()
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Uncounted::new(self.inner.p2_stream(), Arc::clone(&self.clock)))
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Uncounted<Box<dyn OutputStream>> {
    async fn ready(&mut self) {
        self.inner.ready().await;
    }
}

impl OutputStream for Uncounted<Box<dyn OutputStream>> {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.clock.uncounted(|| self.inner.write(bytes))
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.clock.uncounted(|| self.inner.flush())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.clock.uncounted(|| self.inner.check_write())
    }
}
