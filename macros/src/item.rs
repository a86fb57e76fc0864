use proc_macro2::{Ident, TokenStream};
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::{Attribute, Error, Generics, Result, Token, Visibility};

/// The parts of a type that its registration needs.
pub(crate) struct Item {
    /// The conditions (`cfg`) below `#[handle_watch]`, which the compiler has not evaluated yet. Without the type there is
    /// nothing to register.
    pub(crate) cfgs: Vec<Attribute>,
    pub(crate) name: Ident,
}

impl Item {
    pub(crate) fn parse(item: TokenStream) -> Result<Self> {
        let header = |input: ParseStream<'_>| {
            let mut cfgs = input.call(Attribute::parse_outer)?;
            if let Some(again) = cfgs.iter().find(|attribute| is_ours(attribute)) {
                return Err(Error::new_spanned(again, "`#[handle_watch]` is here twice: leave one"));
            }
            cfgs.retain(|attribute| attribute.path().is_ident("cfg"));
            input.parse::<Visibility>()?;
            if !input.peek(Token![struct]) && !input.peek(Token![enum]) {
                return Err(misplaced(input));
            }
            input.call(Ident::parse_any)?;
            let name: Ident = input.parse()?;
            let generics: Generics = input.parse()?;
            input.parse::<TokenStream>()?;
            if generics.params.is_empty() { Ok(Self { cfgs, name }) } else { Err(generic(&name, &generics)) }
        };
        header.parse2(item)
    }
}

fn is_ours(attribute: &Attribute) -> bool {
    attribute.path().segments.last().is_some_and(|segment| segment.ident == "handle_watch")
}

fn generic(name: &Ident, generics: &Generics) -> Error {
    let message = format!(
        "a registered watcher is one type, without parameters: take these off `{name}`, or put `#[handle_watch]` on a \
         struct that holds a `{name}<…>` with all of them given"
    );
    Error::new_spanned(generics, message)
}

/// The error for an item that is neither a struct nor an enum. It points at the keyword that says what the item is.
fn misplaced(input: ParseStream<'_>) -> Error {
    let mut error = input.error("`#[handle_watch]` goes on a `struct` or an `enum`, one that implements `HandleWatch`");
    // `const`, `unsafe` and similar words come before the keyword of the item.
    while let Ok(word) = input.call(Ident::parse_any) {
        let advice = match &*word.to_string() {
            "fn" => {
                "`#[handle_watch]` goes on a type, not on a function: put it on a `struct`, and write the function as \
                 `on_set` or `on_delete` in an `impl HandleWatch` for that"
            }
            "impl" => "`#[handle_watch]` goes on the type, not on its `impl`: move it to the `struct` or the `enum`",
            "trait" => {
                "`#[handle_watch]` goes on a type, not on a trait: put it on a `struct` that implements `HandleWatch`"
            }
            "mod" => "`#[handle_watch]` goes on a type, not on a module: put it on the watcher's `struct` within",
            "union" => "`#[handle_watch]` does not go on a `union`: make it a `struct` or an `enum`",
            _ => continue,
        };
        error = Error::new(word.span(), advice);
        break;
    }
    error
}
