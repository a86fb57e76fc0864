//! The functions that act on the store, as wasmtime has them: the interfaces `readwrite`, `atomic` and `batch`, and `open-bucket`.
//!
//! A store may answer later. The fiber of the watcher waits for the answer, and its thread is free meanwhile.

use wasmtime::component::Linker;
use wasmtime::{Result, StoreContextMut};

use super::linking::{State, account, call_result};

/// The interfaces. The draft has them in its world `outbound-keyvalue`.
pub(crate) const OUTBOUND: [&str; 3] = ["wasi:keyvalue/atomic", "wasi:keyvalue/batch", "wasi:keyvalue/readwrite"];

/// Defines functions of an interface by the steps of [`inbound_keyvalue_host::Host`] before and after the store works.
macro_rules! define {
    ($interface:expr; $($name:literal => |$host:ident $(, $parameter:ident: $type:ty)*| $start:expr, $finish:ident;)*) => {
        let mut interface = $interface;
        $(
            interface.func_wrap_async(
                $name,
                |mut guest: StoreContextMut<'_, State>, ($($parameter,)*): ($($type,)*)| {
                    Box::new(async move {
                        let asked = {
                            let $host = &mut guest.data_mut().keyvalue;
                            $start.map_err(wasmtime::Error::new)?
                        };
                        let answered = asked.wait().await;
                        let result = call_result(guest.data_mut().keyvalue.$finish(answered))?;
                        account(guest, &result)?;
                        Ok(result)
                    })
                },
            )?;
        )*
    };
}

/// Adds the functions to a linker for watchers that may wait.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    define! { linker.instance("wasi:keyvalue/readwrite")?;
        "get" => |host, bucket: u32, key: String| host.start_get(bucket, &key), finish;
        "set" => |host, bucket: u32, key: String, value: u32| host.start_set(bucket, &key, value), finish;
        "delete" => |host, bucket: u32, key: String| host.start_delete(bucket, &key), finish;
        "exists" => |host, bucket: u32, key: String| host.start_exists(bucket, &key), finish;
    }
    define! { linker.instance("wasi:keyvalue/atomic")?;
        "increment" => |host, bucket: u32, key: String, delta: u64| host.start_increment(bucket, &key, delta), finish;
        "compare-and-swap" => |host, bucket: u32, key: String, old: u64, new: u64|
            host.start_compare_and_swap(bucket, &key, old, new), finish;
    }
    define! { linker.instance("wasi:keyvalue/batch")?;
        "get-many" => |host, bucket: u32, keys: Vec<String>| host.start_get_many(bucket, &strs(&keys)), finish;
        "get-keys" => |host, bucket: u32| host.start_get_keys(bucket), finish_get_keys;
        "set-many" => |host, bucket: u32, keys: Vec<String>, values: Vec<(String, u32)>| {
            let values: Vec<_> = values.iter().map(|(key, value)| (&**key, *value)).collect();
            host.start_set_many(bucket, &strs(&keys), &values)
        }, finish;
        "delete-many" => |host, bucket: u32, keys: Vec<String>| host.start_delete_many(bucket, &strs(&keys)), finish;
    }
    define! { linker.instance("wasi:keyvalue/types")?;
        "open-bucket" => |host, name: String| host.start_open_bucket(&name), finish;
    }
    Ok(())
}

fn strs(keys: &[String]) -> Vec<&str> {
    keys.iter().map(String::as_str).collect()
}
