//! Copies what was set to a value, with `copy` of the standard library.

use std::io::{self, Read, Write};

use crate::exports::wasi::keyvalue::handle_watch::Guest;
use crate::wasi::keyvalue::{types, wasi_io};

wit_bindgen::generate!({ path: "../../../../wit", world: "inbound-keyvalue" });

struct Watcher;

impl Guest for Watcher {
    fn on_set(bucket: u32, _key: String, payload: u32) {
        types::drop_bucket(bucket);
        let handle = match types::payload_consume_async(payload) {
            Ok(handle) => handle,
            Err(error) => refused(error),
        };
        let mut stream = Stream { handle, ended: false };
        let value = types::new_value();
        let Ok(body) = types::value_write_body(value) else { core::arch::wasm32::unreachable() };
        if io::copy(&mut stream, &mut Body(body)).is_err() {
            core::arch::wasm32::unreachable()
        }
        types::drop_value(value);
    }

    fn on_delete(bucket: u32, _key: String) {
        types::drop_bucket(bucket);
    }
}

struct Stream {
    handle: u32,
    ended: bool,
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

struct Body(u32);

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

/// The host has refused a call: its reason is read and let go, and the host told by a trap.
#[cold]
fn refused(error: u32) -> ! {
    let _reason = types::trace(error);
    types::drop_error(error);
    core::arch::wasm32::unreachable()
}

export!(Watcher);
