//! Where events come from.

#[cfg(feature = "serve")]
pub mod nats;
