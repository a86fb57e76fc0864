//! The functions that act on the store: the interfaces `readwrite`, `atomic` and `batch`, and `open-bucket`.
//!
//! A call has three steps, because a store may answer later. `start_*` checks the handles and asks the store. The embedder waits for
//! the answer with [`PendingCall::wait`] or [`PendingCall::block`]; the host is free meanwhile. [`Host::finish`] makes the handles of the result.
//! The functions with the draft's names do all three on the calling thread.
//!
//! All functions have one error: they trap. They trap when a handle is bad (unless [`BadHandle::Note`](crate::BadHandle::Note)),
//! and when the guest exceeds a limit.

#![allow(clippy::missing_errors_doc, reason = "the module's documentation states the one error of all functions")]

use std::sync::Arc;

use super::changes::StoreChange;
use super::object::Object;
use super::reply::{Opened, Reply};
use super::{CallResult, Host};
use crate::accounts::HandleKind;
use crate::content::{Content, IntoContent as _};
use crate::events::Event;
use crate::store::{Answer, MemoryStore, Store, StoreCall, StoreError};

/// The name of the bucket that events come from, unless a host sets another one: `watched`.
pub const EVENT_BUCKET: &str = "watched";

/// A call of the guest that the store has not answered yet.
#[derive(Debug)]
#[must_use = "the guest waits for the answer"]
pub struct PendingCall<T> {
    state: CallState,
    answer: Answer<T>,
}

/// A call of the guest that the store has answered. [`Host::finish`] turns the answer into the result for the guest.
#[derive(Debug)]
#[must_use = "the guest waits for the answer"]
pub struct AnsweredCall<T> {
    state: CallState,
    answer: Result<T, StoreError>,
}

/// The state of a call while the store works.
#[derive(Debug)]
struct CallState {
    call: StoreCall,
    bucket: Arc<str>,
    effect: Effect,
}

/// The changes that a successful call makes.
#[derive(Debug)]
enum Effect {
    Nothing,
    Events(Vec<Event>),
    /// The key is set to the number that the store answers.
    Number(String),
    /// The change happens if the store answers `true`.
    If(Event),
}

impl<T> PendingCall<T> {
    /// A call that the host refuses by itself.
    fn refused(call: StoreCall, error: StoreError) -> Self {
        let state = CallState { call, bucket: Arc::from(""), effect: Effect::Nothing };
        Self { state, answer: Answer::Now(Err(error)) }
    }

    /// Waits for the store.
    pub async fn wait(self) -> AnsweredCall<T> {
        AnsweredCall { state: self.state, answer: self.answer.wait().await }
    }

    /// Waits for the store on this thread.
    pub fn block(self) -> AnsweredCall<T> {
        AnsweredCall { state: self.state, answer: self.answer.block() }
    }
}

impl Host {
    /// Sets the store behind this host. Every host has a store of its own in memory unless this is called.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use inbound_keyvalue_host::store::MemoryStore;
    /// use inbound_keyvalue_host::{Host, Personality};
    ///
    /// let store = MemoryStore::new();
    /// store.insert("watched", "count", "41");
    /// let mut host = Host::new(Personality::default());
    /// host.set_store(Arc::new(store.clone()));
    /// let bucket = host.begin_delete();
    /// assert_eq!(host.increment(bucket, "count", 1)?, Ok(42));
    /// assert_eq!((host.changes()[0].event.key.as_str(), host.change_count()), ("count", 1));
    /// # Ok::<(), inbound_keyvalue_host::Trap>(())
    /// ```
    pub fn set_store(&mut self, store: Arc<dyn Store>) {
        self.store = Some(self.decorated_store(store));
    }

    /// The name of the bucket that events come from.
    #[must_use]
    pub fn event_bucket(&self) -> &str {
        self.event_bucket.as_deref().unwrap_or(EVENT_BUCKET)
    }

    /// Sets the name of the bucket that events come from. It is [`EVENT_BUCKET`] unless this is called.
    pub fn set_event_bucket(&mut self, name: impl Into<Arc<str>>) {
        self.event_bucket = Some(name.into());
    }

    /// The guest's changes in the last event, in their order: the first 4096 changes, and 64 MiB of their contents. There are
    /// none with [`Details::Counted`](super::Details::Counted).
    #[must_use]
    #[inline]
    pub fn changes(&self) -> &[StoreChange] {
        &self.changes.kept
    }

    /// The changes that [`changes`](Self::changes) returns. The host does not keep them any longer.
    #[must_use]
    #[inline]
    pub fn take_changes(&mut self) -> Vec<StoreChange> {
        std::mem::take(&mut self.changes.kept)
    }

    /// The number of changes that the guest made in the last event.
    #[must_use]
    #[inline]
    pub fn change_count(&self) -> u64 {
        self.changes.total
    }

