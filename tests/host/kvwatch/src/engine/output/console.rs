use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Output, Stream, Target};

/// A longer line is passed on in parts.
const LONGEST_LINE: usize = 64 * 1024;

/// The most bytes that are captured of each stream in an event. The log of `kvwatch serve` has the same limit for an attempt.
pub(crate) const MOST_CAPTURED: usize = 1024 * 1024;

/// The number of lines before a trap that are reported with it.
const LAST_WORDS: usize = 8;

/// Both streams of a session's instances.
#[derive(Clone, Debug)]
pub(crate) struct Console(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    written: Mutex<Written>,
    /// Whether anything was written in this event. Most events write nothing, and then the lock is not needed.
    touched: AtomicBool,
}

#[derive(Debug)]
struct Written {
    output: Output,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// The number of bytes of standard output and of standard error that were not captured.
    missing: [u64; 2],
    stderr_line: Vec<u8>,
    last_words: VecDeque<String>,
}

/// The output of an event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Words {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The number of bytes of standard output and of standard error that follow the text.
    pub(crate) missing: [u64; 2],
    pub(crate) last: Vec<String>,
}

impl Words {
    /// Whether there is nothing to report: the output was passed on, or there was none.
    fn is_empty(&self) -> bool {
        self.stdout.is_empty() && self.stderr.is_empty() && self.last.is_empty() && self.missing == [0, 0]
    }
}

impl Console {
    pub(crate) fn new(output: Output) -> Self {
        let written = Written {
            output,
            stdout: Vec::new(),
            stderr: Vec::new(),
            missing: [0; 2],
            stderr_line: Vec::new(),
            last_words: VecDeque::new(),
        };
        Self(Arc::new(Inner { written: Mutex::new(written), touched: AtomicBool::new(false) }))
    }

    /// Ends an event: passes on a last line that has no end. Returns the output of the event if there is any.
    #[inline]
    pub(crate) fn end(&self) -> Option<Words> {
        // The guest writes on the thread that ends the event, so no ordering is needed.
        if self.0.touched.load(Relaxed) { self.end_touched() } else { None }
    }

    #[cold]
    fn end_touched(&self) -> Option<Words> {
        self.0.touched.store(false, Relaxed);
        Some(self.written().end()).filter(|words| !words.is_empty())
    }

