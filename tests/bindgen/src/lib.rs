//! Writes the SDK's low-level layer, `src/bindings`, from the WIT in `wit`.
//!
//! ```console
//! cargo run --bin bindgen
//! ```

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::{Files, WorldGenerator as _};
use wit_bindgen_rust::WithOption;

/// A file of bindings, and the world that it is for.
#[derive(Clone, Copy, Debug)]
pub struct Bindings {
    world: &'static str,
    file: &'static str,
    /// The interfaces whose bindings are in the first file.
    elsewhere: &'static [(&'static str, &'static str)],
}

/// The world that receives, and the world that acts on the store. Both have the interfaces `types` and `wasi-io`.
pub const BINDINGS: [Bindings; 2] = [
    Bindings { world: "inbound-keyvalue", file: "inbound_keyvalue.rs", elsewhere: &[] },
    Bindings {
        world: "outbound-keyvalue",
        file: "outbound_keyvalue.rs",
        elsewhere: &[
            ("wasi:keyvalue/types", "crate::bindings::wasi::keyvalue::types"),
            ("wasi:keyvalue/wasi-io", "crate::bindings::wasi::keyvalue::wasi_io"),
        ],
    },
];

/// The root of the SDK's checkout.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

impl Bindings {
    /// The checked-in file.
    #[must_use]
    pub fn checked_in(&self) -> PathBuf {
        root().join("src/bindings").join(self.file)
    }

    /// The output of wit-bindgen for the present WIT.
    ///
    /// # Errors
    ///
    /// When the WIT does not parse, or the SDK's manifest has no version.
    pub fn generate(&self) -> Result<String> {
        let mut resolve = Resolve::default();
        let wit = root().join("wit");
        let (package, _) =
            resolve.push_dir(&wit).with_context(|| format!("cannot read the WIT in {}", wit.display()))?;
        let world = resolve.select_world(&[package], Some(self.world))?;

        let elsewhere =
            self.elsewhere.iter().map(|(name, path)| ((*name).to_owned(), WithOption::Path((*path).to_owned())));
        let options = wit_bindgen_rust::Opts {
            format: true,
            generate_all: true,
            // The draft names types that no function mentions, such as `keys`.
            generate_unused_types: true,
            pub_export_macro: true,
            runtime_path: Some("crate::sys::rt".to_owned()),
            // If two components have sections with the same name, the linker merges them into one section that cannot be decoded.
            type_section_suffix: Some(format!("-inbound-keyvalue-{}", sdk_version()?)),
            with: elsewhere.collect(),
            ..Default::default()
        };
        let mut files = Files::default();
        options.build().generate(&mut resolve, world, &mut files)?;

        let mut files = files.iter();
        let (_, bindings) = files.next().context("wit-bindgen wrote no file")?;
        ensure!(files.next().is_none(), "wit-bindgen wrote more than one file");
        let bindings = std::str::from_utf8(bindings)?;
        // In the author's crate the tool attribute is a path like any other, which `no_implicit_prelude` hides.
        let export = "const _ : () = { #[rustfmt::skip] #[cfg(target_arch";
        let exports = bindings.matches(export).count();
        ensure!(exports == usize::from(self.elsewhere.is_empty()), "the generator's export macro has changed");
        Ok(bindings.replace(export, "const _ : () = { #[cfg(target_arch"))
    }
}

/// The version in the SDK's manifest, which the workspace sets.
fn sdk_version() -> Result<String> {
    let path = root().join("Cargo.toml");
    let manifest = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    manifest
        .lines()
        .find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
        .map(str::to_owned)
        .with_context(|| format!("no version in {}", path.display()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn bindings_are_what_the_wit_makes() {
        for bindings in super::BINDINGS {
            let fresh = bindings.generate().expect("the WIT parses");
            let file = bindings.checked_in();
            let stale = std::fs::read_to_string(&file).expect("bindings are checked in");
            assert!(fresh == stale, "{} is stale: run `cargo run --bin bindgen` and commit the result", file.display());
        }
    }
}
