//! Writes a line to a value, with `writeln!`.

use std::io::{self, Write};

use crate::exports::wasi::keyvalue::handle_watch::Guest;
use crate::wasi::keyvalue::{types, wasi_io};

wit_bindgen::generate!({ path: "../../../../wit", world: "inbound-keyvalue" });

struct Watcher;

impl Guest for Watcher {
    fn on_set(bucket: u32, key: String, payload: u32) {
        types::drop_bucket(bucket);
        types::drop_payload(payload);
        let value = types::new_value();
        let Ok(body) = types::value_write_body(value) else { core::arch::wasm32::unreachable() };
        if writeln!(Body(body), "{key} was set").is_err() {
            core::arch::wasm32::unreachable()
        }
        types::drop_value(value);
    }

    fn on_delete(bucket: u32, _key: String) {
        types::drop_bucket(bucket);
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

export!(Watcher);