    /// Returns the result of the guest's call: a [`Reply::Returned`], or the handle of an error.
    pub fn finish<T: Reply>(&mut self, answered: AnsweredCall<T>) -> CallResult<Result<T::Returned, u32>> {
        let AnsweredCall { state: CallState { call, bucket, effect }, answer } = answered;
        match answer {
            Ok(reply) => {
                self.note_effect(&bucket, effect, reply.number());
                reply.make_handles(self, call, &bucket).map(Ok)
            }
            Err(error) => self.error(call.as_str(), error.to_string()).map(Err),
        }
    }

    fn note_effect(&mut self, bucket: &str, effect: Effect, number: u64) {
        let events = match effect {
            Effect::Nothing => return,
            Effect::Events(events) => events,
            Effect::Number(key) => vec![Event::set(key, number.to_string())],
            Effect::If(event) => Vec::from_iter((number != 0).then_some(event)),
        };
        for event in events {
            self.changes.note(bucket, event, self.details);
        }
    }

    fn store(&mut self) -> Arc<dyn Store> {
        if let Some(store) = &self.store {
            return Arc::clone(store);
        }
        let store = self.decorated_store(Arc::new(MemoryStore::new()));
        Arc::clone(self.store.insert(store))
    }

    /// Asks the store for something that concerns the bucket of a handle. Without such a bucket, the answer is an error.
    fn start_call<T>(
        &mut self,
        call: StoreCall,
        bucket: u32,
        effect: Effect,
        ask: impl FnOnce(&dyn Store, &str) -> Answer<T>,
    ) -> CallResult<PendingCall<T>> {
        self.calls += 1;
        let name = match self.table.get(HandleKind::Bucket, bucket) {
            Some(Object::Bucket(Some(name))) => Arc::clone(name),
            Some(_) => self.event_bucket.get_or_insert_with(|| Arc::from(EVENT_BUCKET)).clone(),
            None => {
                self.missing(HandleKind::Bucket, bucket, call.as_str())?;
                let reason = format!("there is no bucket with the handle {bucket}");
                return Ok(PendingCall::refused(call, StoreError::Refused(reason)));
            }
        };
        let answer = ask(&*self.store(), &name);
        Ok(PendingCall { state: CallState { call, bucket: name, effect }, answer })
    }

    /// The content of a value. `Err` has the reason why it cannot be stored.
    fn written(&mut self, call: StoreCall, value: u32) -> CallResult<Result<Content, String>> {
        let Some(&mut Object::Value { number, .. }) = self.table.get(HandleKind::Value, value) else {
            self.missing(HandleKind::Value, value, call.as_str())?;
            return Ok(Err(format!("there is no value with the handle {value}")));
        };
        let (bytes, len) = (self.written.bytes(number), self.written.len(number));
        if bytes.len() as u64 != len {
            return Ok(Err(format!("the value has {len} bytes, and this host keeps {} bytes of a value", self.keep)));
        }
        Ok(Ok(bytes.into_content()))
    }

    /// `open-bucket`
    pub fn start_open_bucket(&mut self, name: &str) -> CallResult<PendingCall<Opened>> {
        self.calls += 1;
        let call = StoreCall::OpenBucket;
        if self.buckets.as_ref().is_some_and(|buckets| !buckets.iter().any(|bucket| bucket == name)) {
            return Ok(PendingCall::refused(call, StoreError::NoBucket(name.to_owned())));
        }
        let answer = self.store().open(name).map(|()| Opened(()));
        Ok(PendingCall { state: CallState { call, bucket: name.into(), effect: Effect::Nothing }, answer })
    }

    /// `get`
    pub fn start_get(&mut self, bucket: u32, key: &str) -> CallResult<PendingCall<Content>> {
        self.start_call(StoreCall::Get, bucket, Effect::Nothing, |store, bucket| store.get(bucket, key))
    }

    /// `set`. The guest still owns the value.
    pub fn start_set(&mut self, bucket: u32, key: &str, value: u32) -> CallResult<PendingCall<()>> {
        let call = StoreCall::Set;
        let content = match self.written(call, value)? {
            Ok(content) => content,
            Err(reason) => return self.refuse_call(call, bucket, reason),
        };
        let effect = Effect::Events(vec![Event::set(key, content.clone())]);
        self.start_call(call, bucket, effect, |store, bucket| store.set(bucket, key, content))
    }

    /// `delete`
    pub fn start_delete(&mut self, bucket: u32, key: &str) -> CallResult<PendingCall<()>> {
        let effect = Effect::Events(vec![Event::delete(key)]);
        self.start_call(StoreCall::Delete, bucket, effect, |store, bucket| store.delete(bucket, key))
    }

    /// `exists`
    pub fn start_exists(&mut self, bucket: u32, key: &str) -> CallResult<PendingCall<bool>> {
        self.start_call(StoreCall::Exists, bucket, Effect::Nothing, |store, bucket| store.exists(bucket, key))
    }

    /// `increment`
    pub fn start_increment(&mut self, bucket: u32, key: &str, delta: u64) -> CallResult<PendingCall<u64>> {
        let effect = Effect::Number(key.to_owned());
        self.start_call(StoreCall::Increment, bucket, effect, |store, bucket| store.increment(bucket, key, delta))
    }

