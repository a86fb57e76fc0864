//! HTTP over `wasi:http`.

use std::time::Duration;

use waki::Client;

use crate::Answer;

/// Sends a body to an address, and returns the status of the answer.
pub(crate) fn post(url: &str, body: &[u8]) -> Answer {
    let answer = Client::new()
        .post(url)
        .header("content-type", "application/json")
        .connect_timeout(Duration::from_secs(10))
        .body(body.to_vec())
        .send()?;
    Ok(answer.status_code())
}
