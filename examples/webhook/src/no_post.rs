//! No HTTP: for native tests, and for targets without WASI.

use std::error::Error;

pub(crate) fn post(_url: &str, _body: &[u8]) -> Result<u16, Box<dyn Error>> {
    Err("this build has no HTTP: build it for wasm32-wasip2 or wasm32-wasip1".into())
}
