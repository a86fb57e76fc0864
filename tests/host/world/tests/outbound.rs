//! Tests the functions that act on the store, on bare handles.

use std::future::poll_fn;
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;

use inbound_keyvalue_host::store::{Answer, HalfWay, MemoryStore, Refusing, Store, StoreCall, StoreError};
use inbound_keyvalue_host::{BadHandle, Change, Content, Host, HostLimits, Personality};

/// A host on a store, in the event of a delete, and its bucket.
fn host(store: impl Store + 'static) -> (Host, u32) {
    let mut host = Host::new(Personality::default());
    host.set_store(Arc::new(store));
    let bucket = host.begin_delete();
    (host, bucket)
}

/// A value with these bytes.
fn value(host: &mut Host, bytes: &[u8]) -> u32 {
    let value = host.new_value().unwrap();
    let body = host.value_write_body(value).unwrap().unwrap();
    host.write(body, bytes).unwrap().unwrap();
    host.drop_output_stream(body).unwrap();
    value
}

fn bytes(store: &MemoryStore, key: &str) -> Option<Vec<u8>> {
    store.get("watched", key).map(|content| content.read(0, u64::MAX).unwrap())
}

/// The trace of an error, which is dropped.
fn trace(host: &mut Host, error: u32) -> String {
    let trace = host.trace(error).unwrap();
    host.drop_error(error).unwrap();
    trace
}

#[test]
fn every_function_does_what_the_draft_says() {
    let store = MemoryStore::new();
    let (mut host, bucket) = host(store.clone());
    let five = value(&mut host, b"5");
    assert_eq!(host.set(bucket, "n", five), Ok(Ok(())));
    assert_eq!(host.exists(bucket, "n"), Ok(Ok(true)));
    assert_eq!(host.exists(bucket, "nothing"), Ok(Ok(false)));
    assert_eq!(host.increment(bucket, "n", 2), Ok(Ok(7)));
    assert_eq!(host.increment(bucket, "new", 3), Ok(Ok(3)));
    assert_eq!(host.compare_and_swap(bucket, "n", 5, 1), Ok(Ok(false)));
    assert_eq!(host.compare_and_swap(bucket, "n", 7, 1), Ok(Ok(true)));
    let payload = host.get(bucket, "n").unwrap().unwrap();
    assert_eq!(*host.payload_consume_sync(payload).unwrap().unwrap(), *b"1");
    let text = value(&mut host, b"text");
    assert_eq!(host.set_many(bucket, &["a", "b"], &[("a", text), ("b", five)]), Ok(Ok(())));
    let payloads = host.get_many(bucket, &["b", "a"]).unwrap().unwrap();
    let contents = payloads.into_iter().map(|payload| host.payload_consume_sync(payload).unwrap().unwrap().to_vec());
    assert_eq!(contents.collect::<Vec<_>>(), [b"5".to_vec(), b"text".to_vec()]);
    assert_eq!(host.get_keys(bucket).unwrap(), ["a", "b", "n", "new"]);
    assert_eq!(host.delete_many(bucket, &["a", "nothing"]), Ok(Ok(())));
    assert_eq!(host.delete(bucket, "b"), Ok(Ok(())));
    assert_eq!(MemoryStore::keys(&store, "watched"), ["n", "new"]);
    host.drop_value(five).unwrap();
    host.drop_value(text).unwrap();
    host.drop_bucket(bucket).unwrap();
    assert_eq!(host.end(), []);
}

