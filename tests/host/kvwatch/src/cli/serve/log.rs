//! The log of `kvwatch serve`, on standard error.

mod json;

use std::io::{self, IsTerminal as _, Write};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::json::Json;
use crate::cli::screen;

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Format {
    /// Lines for people
    Text,
    /// A JSON object in each line
    Json,
}

/// Writes to standard error while the live line is removed. `tracing` writes an event in one piece.
struct Terminal;

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        screen::past_the_bar(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Starts the log. Text and colours are for terminals.
pub(crate) fn start(format: Option<Format>) {
    let is_terminal = io::stderr().is_terminal();
    let format = format.unwrap_or(if is_terminal { Format::Text } else { Format::Json });
    let log = tracing_subscriber::fmt().with_writer(|| Terminal);
    // The client of NATS logs each attempt to connect. kvwatch itself logs the part that a user needs.
    let levels = Targets::new().with_default(LevelFilter::INFO).with_target("async_nats", LevelFilter::WARN);
    // It fails only if there is a log already, which can be used as well.
    let _ = match format {
        Format::Text => log.with_ansi(is_terminal).with_target(false).finish().with(levels).try_init(),
        Format::Json => log.fmt_fields(JsonFields::new()).event_format(Json).finish().with(levels).try_init(),
    };
}
