//! Tests the cache of compiled components: it keeps them for the next start, and uses only entries that are whole and belong to
//! the user.

mod common;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use common::DROP_BOTH;
use kvwatch::{Cache, Engine, EngineBuilder, Watcher};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A watcher that differs from those with other numbers.
fn numbered(number: u32) -> Vec<u8> {
    common::watcher(&format!("(drop (i32.const {number})) {DROP_BOTH}"))
}

/// Loads a watcher as a new process does, lets it handle an event, and returns the hits and misses.
fn start_with(builder: EngineBuilder, cache: &Cache, component: &[u8]) -> (u64, u64) {
    let before = (cache.hits(), cache.misses());
    let engine = builder.cache(cache.clone()).build().unwrap();
    let watcher = Watcher::from_bytes(&engine, "w.wasm", component).unwrap();
    watcher.session().build().set("key", &"value".into()).expect_handled();
    (cache.hits() - before.0, cache.misses() - before.1)
}

fn start(cache: &Cache, component: &[u8]) -> (u64, u64) {
    start_with(Engine::builder(), cache, component)
}

const HIT: (u64, u64) = (1, 0);
const MISS: (u64, u64) = (0, 1);

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(files) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

fn entry(folder: &Path) -> PathBuf {
    let [entry] = &entries(folder)[..] else { panic!("one entry: {:?}", entries(folder)) };
    entry.clone()
}

#[test]
fn a_second_start_is_a_hit() {
    let folder = folder();
    let component = numbered(1);
    assert_eq!(start(&Cache::in_folder(folder.path()).unwrap(), &component), MISS);
    // Another process has another cache in the same folder.
    let cache = Cache::in_folder(folder.path()).unwrap();
    assert_eq!(start(&cache, &component), HIT);
    assert_eq!(start(&cache, &numbered(2)), MISS, "another component");
    assert_eq!(entries(folder.path()).len(), 2);
    assert!(cache.take_failure().is_none());
}

#[test]
fn each_set_of_settings_has_its_own_entry() {
    let folder = folder();
    let cache = Cache::in_folder(folder.path()).unwrap();
    let settings = [
        Engine::builder,
        || Engine::builder().count_fuel(),
        || Engine::builder().time_limit(Duration::from_mins(1)),
        || Engine::builder().fuel_limit(1_000_000).time_limit(Duration::from_mins(1)),
    ];
    for settings in settings {
        assert_eq!(start_with(settings(), &cache, &numbered(1)), MISS);
    }
    for settings in settings {
        assert_eq!(start_with(settings(), &cache, &numbered(1)), HIT);
    }
    start_with(Engine::builder().pooled(1), &cache, &numbered(1));
    assert_eq!(start_with(Engine::builder().pooled(1), &cache, &numbered(1)), HIT);
}

#[test]
fn a_damaged_entry_is_compiled_again_and_replaced() {
    let folder = folder();
    let cache = Cache::in_folder(folder.path()).unwrap();
    let component = numbered(1);
    assert_eq!(start(&cache, &component), MISS);
    let entry = entry(folder.path());
    let whole = fs::read(&entry).unwrap();
    // The damage is in the magic text, in the checksum, or anywhere in the code.
    let places = [0, 7, 8, 39].into_iter().chain((40..whole.len()).step_by(whole.len() / 20)).chain([whole.len() - 1]);
    let flipped = places.map(|at| {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        damaged
    });
    let cut = [0, 1, 8, 39, 40, whole.len() / 2, whole.len() - 1].map(|len| whole[..len].to_owned());
    let longer = [&whole[..], b"\0"].concat();
    for damaged in flipped.chain(cut).chain([longer]) {
        fs::write(&entry, damaged).unwrap();
        assert_eq!(start(&cache, &component), MISS);
        assert_eq!(start(&cache, &component), HIT, "the entry was replaced");
    }
}

