//! Builds the example watchers and shows them handling recorded events, with the store in memory.

use std::fs::{self, File};
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use kvwatch::build::{self, Target};
use kvwatch::world::{Change, Content, Event, Events};
use kvwatch::{ByteSize, Cache, Engine, Outcome, Output, Stream, Watched, Watcher};

fn main() -> Result<()> {
    let examples = examples()?;
    eprintln!("Building {} watchers for {}.", examples.len(), Target::default());
    // Later runs find the compiled watchers here. Without the folder, they take longer.
    let engine = Engine::builder().cache(Cache::of_user().unwrap_or_default()).build()?;
    let mut watchers = Vec::new();
    for example in &examples {
        let built = build::package(example, Target::default())?;
        watchers.push((example, Watcher::from_bytes(&engine, &name(example), &built.component)?));
    }
    for (example, watcher) in watchers {
        show(example, &watcher)?;
    }
    for name in WITH_HTTP {
        println!(
            "\n{name}\n  sends HTTP requests, which you must allow: examples/{name}/README.md shows how to run it"
        );
    }
    println!("\nEach watcher is a folder in examples/, made to be copied. `kvwatch` runs one by itself:");
    println!("  cargo run -p kvwatch -- run examples/audit-log examples/audit-log/events.jsonl");
    Ok(())
}

/// The examples that the demo leaves out, because they need HTTP. An HTTP stack for the demo's kvwatch and the client of these examples
/// would make the first run much longer.
const WITH_HTTP: [&str; 1] = ["webhook"];

/// The folders of the other examples, in the order of their names.
fn examples() -> Result<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../examples");
    let folder = folder.canonicalize().with_context(|| format!("there is no {}", folder.display()))?;
    let mut examples = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.join("Cargo.toml").is_file() && !WITH_HTTP.contains(&name(&path).as_str()) {
            examples.push(path);
        }
    }
    examples.sort();
    Ok(examples)
}

fn name(example: &Path) -> String {
    example.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn show(example: &Path, watcher: &Watcher) -> Result<()> {
    println!("\n{}", name(example));
    let output = Output::lines(|stream, line| {
        // The output of a watcher, on both streams, belongs between the events here.
        let mark = if stream == Stream::Stderr { "!" } else { "|" };
        let _ = writeln!(std::io::stdout(), "    {mark} {line}");
    });
    let mut store = Watched::new(watcher.session().output(output), "demo");
    let mut peak = 0;
    let mut give = |event: &Event| {
        println!("  {}", title(event));
        let outcome = store.apply(event);
        peak = peak.max(outcome.peak_memory);
        tell(&outcome);
    };
    let path = example.join("events.jsonl");
    let events = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
    for event in Events::new(BufReader::new(events)) {
        give(&event.with_context(|| path.display().to_string())?);
    }
    if name(example) == "large-values" {
        give(&Event::set("backups/a-large-one", Content::repeat("a line of a backup\n", 256 << 20)));
    }
    println!("  at most {} of guest memory", ByteSize(peak));
    Ok(())
}

fn title(event: &Event) -> String {
    match &event.change {
        Change::Set(content) => format!("set {:?} to {}", event.key, ByteSize(content.len())),
        Change::Delete => format!("delete {:?}", event.key),
    }
}

/// A short text unchanged, or the size of any other content.
fn short(content: &Content) -> String {
    const LONGEST: u64 = 60;
    let bytes = if content.len() <= LONGEST { content.read(0, LONGEST).ok() } else { None };
    match bytes.and_then(|bytes| String::from_utf8(bytes).ok()) {
        Some(text) => format!("{text:?}"),
        None => ByteSize(content.len()).to_string(),
    }
}

fn tell(outcome: &Outcome) {
    for value in outcome.values() {
        println!("    > a value of {}", ByteSize(value.len));
    }
    for change in outcome.changes() {
        let key = &change.event.key;
        match &change.event.change {
            Change::Set(content) => println!("    > sets {key:?} to {}", short(content)),
            Change::Delete => println!("    > deletes {key:?}"),
        }
    }
    if let Some(trapped) = outcome.trapped() {
        println!("    the event failed: {}", trapped.headline());
    }
    for violation in outcome.violations() {
        println!("    the watcher did wrong: {violation}");
    }
}
