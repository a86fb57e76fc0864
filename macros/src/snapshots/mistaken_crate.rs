struct Audit;
::core::compile_error! {
    "a path stands without quotes: write `crate = facade`"
}
