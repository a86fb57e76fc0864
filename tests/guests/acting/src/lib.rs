//! A watcher that makes a call on the store and reports the result. The key of the event names the call.
//!
//! The same code runs as a component in wasmtime and natively in the test host, and the tests compare both. The report is the
//! last `Value` that the event makes, so that every host can see it on every target.

use std::io::Write as _;

use inbound_keyvalue::{Bucket, Error, HandleWatch, HandlerResult, Key, Payload, Value, handle_watch};

/// The calls with their names, which are the keys of events. There is at least one call for each function of the draft's outbound
/// half.
pub const CALLS: &[(&str, Call)] = &[
    ("get", |bucket, _| Ok(seen(&bucket.get("large")?.into_bytes()?))),
    ("get-streamed", get_streamed),
    ("get-dropped", |bucket, _| bucket.get("large").map(|_payload| "a payload".to_owned())),
    ("get-missing", |bucket, _| Ok(seen(&bucket.get("missing")?.into_bytes()?))),
    ("get-string", |bucket, _| bucket.get_string("text")),
    ("get-json", |bucket, _| Ok(bucket.get_json::<Vec<u32>>("json")?.len().to_string())),
    ("try-get", |bucket, _| found(bucket.try_get("text")?)),
    ("try-get-missing", |bucket, _| found(bucket.try_get("missing")?)),
    ("set", set),
    ("set-from-stream", set_from_stream),
    ("set-bytes", |bucket, payload| bucket.set_bytes("copy", payload.into_bytes()?).map(done)),
    ("set-json", |bucket, _| bucket.set_json("copy", &["a", "b"]).map(done)),
    ("delete", |bucket, _| bucket.delete("text").map(done)),
    ("delete-missing", |bucket, _| bucket.delete("missing").map(done)),
    ("exists", |bucket, _| bucket.exists("text").map(|exists| exists.to_string())),
    ("exists-missing", |bucket, _| bucket.exists("missing").map(|exists| exists.to_string())),
    ("increment", |bucket, _| bucket.increment("number", 2).map(|now| now.to_string())),
    ("increment-missing", |bucket, _| bucket.increment("missing", 7).map(|now| now.to_string())),
    ("increment-text", |bucket, _| bucket.increment("text", 1).map(|now| now.to_string())),
    ("compare-and-swap", |bucket, _| bucket.compare_and_swap("number", 40, 50).map(|swapped| swapped.to_string())),
    ("compare-and-swap-other", |bucket, _| bucket.compare_and_swap("number", 1, 2).map(|swapped| swapped.to_string())),
    ("get-many", get_many),
    ("get-many-missing", |bucket, _| bucket.get_many(&["text", "missing"]).map(|got| got.count().to_string())),
    ("get-many-dropped", |bucket, _| bucket.get_many(&["text", "large"]).map(|_payloads| "payloads".to_owned())),
    ("keys", |bucket, _| Ok(bucket.keys().join(" "))),
    ("set-many", set_many),
    ("delete-many", |bucket, _| bucket.delete_many(&["text", "number"]).map(done)),
];

/// Makes a call on the keys of the bucket. A call that needs content gets the event's payload. Returns the report of the watcher.
pub type Call = fn(&Bucket, Payload) -> Result<String, Error>;

/// The watcher.
#[handle_watch]
#[derive(Debug, Default)]
pub struct Actor;

impl HandleWatch for Actor {
    fn on_set(&mut self, bucket: Bucket, key: Key, payload: Payload) -> HandlerResult {
        let (_, call) = CALLS.iter().find(|(name, _)| *name == key).ok_or_else(|| format!("there is no call {key}"))?;
        let report = match call(&bucket, payload) {
            Ok(report) => format!("ok {report}"),
            Err(error) => format!("error {:?}: {error}", error.kind()),
        };
        drop(bucket);
        let mut value = Value::new();
        value.write_all(report.as_bytes())?;
        value.finish()?;
        Ok(())
    }
}

fn done((): ()) -> String {
    "done".to_owned()
}

/// The length of bytes and their sum: enough to tell different contents apart.
fn seen(bytes: &[u8]) -> String {
    format!("{} bytes, {}", bytes.len(), bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>())
}

fn found(payload: Option<Payload>) -> Result<String, Error> {
    payload.map_or_else(|| Ok("no such key".to_owned()), Payload::into_string)
}

fn get_streamed(bucket: &Bucket, _payload: Payload) -> Result<String, Error> {
    let mut whole = Vec::new();
    for chunk in bucket.get("large")?.into_stream()? {
        whole.extend_from_slice(&chunk?);
    }
    Ok(seen(&whole))
}

/// Stores one value under two keys. The value is written in two parts.
fn set(bucket: &Bucket, payload: Payload) -> Result<String, Error> {
    let content = payload.into_bytes()?;
    let (first, second) = content.split_at(content.len() / 2);
    let mut value = Value::new();
    // `set` must report a failure of these.
    let _ = value.write_all(first);
    let _ = value.write_all(second);
    bucket.set("copy", &mut value)?;
    bucket.set("copy-2", value).map(done)
}

fn set_from_stream(bucket: &Bucket, payload: Payload) -> Result<String, Error> {
    let mut value = Value::new();
    let mut stream = payload.into_stream()?;
    let body = value.body()?;
    while body.splice(&mut stream, u64::MAX)? > 0 {}
    bucket.set("copy", value).map(done)
}

fn get_many(bucket: &Bucket, _payload: Payload) -> Result<String, Error> {
    let mut reports = Vec::new();
    for payload in bucket.get_many(&["text", "large", "text"])? {
        reports.push(seen(&payload.into_bytes()?));
    }
    Ok(reports.join("; "))
}

fn set_many(bucket: &Bucket, payload: Payload) -> Result<String, Error> {
    let content = payload.into_bytes()?;
    let mut values = [Value::new(), Value::new()];
    for value in &mut values {
        let _ = value.write_all(&content);
    }
    bucket.set_many(["copy", "copy-2"].into_iter().zip(values)).map(done)
}