#[test]
fn failures_name_their_reason() {
    let store = MemoryStore::new();
    store.insert("watched", "text", "seven");
    store.insert("watched", "most", u64::MAX.to_string());
    let (mut host, bucket) = host(store);
    let value = host.new_value().unwrap();
    let missing = "the key \"nothing\" is not set";
    let number = "the content of the key \"text\" is not a number in decimal digits below 2^64";
    let failures = [
        (host.get(bucket, "nothing").unwrap().map(drop), missing),
        (host.delete(bucket, "nothing").unwrap(), missing),
        (host.compare_and_swap(bucket, "nothing", 0, 1).unwrap().map(drop), missing),
        (host.get_many(bucket, &["text", "nothing"]).unwrap().map(drop), missing),
        (host.increment(bucket, "text", 1).unwrap().map(drop), number),
        (host.compare_and_swap(bucket, "text", 0, 1).unwrap().map(drop), number),
        (
            host.increment(bucket, "most", 1).unwrap().map(drop),
            "the number under the key \"most\" would exceed 2^64 - 1",
        ),
        (
            host.set_many(bucket, &["a"], &[("b", value)]).unwrap(),
            "the list of keys is not the list of the pairs' keys",
        ),
        (host.set_many(bucket, &[], &[("b", value)]).unwrap(), "the list of keys is not the list of the pairs' keys"),
    ];
    for (failure, reason) in failures {
        assert_eq!(trace(&mut host, failure.unwrap_err()), reason);
    }
    host.drop_value(value).unwrap();
    host.drop_bucket(bucket).unwrap();
    assert_eq!((host.end(), host.change_count()), (vec![], 0));
}

#[test]
fn a_value_that_was_never_written_is_empty() {
    let store = MemoryStore::new();
    let (mut host, bucket) = host(store.clone());
    let value = host.new_value().unwrap();
    host.set(bucket, "empty", value).unwrap().unwrap();
    assert_eq!(bytes(&store, "empty"), Some(vec![]));
}

#[test]
fn a_value_that_the_host_did_not_keep_whole_is_refused() {
    let (mut host, bucket) = host(MemoryStore::new());
    host.keep_written(3);
    let value = value(&mut host, b"four");
    let error = host.set(bucket, "key", value).unwrap().unwrap_err();
    assert_eq!(trace(&mut host, error), "the value has 4 bytes, and this host keeps 3 bytes of a value");
    assert_eq!(host.exists(bucket, "key"), Ok(Ok(false)));
}

#[test]
fn a_bucket_keeps_the_name_that_it_was_opened_with() {
    let store = MemoryStore::new();
    let (mut host, bucket) = host(store.clone());
    host.set_event_bucket("users");
    let orders = host.open_bucket("orders").unwrap().unwrap();
    host.increment(orders, "n", 1).unwrap().unwrap();
    host.increment(bucket, "n", 2).unwrap().unwrap();
    let number = |bucket| store.get(bucket, "n").unwrap().read(0, 9).unwrap();
    assert_eq!((number("orders"), number("users")), (b"1".to_vec(), b"2".to_vec()));
    assert_eq!(host.changes().iter().map(|change| &*change.bucket).collect::<Vec<_>>(), ["orders", "users"]);
}

#[test]
fn changes_are_the_events_that_a_watcher_would_get() {
    let (mut host, bucket) = host(MemoryStore::new());
    let value = value(&mut host, b"text");
    host.set(bucket, "a", value).unwrap().unwrap();
    host.increment(bucket, "n", 7).unwrap().unwrap();
    host.compare_and_swap(bucket, "n", 0, 1).unwrap().unwrap();
    host.compare_and_swap(bucket, "n", 7, 9).unwrap().unwrap();
    host.delete(bucket, "a").unwrap().unwrap();
    host.delete(bucket, "a").unwrap().unwrap_err();
    let changes = host.take_changes().into_iter().map(|change| match change.event.change {
        Change::Set(content) => (change.event.key, Some(content.read(0, 99).unwrap())),
        Change::Delete => (change.event.key, None),
    });
    let expected = [("a", Some("text")), ("n", Some("7")), ("n", Some("9")), ("a", None)];
    let expected = expected.map(|(key, text)| (key.to_owned(), text.map(|text| text.as_bytes().to_vec())));
    assert_eq!(changes.collect::<Vec<_>>(), expected);
    host.begin_delete();
    assert_eq!((host.changes().len(), host.change_count()), (0, 0));
}

