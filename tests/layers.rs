//! The modules of the SDK import only from modules beneath them.

use std::fs;
use std::path::Path;

/// The modules from the top to the bottom. A folder is one module.
const LAYERS: [&str; 13] = [
    "lib", "testing", "export", "watch", "bucket", "value", "payload", "stream", "error", "handle", "sys", "bindings",
    // The runtime that the generated bindings call.
    "sys::rt",
];

/// Names of the crate root that macros use in the author's crate.
const FOR_MACROS: [&str; 2] = ["__private", "handle_watch"];

#[test]
fn every_import_points_downward() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut imports = 0;
    for file in files(&root) {
        let path = file.strip_prefix(&root).expect("it is in the folder").with_extension("");
        let parts: Vec<_> = path.iter().filter_map(|part| part.to_str()).collect();
        let module = if parts == ["sys", "rt"] { "sys::rt" } else { parts[0] };
        // It replaces the allocator of the whole program, and imports nothing.
        if module.starts_with("small_allocator") {
            continue;
        }
        let level = level(module).unwrap_or_else(|| panic!("add the module {module} to `LAYERS`"));
        let source = fs::read_to_string(&file).expect("it is text");
        for line in source.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for imported in imported(line) {
                let below = self::level(imported).unwrap_or_else(|| panic!("{}: {line}", file.display()));
                assert!(below >= level, "{} imports from {imported}, which is above {module}: {line}", file.display());
                imports += usize::from(below > level);
            }
        }
    }
    assert!(imports > 30, "only {imports} imports were found");
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("it is a folder") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn level(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| *layer == module)
}

/// The modules that a line names by `crate::`.
fn imported(line: &str) -> Vec<&str> {
    let is_name = |char: char| char.is_alphanumeric() || char == '_';
    let mut modules = Vec::new();
    for (at, _) in line.match_indices("crate::").filter(|(at, _)| !line[..*at].ends_with(is_name)) {
        let path = &line[at + "crate::".len()..];
        let name = &path[..path.find(|char| !is_name(char)).unwrap_or(path.len())];
        match name {
            "outbound_bindings" => modules.push("bindings"),
            "sys" if path.starts_with("sys::rt::") => modules.push("sys::rt"),
            name if FOR_MACROS.contains(&name) => {}
            name => modules.push(name),
        }
    }
    modules
}
