//! The server behind `--listen`: `/metrics`, `/healthz` and `/readyz`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use kvwatch::serve::{Sample, prometheus};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::run::Served;

/// The most connections at a time. Further connections wait in the listener's queue.
const CONNECTIONS: usize = 32;
/// A connection that lasts longer is closed, so that idle ones do not take all places.
const LONGEST: Duration = Duration::from_secs(10);
/// The most bytes of a request's head.
const HEAD: usize = 16 * 1024;

/// Answers for ever.
pub(super) async fn listen(listener: TcpListener, served: Arc<[Served]>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(cause) => {
                // The cause may be too many open files. An attempt at once would fail again.
                tracing::warn!(%cause, "a connection to --listen cannot be accepted");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let served = Arc::clone(&served);
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let response = respond(request.method(), request.uri().path(), &served);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .max_buf_size(HEAD)
                .serve_connection(TokioIo::new(stream), service);
            // The fault of a client does not concern this server.
            let _ = tokio::time::timeout(LONGEST, connection).await;
            drop(place);
        });
    }
}

fn respond(method: &Method, path: &str, served: &[Served]) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return answer(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n".into());
    }
    match path {
        "/metrics" => {
            let snapshots: Vec<_> = served.iter().map(|it| it.metrics.snapshot()).collect();
            let samples: Vec<Sample<'_>> = served
                .iter()
                .zip(&snapshots)
                .map(|(it, delivery)| Sample { name: &it.name, delivery, usage: it.crew.usage() })
                .collect();
            answer(StatusCode::OK, prometheus(&samples))
        }
        "/healthz" => answer(StatusCode::OK, "ok\n".into()),
        "/readyz" => match served.iter().find(|it| !it.is_ready()) {
            None => answer(StatusCode::OK, "ok\n".into()),
            Some(it) => {
                answer(StatusCode::SERVICE_UNAVAILABLE, format!("{} has no connection to its store\n", it.name))
            }
        },
        _ => answer(StatusCode::NOT_FOUND, "there are /metrics, /healthz and /readyz\n".into()),
    }
}

fn answer(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
