//! No HTTP: for native tests, and for targets without WASI.

use crate::Answer;

pub(crate) fn post(_url: &str, _body: &[u8]) -> Answer {
    Err("this build has no HTTP: build it for wasm32-wasip2 or wasm32-wasip1".into())
}
