//! The attribute `#[handle_watch]` of `inbound-keyvalue`, which re-exports it.
//!
//! It checks what it is put on, leaves that as it is, and adds one line, a call of the macro `register!` in the SDK's
//! `export.rs`. Whatever can be said there is not said here.

mod item;
mod once;
mod options;

use proc_macro2::TokenStream;
use quote::quote;

use crate::item::Item;
use crate::options::{Init, Options};

#[expect(missing_docs, reason = "the SDK documents it at the re-export, where the examples compile")]
#[proc_macro_attribute]
pub fn handle_watch(options: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand(options.into(), item.into()).into()
}

fn expand(options: TokenStream, mut item: TokenStream) -> TokenStream {
    let glue = Item::parse(item.clone()).map_or_else(syn::Error::into_compile_error, |item| glue(options, &item));
    // The item comes first and untouched, whatever is wrong, so that nothing that uses it is wrong as well.
    item.extend(glue);
    item
}

fn glue(options: TokenStream, item: &Item) -> TokenStream {
    let Options { sdk, init, error } = Options::parse(options);
    let error = error.or_else(|| once::check(item).err()).map(syn::Error::into_compile_error);
    let Item { cfgs, name } = item;
    let init = match init {
        // What cannot be built is registered all the same: the tests that use it have done nothing wrong.
        _ if error.is_some() => quote!(= ::core::unreachable!()),
        Init::Default => TokenStream::new(),
        Init::Maker(maker) => quote!(=> #maker),
        Init::Value(value) => quote!(= #value),
    };
    let register = sdk.map(|sdk| quote!(#(#cfgs)* #sdk::__private::register! { #name #init }));
    quote!(#error #register)
}

#[cfg(test)]
mod tests;
