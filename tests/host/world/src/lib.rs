//! The world `inbound-keyvalue` of wasi-keyvalue from the host's side, without WebAssembly, a network or a terminal.
//!
//! Two programs use this crate. The SDK's feature `testing` runs a watcher natively against a [`Host`], and `kvwatch` puts one
//! behind a component. Both therefore account for handles in the same way.
//!
//! | module | what it contains |
//! |---|---|
//! | `accounts` | violations of the rules of ownership, and where a handle came from |
//! | `table` | live handles |
//! | `content` | what a key is set to: bytes in memory, in a file, or generated |
//! | `events` | recorded events and their file format |
//! | `host` | the draft's functions on bare handles |
//! | `personality` | how a host may deviate from a well-behaved one |

mod accounts;
mod content;
mod events;
mod host;
mod operation;
mod personality;
mod table;

pub use accounts::{Fault, Kind, Origin, Violation};
pub use content::{Content, IntoContent};
pub use events::{BadLine, Change, Event, EventError, Events, Problem};
pub use host::{Called, Details, Given, Host, HostLimits, StreamError, Streamed, Trap, Written};
pub use operation::Operation;
pub use personality::{
    AfterEnd, BadHandle, ConsumedPayload, End, Instance, Numbering, Personality, Reading, Repeat, Size, SizeHint,
    Transfer, Writing,
};
