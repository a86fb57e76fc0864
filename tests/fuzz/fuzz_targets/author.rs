//! Any author against any host: the checks of the property tests, with calls and personalities that the fuzzer finds.
#![no_main]

use arbitrary::Arbitrary;
use author::{Finale, Reading, Writing};
use inbound_keyvalue::testing::{
    AfterEnd, BadHandle, ConsumedPayload, End, Numbering, Personality, Repeat, Size, SizeHint,
};
use libfuzzer_sys::fuzz_target;

#[path = "../../rules/author/mod.rs"]
mod author;

#[derive(Arbitrary, Debug)]
struct Host {
    per_kind: bool,
    first: u32,
    reuse: bool,
    notes_bad_handles: bool,
    payload_stays: bool,
    read: Side,
    end_alone: bool,
    repeats_after_end: bool,
    write: Side,
    size: u8,
    refuses: [Option<String>; 2],
    refuses_body: bool,
    seed: u64,
}

#[derive(Arbitrary, Debug)]
struct Side {
    size: Option<u8>,
    random: bool,
    empty: u8,
    excess: u16,
    error_at: Option<u16>,
}

#[derive(Arbitrary, Debug)]
enum Read {
    Some(u16),
    Exact(u16),
    Fill(u16),
    Line,
    Chunk,
    Chunks(u8),
    Skip(u32),
    ToEnd(u16),
    Limit(u16),
    IntoStream,
}

#[derive(Arbitrary, Debug)]
enum Last {
    ToEnd,
    Chunks,
    IntoChunks,
    Bytes,
    Vec,
    Text,
    BytesLimited(u16),
}

#[derive(Arbitrary, Debug)]
enum Write {
    Some(Vec<u8>),
    All(Vec<u8>),
    Repeated(u8, u16),
    Flush,
    Splice(Vec<u8>, u16, bool),
    Forward(Vec<u8>, bool),
}

#[derive(Arbitrary, Debug)]
enum Script {
    Read { content: Vec<u8>, reads: Vec<Read>, last: Last },
    Write { writes: Vec<Write> },
}

impl Side {
    fn size(&self) -> Size {
        match self.size {
            Some(most) if most > 0 => Size::Fixed(most.into()),
            _ if self.random => Size::Random,
            _ => Size::Full,
        }
    }

    fn empty(&self) -> Repeat {
        if self.empty == u8::MAX { Repeat::Forever } else { Repeat::Times(u32::from(self.empty) / 4) }
    }

    fn excess(&self) -> u64 {
        // This is rare, because it ends all later calls.
        if self.excess > 0xf000 { u64::from(self.excess) - 0xf000 } else { 0 }
    }
}

impl From<Host> for Personality {
    fn from(host: Host) -> Self {
        let mut p = Self::default();
        p.numbering = Numbering { per_kind: host.per_kind, first: host.first, reuse: host.reuse };
        p.bad_handle = if host.notes_bad_handles { BadHandle::Note } else { BadHandle::Trap };
        p.consumed_payload = if host.payload_stays { ConsumedPayload::Stays } else { ConsumedPayload::Gone };
        (p.read.size, p.read.empty, p.read.excess) = (host.read.size(), host.read.empty(), host.read.excess());
        p.read.error_at = host.read.error_at.map(u64::from);
        p.read.end = if host.end_alone { End::Alone } else { End::WithData };
        p.read.after_end = if host.repeats_after_end { AfterEnd::Repeats } else { AfterEnd::End };
        (p.write.size, p.write.empty, p.write.excess) = (host.write.size(), host.write.empty(), host.write.excess());
        p.write.error_at = host.write.error_at.map(u64::from);
        p.size = [SizeHint::True, SizeHint::Zero, SizeHint::Smaller, SizeHint::Larger, SizeHint::Max]
            [usize::from(host.size) % 5];
        [p.consume_sync_error, p.consume_async_error] = host.refuses;
        p.value_body_error = host.refuses_body;
        p.seed = host.seed;
        p
    }
}

fn reading(read: &Read) -> Reading {
    match *read {
        Read::Some(len) => Reading::Read(len.into()),
        Read::Exact(len) => Reading::ReadExact(len.into()),
        Read::Fill(len) => Reading::FillAndConsume(len.into()),
        Read::Line => Reading::Line,
        Read::Chunk => Reading::Chunk,
        Read::Chunks(most) => Reading::Chunks(most.into()),
        Read::Skip(len) => Reading::Skip(len.into()),
        Read::ToEnd(len) => Reading::ToEnd(len.into()),
        Read::Limit(max) => Reading::Limit(max.into()),
        Read::IntoStream => Reading::IntoStream,
    }
}

fn finale(last: &Last) -> Finale {
    match *last {
        Last::ToEnd => Finale::ToEnd,
        Last::Chunks => Finale::Chunks,
        Last::IntoChunks => Finale::IntoChunks,
        Last::Bytes => Finale::Bytes,
        Last::Vec => Finale::Vec,
        Last::Text => Finale::Text,
        Last::BytesLimited(max) => Finale::BytesLimited(max.into()),
    }
}

fn writing(write: Write) -> Writing {
    match write {
        Write::Some(bytes) => Writing::Write(bytes),
        Write::All(bytes) => Writing::WriteAll(bytes),
        Write::Repeated(byte, len) => Writing::Repeated(byte, len.into()),
        Write::Flush => Writing::Flush,
        Write::Splice(bytes, len, held) => Writing::Splice(bytes, len.into(), held),
        Write::Forward(bytes, held) => Writing::Forward(bytes, held),
    }
}

fuzz_target!(|input: (Host, Script)| {
    let (host, script) = input;
    let personality = Personality::from(host);
    let checked = match script {
        Script::Read { content, reads, last } => {
            let readings: Vec<_> = reads.iter().map(reading).collect();
            author::reads_in_order_once(&personality, &content, &readings, &finale(&last))
        }
        Script::Write { writes } => {
            let writings: Vec<_> = writes.into_iter().map(writing).collect();
            author::writes_what_was_written(&personality, &writings)
        }
    };
    if let Err(problem) = checked {
        panic!("{problem}\n{personality:?}");
    }
});
