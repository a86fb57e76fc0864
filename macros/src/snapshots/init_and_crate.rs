enum r#type {
    Open,
    Closed,
}
::facade::inbound_keyvalue::__private::register! {
    r#type = Audit::new()
}
