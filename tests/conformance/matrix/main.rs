//! Every exercise of the test guest under every personality, natively and as a component in wasmtime.
//!
//! On every host: no handle is leaked, dropped twice or misused, and nothing hangs. The guest reports the same as on a perfect
//! host, or an error that the personality explains.
//!
//! The rules of ownership and of streams, and the tests that name each:
//!
//! | rule | here | in `tests/rules` |
//! |---|---|---|
//! | O1 any `u32` is a handle, 0 too; kinds count apart | `handles-*` | |
//! | O2 a handler drops each handle that it receives once | accounting, every cell | `o2_*` |
//! | O3 consuming moves the payload, even if the call fails | accounting, `consume-*-refused-*`, `consumed-payload-stays` | `o3_*` |
//! | O4 `size` is a hint, asked before consuming | `size-*` | `o4_*` |
//! | O5 errors are read at once | accounting, `*-refused-*` | `o5_*` |
//! | O6 a stream goes before its value | accounting, every cell that writes | `o6_*` |
//! | O7 one body a value | accounting, `value-body-refused` | `o7_*` |
//! | O8 nothing dropped twice or used after | accounting, every cell; `handles-reused-*` | `o8_*` |
//! | O9 `Drop` neither panics nor allocates | every cell | `o9_*` |
//! | R1–R5, W1–W3 | accounting, `reads-*`, `writes-*`, `splice-and-forward-trap` | `r1_*` … `w3_*` |
//! | H1 an error traps by default | exercise `fail` | `h1_*` |
//! | H2 state lasts as long as the instance | `instance-per-event` | `h2_*` |
//! | H3 depending is not exporting | | `tests/journey` |

mod component;
mod expectation;
mod native;

use std::fmt;
use std::io::Write as _;

use component::Component;
use exercise::Exercise;
use inbound_keyvalue::testing::{Personality, Written};
use kvwatch::build::Target;
use native::Native;

/// The facts that a host sees of an event. They are equal on every host with the same personality.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Observed {
    ending: Ending,
    /// The guest's report, which is the last value that it made.
    report: Option<String>,
    /// The values that the guest wrote before the report.
    values: Vec<Written>,
    violations: Vec<String>,
    calls: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Handled,
    Trapped,
}

impl Observed {
    /// The parts of it that a person needs.
    fn brief(&self) -> String {
        let Self { ending, report, values, violations, calls } = self;
        let written: Vec<_> = values.iter().map(|value| value.len).collect();
        format!("{ending:?} in {calls} calls, wrote {written:?}, {violations:?}, reports {report:?}")
    }

    fn new(ending: Ending, mut values: Vec<Written>, violations: &[impl fmt::Display], calls: u64) -> Self {
        let report = values.pop().and_then(|report| String::from_utf8(report.bytes).ok());
        Self { ending, report, values, violations: violations.iter().map(ToString::to_string).collect(), calls }
    }
}

/// Something that runs the test guest.
trait Driver {
    fn set(&mut self, key: &str, content: &[u8]) -> Observed;
    fn delete(&mut self, key: &str) -> Observed;
}

/// The payloads: empty, very small, one whole line, many chunks, and bytes that are not text.
fn contents() -> Vec<(&'static str, Vec<u8>)> {
    let text = |len: usize| b"a line of text, and then another\n".iter().copied().cycle().take(len).collect::<Vec<_>>();
    vec![
        ("empty", Vec::new()),
        ("one-byte", b"\n".to_vec()),
        ("seven-bytes", b"\"value\"".to_vec()),
        ("five-thousand", text(5_000)),
        ("a-chunk", text(64 * 1024)),
        ("two-chunks", text(70_001)),
        ("not-text", [b"text \xff\xfe".as_slice(), &text(100)].concat()),
    ]
}

/// Runs every exercise under every personality. Returns the differences from the expectation, and the matrix.
fn run(new_driver: impl Fn(&Personality) -> Box<dyn Driver>) -> (Vec<String>, String) {
    let mut faults = Vec::new();
    let mut rows = vec![header()];
    for (name, personality) in Personality::all() {
        let mut driver = new_driver(&personality);
        let mut cells = String::new();
        for (exercise_name, exercise) in Exercise::ALL {
            let before = faults.len();
            for (content_name, content) in contents() {
                let observed = driver.set(&format!("{exercise_name}/{content_name}"), &content);
                for problem in expectation::problems(&personality, *exercise, &content, &observed) {
                    faults
                        .push(format!("{name}, {exercise_name}, {content_name}: {problem}\n    {}", observed.brief()));
                }
            }
            cells.push_str(if faults.len() == before { "  ." } else { "  X" });
        }
        rows.push(format!("{name:32}{cells}"));
    }
    (faults, rows.join("\n"))
}

fn header() -> String {
    let names: Vec<_> =
        Exercise::ALL.iter().enumerate().map(|(column, (name, _))| format!("{:>3} {name}", column + 1)).collect();
    let numbers: Vec<_> = (1..=Exercise::ALL.len()).map(|column| format!("{column:3}")).collect();
    let numbers = numbers.concat();
    format!("columns:\n{}\n\n{:32}{numbers}", names.join("\n"), "personality")
}

fn assert_clean(of: &str, (faults, matrix): (Vec<String>, String)) {
    // This bypasses the capture of the test runner, so that the matrix is visible even if all tests pass.
    let _ = writeln!(std::io::stdout(), "\n{of}; a dot is a cell that is clean\n{matrix}");
    assert!(faults.is_empty(), "{} events are not clean:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_exercise_is_clean_natively() {
    assert_clean("natively", run(|personality| Box::new(Native::new(personality))));
}

#[test]
fn every_exercise_is_clean_as_a_component() {
    let target = Target::UnknownUnknown;
    assert_clean("as a component", run(|personality| Box::new(Component::new(target, personality))));
}

/// Runs one suite against both hosts: a native test sees the same as a component does.
#[test]
fn both_hosts_see_the_same_on_every_target() {
    let mut differences = Vec::new();
    for target in [Target::UnknownUnknown, Target::Wasip1, Target::Wasip2] {
        for (name, personality) in Personality::all() {
            let mut native = Native::new(&personality);
            let mut component = Component::new(target, &personality);
            let mut compare = |event: &str, act: &dyn Fn(&mut dyn Driver) -> Observed| {
                let (here, there) = (act(&mut native), act(&mut component));
                if here != there {
                    let (here, there) = (here.brief(), there.brief());
                    differences.push(format!("{name}, {event} on {target}:\n    {here}\n    {there}"));
                }
            };
            for (exercise, _) in Exercise::ALL {
                let content = b"a line of text\nand another, longer than the first one was".as_slice();
                compare(exercise, &|driver| driver.set(exercise, content));
                compare(exercise, &|driver| driver.delete(exercise));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
