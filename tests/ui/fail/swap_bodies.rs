// O6: a stream must not leave its value, so it is not lent mutably.
use inbound_keyvalue::{HandlerResult, Value};

fn swap(a: &mut Value, b: &mut Value) -> HandlerResult {
    std::mem::swap(a.body()?, b.body()?);
    Ok(())
}

fn main() {
    let _ = swap;
}
