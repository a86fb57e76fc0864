use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueHint};

use super::{Result, style};

/// Make a package with a small watcher that works, its test and recorded events
#[derive(Args, Debug)]
pub(crate) struct New {
    /// The name of the package, or the path of its folder. The last part of the path is the name
    #[arg(value_name = "NAME", value_hint = ValueHint::DirPath)]
    path: PathBuf,
}

/// The files of a new package. The manifest has another name here, because cargo would take a file named `Cargo.toml` for a
/// package of its own.
const FILES: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("template/manifest.toml")),
    ("src/lib.rs", include_str!("template/lib.rs")),
    ("events.jsonl", include_str!("template/events.jsonl")),
    ("README.md", include_str!("template/README.md")),
    (".gitignore", include_str!("template/gitignore")),
];

/// The placeholder for the name in the files.
const NAME: &str = "{{name}}";

impl New {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let name = self.path.file_name().ok_or_else(|| format!("{} has no name", self.path.display()))?;
        let name = name.to_string_lossy();
        if let Err(reason) = name_is_good(&name) {
            let advice = better_name(&name).map(|better| format!("; how about `{better}`?")).unwrap_or_default();
            return Err(format!("{name:?} cannot be the name of a package: {reason}{advice}").into());
        }
        if let Some(parent) = self.path.parent() {
            fs::create_dir_all(parent).map_err(|error| format!("cannot make {}: {error}", parent.display()))?;
        }
        fs::create_dir(&self.path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                format!("{} exists already, and was not changed; choose another name", self.path.display())
            }
            _ => format!("cannot make {}: {error}", self.path.display()),
        })?;
        for (file, text) in FILES {
            write(&self.path.join(file), &text.replace(NAME, &name))?;
        }
        let path = self.path.display();
        style::say(&format!(
            "made {path}: a watcher in src/lib.rs, its test, and events for it\n\n  \
             cd {path}\n  \
             cargo test                           run its test natively\n  \
             kvwatch run . events.jsonl           build it, and run it on the events\n  \
             kvwatch run . --watch                type events while you edit it"
        ));
        if let Some(workspace) = workspace_around(&self.path) {
            style::note(&format!(
                "{} is a workspace: add the new package to its `members`, and move the profile there",
                workspace.display()
            ));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, text));
    written.map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}

/// The manifest of the workspace around the folder.
fn workspace_around(folder: &Path) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    let manifests = folder.ancestors().skip(1).map(|ancestor| ancestor.join("Cargo.toml"));
    manifests.into_iter().find(|manifest| {
        fs::read_to_string(manifest)
            .is_ok_and(|text| text.lines().any(|line| line.trim() == "[workspace]" || line.starts_with("[workspace.")))
    })
}

/// Whether cargo accepts the name, and the generated code works with it.
fn name_is_good(name: &str) -> std::result::Result<(), &'static str> {
    const TAKEN: [&str; 8] = ["alloc", "build", "core", "deps", "examples", "proc_macro", "std", "test"];
    const KEYWORDS: [&str; 52] = [
        "Self", "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do",
        "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
        "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct",
        "super", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while",
        "yield",
    ];
    match name {
        _ if !name.starts_with(|c: char| c.is_ascii_alphabetic()) => Err("the first character must be a letter"),
        _ if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') => {
            Err("it may contain only ASCII letters, digits, - and _")
        }
        _ if name.replace('-', "_") == "inbound_keyvalue" => Err("that is the name of the SDK"),
        _ if KEYWORDS.contains(&name) => Err("it is a keyword of Rust"),
        _ if TAKEN.contains(&name) => Err("cargo or Rust reserves it"),
        _ => Ok(()),
    }
}

/// A similar name that cargo accepts.
fn better_name(name: &str) -> Option<String> {
    let kept = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '-' };
    let mut better = String::new();
    for c in name.chars().map(kept) {
        if c != '-' || !better.ends_with('-') {
            better.push(c);
        }
    }
    let better = better.trim_matches(['-', '_']);
    [better.to_owned(), format!("{better}-watcher"), format!("watcher-{better}")]
        .into_iter()
        .find(|better| name_is_good(better).is_ok() && !better.ends_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_names_have_better_ones() {
        for (name, better) in [
            ("my watcher", "my-watcher"),
            ("Größe", "gr-e"),
            ("9lives", "watcher-9lives"),
            ("match", "match-watcher"),
            ("test", "test-watcher"),
            ("inbound-keyvalue", "inbound-keyvalue-watcher"),
            ("a.b", "a-b"),
        ] {
            assert!(name_is_good(name).is_err(), "{name}");
            assert_eq!(better_name(name).as_deref(), Some(better));
        }
        assert_eq!(better_name("..."), None);
        for name in ["audit-log", "audit_log2", "A"] {
            assert_eq!(name_is_good(name), Ok(()));
        }
    }

    #[test]
    fn every_file_is_whole() {
        for (file, text) in FILES {
            assert!(text.ends_with('\n'), "{file}");
            assert!(!text.replace(NAME, "").contains("{{"), "{file}");
        }
    }
}
