//! An author who makes any call on the keys of a bucket, against any host, beside a model of the store.

use std::collections::BTreeMap;
use std::io::Write as _;

use inbound_keyvalue::testing::{Personality, TestHost};
use inbound_keyvalue::{Bucket, Error, Payload, Value};

use crate::author::{Checked, Idle, clean, ensure};

/// The calls that an author may make on the keys of a bucket. A key is a small number.
#[derive(Clone, Debug)]
pub(crate) enum Acting {
    Get(u8),
    GetStreamed(u8),
    GetDropped(u8),
    TryGet(u8),
    SetBytes(u8, Vec<u8>),
    /// The value is written in two parts, and stored under both keys.
    SetTwice(u8, u8, Vec<u8>),
    SetEmpty(u8),
    Delete(u8),
    Exists(u8),
    Increment(u8, u64),
    CompareAndSwap(u8, u64, u64),
    GetMany(Vec<u8>),
    Keys,
    SetMany(Vec<(u8, Vec<u8>)>),
    DeleteMany(Vec<u8>),
}

type Model = BTreeMap<String, Vec<u8>>;

fn name(key: u8) -> String {
    format!("key/{key}")
}

fn names(keys: &[u8]) -> Vec<String> {
    keys.iter().copied().map(name).collect()
}

