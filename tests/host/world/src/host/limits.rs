//! The memory that a host keeps for a guest, and its limits.

use std::fmt;

use super::object::Object;
use super::{CallResult, Host, Made, Trap};

/// Limits how much a host keeps for one guest at a time. If a call would exceed a limit, it traps, and the message names the
/// limit.
///
/// The defaults are generous, for tests. A host that does not trust its guests sets limits that fit its memory.
///
/// ```
/// use inbound_keyvalue_host::{Host, HostLimits, Personality};
///
/// let mut host = Host::new(Personality::default());
/// let mut limits = HostLimits::default();
/// limits.handles = 1;
/// host.set_limits(limits);
/// host.new_error()?;
/// let trap = host.new_error().unwrap_err();
/// assert!(trap.to_string().contains("`HostLimits::handles`"));
/// # Ok::<(), inbound_keyvalue_host::Trap>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostLimits {
    /// The number of bytes: the memory for the bodies of live values, the texts of live errors, the contents of live payloads that
    /// the guest got from the store, and 512 bytes for each live handle. By default 1 GiB.
    ///
    /// The host can keep as much again, but at most 64 MiB, for the written values that it [collects](super::Details::Collected).
    pub bytes: u64,
    /// The number of live handles, of all kinds together. By default 1,048,576.
    pub handles: usize,
}

impl Default for HostLimits {
    fn default() -> Self {
        Self { bytes: 1 << 30, handles: 1 << 20 }
    }
}

/// The bytes that each live handle adds to those that a host keeps.
const HANDLE_BYTES: usize = 512;

// While a hash map grows, it can have three times as many places as entries.
const _: () = assert!(HANDLE_BYTES >= 3 * size_of::<(u64, (Made, Object))>() + 2 * size_of::<super::Written>());

/// A function that tells a host when to stop in the middle of a call.
pub(super) struct Interrupt(Box<dyn FnMut() -> bool + Send>);

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interrupt")
    }
}

impl Host {
    /// Sets the limits of this host.
    pub fn set_limits(&mut self, limits: HostLimits) {
        self.limits = limits;
    }

    /// The limits of this host.
    #[must_use]
    pub fn limits(&self) -> HostLimits {
        self.limits
    }

    /// The bytes that this host keeps for its guest now, as [`HostLimits::bytes`] counts them.
    ///
    /// ```
    /// use inbound_keyvalue_host::{Host, Personality};
    ///
    /// let mut host = Host::new(Personality::default());
    /// let error = host.new_error()?;
    /// assert_eq!(host.kept_bytes(), 512);
    /// host.drop_error(error)?;
    /// assert_eq!(host.kept_bytes(), 0);
    /// # Ok::<(), inbound_keyvalue_host::Trap>(())
    /// ```
    #[must_use]
    pub fn kept_bytes(&self) -> u64 {
        self.object_bytes + self.written.live_bytes() + (self.table.len() * HANDLE_BYTES) as u64
    }

    /// Sets a function that ends a call that takes too long. `forward` calls it before each chunk of at most 1 MiB, `splice` and
    /// `write-repeated` call it once. When it returns `true`, the call traps.
    ///
    /// ```
    /// use inbound_keyvalue_host::{Content, Host, Personality};
    ///
    /// let mut host = Host::new(Personality::named("writes-one-byte").unwrap());
    /// let mut chunks = 0;
    /// host.set_interrupt(move || {
    ///     chunks += 1;
    ///     chunks > 1000
    /// });
    /// let payload = host.begin_set(&Content::repeat("x", 1 << 40)).payload;
    /// let source = host.payload_consume_async(payload)?.unwrap();
    /// let value = host.new_value()?;
    /// let body = host.value_write_body(value)?.unwrap();
    /// assert_eq!(host.forward(body, source).unwrap_err().to_string(), "the host ended `forward`, which took too long");
    /// # Ok::<(), inbound_keyvalue_host::Trap>(())
    /// ```
    pub fn set_interrupt(&mut self, interrupt: impl FnMut() -> bool + Send + 'static) {
        self.interrupt = Some(Interrupt(Box::new(interrupt)));
    }

    pub(super) fn check_interrupt(&mut self, call: &'static str) -> CallResult<()> {
        let stop = self.interrupt.as_mut().is_some_and(|Interrupt(interrupt)| interrupt());
        if stop { Err(self.trap(format!("the host ended `{call}`, which took too long"))) } else { Ok(()) }
    }

    /// Traps if one more handle with this many bytes exceeds a limit.
    #[inline]
    pub(super) fn admit_handle(&mut self, call: &'static str, bytes: u64) -> CallResult<()> {
        if self.table.len() >= self.limits.handles {
            return Err(self.too_many_handles(call));
        }
        self.admit_bytes(call, bytes.saturating_add(HANDLE_BYTES as u64))
    }

    /// Traps if this many more bytes exceed the limit.
    #[inline]
    pub(super) fn admit_bytes(&mut self, call: &'static str, bytes: u64) -> CallResult<()> {
        if self.kept_bytes().saturating_add(bytes) > self.limits.bytes {
            return Err(self.too_many_bytes(call));
        }
        Ok(())
    }

    #[cold]
    fn too_many_handles(&mut self, call: &'static str) -> Trap {
        let most = self.limits.handles;
        self.trap(format!(
            "`{call}` exceeds the limit of {most} live handles (`HostLimits::handles`): drop handles, or raise the limit"
        ))
    }

    #[cold]
    fn too_many_bytes(&mut self, call: &'static str) -> Trap {
        let most = self.limits.bytes;
        self.trap(format!(
            "`{call}` exceeds the limit of {most} bytes that the host keeps for the guest (`HostLimits::bytes`): drop values, \
             errors and other handles, or raise the limit"
        ))
    }
}
