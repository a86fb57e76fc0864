//! The body of a value, for guests by hand that write with the standard library. Dropping it drops the handle.

use std::io::{self, Write};

use crate::wasi::keyvalue::wasi_io;

pub(crate) struct Body(pub(crate) u32);

impl Write for Body {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match wasi_io::write(self.0, buf) {
            Ok(taken) => Ok(usize::try_from(taken).unwrap_or(buf.len())),
            Err(_) => Err(io::Error::other("the stream failed")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        wasi_io::drop_output_stream(self.0);
    }
}
