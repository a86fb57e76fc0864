struct Audit(u64);
::inbound_keyvalue::__private::register! {
    Audit = Audit::with_limit(5)
}
