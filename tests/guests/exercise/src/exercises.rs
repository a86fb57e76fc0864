use std::error::Error as StdError;
use std::fmt;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

use inbound_keyvalue::{Bucket, Payload, Value};

/// The things that a watcher can do with a payload. Each is one way through the SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Exercise {
    Ignore,
    Size,
    Whole,
    Limited,
    OverLimit,
    Text,
    Json,
    Read,
    ReadToEnd,
    ReadToExactCapacity,
    ReadExact,
    Lines,
    Chunks,
    Mixed,
    Skip,
    EarlyDrop,
    StreamThenWhole,
    Copy,
    BufferedCopy,
    WriteAgainAfterFinish,
    EmptyValue,
    AbandonedValue,
    WriteRepeated,
    Splice,
    Forward,
    OpenBucket,
    RawHandles,
    Fail,
}

/// The number of bytes that went through an exercise, and their digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    bytes: u64,
    digest: u64,
}

impl Seen {
    /// Nothing.
    pub const NOTHING: Self = Self { bytes: 0, digest: 0xcbf2_9ce4_8422_2325 };

    /// The digest after `bytes`.
    #[must_use]
    pub fn and(self, bytes: &[u8]) -> Self {
        // FNV-1a, because the order of the bytes matters.
        let digest =
            bytes.iter().fold(self.digest, |digest, &byte| (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        Self { bytes: self.bytes + bytes.len() as u64, digest }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes {:016x}", self.bytes, self.digest)
    }
}

/// The limit of [`Exercise::Limited`], in bytes.
const LIMIT: usize = 1024 * 1024;

/// The number of bytes that [`Exercise::WriteRepeated`] repeats.
pub const REPEATED: u64 = 30_000;

impl Exercise {
    /// All exercises with their names.
    pub const ALL: &[(&str, Self)] = &[
        ("ignore", Self::Ignore),
        ("size", Self::Size),
        ("whole", Self::Whole),
        ("limited", Self::Limited),
        ("over-limit", Self::OverLimit),
        ("text", Self::Text),
        ("json", Self::Json),
        ("read", Self::Read),
        ("read-to-end", Self::ReadToEnd),
        ("read-to-exact-capacity", Self::ReadToExactCapacity),
        ("read-exact", Self::ReadExact),
        ("lines", Self::Lines),
        ("chunks", Self::Chunks),
        ("mixed", Self::Mixed),
        ("skip", Self::Skip),
        ("early-drop", Self::EarlyDrop),
        ("stream-then-whole", Self::StreamThenWhole),
        ("copy", Self::Copy),
        ("buffered-copy", Self::BufferedCopy),
        ("write-again-after-finish", Self::WriteAgainAfterFinish),
        ("empty-value", Self::EmptyValue),
        ("abandoned-value", Self::AbandonedValue),
        ("write-repeated", Self::WriteRepeated),
        ("splice", Self::Splice),
        ("forward", Self::Forward),
        ("open-bucket", Self::OpenBucket),
        ("raw-handles", Self::RawHandles),
        ("fail", Self::Fail),
    ];

    /// The exercise that a key names.
    #[must_use]
    pub fn of_key(key: &str) -> Option<Self> {
        let name = key.split('/').next()?;
        Self::ALL.iter().find_map(|(known, exercise)| (*known == name).then_some(*exercise))
    }

    /// Does the exercise.
    ///
    /// # Errors
    ///
    /// The error of the SDK.
    #[allow(clippy::too_many_lines, reason = "a list of exercises, each a few lines long")]
    pub fn run(self, mut payload: Payload) -> Result<Seen, Box<dyn StdError>> {
        let nothing = Seen::NOTHING;
        match self {
            Self::Ignore => {}
            Self::Size => {
                let before = payload.size().is_some();
                // The payload is consumed, even if this fails.
                let _ = payload.read(&mut [0; 4])?;
                return Ok(nothing.and(&[before.into(), payload.size().is_some().into()]));
            }
            Self::Whole => return Ok(nothing.and(&payload.into_bytes()?)),
            Self::Limited => return Ok(nothing.and(&payload.into_bytes_limited(LIMIT)?)),
            Self::OverLimit => return Ok(nothing.and(&payload.into_bytes_limited(3)?)),
            Self::Text => return Ok(nothing.and(payload.into_string()?.as_bytes())),
            Self::Json => return Ok(nothing.and(payload.into_json::<String>()?.as_bytes())),
            Self::Read => return read(&mut payload),
            Self::ReadToEnd => {
                let mut bytes = b"before".to_vec();
                payload.read_to_end(&mut bytes)?;
                return Ok(nothing.and(&bytes[6..]));
            }
            Self::ReadToExactCapacity => {
                let mut bytes = Vec::with_capacity(5000);
                payload.into_stream()?.read_to_end(&mut bytes)?;
                return Ok(nothing.and(&bytes));
            }
            Self::ReadExact => {
                let mut bytes = [0; 100];
                payload.read_exact(&mut bytes)?;
                return read(&mut payload).map(|_| nothing.and(&bytes));
            }
            Self::Lines => {
                let mut seen = nothing;
                for line in payload.into_stream()?.lines() {
                    seen = seen.and(line?.as_bytes()).and(b"\n");
                }
                return Ok(seen);
            }
            Self::Chunks => {
                let mut stream = payload.into_stream()?;
                return Ok(stream.chunks().try_fold(nothing, |seen, chunk| chunk.map(|chunk| seen.and(&chunk)))?);
            }
            Self::Mixed => return mixed(payload),
            Self::Skip => {
                let mut stream = payload.into_stream()?;
                let skipped = stream.skip(1000)?;
                return Ok(read(&mut stream)?.and(&skipped.to_le_bytes()));
            }
            Self::EarlyDrop => {
                let mut byte = [0];
                let read = payload.read(&mut byte)?;
                return Ok(nothing.and(&byte[..read]));
            }
            Self::StreamThenWhole => {
                let mut start = [0; 3];
                let read = payload.read(&mut start)?;
                return Ok(nothing.and(&start[..read]).and(&payload.into_bytes()?));
            }
            Self::Copy => {
                let mut value = Value::new();
                io::copy(&mut payload, &mut value)?;
                value.finish()?;
            }
            Self::BufferedCopy => {
                let mut value = BufWriter::with_capacity(100, Value::new());
                io::copy(&mut BufReader::with_capacity(50, payload), &mut value)?;
                value.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
            }
            Self::WriteAgainAfterFinish => {
                let mut value = Value::new();
                value.finish()?;
                value.finish()?;
                value.write_all(b"too late")?;
            }
            Self::EmptyValue => Value::new().finish()?,
            Self::AbandonedValue => Value::new().write_all(&payload.into_bytes()?)?,
            Self::WriteRepeated => {
                let mut value = Value::new();
                value.body()?.write_repeated(b'=', REPEATED)?;
                value.write_all(b"<")?;
                value.finish()?;
            }
            Self::Splice => {
                let mut value = Value::new();
                let mut stream = payload.into_stream()?;
                // Bytes that are already in the guest are moved too.
                stream.fill_buf()?;
                let start = value.body()?.splice(&mut stream, 1000)?;
                let rest = value.body()?.splice(&mut stream, u64::MAX)?;
                value.finish()?;
                return Ok(nothing.and(&(start + rest).to_le_bytes()));
            }
            Self::Forward => {
                let mut value = Value::new();
                let mut stream = payload.into_stream()?;
                let forwarded = value.body()?.forward(&mut stream)?;
                value.finish()?;
                return Ok(read(&mut stream)?.and(&forwarded.to_le_bytes()));
            }
            Self::OpenBucket => {
                let bucket = Bucket::open("other")?;
                let same = Bucket::open(String::from("other"))?;
                drop(bucket);
                drop(same);
            }
            Self::RawHandles => return raw_handles(payload),
            Self::Fail => return Err(fail()),
        }
        Ok(nothing)
    }
}

fn read(reader: &mut impl Read) -> Result<Seen, Box<dyn StdError>> {
    let mut seen = Seen::NOTHING;
    let mut buf = [0; 777];
    assert_eq!(reader.read(&mut [])?, 0, "an empty buffer is never filled");
    loop {
        match reader.read(&mut buf)? {
            0 => return Ok(seen),
            read => seen = seen.and(&buf[..read]),
        }
    }
}

/// All ways of reading, one after the other. Together they must see each byte once.
fn mixed(mut payload: Payload) -> Result<Seen, Box<dyn StdError>> {
    let mut seen = Seen::NOTHING;
    let held = payload.fill_buf()?;
    let first = held.len().min(3);
    seen = seen.and(&held[..first]);
    payload.consume(first);

    let mut two = [0; 2];
    let second = payload.read(&mut two)?;
    seen = seen.and(&two[..second]);

    let mut stream = payload.into_stream()?;
    if let Some(chunk) = stream.chunk()? {
        seen = seen.and(&chunk);
    }
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line)?;
    seen = seen.and(&line);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest)?;
    Ok(seen.and(&rest))
}

#[allow(unsafe_code, reason = "the escape hatch is what is exercised")]
fn raw_handles(payload: Payload) -> Result<Seen, Box<dyn StdError>> {
    let raw = payload.into_raw().map_err(|_| "an unread payload has a handle")?;
    // SAFETY: each handle was given up just before.
    unsafe {
        let payload = Payload::from_raw(raw);
        assert_eq!(payload.as_raw(), Some(raw));
        let raw = payload.into_stream()?.into_raw();
        let mut stream = inbound_keyvalue::InputStream::from_raw(raw);
        let bucket = Bucket::open("raw")?.into_raw();
        drop(Bucket::from_raw(bucket));
        let mut value = Value::new();
        value.body()?;
        value.finish()?;
        drop(Value::from_raw(value.into_raw()));
        read(&mut stream)
    }
}

#[derive(Debug)]
struct Deep(Option<Box<Self>>);

impl fmt::Display for Deep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "on purpose" } else { "to see the cause" })
    }
}

impl StdError for Deep {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.as_deref().map(|cause| cause as _)
    }
}

fn fail() -> Box<dyn StdError> {
    Box::new(Deep(Some(Box::new(Deep(None)))))
}
