//! Benchmarks: the cost of a watcher with the SDK, compared with the cost of the same watcher written by hand.

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
