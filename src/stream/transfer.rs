//! Copying from one stream to another inside the host. No byte enters the guest.

use super::Fault;
use super::input::{InputStream, Next};
use super::output::OutputStream;
use crate::error::{Call, Error};
use crate::sys::wasi_io;

/// Copying inside the host.
impl OutputStream {
    /// Moves up to `len` bytes from `source`, inside the host: the draft's `splice`. No byte enters the guest. Bytes that
    /// `source` already holds for [`BufRead`](std::io::BufRead) are written first.
    ///
    /// Returns how many bytes were moved. This is less than `len` only at the end of `source`.
    ///
    /// Most hosts of the draft's time trapped on `splice`. [`std::io::copy`] works on every host.
    ///
    /// # Errors
    ///
    /// [`Error::Stream`], [`Error::Excess`], [`Error::TooLarge`], [`Error::NotReady`] or [`Error::WriteZero`]. The error does not
    /// tell how much was moved. With `Error::Stream` the draft does not tell which of the two streams failed, and neither is
    /// used again.
    ///
    /// ```
    /// # use inbound_keyvalue::{Error, InputStream, OutputStream};
    /// fn first_kilobyte(from: &mut InputStream, to: &OutputStream) -> Result<u64, Error> {
    ///     to.splice(from, 1024)
    /// }
    /// ```
    pub fn splice(&self, source: &mut InputStream, len: u64) -> Result<u64, Error> {
        let mut moved = 0;
        while moved < len {
            match self.splice_some(source, len - moved)? {
                0 => break,
                more => moved += more,
            }
        }
        Ok(moved)
    }

    /// Moves everything that is left in `source`, inside the host: the draft's `forward`. No byte enters the guest. Bytes that
    /// `source` already holds for [`BufRead`](std::io::BufRead) are written first. Returns how many bytes were moved.
    ///
    /// `forward` knows no limit. If the source has a [limit](crate::Payload::limit), this function moves the bytes with `splice`.
    ///
    /// Most hosts of the draft's time trapped on `forward`. [`std::io::copy`] works on every host.
    ///
    /// # Errors
    ///
    /// As for [`splice`](Self::splice).
    ///
    /// ```
    /// # use inbound_keyvalue::{Error, InputStream, OutputStream};
    /// fn copy(from: &mut InputStream, to: &OutputStream) -> Result<u64, Error> {
    ///     to.forward(from)
    /// }
    /// ```
    pub fn forward(&self, source: &mut InputStream) -> Result<u64, Error> {
        if source.is_limited() {
            return self.splice(source, u64::MAX);
        }
        let mut moved = 0_u64;
        loop {
            match self.forward_some(source)? {
                0 => return Ok(moved),
                more => moved = moved.saturating_add(more),
            }
        }
    }

    /// Moves at most `len` bytes: what is buffered, or what one call to the host moves. 0 at the end.
    fn splice_some(&self, source: &mut InputStream, len: u64) -> Result<u64, Fault> {
        self.check()?;
        let dst = self.raw();
        match source.next() {
            Next::Buffered(buffer) => {
                let most = usize::try_from(len).unwrap_or(usize::MAX);
                let held = buffer.as_slice();
                let taken = self.write_some(&held[..held.len().min(most)])?;
                buffer.consume(taken);
                Ok(taken as u64)
            }
            Next::Host(host, _) => {
                host.check()?;
                host.pull(Call::Splice, len, |src, asked| wasi_io::splice(dst, src, asked))
                    .map_err(|fault| self.fail(fault))
            }
        }
    }

    /// Moves what is buffered, or all that the host has. 0 at the end.
    fn forward_some(&self, source: &mut InputStream) -> Result<u64, Fault> {
        self.check()?;
        let dst = self.raw();
        match source.next() {
            Next::Buffered(_) => self.splice_some(source, u64::MAX),
            Next::Host(host, _) => {
                host.check()?;
                host.pull(Call::Forward, u64::MAX, |src, _| Ok((wasi_io::forward(dst, src)?, true)))
                    .map_err(|fault| self.fail(fault))
            }
        }
    }
}
