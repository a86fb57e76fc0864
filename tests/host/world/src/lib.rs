//! The world `inbound-keyvalue` of wasi-keyvalue from the host's side, without WebAssembly, a network or a terminal.
//!
//! Two programs use this crate. The SDK's feature `testing` runs a watcher natively on a [`Host`], and `kvwatch` runs a
//! component on one. Both therefore account for handles in the same way.
//!
//! | module | what it contains |
//! |---|---|
//! | `accounts` | violations of the rules of ownership, and the origin of a handle |
//! | `table` | live handles |
//! | `content` | the value of a key: bytes in memory, in a file, or generated |
//! | `events` | recorded events and their file format |
//! | `numbering` | how handles are numbered |
//! | `host` | the well-behaved host: its state, and an event from its begin to its end |
//! | `host::decorator` | how a decorator changes the behaviour of the host |
//! | `host::wasi_io`, `host::types` | the draft's functions on bare handles, one file for each interface |
//! | `host::outbound` | the draft's functions that act on the store: `readwrite`, `atomic` and `batch` |
//! | `host::reply`, `host::changes` | the results of calls on the store, and the changes that they made |
//! | `host::object` | the objects behind the handles |
//! | `host::limits` | the limits on the memory that a host keeps for a guest, and the end of calls that take too long |
//! | `host::written` | the bodies of values |
//! | `store` | named buckets behind a trait, a store in memory and its file, and decorators that fail |
//! | `personality` | the decorators of a host that deviates, and their settings: one file for each behaviour |

mod accounts;
mod content;
mod events;
mod host;
mod numbering;
mod operation;
mod personality;
pub mod store;
mod table;

pub use accounts::{Fault, HandleKind, Origin, Violation};
pub use content::{Content, IntoContent};
pub use events::{BadLine, Change, Event, EventError, EventProblem, Events, Problem, UnknownField, open_events};
pub use host::{
    AnsweredCall, CallResult, Details, EVENT_BUCKET, Host, HostLimits, PendingCall, Reply, SetHandles, StoreChange,
    StreamError, StreamResult, Trap, Written,
};
pub use numbering::Numbering;
pub use operation::Operation;
pub use personality::{
    AfterEnd, BadHandle, ConsumedPayload, End, Instance, Outbound, Personality, Reading, Repeat, Size, SizeHint,
    Transfer, Writing,
};
