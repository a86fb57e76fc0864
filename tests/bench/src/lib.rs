//! What a watcher costs with the SDK, and what the same watcher costs written by hand.

pub mod counted;
pub mod guests;
pub mod host;
pub mod table;
pub mod timed;
