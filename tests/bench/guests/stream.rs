//! An input stream, for guests by hand that read with the standard library. Dropping it drops the handle.

use std::io::{self, Read};

use crate::wasi::keyvalue::wasi_io;

pub(crate) struct Stream {
    pub(crate) handle: u32,
    pub(crate) ended: bool,
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.ended || buf.is_empty() {
            return Ok(0);
        }
        match wasi_io::read(self.handle, buf.len() as u64) {
            Ok((bytes, end)) => {
                self.ended = end;
                let room = buf.get_mut(..bytes.len()).ok_or(io::ErrorKind::InvalidData)?;
                room.copy_from_slice(&bytes);
                Ok(bytes.len())
            }
            Err(_) => Err(io::Error::other("the stream failed")),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        wasi_io::drop_input_stream(self.handle);
    }
}
