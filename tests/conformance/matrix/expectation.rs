//! Computes the expected result of an exercise from the payload and the personality alone.

use std::io::ErrorKind;

use exercise::{Exercise, REPEATED, Seen};
use inbound_keyvalue::MAX_READ;
use inbound_keyvalue::testing::{End, Personality, Repeat, Size, Transfer};

use crate::{Ending, Observed};

/// The most calls for each byte of a payload, and for the event itself. More calls mean that the event would hang.
const CALLS_A_BYTE: u64 = 20;
const CALLS_AN_EVENT: u64 = 500;

/// The differences from the expectation.
pub(crate) fn problems(
    personality: &Personality,
    exercise: Exercise,
    content: &[u8],
    observed: &Observed,
) -> Vec<String> {
    let mut problems = observed.violations.clone();
    let bytes = content.len() as u64 + if exercise == Exercise::WriteRepeated { REPEATED } else { 0 };
    if observed.calls > CALLS_AN_EVENT + CALLS_A_BYTE * bytes {
        problems.push(format!("{} calls", observed.calls));
    }
    problems.extend(wrong_result(personality, exercise, content, observed));
    problems
}

fn wrong_result(personality: &Personality, exercise: Exercise, content: &[u8], observed: &Observed) -> Option<String> {
    let traps = exercise == Exercise::Fail
        || unwritable(personality)
        || personality.transfer == Transfer::Traps && transfers(personality, exercise, content);
    if traps {
        return (observed.ending != Ending::Trapped).then(|| "it must trap".to_owned());
    }
    if observed.ending != Ending::Handled {
        return Some("it trapped".to_owned());
    }
    let report = observed.report.as_deref().unwrap_or("nothing");
    let due = match fault(personality, exercise, content) {
        Some(kind) => Err(kind),
        None => ideal(exercise, content),
    };
    match due {
        Err(kind) => (!report.starts_with(&format!("error {kind:?}: ")))
            .then(|| format!("it must fail with {kind:?}, and reports: {report}")),
        Ok(seen) if report != format!("ok {seen}") => Some(format!("it must report: ok {seen}, and reports: {report}")),
        Ok(_) => wrong_value(exercise, content, observed),
    }
}

fn wrong_value(exercise: Exercise, content: &[u8], observed: &Observed) -> Option<String> {
    use Exercise::{AbandonedValue, BufferedCopy, Copy, EmptyValue, Forward, Splice, WriteRepeated};
    let repeated = || [vec![b'='; usize::try_from(REPEATED).unwrap_or(0)], b"<".to_vec()].concat();
    let due = match exercise {
        Copy | BufferedCopy | AbandonedValue | Splice | Forward => content.to_vec(),
        WriteRepeated => repeated(),
        EmptyValue => Vec::new(),
        _ => return None,
    };
    (observed.values.first().map(|value| &value.bytes) != Some(&due)).then(|| "its value is wrong".to_owned())
}

/// Whether not even the report can be written.
fn unwritable(personality: &Personality) -> bool {
    let write = &personality.write;
    personality.value_body_error || write.empty == Repeat::Forever || write.excess > 0 || write.error_at.is_some()
}

/// Whether a host without `splice` and `forward` is asked for them.
fn transfers(personality: &Personality, exercise: Exercise, content: &[u8]) -> bool {
    let read = &personality.read;
    let one_read_is_all = content.len() <= MAX_READ && read.size == Size::Full && read.end == End::WithData;
    match exercise {
        Exercise::Forward => true,
        Exercise::Splice => !content.is_empty() && !one_read_is_all,
        _ => false,
    }
}

/// The result of the exercise on a perfect host.
fn ideal(exercise: Exercise, content: &[u8]) -> Result<Seen, ErrorKind> {
    let nothing = Seen::NOTHING;
    let all = nothing.and(content);
    let len = content.len() as u64;
    let text = std::str::from_utf8(content).map_err(|_| ErrorKind::InvalidData);
    match exercise {
        Exercise::Size => Ok(nothing.and(&[1, 0])),
        Exercise::OverLimit if len > 3 => Err(ErrorKind::FileTooLarge),
        Exercise::Text => text.map(|_| all),
        Exercise::Json => match text?.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
            Some(json) => Ok(nothing.and(json.as_bytes())),
            None => Err(ErrorKind::InvalidData),
        },
        Exercise::ReadExact => content.get(..100).map(|start| nothing.and(start)).ok_or(ErrorKind::UnexpectedEof),
        Exercise::Lines => Ok(text?.lines().fold(nothing, |seen, line| seen.and(line.as_bytes()).and(b"\n"))),
        Exercise::Skip => {
            let skipped = content.len().min(1000);
            Ok(nothing.and(&content[skipped..]).and(&(skipped as u64).to_le_bytes()))
        }
        Exercise::EarlyDrop => Ok(nothing.and(&content[..content.len().min(1)])),
        Exercise::WriteAgainAfterFinish => Err(ErrorKind::BrokenPipe),
        Exercise::Splice | Exercise::Forward => Ok(nothing.and(&len.to_le_bytes())),
        Exercise::Whole
        | Exercise::Limited
        | Exercise::OverLimit
        | Exercise::Read
        | Exercise::ReadToEnd
        | Exercise::ReadToExactCapacity
        | Exercise::Chunks
        | Exercise::Mixed
        | Exercise::StreamThenWhole
        | Exercise::RawHandles => Ok(all),
        _ => Ok(nothing),
    }
}

/// The error that the personality forces on the exercise, if it does.
fn fault(personality: &Personality, exercise: Exercise, content: &[u8]) -> Option<ErrorKind> {
    use Exercise::{AbandonedValue, Json, OpenBucket, RawHandles, Text, Whole};
    let refused = match exercise {
        Whole | Text | Json | AbandonedValue => personality.consume_sync_error.is_some(),
        OpenBucket => personality.open_bucket_error.is_some(),
        RawHandles => personality.open_bucket_error.is_some() || personality.consume_async_error.is_some(),
        _ => streams(exercise) && personality.consume_async_error.is_some(),
    };
    if refused {
        return Some(ErrorKind::Other);
    }
    if !streams(exercise) {
        return None;
    }
    let read = &personality.read;
    let by_host = exercise == Exercise::Forward;
    if read.empty == Repeat::Forever {
        // A host that forwards cannot wait for ever either. It has one error for every cause.
        return Some(if by_host { ErrorKind::Other } else { ErrorKind::WouldBlock });
    }
    if read.excess > 0 && !content.is_empty() && !by_host {
        return Some(ErrorKind::InvalidData);
    }
    let reach = match exercise {
        Exercise::Size | Exercise::EarlyDrop => 1,
        Exercise::OverLimit => 4,
        _ => u64::MAX,
    };
    let error_at = read.error_at?;
    let reached = error_at == 0 || error_at < (content.len() as u64).min(reach);
    reached.then_some(ErrorKind::Other)
}

/// Whether it opens the payload as a stream and reads.
fn streams(exercise: Exercise) -> bool {
    use Exercise::{
        AbandonedValue, EmptyValue, Fail, Ignore, Json, OpenBucket, Text, Whole, WriteAgainAfterFinish, WriteRepeated,
    };
    !matches!(
        exercise,
        AbandonedValue
            | EmptyValue
            | Fail
            | Ignore
            | Json
            | OpenBucket
            | Text
            | Whole
            | WriteAgainAfterFinish
            | WriteRepeated
    )
}
