use core::marker::PhantomData;

use inbound_keyvalue::{HandleWatch, handle_watch};

#[handle_watch]
#[derive(Default)]
struct Typed<K: Default, V>(PhantomData<(K, V)>)
where
    V: Default;

#[handle_watch]
struct Borrowed<'a>(&'a str);

#[handle_watch]
enum Sized<const N: usize> {
    One([u8; N]),
}

impl<K: Default, V: Default> HandleWatch for Typed<K, V> {}
impl HandleWatch for Borrowed<'_> {}
impl<const N: usize> HandleWatch for Sized<N> {}

fn main() {
    let _ = (Typed::<u8, u8>::default(), Borrowed(""), Sized::One([]));
}
