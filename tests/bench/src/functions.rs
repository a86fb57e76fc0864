//! Splits the instructions and the bytes of the guests by function. Functions of both sides with the same name share a
//! row. For this, the crate of each guest is called `guest`. A generic function may have several copies.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

use rustc_demangle::demangle;
use wasmparser::{KnownCustom, Name, Parser, Payload};
use wasmtime::error::Context as _;
use wasmtime::{Result, ensure};

use crate::counted::{self, COMPONENTS, Case, EVENTS, Pair, Rivals};
use crate::guests::{self, Guests, Modules, Side};
use crate::host::{Calls, Machine, Watcher};
use crate::instrument;
use crate::sizes;
use crate::table::{grouped, markdown};

/// The names of the guests whose functions can be shown.
#[must_use]
pub fn known() -> BTreeSet<&'static str> {
    EVENTS
        .iter()
        .chain(sizes::additional())
        .map(|case| &case.rivals)
        .chain(COMPONENTS)
        .flat_map(Rivals::guests)
        .collect()
}

/// The guests, built once more with the names of their functions, and the machines that run them.
pub struct Functions<'a> {
    guests: &'a [Guests; 2],
    modules: [Modules; 2],
    counting: Machine,
    fast: Machine,
}

impl<'a> Functions<'a> {
    /// Builds the modules with names for `guests`.
    ///
    /// # Errors
    ///
    /// When cargo fails, or wasmtime does not support this machine.
    pub fn new(guests: &'a [Guests; 2]) -> Result<Self> {
        let modules = [guests::with_names(Side::ByHand)?, guests::with_names(Side::WithSdk)?];
        Ok(Self { guests, modules, counting: Machine::counting()?, fast: Machine::fast()? })
    }

    /// The instructions of each function itself, without its callees, in the third event of an instance.
    ///
    /// # Errors
    ///
    /// When a guest traps, or the sum is not [`counted::instructions`].
    pub fn instructions(&self, case: &Case) -> Result<Breakdown> {
        let fuel = counted::instructions(&self.counting, self.guests, case)?;
        let parts = [self.executed(0, case)?, self.executed(1, case)?];
        Breakdown::new(["instructions", "calls"], &case.rivals, parts, fuel)
    }

    /// The size of each function and of the other parts of the component.
    ///
    /// # Errors
    ///
    /// When a guest cannot be read, or the sum is not [`counted::bytes`].
    pub fn bytes(&self, rivals: &Rivals) -> Result<Breakdown> {
        let bytes = counted::bytes(self.guests, rivals)?;
        let parts = [self.sizes(0, rivals)?, self.sizes(1, rivals)?];
        let mut breakdown = Breakdown::new(["bytes", "copies"], rivals, parts, bytes)?;
        breakdown.fold();
        Ok(breakdown)
    }

    /// The guest's module with names, and the names of the functions that this module defines.
    fn named(&self, side: usize, guest: &str) -> Result<(&[u8], Vec<String>)> {
        let module = self.modules[side].get(guest).with_context(|| format!("there is no guest {guest} with names"))?;
        let with_names = Contents::of(module)?;
        let without = Contents::of(main_module(self.guests[side].get(guest)?)?)?;
        ensure!(!with_names.names.is_empty(), "{guest} has no names: does `RUSTFLAGS` override `-Cstrip=none`?");
        ensure!(with_names.bodies == without.bodies, "{guest} has different code when it is built with names");
        let indices = with_names.imported..;
        let names = indices.zip(&with_names.bodies).map(|(index, _)| match with_names.names.get(&index) {
            Some(name) => format!("`{:#}`", demangle(name)).replace(guest, "guest"),
            None => format!("function {index}"),
        });
        Ok((module, names.collect()))
    }

