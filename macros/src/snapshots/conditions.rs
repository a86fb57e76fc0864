#[cfg(unix)]
#[derive(Default)]
#[cfg(not(test))]
struct Audit;
#[cfg(unix)]
#[cfg(not(test))]
::inbound_keyvalue::__private::register! {
    Audit
}
