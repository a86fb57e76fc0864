//! Watchers tested on your own machine: plain `cargo test`, with no wasm tooling at all. Needs the feature `testing`.

mod accounts;
mod content;
mod events;
mod host;
mod personality;
pub(crate) mod seam;
mod watcher;

pub use accounts::{Fault, Kind, Origin, Violation};
pub use content::Content;
pub use events::{BadLine, Change, Event, EventError, Events, Problem};
pub use host::{Called, Given, Host, StreamError, Streamed, Trap, Written};
pub use personality::{
    AfterEnd, BadHandle, ConsumedPayload, End, Instance, Numbering, Personality, Reading, Repeat, Size, SizeHint,
    Transfer, Writing,
};
pub(crate) use seam::trap;
pub use watcher::{Ending, Outcome, TestHost};