fn number(content: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(content).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// After every call the store is equal to a model that follows the draft. A call fails only with a reason, and every handle is
/// dropped once.
pub(crate) fn acts_as_the_draft_says(personality: &Personality, actings: &[Acting]) -> Checked {
    let mut host = TestHost::<Idle>::with(personality.clone());
    let bucket = host.event_bucket();
    let mut model = Model::new();
    for acting in actings {
        let before = model.clone();
        let done = act(&bucket, &mut model, acting, personality).map_err(|problem| format!("{acting:?}: {problem}"))?;
        let stored = host.bucket("watched");
        let now: Model =
            stored.keys().into_iter().map(|key| (key.clone(), stored.get(&key).unwrap_or_default())).collect();
        let half = matches!(acting, Acting::SetMany(_) | Acting::DeleteMany(_)) && personality.outbound.half_way;
        if done {
            ensure!(now == model, "{acting:?} made {now:?}, not {model:?}");
        } else if half {
            // A part of the batch may be done.
            model = now;
        } else {
            ensure!(now == before, "{acting:?} failed, and made {now:?} of {before:?}");
            model = before;
        }
    }
    drop(bucket);
    clean(host)
}

/// Makes a call, and changes the model as the call should change the store. Returns whether the call succeeded.
fn act(bucket: &Bucket, model: &mut Model, acting: &Acting, personality: &Personality) -> Result<bool, String> {
    let found = |key: &u8| model.get(&name(*key)).cloned();
    match acting {
        Acting::Get(key) => read(bucket.get_bytes(name(*key)).map(|bytes| bytes.to_vec()), found(key), personality),
        Acting::GetStreamed(key) => {
            let streamed = bucket.get(name(*key)).and_then(|payload| {
                let mut whole = Vec::new();
                for chunk in payload.into_stream()?.chunks() {
                    whole.extend_from_slice(&chunk?);
                }
                Ok(whole)
            });
            read(streamed, found(key), personality)
        }
        Acting::GetDropped(key) => {
            let got = bucket.get(name(*key));
            ensure!(got.is_err() || found(key).is_some(), "a payload of a key that is not set");
            Ok(got.is_ok())
        }
        Acting::TryGet(key) => match bucket.try_get(name(*key)) {
            Ok(None) => {
                ensure!(found(key).is_none(), "no payload of a key that is set");
                Ok(true)
            }
            Ok(Some(payload)) => read(payload.into_vec(), found(key), personality),
            Err(error) => failed(&error, personality),
        },
        Acting::Exists(key) => match bucket.exists(name(*key)) {
            Ok(exists) => {
                ensure!(exists == found(key).is_some(), "{exists}");
                Ok(true)
            }
            Err(error) => failed(&error, personality),
        },
        _ => change(bucket, model, acting, personality),
    }
}

/// `act` for the calls that change one key.
fn change(bucket: &Bucket, model: &mut Model, acting: &Acting, personality: &Personality) -> Result<bool, String> {
    let found = |key: &u8| model.get(&name(*key)).cloned();
    match acting {
        Acting::SetBytes(key, content) => {
            let set = bucket.set_bytes(name(*key), content);
            model.insert(name(*key), content.clone());
            outcome(set, personality)
        }
        Acting::SetTwice(one, two, content) => {
            let mut value = Value::new();
            let (first, second) = content.split_at(content.len() / 2);
            // The author ignores the errors of writing. `set` must not ignore them.
            let written = value.write_all(first).is_ok() & value.write_all(second).is_ok();
            let set = bucket.set(name(*one), &mut value);
            ensure!(written || set.is_err(), "a value was stored whose writing failed");
            if set.is_err() {
                return outcome(set, personality);
            }
            model.insert(name(*one), content.clone());
            model.insert(name(*two), content.clone());
            outcome(bucket.set(name(*two), value), personality)
        }
        Acting::SetEmpty(key) => {
            model.insert(name(*key), Vec::new());
            outcome(bucket.set(name(*key), Value::new()), personality)
        }
        Acting::Delete(key) => {
            let deleted = bucket.delete(name(*key));
            ensure!(deleted.is_err() || found(key).is_some(), "a key was deleted that is not set");
            if deleted.is_err() && found(key).is_none() {
                return Ok(false);
            }
            model.remove(&name(*key));
            outcome(deleted, personality)
        }
        _ => count(bucket, model, acting, personality),
    }
}

/// `act` for the calls on numbers.
fn count(bucket: &Bucket, model: &mut Model, acting: &Acting, personality: &Personality) -> Result<bool, String> {
    let found = |key: &u8| model.get(&name(*key)).cloned();
    match acting {
        Acting::Increment(key, delta) => {
            let before = found(key).map_or(Some(0), |content| number(&content));
            let sum = before.and_then(|before| before.checked_add(*delta));
            match bucket.increment(name(*key), *delta) {
                Ok(now) => {
                    ensure!(Some(now) == sum, "{now}, not {sum:?}");
                    model.insert(name(*key), now.to_string().into_bytes());
                    Ok(true)
                }
                Err(_) if sum.is_none() => Ok(false),
                Err(error) => failed(&error, personality),
            }
        }
        Acting::CompareAndSwap(key, old, new) => {
            let before = found(key).and_then(|content| number(&content));
            match bucket.compare_and_swap(name(*key), *old, *new) {
                Ok(swapped) => {
                    ensure!(before.is_some() && swapped == (before == Some(*old)), "{swapped} at {before:?}");
                    if swapped {
                        model.insert(name(*key), new.to_string().into_bytes());
                    }
                    Ok(true)
                }
                Err(_) if before.is_none() => Ok(false),
                Err(error) => failed(&error, personality),
            }
        }
        _ => act_on_many(bucket, model, acting, personality),
    }
}

/// `act` for the batches.
fn act_on_many(bucket: &Bucket, model: &mut Model, acting: &Acting, personality: &Personality) -> Result<bool, String> {
    let found = |key: &u8| model.get(&name(*key)).cloned();
    match acting {
        Acting::GetMany(keys) => {
            let due: Option<Vec<_>> = keys.iter().map(found).collect();
            match bucket.get_many(&names(keys)) {
                Ok(payloads) => {
                    let due = due.ok_or("payloads, and a key is not set")?;
                    ensure!(payloads.len() == due.len(), "{} payloads", payloads.len());
                    // The first payload that cannot be read ends the call, as with `?`. The others are dropped.
                    let whole: Result<Vec<_>, _> = payloads.map(Payload::into_vec).collect();
                    match whole {
                        Ok(whole) => {
                            ensure!(whole == due, "{whole:?}");
                            Ok(true)
                        }
                        Err(error) => failed(&error, personality),
                    }
                }
                Err(_) if due.is_none() => Ok(false),
                Err(error) => failed(&error, personality),
            }
        }
        Acting::Keys => {
            // If the store refuses, the draft has no answer except a trap.
            if !personality.outbound.refuses.contains_key("get-keys") {
                let mut keys = bucket.keys();
                keys.sort();
                ensure!(keys.iter().eq(model.keys()), "{keys:?}");
            }
            Ok(true)
        }
        Acting::SetMany(pairs) => {
            let values: Result<Vec<_>, Error> =
                pairs.iter().map(|(key, content)| Ok((name(*key), Value::from_bytes(content)?))).collect();
            let set = values.and_then(|values| bucket.set_many(values));
            model.extend(pairs.iter().map(|(key, content)| (name(*key), content.clone())));
            outcome(set, personality)
        }
        Acting::DeleteMany(keys) => {
            let deleted = bucket.delete_many(&names(keys));
            for key in names(keys) {
                model.remove(&key);
            }
            outcome(deleted, personality)
        }
        _ => unreachable!("every other call is in one of the functions above"),
    }
}

/// A whole value, or a failure.
fn read(got: Result<Vec<u8>, Error>, due: Option<Vec<u8>>, personality: &Personality) -> Result<bool, String> {
    match (got, due) {
        (Ok(got), due) => {
            ensure!(Some(&got) == due.as_ref(), "{got:?}, not {due:?}");
            Ok(true)
        }
        (Err(Error::Store(_)), None) => Ok(false),
        (Err(error), _) => failed(&error, personality),
    }
}

fn outcome(done: Result<(), Error>, personality: &Personality) -> Result<bool, String> {
    done.map_or_else(|error| failed(&error, personality), |()| Ok(true))
}

/// A host without deviations fails only if the model fails.
fn failed(error: &Error, personality: &Personality) -> Result<bool, String> {
    ensure!(*personality != Personality::default(), "{error}, where the host deviates in nothing");
    ensure!(!error.to_string().is_empty(), "no message");
    Ok(false)
}
