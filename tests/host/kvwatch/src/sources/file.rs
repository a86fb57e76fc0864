use std::convert::Infallible;
use std::io::BufRead;

use inbound_keyvalue_host::Events;

use super::{Delivery, Item, Source};

/// The events of a file, of standard input or of a named pipe, one in each line.
///
/// ```
/// use kvwatch::sources::{Item, Lines, Source};
/// use kvwatch::world::Events;
///
/// let mut lines = Lines::new("recorded", Events::new("{\"op\":\"delete\",\"key\":\"a\"}\n".as_bytes()));
/// assert!(matches!(lines.next(), Item::Event(delivery) if delivery.event.key == "a"));
/// assert!(matches!(lines.next(), Item::End));
/// ```
#[derive(Debug)]
pub struct Lines<R> {
    name: String,
    events: Events<R>,
    /// The item that follows a warning.
    held: Option<Item>,
}

impl<R: BufRead> Lines<R> {
    /// Makes a source of the events that `events` reads. Messages call the source `name`.
    pub fn new(name: impl Into<String>, events: Events<R>) -> Self {
        Self { name: name.into(), events, held: None }
    }
}

impl<R: BufRead> Source for Lines<R> {
    type Request = Infallible;

    fn name(&self) -> &str {
        &self.name
    }

    fn next(&mut self) -> Item {
        if let Some(held) = self.held.take() {
            return held;
        }
        let item = match self.events.next() {
            Some(Ok(event)) => Item::Event(Delivery::new(event)),
            Some(Err(bad)) => Item::Bad(bad),
            None => Item::End,
        };
        let Some(unknown) = self.events.take_unknown_field() else { return item };
        self.held = Some(item);
        Item::Warning(format!(
            "{}:{}: the field {:?} is not part of an event; this field and other unknown fields are ignored",
            self.name, unknown.line, unknown.name
        ))
    }
}