    /// Takes the bytes that the watcher writes to a stream.
    pub(super) fn write(&self, stream: Stream, bytes: &[u8]) {
        self.0.touched.store(true, Relaxed);
        self.written().write(stream, bytes);
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        // The state is consistent between any two bytes. A panic in a caller's `Lines` can only lose a line.
        self.0.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Written {
    fn write(&mut self, stream: Stream, bytes: &[u8]) {
        if stream == Stream::Stderr {
            let last_words = &mut self.last_words;
            each_line(&mut self.stderr_line, bytes, |line| remember(last_words, line));
        }
        let pending = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        match &mut self.output.0 {
            Target::Discarded => {}
            Target::Captured => {
                let room = MOST_CAPTURED.saturating_sub(pending.len()).min(bytes.len());
                pending.extend_from_slice(&bytes[..room]);
                self.missing[stream as usize] += (bytes.len() - room) as u64;
            }
            Target::Sink(sink) => sink.write(stream, bytes),
            target => each_line(pending, bytes, |line| pass_on(target, stream, line)),
        }
    }

    fn end(&mut self) -> Words {
        if !self.stderr_line.is_empty() {
            remember(&mut self.last_words, &self.stderr_line);
            self.stderr_line.clear();
        }
        if let Target::Sink(sink) = &mut self.output.0 {
            sink.end();
        }
        let missing = std::mem::take(&mut self.missing);
        let mut words = Words { missing, last: self.last_words.drain(..).collect(), ..Words::default() };
        for (stream, pending, text) in [
            (Stream::Stdout, &mut self.stdout, &mut words.stdout),
            (Stream::Stderr, &mut self.stderr, &mut words.stderr),
        ] {
            if matches!(self.output.0, Target::Captured) {
                let missing = &mut words.missing[stream as usize];
                if *missing > 0 {
                    *missing += cut_at_character(pending);
                }
                *text = String::from_utf8_lossy(pending).into_owned();
            } else if !pending.is_empty() {
                pass_on(&mut self.output.0, stream, pending);
            }
            pending.clear();
        }
        words
    }
}

/// Calls `line` for each whole line of `bytes`. `pending` has the begin of the first line, and gets the rest after the last line.
fn each_line(pending: &mut Vec<u8>, bytes: &[u8], mut line: impl FnMut(&[u8])) {
    for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
        let whole = piece.strip_suffix(b"\n");
        let piece = whole.unwrap_or(piece);
        if whole.is_some() && pending.is_empty() {
            line(piece);
            continue;
        }
        pending.extend_from_slice(piece);
        if whole.is_some() || pending.len() >= LONGEST_LINE {
            line(pending);
            pending.clear();
        }
    }
}

/// Removes the start of a character from the end of the text, and returns its length.
fn cut_at_character(text: &mut Vec<u8>) -> u64 {
    let tail = text.len().saturating_sub(3);
    // The tail may also start in the middle of a character.
    let start = (tail..text.len()).find(|at| text[*at] & 0xc0 != 0x80).unwrap_or(tail);
    let cut = match str::from_utf8(&text[start..]) {
        Err(error) if error.error_len().is_none() => text.len() - start - error.valid_up_to(),
        _ => 0,
    };
    text.truncate(text.len() - cut);
    cut as u64
}

fn remember(last_words: &mut VecDeque<String>, line: &[u8]) {
    const LONGEST: usize = 4 * 1024;
    let line = String::from_utf8_lossy(&line[..line.len().min(LONGEST)]);
    let line = line.trim_end();
    if line.is_empty() {
        return;
    }
    if last_words.len() == LAST_WORDS {
        last_words.pop_front();
    }
    last_words.push_back(line.to_owned());
}

fn pass_on(target: &mut Target, stream: Stream, line: &[u8]) {
    match target {
        Target::Discarded | Target::Captured | Target::Sink(_) => {}
        Target::Prefixed(prefix) => {
            let mut whole = Vec::with_capacity(prefix.len() + line.len() + 1);
            whole.extend_from_slice(prefix.as_bytes());
            whole.extend_from_slice(line);
            whole.push(b'\n');
            // An error is not the watcher's failure: a reader has closed the other end.
            let _ = match stream {
                Stream::Stdout => io::stdout().write_all(&whole),
                Stream::Stderr => io::stderr().write_all(&whole),
            };
        }
        Target::Lines(sink) => sink(stream, &String::from_utf8_lossy(line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::output::Sink;

    type Seen = Arc<Mutex<Vec<(Stream, String)>>>;

    fn lines() -> (Console, Seen) {
        let seen = Seen::default();
        let sink = Arc::clone(&seen);
        let output = Output::lines(move |stream, line| sink.lock().unwrap().push((stream, line.to_owned())));
        (Console::new(output), seen)
    }

    #[test]
    fn passes_on_whole_lines_and_the_rest_at_the_end() {
        let (console, seen) = lines();
        console.write(Stream::Stdout, b"one\ntw");
        console.write(Stream::Stderr, b"between");
        assert_eq!(*seen.lock().unwrap(), [(Stream::Stdout, "one".to_owned())]);
        console.write(Stream::Stdout, b"o\n\nthree");
        console.end();
        let stdout = |line: &str| (Stream::Stdout, line.to_owned());
        let between = (Stream::Stderr, "between".to_owned());
        assert_eq!(*seen.lock().unwrap(), [stdout("one"), stdout("two"), stdout(""), stdout("three"), between]);
        assert!(console.end().is_none());
    }

    #[test]
    fn passes_on_an_endless_line_in_parts() {
        let (console, seen) = lines();
        for _ in 0..3 {
            console.write(Stream::Stdout, &vec![b'a'; LONGEST_LINE / 2]);
        }
        assert_eq!(seen.lock().unwrap().len(), 1);
        console.end();
        assert_eq!(seen.lock().unwrap().len(), 2);
    }

    #[test]
    fn captures_an_event_at_a_time_and_not_without_end() {
        let console = Console::new(Output::captured());
        console.write(Stream::Stdout, b"out");
        console.write(Stream::Stderr, b"err\xff\n");
        let words = console.end().unwrap();
        assert_eq!((&*words.stdout, &*words.stderr), ("out", "err\u{fffd}\n"));
        console.write(Stream::Stdout, &vec![b'a'; MOST_CAPTURED + 1]);
        let words = console.end().unwrap();
        assert_eq!((words.stdout.len(), words.missing), (MOST_CAPTURED, [1, 0]));
        assert!(console.end().is_none());
    }

    #[test]
    fn a_capture_is_cut_between_two_characters_and_says_how_much_is_missing() {
        for character in ["a", "é", "€", "😀"] {
            for before in 0..4 {
                let text = format!("{}{}", "x".repeat(before), character.repeat(MOST_CAPTURED));
                let console = Console::new(Output::captured());
                console.write(Stream::Stderr, text.as_bytes());
                let words = console.end().unwrap();
                assert!(text.starts_with(&words.stderr) && words.stderr.len() > MOST_CAPTURED - 4);
                assert_eq!(words.missing, [0, (text.len() - words.stderr.len()) as u64]);
            }
        }
    }

    #[test]
    fn a_sink_gets_the_same_bytes() {
        struct All(Arc<Mutex<Vec<u8>>>);
        impl Sink for All {
            fn write(&mut self, _: Stream, bytes: &[u8]) {
                self.0.lock().unwrap().extend_from_slice(bytes);
            }
        }
        let seen = Arc::default();
        let console = Console::new(Output::to(All(Arc::clone(&seen))));
        let bytes = [&vec![b'a'; 3 * LONGEST_LINE][..], b"\xff\r\n\x1b[2Jno end"].concat();
        bytes.chunks(1000).for_each(|piece| console.write(Stream::Stdout, piece));
        console.end();
        assert_eq!(*seen.lock().unwrap(), bytes);
    }

    #[test]
    fn remembers_last_words_only() {
        let console = Console::new(Output::discarded());
        for number in 0..20 {
            console.write(Stream::Stderr, format!("line {number}\n\n").as_bytes());
        }
        console.write(Stream::Stderr, b"the end");
        let last = console.end().unwrap().last;
        assert_eq!((last.len(), &*last[0], &*last[LAST_WORDS - 1]), (LAST_WORDS, "line 13", "the end"));
        assert!(console.end().is_none());
    }
}
