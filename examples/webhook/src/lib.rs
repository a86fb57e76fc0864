//! Calls a webhook. For each change of a key, it sends a JSON object to the address in the environment variable `WEBHOOK_URL`.
//!
//! The event is handled if the receiver answers with a status from 200 to 299. Otherwise the event fails, and the host may try it
//! again. The receiver may then get the same object twice.

#[cfg_attr(target_os = "wasi", path = "post.rs")]
#[cfg_attr(not(target_os = "wasi"), path = "no_post.rs")]
mod post;

use std::env;
use std::error::Error;

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};
use serde_json::{Value, json};

/// The largest value that is sent, in bytes. A value of unknown size is not sent either.
const LONGEST: u64 = 64 * 1024;

/// The status of an answer.
type Answer = Result<u16, Box<dyn Error>>;

#[handle_watch(init = Webhook::from_environment())]
struct Webhook {
    url: Option<String>,
    /// Sends a body to an address, and returns the status of the answer. Tests have their own.
    post: fn(&str, &[u8]) -> Answer,
}

impl Webhook {
    fn from_environment() -> Self {
        Self { url: env::var("WEBHOOK_URL").ok(), post: post::post }
    }

    fn send(&self, object: &Value) -> HandlerResult {
        let url =
            self.url.as_ref().ok_or("WEBHOOK_URL is not set: start the host with `--env WEBHOOK_URL=http://…`")?;
        let status = (self.post)(url, object.to_string().as_bytes())?;
        if !(200..300).contains(&status) {
            return Err(format!("{url} has answered with the status {status}").into());
        }
        println!("{}", object["key"]);
        Ok(())
    }
}

impl HandleWatch for Webhook {
    fn on_set(&mut self, _bucket: Bucket, key: Key, payload: Payload) -> HandlerResult {
        let size = payload.size();
        let mut object = json!({ "op": "set", "key": key, "size": size });
        if size.is_some_and(|size| size <= LONGEST) {
            // A value that is not text is not sent either.
            if let Ok(text) = String::from_utf8(payload.into_vec()?) {
                object["value"] = text.into();
            }
        }
        self.send(&object)
    }

    fn on_delete(&mut self, _bucket: Bucket, key: Key) -> HandlerResult {
        self.send(&json!({ "op": "delete", "key": key }))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use inbound_keyvalue::testing::{Content, Personality, TestHost};

    use super::{Answer, Webhook};

    thread_local! {
        static SENT: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    fn note(url: &str, body: &[u8]) -> Answer {
        SENT.with_borrow_mut(|sent| sent.push(format!("{url} {}", String::from_utf8_lossy(body))));
        Ok(if url.ends_with("/refuses") { 503 } else { 204 })
    }

    fn host(url: &'static str) -> TestHost<Webhook, impl FnMut() -> Webhook> {
        TestHost::with_watcher(Personality::default(), move || Webhook { url: Some(url.to_owned()), post: note })
    }

    #[test]
    fn replays_the_recorded_events() {
        let mut host = host("http://hook");
        host.replay("events.jsonl").unwrap().iter().for_each(|outcome| outcome.expect_handled());
        assert_eq!(
            SENT.take(),
            [
                r#"http://hook {"key":"users/ada","op":"set","size":5,"value":"hello"}"#,
                r#"http://hook {"key":"avatars/ada","op":"set","size":8}"#,
                r#"http://hook {"key":"users/ada","op":"delete"}"#,
            ]
        );
    }

    #[test]
    fn a_large_value_is_not_read() {
        host("http://hook").set("k", Content::repeat("x", 1 << 40)).expect_handled();
        assert_eq!(SENT.take(), [r#"http://hook {"key":"k","op":"set","size":1099511627776}"#]);
    }

    #[test]
    fn an_answer_that_is_no_success_fails_the_event() {
        let failure = host("http://hook/refuses").delete("k").expect_failure();
        assert_eq!(failure, r#"on-delete of "k" failed: http://hook/refuses has answered with the status 503"#);
    }

    #[test]
    fn without_an_address_the_event_fails() {
        let mut host = TestHost::with_watcher(Personality::default(), || Webhook { url: None, post: note });
        assert!(host.delete("k").expect_failure().contains("WEBHOOK_URL is not set"));
    }
}
