//! Events of the log as JSON, one object in each line.
//!
//! JSON escapes text itself. So a field has the text unchanged, and the log for people shows it [`Escaped`](kvwatch::serve::Escaped).

use std::fmt::{self, Debug, Write as _};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes an event as `{"timestamp":…,"level":…,"message":…,FIELDS,"target":…,"span":{"name":…,FIELDS}}`.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let mut line = Line::default();
        line.add("timestamp", &timestamp.into());
        line.add("level", &metadata.level().as_str().into());
        event.record(&mut line);
        line.add("target", &metadata.target().into());
        if let Some(span) = context.lookup_current() {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<N>>();
            let mut object: Map<String, Value> =
                fields.and_then(|fields| serde_json::from_str(&fields.fields).ok()).unwrap_or_default();
            object.insert("name".to_owned(), span.name().into());
            line.add("span", &object.into());
        }
        writeln!(writer, "{}}}", line.0)
    }
}

/// An object without its last brace.
#[derive(Default)]
struct Line(String);

impl Line {
    fn add(&mut self, name: &str, value: &Value) {
        let comma = if self.0.is_empty() { '{' } else { ',' };
        // Names are identifiers. Writing to a `String` cannot fail.
        let _ = write!(self.0, "{comma}\"{name}\":");
        value.to_string().chars().for_each(|character| push_visible(&mut self.0, character));
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // With `#`, an `Escaped` is the text itself.
        self.add(field.name(), &format!("{value:#?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), &value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), &value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), &value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), &value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), &value.into());
    }
}

/// Escapes characters that JSON does not change and that a terminal obeys, such as those that change the direction of text. The result
/// is still JSON.
fn push_visible(line: &mut String, character: char) {
    let harmless = character.is_ascii_graphic() || character == ' ' || character.escape_debug().len() == 1;
    if harmless {
        return line.push(character);
    }
    for unit in character.encode_utf16(&mut [0; 2]) {
        let _ = write!(line, "\\u{unit:04x}");
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};

    use kvwatch::serve::Escaped;
    use tracing_subscriber::fmt::format::JsonFields;

    use super::*;

    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Seen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(log: impl FnOnce()) -> String {
        let seen = Seen::default();
        let writer = seen.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .fmt_fields(JsonFields::new())
            .event_format(Json)
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        let bytes = seen.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_field_has_the_text_itself() {
        let hostile = "a\tb\\c \"d\"\u{1b}[2J\r\n\u{202e}\u{e0001}é'";
        let long = "k".repeat(300);
        let line = logged(|| {
            tracing::info!(key = %Escaped(&long), output = %Escaped::whole(hostile), text = hostile, missing = 7_u64, "said {hostile:?}");
        });
        let inside = line.strip_suffix('\n').unwrap();
        assert!(
            inside.chars().all(|character| "é…".contains(character) || matches!(character, ' '..='~')),
            "{inside:?}"
        );
        let object: Value = serde_json::from_str(inside).unwrap();
        assert_eq!(object["output"], hostile);
        assert_eq!(object["text"], hostile);
        assert_eq!(object["missing"], 7);
        assert_eq!(object["key"], format!("{}… (44 more characters)", "k".repeat(256)));
        assert_eq!(object["message"], format!("said {hostile:?}"));
        assert_eq!((&object["level"], &object["target"]), (&"INFO".into(), &module_path!().into()));
    }

    #[test]
    fn a_span_is_an_object() {
        let line = logged(|| {
            let span = tracing::info_span!("serve", watcher = "audit");
            span.in_scope(|| tracing::warn!("a message"));
        });
        assert!(line.ends_with("\"span\":{\"name\":\"serve\",\"watcher\":\"audit\"}}\n"), "{line}");
        assert!(line.starts_with("{\"timestamp\":\"2"), "{line}");
    }
}