#[test]
fn bad_handles_trap_or_fail_the_call() {
    for bad_handle in [BadHandle::Trap, BadHandle::Note] {
        let mut host = Host::new(Personality::deviating(|p| p.bad_handle = bad_handle));
        let bucket = host.begin_delete();
        let called = host.get(99, "key");
        let noted = host.set(bucket, "key", 99);
        match bad_handle {
            BadHandle::Note => {
                let error = called.unwrap().unwrap_err();
                assert_eq!(trace(&mut host, error), "there is no bucket with the handle 99");
                let error = noted.unwrap().unwrap_err();
                assert_eq!(trace(&mut host, error), "there is no value with the handle 99");
                host.drop_bucket(bucket).unwrap();
                let violations: Vec<_> = host.end().iter().map(ToString::to_string).collect();
                assert_eq!(
                    violations,
                    [
                        "`get` was called with bucket 99, which does not exist",
                        "`set` was called with value 99, which does not exist"
                    ]
                );
            }
            _ => assert!(called.is_err() && noted.is_err()),
        }
    }
}

#[test]
fn contents_that_a_guest_got_count_towards_its_limit() {
    let store = MemoryStore::new();
    store.insert("watched", "large", vec![0; 100_000]);
    let (mut host, bucket) = host(store);
    let mut limits = HostLimits::default();
    limits.bytes = 250_000;
    host.set_limits(limits);
    let first = host.get(bucket, "large").unwrap().unwrap();
    let second = host.get(bucket, "large").unwrap().unwrap();
    assert!(host.get(bucket, "large").unwrap_err().to_string().contains("HostLimits::bytes"));
    // A stream keeps the content of its payload.
    let stream = host.payload_consume_async(first).unwrap().unwrap();
    assert!(host.get(bucket, "large").is_err());
    host.drop_input_stream(stream).unwrap();
    let third = host.get(bucket, "large").unwrap().unwrap();
    host.payload_consume_sync(second).unwrap().unwrap();
    host.drop_payload(third).unwrap();
    host.drop_bucket(bucket).unwrap();
    assert_eq!((host.end(), host.kept_bytes()), (vec![], 0));
}

#[test]
fn a_store_in_memory_has_a_limit() {
    let store = MemoryStore::with_limit(1000);
    let (mut host, bucket) = host(store.clone());
    let value = value(&mut host, &[b'x'; 600]);
    host.set(bucket, "a", value).unwrap().unwrap();
    let error = host.set(bucket, "b", value).unwrap().unwrap_err();
    assert_eq!(trace(&mut host, error), "the store has no room: the store in memory keeps at most 1000 bytes");
    host.delete(bucket, "a").unwrap().unwrap();
    host.set(bucket, "b", value).unwrap().unwrap();
    let keys = (0..100).take_while(|n| host.increment(bucket, &n.to_string(), 1).unwrap().is_ok()).count();
    assert!(keys < 10, "{keys}");
}

#[test]
fn decorators_fail_as_their_personality_says() {
    let memory = MemoryStore::new();
    let (mut host, bucket) = host(HalfWay::new(Arc::new(memory.clone())));
    let value = value(&mut host, b"1");
    let error = host.set_many(bucket, &["a", "b"], &[("a", value), ("b", value)]).unwrap().unwrap_err();
    assert_eq!(trace(&mut host, error), "the batch failed after 1 of 2 keys");
    assert_eq!(MemoryStore::keys(&memory, "watched"), ["a"]);

    let refusing = Refusing::new(Arc::new(memory.clone()));
    refusing.refuse(StoreCall::GetKeys, "it is secret");
    host.set_store(Arc::new(refusing.clone()));
    let trap = host.get_keys(bucket).unwrap_err();
    assert_eq!(trap.to_string(), "`get-keys` failed, and has no error to return: it is secret");

    for (name, personality) in Personality::all() {
        let refused = personality.outbound.refuses.clone();
        let mut host = Host::new(personality);
        let bucket = host.begin_delete();
        let answer = host.exists(bucket, "a").unwrap();
        assert_eq!(answer.is_err(), refused.contains_key("exists"), "{name}");
    }
}

