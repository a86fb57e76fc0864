//! Reads the change of a key from a keyspace notification.

/// A change of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The key has a new value, which must be read.
    Changed,
    /// The key is deleted.
    Gone,
    /// The value did not change.
    Same,
}

/// The meaning of an event of Redis. Events of types other than strings are `Changed`: the read finds out the type.
pub(super) fn meaning(event: &str) -> Meaning {
    match event {
        "del" | "expired" | "evicted" | "rename_from" | "move_from" => Meaning::Gone,
        // `new` and `keymiss` come only if somebody asked for them. `new` comes besides the event of the change itself.
        "expire" | "persist" | "new" | "keymiss" => Meaning::Same,
        _ => Meaning::Changed,
    }
}

/// The classes of events that kvwatch needs: of keys (`E`), of strings (`$`), of every type (`g`), expired (`x`), evicted (`e`).
const NEEDED: &str = "E$gxe";

/// The setting `notify-keyspace-events` with the present letters and the missing ones. `None` if no letter is missing.
pub(super) fn completed(now: &str) -> Option<String> {
    // The server's text is printed within quotes as a command for a shell, and sent back to the server. So control characters and
    // quotes are removed.
    let now: String = now.chars().filter(|letter| letter.is_ascii_graphic() && *letter != '\'').collect();
    // `A` stands for all classes of events, but not for `E`.
    let has = |class: char| now.contains(class) || (class != 'E' && now.contains('A'));
    let missing: String = NEEDED.chars().filter(|class| !has(*class)).collect();
    (!missing.is_empty()).then(|| format!("{now}{missing}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d8_an_event_is_a_change_an_end_or_neither() {
        for (event, expected) in [
            ("set", Meaning::Changed),
            ("incrby", Meaning::Changed),
            ("rename_to", Meaning::Changed),
            ("lpush", Meaning::Changed),
            ("del", Meaning::Gone),
            ("rename_from", Meaning::Gone),
            ("expired", Meaning::Gone),
            ("evicted", Meaning::Gone),
            ("expire", Meaning::Same),
        ] {
            assert_eq!(meaning(event), expected, "{event}");
        }
    }

    #[test]
    fn a_setting_keeps_what_others_need() {
        assert_eq!(completed("").as_deref(), Some("E$gxe"));
        assert_eq!(completed("KEA"), None);
        assert_eq!(completed("E$gxe"), None);
        assert_eq!(completed("A").as_deref(), Some("AE"));
        assert_eq!(completed("Kl").as_deref(), Some("KlE$gxe"));
        assert_eq!(completed("gxE").as_deref(), Some("gxE$e"));
        assert_eq!(completed("K\u{1b}[31m\n").as_deref(), Some("K[31mE$gxe"));
        assert_eq!(completed("K'; reboot '").as_deref(), Some("K;rebootE$gx"));
    }
}
