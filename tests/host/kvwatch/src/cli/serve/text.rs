//! Values whose form in a configuration is the text of their flag.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use kvwatch::ByteSize;
use kvwatch::sources::nats::Since;
use kvwatch::stores::BucketGrant;
use serde::{Deserialize, Serialize};

use crate::cli::args;

/// A value whose form in a configuration is the text of its flag, like `5s` or `64MiB`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String", bound = "T: Parse")]
pub(crate) struct Text<T: Parse>(pub(crate) T);

/// How a [`Text`] is read and written.
pub(crate) trait Parse: Clone + Sized {
    fn parse(text: &str) -> std::result::Result<Self, String>;
    fn write(&self) -> String;
}

impl<T: Parse> TryFrom<String> for Text<T> {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl<T: Parse> FromStr for Text<T> {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        T::parse(text).map(Self)
    }
}

impl<T: Parse> From<Text<T>> for String {
    fn from(value: Text<T>) -> Self {
        value.0.write()
    }
}

impl<T: Parse> fmt::Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.write())
    }
}

impl Parse for Duration {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        args::duration(text)
    }

    fn write(&self) -> String {
        match self.as_millis() {
            millis if millis % 1000 == 0 => format!("{}s", millis / 1000),
            millis => format!("{millis}ms"),
        }
    }
}

impl Parse for ByteSize {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        args::memory(text)
    }

    fn write(&self) -> String {
        let ByteSize(bytes) = self;
        let unit =
            [("GiB", 30), ("MiB", 20), ("KiB", 10)].into_iter().find(|(_, shift)| bytes.trailing_zeros() >= *shift);
        unit.filter(|_| *bytes > 0)
            .map_or_else(|| bytes.to_string(), |(unit, shift)| format!("{}{unit}", bytes >> shift))
    }
}

impl Parse for Since {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        text.parse()
    }

    fn write(&self) -> String {
        match self {
            Self::Last => "last",
            Self::All => "all",
            Self::Now => "now",
        }
        .into()
    }
}

impl Parse for BucketGrant {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        text.parse().map_err(|error: kvwatch::stores::BadGrant| error.to_string())
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

/// The destination of dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Letters {
    File(PathBuf),
    Subject(String),
}

impl Parse for Letters {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        let Some(subject) = text.strip_prefix("nats:") else { return Ok(Self::File(text.into())) };
        let is_part = |part: &str| {
            !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control() || "*>".contains(c))
        };
        if !subject.split('.').all(is_part) {
            return Err("a subject has parts with a `.` between them, without white space, `*` and `>`".into());
        }
        Ok(Self::Subject(subject.into()))
    }

    fn write(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Subject(subject) => format!("nats:{subject}"),
        }
    }
}