#[test]
fn an_entry_under_another_name_is_not_used() {
    let folder = folder();
    let cache = Cache::in_folder(folder.path()).unwrap();
    start(&cache, &numbered(1));
    let first = entry(folder.path());
    start(&cache, &numbered(2));
    let second = entries(folder.path()).into_iter().find(|path| *path != first).unwrap();
    fs::copy(&first, &second).unwrap();
    assert_eq!(start(&cache, &numbered(2)), MISS);
    assert_eq!(start(&cache, &numbered(1)), HIT);
}

#[cfg(unix)]
#[test]
fn only_entries_that_the_user_wrote_are_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = folder();
    let folder = parent.path().join("new/cache");
    let cache = Cache::in_folder(&folder).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(start(&cache, &numbered(1)), MISS);
    let entry = entry(&folder);
    assert_eq!((mode(&folder), mode(&entry)), (0o700, 0o600));
    for mode in [0o620, 0o602, 0o666] {
        fs::set_permissions(&entry, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(start(&cache, &numbered(1)), MISS, "{mode:o}");
        assert_eq!(start(&cache, &numbered(1)), HIT, "{mode:o}");
    }
}

fn used(path: &Path, hours_ago: u64) {
    File::options().append(true).open(path).unwrap().set_modified(SystemTime::now() - hours(hours_ago)).unwrap();
}

fn hours(hours: u64) -> Duration {
    Duration::from_secs(60 * 60 * hours)
}

#[test]
fn the_entries_that_were_used_longest_ago_make_room() {
    let folder = folder();
    let start = |cache: &Cache, number| start(cache, &numbered(number));
    let cache = Cache::in_folder(folder.path()).unwrap();
    for number in 1..=3 {
        let before = entries(folder.path());
        start(&cache, number);
        let made = entries(folder.path()).into_iter().find(|path| !before.contains(path)).unwrap();
        used(&made, 10 - u64::from(number));
    }
    assert_eq!(start(&cache, 1), HIT, "now it is the one that was used last");
    let len = entries(folder.path()).iter().map(|path| fs::metadata(path).unwrap().len()).max().unwrap();
    let cache = Cache::bounded(folder.path(), 2 * len + len / 2).unwrap();
    assert_eq!(start(&cache, 4), MISS);
    assert_eq!(entries(folder.path()).len(), 2);
    assert_eq!([start(&cache, 4), start(&cache, 1)], [HIT, HIT]);
    // An entry that is larger than the bound stays alone.
    let cache = Cache::bounded(folder.path(), 1).unwrap();
    assert_eq!([start(&cache, 5), start(&cache, 5)], [MISS, HIT]);
    assert_eq!(entries(folder.path()).len(), 1);
    assert!(cache.take_failure().is_none());
}

#[test]
fn only_files_of_the_cache_are_removed() {
    let folder = folder();
    let file = |name: &str| {
        let path = folder.path().join(name);
        fs::write(&path, name).unwrap();
        used(&path, 48);
        path
    };
    let [mine, abandoned] = ["notes.txt", "unfinished-a1b2c3"].map(file);
    let young = folder.path().join("unfinished-d4e5f6");
    fs::write(&young, "").unwrap();
    start(&Cache::bounded(folder.path(), 1).unwrap(), &numbered(1));
    assert!(mine.exists() && young.exists() && !abandoned.exists());
}

#[test]
fn a_folder_that_goes_away_is_made_again() {
    let parent = folder();
    let folder = parent.path().join("cache");
    let cache = Cache::in_folder(&folder).unwrap();
    start(&cache, &numbered(1));
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!([start(&cache, &numbered(1)), start(&cache, &numbered(1))], [MISS, HIT]);
}