    /// `compare-and-swap`
    pub fn start_compare_and_swap(
        &mut self,
        bucket: u32,
        key: &str,
        old: u64,
        new: u64,
    ) -> CallResult<PendingCall<bool>> {
        let effect = Effect::If(Event::set(key, new.to_string()));
        self.start_call(StoreCall::CompareAndSwap, bucket, effect, |store, bucket| {
            store.compare_and_swap(bucket, key, old, new)
        })
    }

    /// `get-many`
    pub fn start_get_many(&mut self, bucket: u32, keys: &[&str]) -> CallResult<PendingCall<Vec<Content>>> {
        self.start_call(StoreCall::GetMany, bucket, Effect::Nothing, |store, bucket| store.get_many(bucket, keys))
    }

    /// `get-keys`. It has no error in the draft: [`finish_get_keys`](Self::finish_get_keys) traps if the store fails.
    pub fn start_get_keys(&mut self, bucket: u32) -> CallResult<PendingCall<Vec<String>>> {
        self.start_call(StoreCall::GetKeys, bucket, Effect::Nothing, |store, bucket| store.keys(bucket))
    }

    /// Returns the keys for the guest.
    pub fn finish_get_keys(&mut self, answered: AnsweredCall<Vec<String>>) -> CallResult<Vec<String>> {
        let AnsweredCall { state: CallState { call, bucket, .. }, answer } = answered;
        match answer {
            Ok(keys) => keys.make_handles(self, call, &bucket),
            Err(error) => Err(self.trap(format!("`{call}` failed, and has no error to return: {error}"))),
        }
    }

    /// `set-many`. The guest still owns the values. `keys` must repeat the keys of the pairs.
    pub fn start_set_many(
        &mut self,
        bucket: u32,
        keys: &[&str],
        values: &[(&str, u32)],
    ) -> CallResult<PendingCall<()>> {
        let call = StoreCall::SetMany;
        if !keys.iter().eq(values.iter().map(|(key, _)| key)) {
            return self.refuse_call(call, bucket, "the list of keys is not the list of the pairs' keys".to_owned());
        }
        let mut pairs = Vec::new();
        for (key, value) in values {
            match self.written(call, *value)? {
                Ok(content) => pairs.push(((*key).to_owned(), content)),
                Err(reason) => return self.refuse_call(call, bucket, reason),
            }
        }
        let effect = Effect::Events(pairs.iter().map(|(key, content)| Event::set(key, content.clone())).collect());
        self.start_call(call, bucket, effect, |store, bucket| store.set_many(bucket, pairs))
    }

    /// `delete-many`
    pub fn start_delete_many(&mut self, bucket: u32, keys: &[&str]) -> CallResult<PendingCall<()>> {
        let effect = Effect::Events(keys.iter().map(|key| Event::delete(*key)).collect());
        self.start_call(StoreCall::DeleteMany, bucket, effect, |store, bucket| store.delete_many(bucket, keys))
    }

    /// The answer of a call that the host refuses without asking the store. It checks the handle of the bucket nevertheless.
    fn refuse_call<T>(&mut self, call: StoreCall, bucket: u32, reason: String) -> CallResult<PendingCall<T>> {
        let refusal = StoreError::Refused(reason);
        self.start_call(call, bucket, Effect::Nothing, |_, _| Answer::Now(Err(refusal)))
    }
}

/// A function of the draft with its three steps on the calling thread.
macro_rules! blocking {
    ($($name:ident: $start:ident, $finish:ident($($parameter:ident: $type:ty),*) -> $returned:ty;)*) => {
        impl Host {
            $(
                #[doc = concat!("The function of `", stringify!($start), "`, with all its steps on this thread.")]
                pub fn $name(&mut self, bucket: u32, $($parameter: $type),*) -> CallResult<$returned> {
                    let call = self.$start(bucket, $($parameter),*)?;
                    self.$finish(call.block())
                }
            )*
        }
    };
}

blocking! {
    get: start_get, finish(key: &str) -> Result<u32, u32>;
    set: start_set, finish(key: &str, value: u32) -> Result<(), u32>;
    delete: start_delete, finish(key: &str) -> Result<(), u32>;
    exists: start_exists, finish(key: &str) -> Result<bool, u32>;
    increment: start_increment, finish(key: &str, delta: u64) -> Result<u64, u32>;
    compare_and_swap: start_compare_and_swap, finish(key: &str, old: u64, new: u64) -> Result<bool, u32>;
    get_many: start_get_many, finish(keys: &[&str]) -> Result<Vec<u32>, u32>;
    get_keys: start_get_keys, finish_get_keys() -> Vec<String>;
    set_many: start_set_many, finish(keys: &[&str], values: &[(&str, u32)]) -> Result<(), u32>;
    delete_many: start_delete_many, finish(keys: &[&str]) -> Result<(), u32>;
}
