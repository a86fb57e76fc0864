//! A watcher that does the exercise that the key of an event names, and reports the result.
//!
//! The same code runs as a component in wasmtime and natively in the test host, and the tests compare both. The report is the
//! last `Value` that the event makes, so that every host can see it on every target.

mod exercises;

use std::error::Error as StdError;
use std::io::{self, Write as _};

use inbound_keyvalue::{Bucket, Error, HandleWatch, HandlerResult, Key, Payload, Value, handle_watch};

pub use exercises::{Exercise, REPEATED, Seen};

/// The watcher. A key is the name of an [`Exercise`], which any text may follow after a `/`. A delete of the key `panic` panics.
#[handle_watch]
#[derive(Debug, Default)]
pub struct Exerciser {
    events: u64,
}

impl HandleWatch for Exerciser {
    fn on_set(&mut self, bucket: Bucket, key: Key, payload: Payload) -> HandlerResult {
        self.events += 1;
        let exercise = Exercise::of_key(key).ok_or_else(|| format!("there is no exercise {key}"))?;
        let outcome = exercise.run(payload);
        drop(bucket);
        match outcome {
            Ok(seen) => report(&format!("ok {seen}")),
            Err(error) if exercise == Exercise::Fail => Err(error),
            Err(error) => report(&format!("error {:?}: {error}", kind(&*error))),
        }
    }

    fn on_delete(&mut self, _bucket: Bucket, key: Key) -> HandlerResult {
        self.events += 1;
        assert_ne!(key, "panic", "a panic on purpose");
        if Exercise::of_key(key) == Some(Exercise::Fail) {
            return Err(io::Error::other(format!("event {} is to fail", self.events)).into());
        }
        report(&format!("ok {} events", self.events))
    }
}

fn report(text: &str) -> HandlerResult {
    let mut value = Value::new();
    value.write_all(text.as_bytes())?;
    value.finish()?;
    Ok(())
}

/// The kind of an SDK error. The error may be inside an `io::Error`.
fn kind(error: &(dyn StdError + 'static)) -> io::ErrorKind {
    if let Some(error) = error.downcast_ref::<Error>() {
        return error.kind();
    }
    error.downcast_ref::<io::Error>().map_or(io::ErrorKind::Other, io::Error::kind)
}
