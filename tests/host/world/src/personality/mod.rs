//! The deviations of a host from a well-behaved one: settings, and the decorators that apply them.
//!
//! Each behaviour has a file with its setting and its decorator. The well-behaved host knows none of them. A new behaviour is a file, a
//! field of [`Personality`] and a line in [`Personality::decorators`].

mod after_end;
mod bad_handle;
mod consumed_payload;
mod end;
mod error_at;
mod excess;
mod instance;
mod named;
mod outbound;
mod refusal;
mod repeat;
mod size;
mod size_hint;
mod streams;
mod transfer;

use serde::{Deserialize, Serialize};

use crate::host::decorator::Decorator;
use crate::numbering::Numbering;

pub use after_end::AfterEnd;
pub use bad_handle::BadHandle;
pub use consumed_payload::ConsumedPayload;
pub use end::End;
pub use instance::Instance;
pub use outbound::Outbound;
pub use repeat::Repeat;
pub use size::Size;
pub use size_hint::SizeHint;
pub use streams::{Reading, Writing};
pub use transfer::Transfer;

/// The deviations of a host from a well-behaved one.
///
/// The default is the well-behaved host. Every field is a deviation that the draft allows, or that a host of its time had. Change
/// the fields that you want to test. A personality is data: it can be read from JSON, where absent fields have their defaults.
///
/// Every guest must handle these deviations without a failure:
///
/// | field | deviation |
/// |---|---|
/// | `numbering`, `consumed_payload`, `instance` | all |
/// | `bad_handle` | all: a correct guest never calls with a bad handle |
/// | `read`, `write` | `size`, `end`, `after_end`, `most`, and `empty` a few times |
/// | `size` | all: the size of a payload is a hint |
///
/// These deviations may fail a guest. It must report the failure, leak nothing, and be ready for the next event:
///
/// | field | deviation |
/// |---|---|
/// | `read`, `write` | `excess`, `error_at`, and `empty` for ever |
/// | `transfer` | `Traps`, for a guest that calls `splice` or `forward` |
/// | `open_bucket_error`, `consume_sync_error`, `consume_async_error`, `value_body_error` | all, for a guest that makes the call |
/// | `outbound` | all, for a guest that acts on the store |
///
/// ```
/// use inbound_keyvalue_host::{Personality, Repeat, Size};
///
/// let personality = Personality::deviating(|host| {
///     host.read.size = Size::Fixed(1);
///     host.read.empty = Repeat::Times(3);
/// });
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Personality {
    /// How handles are numbered.
    pub numbering: Numbering,
    /// The answer to a call with a handle that does not exist: the handle is unknown, was dropped before, or is of another kind.
    pub bad_handle: BadHandle,
    /// The fate of a payload's handle when the payload is consumed.
    pub consumed_payload: ConsumedPayload,
    /// How long an instance lasts.
    pub instance: Instance,
    /// How input streams behave.
    pub read: Reading,
    /// How output streams behave.
    pub write: Writing,
    /// The answer of `size` for a payload.
    pub size: SizeHint,
    /// Whether `splice` and `forward` work.
    pub transfer: Transfer,
    /// `open-bucket` fails, with this trace.
    pub open_bucket_error: Option<String>,
    /// `payload-consume-sync` fails, with this trace.
    pub consume_sync_error: Option<String>,
    /// `payload-consume-async` fails, with this trace.
    pub consume_async_error: Option<String>,
    /// `value-write-body` fails.
    pub value_body_error: bool,
    /// How the store behind the host answers.
    pub outbound: Outbound,
    /// The seed of the random sizes.
    pub seed: u64,
}

impl Personality {
    /// The default personality with changes.
    ///
    /// ```
    /// use inbound_keyvalue_host::{Instance, Personality};
    ///
    /// let forgetful = Personality::deviating(|host| host.instance = Instance::PerEvent);
    /// assert_eq!(forgetful.instance, Instance::PerEvent);
    /// ```
    #[must_use]
    pub fn deviating(deviate: impl FnOnce(&mut Self)) -> Self {
        let mut personality = Self::default();
        deviate(&mut personality);
        personality
    }

    /// The decorators of a host with this personality, from the innermost to the outermost. There are none for the default.
    pub(crate) fn decorators(&self) -> Vec<Box<dyn Decorator>> {
        let Self { read, write, .. } = self;
        // `excess` is around the decorators that shorten a call, because it exceeds what the guest asked for. `repeat` and
        // `after_end` are around all other decorators of streams, because a stream waits or starts again before it does anything
        // else. `refusal` is around `consumed_payload`, which does not pass `consume` on.
        let decorators = [
            error_at::decorator(read.error_at, write.error_at),
            read.end.decorator(),
            size::decorator(read.size, write.size, self.seed),
            excess::decorator(read.excess, write.excess),
            repeat::decorator(read.empty, write.empty),
            read.after_end.decorator(),
            self.transfer.decorator(),
            self.size.decorator(),
            self.consumed_payload.decorator(),
            refusal::decorator(self),
            self.outbound.decorator(),
            self.bad_handle.decorator(),
        ];
        decorators.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_host_that_deviates_has_decorators() {
        // These settings need no decorator. The table numbers the handles, and the program that runs the guest ends the instance.
        let plain = |name: &str| name == "well-behaved" || name == "instance-per-event" || name.starts_with("handles-");
        for (name, personality) in Personality::all() {
            assert_eq!(personality.decorators().is_empty(), plain(name), "{name}: {:?}", personality.decorators());
        }
    }
}
