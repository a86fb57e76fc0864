//! Stores that a served watcher acts on. Each implements [`Store`](inbound_keyvalue_host::store::Store).

mod feedback;
mod redis;

pub use feedback::Feedback;
pub use redis::RedisStore;
