//! The attribute `#[handle_watch]` of `inbound-keyvalue`, which re-exports it.
//!
//! It checks the item, does not change it, and adds a call of the macro `register!` in the SDK's module `export`. As much code as
//! possible is in that macro.

mod item;
mod options;

use proc_macro2::TokenStream;
use quote::quote;

use crate::item::Item;
use crate::options::Options;

#[expect(missing_docs, reason = "the SDK documents it at the re-export, where the examples compile")]
#[proc_macro_attribute]
pub fn handle_watch(options: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand(options.into(), item.into()).into()
}

fn expand(options: TokenStream, mut item: TokenStream) -> TokenStream {
    let glue = Item::parse(item.clone()).map_or_else(syn::Error::into_compile_error, |item| glue(options, &item));
    // The item comes first and unchanged, even after a mistake. So code that uses it causes no further errors.
    item.extend(glue);
    item
}

fn glue(options: TokenStream, item: &Item) -> TokenStream {
    let Options { sdk, init, error } = Options::parse(options);
    let error = error.map(syn::Error::into_compile_error);
    let Item { cfgs, name } = item;
    let init = match init {
        // A watcher that cannot be made is registered nevertheless. So tests that use it cause no further errors.
        _ if error.is_some() => quote!(= ::core::unreachable!()),
        None => TokenStream::new(),
        Some(init) => quote!(= #init),
    };
    let register = sdk.map(|sdk| quote!(#(#cfgs)* #sdk::__private::register! { #name #init }));
    quote!(#error #register)
}

#[cfg(test)]
mod tests;