/// A store that answers from another thread.
#[derive(Debug)]
struct Remote(MemoryStore);

impl Remote {
    fn answer<T: Send + 'static>(&self, ask: impl FnOnce(&MemoryStore) -> Answer<T> + Send + 'static) -> Answer<T> {
        let memory = self.0.clone();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || sender.send(ask(&memory).block()));
        Answer::later(poll_fn(move |context| {
            let Ok(answer) = receiver.try_recv() else {
                context.waker().wake_by_ref();
                return Poll::Pending;
            };
            Poll::Ready(answer)
        }))
    }
}

macro_rules! remote {
    ($($name:ident($($parameter:ident: $type:ty),*) -> $answer:ty;)*) => {
        impl Store for Remote {
            $(
                fn $name(&self, bucket: &str, $($parameter: $type),*) -> Answer<$answer> {
                    let bucket = bucket.to_owned();
                    $(let $parameter = $parameter.to_owned();)*
                    self.answer(move |memory| Store::$name(memory, &bucket, $(std::borrow::Borrow::borrow(&$parameter)),*))
                }
            )*

            fn set(&self, bucket: &str, key: &str, content: Content) -> Answer<()> {
                let (bucket, key) = (bucket.to_owned(), key.to_owned());
                self.answer(move |memory| memory.set(&bucket, &key, content))
            }

            fn increment(&self, bucket: &str, key: &str, delta: u64) -> Answer<u64> {
                let (bucket, key) = (bucket.to_owned(), key.to_owned());
                self.answer(move |memory| memory.increment(&bucket, &key, delta))
            }

            fn compare_and_swap(&self, _: &str, _: &str, _: u64, _: u64) -> Answer<bool> {
                Answer::Now(Err(StoreError::Unsupported("use another store".to_owned())))
            }

            fn get_many(&self, _: &str, _: &[&str]) -> Answer<Vec<Content>> {
                Answer::Now(Err(StoreError::Unsupported("read the keys one by one".to_owned())))
            }

            fn set_many(&self, _: &str, _: Vec<(String, Content)>) -> Answer<()> {
                Answer::Now(Err(StoreError::Unavailable("it restarts".to_owned())))
            }

            fn delete_many(&self, _: &str, _: &[&str]) -> Answer<()> {
                Answer::Now(Err(StoreError::Unavailable("it restarts".to_owned())))
            }
        }
    };
}

remote! {
    open() -> ();
    get(key: &str) -> Content;
    delete(key: &str) -> ();
    exists(key: &str) -> bool;
    keys() -> Vec<String>;
}

#[test]
fn a_store_may_answer_later() {
    let memory = MemoryStore::new();
    let (mut host, _) = host(Remote(memory.clone()));
    let bucket = host.open_bucket("orders").unwrap().unwrap();
    assert_eq!(host.increment(bucket, "n", 2), Ok(Ok(2)));
    // The host is free while the store works.
    let first = host.start_get(bucket, "n").unwrap();
    let second = host.start_exists(bucket, "n").unwrap();
    assert_eq!(host.finish(second.block()), Ok(Ok(true)));
    let payload = host.finish(first.block()).unwrap().unwrap();
    assert_eq!(*host.payload_consume_sync(payload).unwrap().unwrap(), *b"2");
    let error = host.compare_and_swap(bucket, "n", 2, 3).unwrap().unwrap_err();
    assert_eq!(trace(&mut host, error), "the store cannot do this: use another store");
    let error = host.delete_many(bucket, &["n"]).unwrap().unwrap_err();
    assert_eq!(trace(&mut host, error), "the store cannot be reached: it restarts");
    assert_eq!(memory.len("orders"), 1);
}
