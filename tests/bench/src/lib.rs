//! What a watcher costs with the SDK, and what the same watcher costs written by hand.

pub mod counted;
pub mod functions;
pub mod growth;
pub mod guests;
pub mod host;
mod instrument;
pub mod peers;
pub mod plot;
pub mod printed;
pub mod program;
pub mod served;
pub mod sizes;
pub mod table;
pub mod timed;
