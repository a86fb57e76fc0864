///Counts.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Audit {
    seen: u64,
}
::inbound_keyvalue::__private::register! {
    Audit
}
