struct Audit;
::core::compile_error! {
    "there is no option `int`: write `init = …` or `crate = …`"
}
::core::compile_error! {
    "`init` is given twice: leave one"
}
::inbound_keyvalue::__private::register! {
    Audit = ::core::unreachable!()
}
