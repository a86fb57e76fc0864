impl HandleWatch for Audit {}
::core::compile_error! {
    "`#[handle_watch]` goes on the type, not on its `impl`: move it to the `struct` or the `enum`"
}
