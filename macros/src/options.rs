use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::quote;
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::{Error, LitStr, Path, Result, Token};

/// The options in `#[handle_watch(…)]`.
pub(crate) struct Options {
    /// The path of the SDK. `None` if the author's path is wrong: the usual path is probably wrong too then.
    pub(crate) sdk: Option<TokenStream>,
    /// The expression that makes the watcher. `None` stands for `Default`.
    pub(crate) init: Option<TokenStream>,
    /// The mistakes in all options.
    pub(crate) error: Option<Error>,
}

impl Options {
    pub(crate) fn parse(options: TokenStream) -> Self {
        let mut parsed = Self { sdk: Some(quote!(::inbound_keyvalue)), init: None, error: None };
        let list = |input: ParseStream<'_>| {
            let mut given = Vec::new();
            while !input.is_empty() {
                let option = parsed.option(input, &mut given);
                value(input);
                input.parse::<Option<Token![,]>>()?;
                option.unwrap_or_else(|error| parsed.fail(error));
            }
            Ok(())
        };
        list.parse2(options).unwrap_or_else(|error| parsed.fail(error));
        parsed
    }

    fn fail(&mut self, error: Error) {
        match &mut self.error {
            Some(errors) => errors.combine(error),
            none => *none = Some(error),
        }
    }

    fn option(&mut self, input: ParseStream<'_>, given: &mut Vec<Ident>) -> Result<()> {
        let name = match input.call(Ident::parse_any) {
            Ok(name) if name == "init" || name == "crate" => name,
            Ok(name) => {
                let message = format!("there is no option `{name}`: write `init = …` or `crate = …`");
                return Err(Error::new(name.span(), message));
            }
            Err(error) => {
                return Err(Error::new(error.span(), "this is not an option: write `init = …` or `crate = …`"));
            }
        };
        let what = if name == "init" {
            "`init = …`, an expression that makes the watcher of a new instance"
        } else {
            "`crate = …`, the path of the crate inbound-keyvalue"
        };
        let equals: Token![=] = input.parse().map_err(|_| Error::new(name.span(), format!("write {what}")))?;
        if given.contains(&name) {
            return Err(Error::new(name.span(), format!("`{name}` is given twice: leave one")));
        }
        let value = value(input);
        if value.is_empty() {
            return Err(Error::new_spanned(equals, format!("nothing follows: write {what}")));
        }
        if name == "init" {
            self.init = Some(value);
        } else {
            // If this is not a path, the path stays unknown.
            self.sdk = None;
            self.sdk = Some(path(value)?);
        }
        given.push(name);
        Ok(())
    }
}

/// The tokens up to the comma that ends them. A comma in `::<A, B>` or `<A as B<C, D>>` does not end them.
fn value(input: ParseStream<'_>) -> TokenStream {
    let mut value = TokenStream::new();
    let (mut depth, mut before) = (0_usize, ':');
    while depth > 0 || !input.peek(Token![,]) {
        let Ok(token) = input.parse::<TokenTree>() else { break };
        let this = if let TokenTree::Punct(punct) = &token { punct.as_char() } else { ' ' };
        match (before, this) {
            (':', '<') => depth += 1,
            (_, '<') if depth > 0 => depth += 1,
            ('-' | '=', '>') => {}
            (_, '>') => depth = depth.saturating_sub(1),
            _ => {}
        }
        before = this;
        value.extend([token]);
    }
    value
}

fn path(value: TokenStream) -> Result<TokenStream> {
    if let Ok(text) = syn::parse2::<LitStr>(value.clone()) {
        let message = format!("a path stands without quotes: write `crate = {}`", text.value());
        return Err(Error::new(text.span(), message));
    }
    Path::parse_mod_style.parse2(value.clone()).map(|_| value.clone()).map_err(|_| {
        Error::new_spanned(value, "this is not a path: write one, as in `crate = ::my_facade::inbound_keyvalue`")
    })
}