/// Runs the program in a folder with a watcher, with these variables and no others that name a folder.
fn kvwatch(folder: &Path, args: &[&str], variables: &[(&str, &Path)]) -> Output {
    fs::write(folder.join("w.wasm"), numbered(1)).unwrap();
    fs::write(folder.join("events.jsonl"), "{\"op\":\"set\",\"key\":\"k\",\"value\":\"v\"}\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvwatch"));
    for variable in ["HOME", "XDG_CACHE_HOME", "LOCALAPPDATA", Cache::FOLDER_VARIABLE] {
        command.env_remove(variable);
    }
    command.args(args).envs(variables.iter().copied()).current_dir(folder);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

const RUN: &[&str] = &["run", "w.wasm", "events.jsonl"];
const CHECK: &[&str] = &["check", "w.wasm"];

fn warnings(output: &Output) -> usize {
    String::from_utf8_lossy(&output.stderr).matches("warning: compiled watchers cannot be kept").count()
}

#[test]
fn the_program_keeps_one_entry_for_all_its_starts() {
    let folder = folder();
    let cache = folder.path().join("cache");
    for args in [RUN, CHECK, RUN] {
        let output = kvwatch(folder.path(), args, &[(Cache::FOLDER_VARIABLE, &cache)]);
        assert_eq!(warnings(&output), 0);
        entry(&cache);
    }
    // The entry is marked as used.
    used(&entry(&cache), 24);
    kvwatch(folder.path(), RUN, &[(Cache::FOLDER_VARIABLE, &cache)]);
    let age = fs::metadata(entry(&cache)).unwrap().modified().unwrap().elapsed().unwrap_or_default();
    assert!(age < hours(1), "the second start did not use the entry");
    // A damaged entry costs only time.
    fs::write(entry(&cache), "damaged").unwrap();
    let output = kvwatch(folder.path(), RUN, &[(Cache::FOLDER_VARIABLE, &cache)]);
    assert_eq!(warnings(&output), 0);
    assert!(fs::metadata(entry(&cache)).unwrap().len() > 1000);
}

#[test]
fn no_cache_writes_nothing() {
    let folder = folder();
    let cache = folder.path().join("cache");
    for args in [RUN, CHECK] {
        let args = [args, &["--no-cache"]].concat();
        let output = kvwatch(folder.path(), &args, &[(Cache::FOLDER_VARIABLE, &cache), ("HOME", folder.path())]);
        assert_eq!(warnings(&output), 0);
        assert!(!cache.exists() && !folder.path().join(".cache").exists());
    }
}

#[test]
fn a_folder_that_cannot_be_used_costs_one_warning() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let output = kvwatch(folder.path(), RUN, &[(Cache::FOLDER_VARIABLE, &file.join("cache"))]);
    assert_eq!(warnings(&output), 1);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("file/cache") && stderr.contains("--no-cache") && stderr.contains("1 event\n"), "{stderr}");
    // No user may write there, not even root.
    if cfg!(target_os = "linux") {
        let output = kvwatch(folder.path(), RUN, &[(Cache::FOLDER_VARIABLE, Path::new("/proc"))]);
        assert_eq!(warnings(&output), 1);
    }
}

#[cfg(all(unix, not(target_os = "macos")))]
#[test]
fn the_environment_names_the_users_folder() {
    let folder = folder();
    let path = folder.path();
    let [home, xdg, own] = ["home", "xdg", "own"].map(|name| path.join(name));
    kvwatch(path, RUN, &[("HOME", &home)]);
    entry(&home.join(".cache/kvwatch"));
    kvwatch(path, RUN, &[("HOME", &home), ("XDG_CACHE_HOME", &xdg)]);
    entry(&xdg.join("kvwatch"));
    kvwatch(path, RUN, &[("HOME", &home), ("XDG_CACHE_HOME", &xdg), (Cache::FOLDER_VARIABLE, &own)]);
    entry(&own);
    // Without a home there is no such folder. A relative path does not count.
    let before = entries(path);
    for variables in [&[][..], &[("HOME", Path::new(""))], &[("HOME", Path::new("relative"))]] {
        assert_eq!(warnings(&kvwatch(path, RUN, variables)), 0);
    }
    assert_eq!(entries(path), before);
}