    fn executed(&self, side: usize, case: &Case) -> Result<Parts> {
        let (module, names) = self.named(side, case.rivals.guests()[side])?;
        let component = guests::component(&instrument::guest(module)?)?;
        let mut watcher = self.fast.load(&component)?.start()?;
        watcher.deliver(case.event)?;
        watcher.deliver(case.event)?;
        let read = |watcher: &mut Watcher| -> Result<Vec<Share>> {
            let functions = 0..u32::try_from(names.len())?;
            let mut share = |function| {
                let calls = instrument::calls(function);
                Ok(Share { times: watcher.counter(calls)?, amount: watcher.counter(calls + 1)? })
            };
            functions.map(&mut share).collect()
        };
        let before = (read(&mut watcher)?, shims(watcher.calls()));
        watcher.deliver(case.event)?;
        let after = (read(&mut watcher)?, shims(watcher.calls()));

        let mut parts = Parts::default();
        for ((name, before), after) in names.iter().zip(before.0).zip(after.0) {
            if after.times > before.times {
                parts.functions.entry(name.clone()).or_default().add(after.less(before));
            }
        }
        parts.rest.insert("wit-component's shims".to_owned(), after.1.less(before.1));
        Ok(parts)
    }

    fn sizes(&self, side: usize, rivals: &Rivals) -> Result<Parts> {
        let guest = rivals.guests()[side];
        let (_, names) = self.named(side, guest)?;
        let component = self.guests[side].get(guest)?;
        let module = main_module(component)?;
        let contents = Contents::of(module)?;

        let mut parts = Parts::default();
        let mut lengths = module.len();
        for (name, body) in names.into_iter().zip(&contents.bodies) {
            lengths -= body.len();
            parts.functions.entry(name).or_default().add(Share { times: 1, amount: body.len() as u64 });
        }
        for (section, len) in contents.sections {
            lengths -= len;
            parts.rest.entry(section.to_owned()).or_default().add(Share { times: 0, amount: len as u64 });
        }
        let mut rest = |what: &str, len: usize| {
            parts.rest.insert(what.to_owned(), Share { times: 0, amount: len as u64 });
        };
        rest("lengths of functions, heads of sections", lengths);
        rest("what wit-component adds", component.len() - module.len());
        Ok(parts)
    }
}

/// The instructions of wit-component's shims for these calls. An import that needs the guest's memory exists only after
/// the guest is instantiated. So the guest calls it through a table: a shim passes its parameters on and calls the
/// function at an index.
fn shims(calls: Calls) -> Share {
    // These functions return their results through memory. `read` takes a stream and a length. `write` takes a stream
    // and a list. The calls on the store take a bucket, a key and more. A key or a list is two parameters.
    let of_a_handle = calls.payload_consume_sync + calls.payload_consume_async + calls.value_write_body;
    let shim = |parameters: u64| 1 + parameters + 2;
    Share {
        times: of_a_handle
            + calls.read
            + calls.write
            + calls.get
            + calls.set
            + calls.increment
            + calls.get_many
            + calls.open_bucket,
        amount: of_a_handle * shim(2)
            + calls.read * shim(3)
            + (calls.write + calls.get + calls.get_many) * shim(4)
            + calls.open_bucket * shim(3)
            + (calls.set + calls.increment) * shim(5),
    }
}

/// The guest's own module in a component.
fn main_module(component: &[u8]) -> Result<&[u8]> {
    for payload in Parser::new(0).parse_all(component) {
        // wit-component puts its own modules after the guest's module.
        if let Payload::ModuleSection { unchecked_range, .. } = payload? {
            return component.get(unchecked_range).context("the component is cut off");
        }
    }
    Err(wasmtime::format_err!("there is no module in the component"))
}

/// The contents of a module.
#[derive(Default)]
struct Contents<'a> {
    imported: u32,
    bodies: Vec<&'a [u8]>,
    /// The names of functions by index.
    names: BTreeMap<u32, &'a str>,
    /// The length of each section without code.
    sections: Vec<(&'static str, usize)>,
}

impl<'a> Contents<'a> {
    fn of(module: &'a [u8]) -> Result<Self> {
        let mut contents = Self { imported: instrument::imported(module)?, ..Self::default() };
        for payload in Parser::new(0).parse_all(module) {
            let payload = payload?;
            let section = match &payload {
                Payload::CodeSectionEntry(body) => {
                    contents.bodies.push(body.as_bytes());
                    continue;
                }
                Payload::CodeSectionStart { .. } => continue,
                Payload::CustomSection(section) => {
                    if let KnownCustom::Name(names) = section.as_known() {
                        for name in names {
                            let Name::Function(names) = name? else { continue };
                            for naming in names {
                                let naming = naming?;
                                contents.names.insert(naming.index, naming.name);
                            }
                        }
                    }
                    "custom sections"
                }
                Payload::DataSection(_) => "data",
                Payload::ElementSection(_) => "table of functions",
                Payload::ExportSection(_) => "exports",
                Payload::ImportSection(_) => "imports",
                Payload::TypeSection(_) | Payload::FunctionSection(_) => "types",
                _ => "other sections",
            };
            if let Some((_, range)) = payload.as_section() {
                contents.sections.push((section, range.len()));
            }
        }
        Ok(contents)
    }
}

