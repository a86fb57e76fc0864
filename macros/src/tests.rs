use std::path::Path;
use std::{env, fs};

use proc_macro2::TokenStream;
use quote::quote;

use crate::expand;
use crate::options::Options;

/// Compares an expansion with the file that shows it. `BLESS=1` writes the file instead.
#[track_caller]
fn snapshot(name: &str, options: TokenStream, item: &TokenStream) {
    let expansion = expand(options, item.clone());
    assert!(expansion.to_string().starts_with(&item.to_string()), "the item has changed: {expansion}");

    let text = prettyplease::unparse(&syn2::parse2(expansion).unwrap());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/snapshots").join(name).with_extension("rs");
    if env::var_os("BLESS").is_some() {
        fs::write(&file, &text).unwrap();
    }
    let snapshot = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(snapshot, text, "{} is not what comes out: see it with BLESS=1 and git diff", file.display());
}

#[test]
fn default() {
    let item = quote! {
        #[doc = "Counts."]
        #[derive(Default)]
        #[repr(C)]
        pub(crate) struct Audit {
            seen: u64,
        }
    };
    snapshot("default", TokenStream::new(), &item);
}

#[test]
fn init_value() {
    snapshot("init_value", quote!(init = Audit::with_limit(5)), &quote! { struct Audit(u64); });
}

#[test]
fn init_and_crate() {
    let options = quote!(init = Audit::new(), crate = ::facade::inbound_keyvalue,);
    snapshot("init_and_crate", options, &quote! { enum r#type { Open, Closed } });
}

#[test]
fn conditions_go_with_the_type() {
    let item = quote! {
        #[cfg(unix)]
        #[derive(Default)]
        #[cfg(not(test))]
        struct Audit;
    };
    snapshot("conditions", TokenStream::new(), &item);
}

#[test]
fn mistaken_options() {
    snapshot("mistaken_options", quote!(int = Audit::new, init = 1, init = 2), &quote! { struct Audit; });
}

#[test]
fn mistaken_crate() {
    snapshot("mistaken_crate", quote!(crate = "facade"), &quote! { struct Audit; });
}

#[test]
fn mistaken_item() {
    snapshot("mistaken_item", TokenStream::new(), &quote! { impl HandleWatch for Audit {} });
}

fn init(options: &str) -> Option<String> {
    let parsed = Options::parse(options.parse().unwrap());
    assert!(parsed.error.is_none(), "{options}: {}", parsed.error.unwrap());
    parsed.init.map(|init| init.to_string().replace(' ', ""))
}

#[test]
fn init_is_any_expression() {
    for value in [
        "Audit(1)",
        "Audit{a:1,b:2}",
        "1",
        "{START}",
        "START",
        "<Audit as New<u8, u16>>::new()",
        "-x",
        "new()?",
        "x.y",
        "vec![1]",
        "if x{c}else{d}",
    ] {
        assert_eq!(init(&format!("init = {value}")), Some(value.replace(' ', "")));
    }
}

#[test]
fn a_comma_ends_a_value_unless_it_is_in_brackets() {
    for value in [
        "Audit::<A,B>::new()",
        "Audit::<A,fn(C)->D,E<F>>::new()",
        "Audit(1).with::<A<B,C>,D>()",
        "<A as B<C,D>>::new()",
        "make(a<b,c>d)",
        "a<b",
    ] {
        assert_eq!(init(&format!("init = {value}, crate = sdk")), Some(value.replace(' ', "")));
        assert_eq!(init(&format!("crate = sdk, init = {value},")), Some(value.replace(' ', "")));
    }
}

#[test]
fn without_options() {
    assert_eq!(init(""), None);
    assert_eq!(Options::parse(TokenStream::new()).sdk.unwrap().to_string(), ":: inbound_keyvalue");
}

#[test]
fn each_mistake_has_a_message() {
    let mistakes = |options: &str| {
        let error = Options::parse(options.parse().unwrap()).error;
        error.into_iter().flatten().map(|error| error.to_string()).collect::<Vec<_>>()
    };
    let init = "`init = …`, an expression that makes the watcher of a new instance";
    for (options, expected) in [
        ("x = 1", vec!["there is no option `x`: write `init = …` or `crate = …`".to_owned()]),
        (", 7", vec!["this is not an option: write `init = …` or `crate = …`".to_owned(); 2]),
        ("init", vec![format!("write {init}")]),
        ("init(x), init = ", vec![format!("write {init}"), format!("nothing follows: write {init}")]),
        ("init = a, init = b", vec!["`init` is given twice: leave one".to_owned()]),
        ("crate = \"a::b\"", vec!["a path stands without quotes: write `crate = a::b`".to_owned()]),
    ] {
        assert_eq!(mistakes(options), expected, "{options}");
    }
}
