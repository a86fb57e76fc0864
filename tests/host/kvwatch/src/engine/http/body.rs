//! The body of a request that a watcher sends.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::runtime::Handle;
use wasmtime_wasi_http::{Error, WasiBody};

/// A body that stays open until the watcher has finished it.
///
/// The HTTP client drops a body as soon as it has all bytes that `content-length` announces. The watcher may not have flushed them
/// yet. Then its flush would fail, although the server has the whole request.
#[derive(Debug)]
pub(super) struct WholeBody {
    inner: WasiBody,
    /// The number of bytes of `content-length` that have not come yet. `None` if the request has no such header.
    missing: Option<u64>,
}

impl WholeBody {
    /// The body of a request with these headers.
    pub(super) fn new(body: WasiBody, headers: &HeaderMap) -> Self {
        let missing = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        Self { inner: body, missing }
    }
}

impl Body for WholeBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let (Some(Ok(frame)), Some(missing)) = (&frame, &mut self.missing) {
            let len = frame.data_ref().map_or(0, |data| data.len() as u64);
            *missing = missing.saturating_sub(len);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for WholeBody {
    /// A body that is not whole ends at once: the request has failed, and the watcher must not write more.
    fn drop(&mut self) {
        // Without a runtime, the request ends with its watcher.
        if self.missing == Some(0)
            && let Ok(runtime) = Handle::try_current()
        {
            let mut inner = mem::take(&mut self.inner);
            runtime.spawn(async move { while let Some(Ok(_)) = inner.frame().await {} });
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    struct Written(mpsc::Receiver<Bytes>);

    impl Body for Written {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
            self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
        }
    }

    /// The writer of a body, and the body.
    fn body(announced: &str) -> (mpsc::Sender<Bytes>, WholeBody) {
        let (writer, reader) = mpsc::channel(1);
        let headers = HeaderMap::from_iter([(CONTENT_LENGTH, announced.parse().unwrap())]);
        (writer, WholeBody::new(Written(reader).boxed_unsync(), &headers))
    }

    async fn read(body: &mut WholeBody) -> Bytes {
        body.frame().await.unwrap().unwrap().into_data().unwrap()
    }

    #[tokio::test]
    async fn a_whole_body_stays_open_until_its_writer_ends() {
        let (writer, mut body) = body("5");
        for part in ["he", "llo"] {
            writer.send(part.into()).await.unwrap();
            assert_eq!(read(&mut body).await, part);
        }
        drop(body);
        tokio::task::yield_now().await;
        assert!(!writer.is_closed());
        writer.send("surplus".into()).await.unwrap();
        writer.send("more".into()).await.unwrap();
    }

    #[tokio::test]
    async fn a_body_that_is_not_whole_ends_at_once() {
        for announced in ["6", "no number"] {
            let (writer, mut body) = body(announced);
            writer.send("hello".into()).await.unwrap();
            assert_eq!(read(&mut body).await, "hello");
            drop(body);
            tokio::task::yield_now().await;
            assert!(writer.is_closed(), "{announced}");
        }
    }
}