/// The calls and instructions of a function, or its copies and bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    times: u64,
    amount: u64,
}

impl Share {
    fn add(&mut self, other: Self) {
        self.times += other.times;
        self.amount += other.amount;
    }

    fn less(self, other: Self) -> Self {
        Self { times: self.times - other.times, amount: self.amount - other.amount }
    }
}

/// The parts of one side's figure.
#[derive(Default)]
struct Parts {
    functions: BTreeMap<String, Share>,
    rest: BTreeMap<String, Share>,
}

/// The parts of both sides' figures, displayed as a Markdown table under a heading.
pub struct Breakdown {
    of: [&'static str; 2],
    rivals: Rivals,
    functions: Vec<(String, [Share; 2])>,
    rest: Vec<(String, [Share; 2])>,
    total: [Share; 2],
}

impl Breakdown {
    fn new(of: [&'static str; 2], rivals: &Rivals, parts: [Parts; 2], total: Pair) -> Result<Self> {
        let [by_hand, with_sdk] = parts;
        let functions = merged([by_hand.functions, with_sdk.functions]);
        let rest = merged([by_hand.rest, with_sdk.rest]);
        let sum = sum(functions.iter().chain(&rest));
        let (found, expected) = (sum.map(|share| share.amount), [total.by_hand, total.with_sdk]);
        let ([what, _], name) = (of, rivals.name);
        ensure!(found == expected, "{name}: the parts add up to {found:?} {what}, but the totals are {expected:?}");
        Ok(Self { of, rivals: *rivals, functions, rest, total: sum })
    }

    /// Combines all functions that are less than a hundredth of the total on both sides into one row.
    fn fold(&mut self) {
        let large = |share: Share, total: Share| share.amount * 100 >= total.amount;
        let (shown, folded): (Vec<_>, Vec<_>) = self
            .functions
            .drain(..)
            .partition(|(_, [by_hand, with_sdk])| large(*by_hand, self.total[0]) || large(*with_sdk, self.total[1]));
        self.functions = shown;
        self.functions.push((format!("{} smaller functions", folded.len()), sum(&folded)));
    }
}

/// Merges the parts of both sides into rows, with the largest row first.
fn merged(parts: [BTreeMap<String, Share>; 2]) -> Vec<(String, [Share; 2])> {
    let mut rows = BTreeMap::<String, [Share; 2]>::new();
    for (side, parts) in parts.into_iter().enumerate() {
        for (name, share) in parts {
            rows.entry(name).or_default()[side] = share;
        }
    }
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by_key(|(_, [by_hand, with_sdk])| Reverse(by_hand.amount.max(with_sdk.amount)));
    rows
}

fn sum<'a>(rows: impl IntoIterator<Item = &'a (String, [Share; 2])>) -> [Share; 2] {
    let mut sum = [Share::default(); 2];
    for (_, shares) in rows {
        for (sum, share) in sum.iter_mut().zip(shares) {
            sum.add(*share);
        }
    }
    sum
}

impl Display for Breakdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([what, times], [by_hand, with_sdk]) = (self.of, self.rivals.guests());
        writeln!(f, "### {what}, {}: {by_hand}, {with_sdk}\n", self.rivals.name)?;
        let mut lines = vec![["function", times, "by hand", times, "with the SDK"].map(str::to_owned)];
        let figure = |number: u64| if number == 0 { String::new() } else { grouped(number) };
        let line = |(name, [by_hand, with_sdk]): &(String, [Share; 2])| {
            let [left, right] = [by_hand, with_sdk].map(|share| [figure(share.times), figure(share.amount)]);
            let ([left_times, left], [right_times, right]) = (left, right);
            [name.clone(), left_times, left, right_times, right]
        };
        let total = ("total".to_owned(), self.total.map(|share| Share { times: 0, ..share }));
        lines.extend(self.functions.iter().chain(&self.rest).chain([&total]).map(line));
        markdown(f, &lines, &(1..5))
    }
}
