//! The common part of the watchers. They write the things that they receive to a `Value`, where the test sees them.

#[cfg(target_os = "wasi")]
use std::collections::HashMap;
use std::io::{Read, Write};

use inbound_keyvalue::{HandlerResult, Key, Payload, Value};

/// Reads the payload in the way that the key names, and writes three values: the key, the payload, and the result of a neighbour.
///
/// # Errors
///
/// When a call to the host fails, or the key names no way to read.
pub fn echo(key: Key, payload: Payload, of_neighbour: &[u8]) -> HandlerResult {
    let way = key.split('/').next().unwrap_or_default();
    let bytes = match way {
        // The whole list, in memory that the host has asked for.
        "whole" => payload.into_bytes()?.to_vec(),
        // Lists that land in the caller's buffer.
        "read" => read(payload)?,
        // Lists that land in a chunk that is used again.
        "chunks" => payload.into_stream()?.chunks().collect::<Result<Vec<_>, _>>()?.concat(),
        _ => return Err(format!("the key {key:?} names no way to read").into()),
    };
    #[cfg(target_os = "wasi")]
    ask_libc();
    for written in [key.as_bytes(), &bytes, of_neighbour] {
        write(written)?;
    }
    Ok(())
}

/// Writes the key to a value.
///
/// # Errors
///
/// When a call to the host fails.
pub fn echo_key(key: Key) -> HandlerResult {
    write(key.as_bytes())
}

fn read(mut payload: Payload) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 1000];
    loop {
        match payload.read(&mut buffer)? {
            0 => return Ok(bytes),
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

fn write(bytes: &[u8]) -> HandlerResult {
    let mut value = Value::new();
    value.write_all(bytes)?;
    value.finish()?;
    Ok(())
}

/// Makes calls to the host that are the libc's and the standard library's own. They ask for memory like all others.
#[cfg(target_os = "wasi")]
fn ask_libc() {
    let variables: HashMap<_, _> = std::env::vars().chain(std::env::args().map(|arg| (arg, String::new()))).collect();
    std::hint::black_box(variables);
}
