//! HTTP over `wasi:http`.

use std::time::Duration;

use waki::Client;

use crate::Answer;

/// Sends a body to an address, and returns the status of the answer.
pub(crate) fn post(url: &str, body: &[u8]) -> Answer {
    let answer = Client::new()
        .post(url)
        .header("content-type", "application/json")
        // Otherwise the body would come in chunks, and small servers do not know them.
        .header("content-length", body.len().to_string())
        .connect_timeout(Duration::from_secs(10))
        .body(body.to_vec())
        .send()?;
    Ok(answer.status_code())
}
