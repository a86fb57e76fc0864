use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use super::metrics::{HANDLER_TIME_BOUNDS, Snapshot};
use super::worker::Usage;

/// One watcher, as `/metrics` shows it.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// The name of the watcher (`--name`). It is the only label, so no label comes from a store.
    pub name: &'a str,
    /// The counters of the delivery.
    pub delivery: &'a Snapshot,
    /// The usage of the instances.
    pub usage: &'a Usage,
}

type Read = fn(&Sample<'_>) -> u64;

/// Every metric except the histogram: name, type, help, value.
const METRICS: [(&str, &str, &str, Read); 25] = [
    ("kvwatch_received_total", "counter", "Events that the store brought.", |it| it.delivery.received),
    ("kvwatch_handled_total", "counter", "Events whose handler returned.", |it| it.delivery.handled),
    ("kvwatch_attempts_total", "counter", "Calls of a handler.", |it| it.delivery.attempts),
    ("kvwatch_trapped_total", "counter", "Calls of a handler that trapped.", |it| it.delivery.trapped),
    ("kvwatch_retries_total", "counter", "Trapped events that were scheduled again.", |it| it.delivery.retries),
    ("kvwatch_dead_letters_total", "counter", "Events that became dead letters.", |it| it.delivery.dead_letters),
    ("kvwatch_dead_letter_failures_total", "counter", "Failed writes of dead letters; each is tried again.", |it| {
        it.delivery.dead_letter_failures
    }),
    ("kvwatch_given_back_total", "counter", "Events that went back to the store unhandled.", |it| {
        it.delivery.given_back
    }),
    ("kvwatch_ack_failures_total", "counter", "Acks that were not confirmed at first; each is sent again.", |it| {
        it.delivery.ack_failures
    }),
    ("kvwatch_skipped_keys_total", "counter", "Events that were skipped because their key is not UTF-8.", |it| {
        it.delivery.skipped_keys
    }),
    ("kvwatch_skipped_types_total", "counter", "Events that were skipped because the value is not a string.", |it| {
        it.delivery.skipped_types
    }),
    ("kvwatch_own_writes_total", "counter", "Events that were skipped because the watcher itself wrote them.", |it| {
        it.delivery.own_writes
    }),
    ("kvwatch_replaced_total", "counter", "Events that were replaced or removed before they were delivered.", |it| {
        it.delivery.gaps
    }),
    ("kvwatch_reconnects_total", "counter", "Connections to the store after the first one.", |it| {
        it.delivery.reconnects
    }),
    ("kvwatch_instances_total", "counter", "Instances of the watcher that were made.", |it| {
        it.usage.instances.load(Ordering::Relaxed)
    }),
    ("kvwatch_violations_total", "counter", "Events in which the watcher misused a handle.", |it| {
        it.usage.violations.load(Ordering::Relaxed)
    }),
    ("kvwatch_reloads_total", "counter", "New watchers that were loaded (--reload).", |it| {
        it.usage.reloads.load(Ordering::Relaxed)
    }),
    ("kvwatch_reload_failures_total", "counter", "New watchers that could not be loaded (--reload).", |it| {
        it.usage.reload_failures.load(Ordering::Relaxed)
    }),
    ("kvwatch_lag", "gauge", "Events in the store that were not delivered yet.", |it| it.delivery.lag),
    ("kvwatch_ack_pending", "gauge", "Events that are delivered and not acknowledged, over all processes.", |it| {
        it.delivery.ack_pending
    }),
    ("kvwatch_in_hand", "gauge", "Events in this process.", |it| it.delivery.in_hand),
    ("kvwatch_running", "gauge", "Events that a handler has now.", |it| it.delivery.running),
    ("kvwatch_waiting", "gauge", "Events that wait for their next attempt.", |it| it.delivery.waiting),
    ("kvwatch_open", "gauge", "1 if events may start here; 0 on a standby.", |it| u64::from(it.delivery.open)),
    ("kvwatch_instance_memory_peak_bytes", "gauge", "The most linear memory that an instance had.", |it| {
        it.usage.peak_memory.load(Ordering::Relaxed)
    }),
];

/// The metrics in the text format of Prometheus.
#[must_use]
pub fn prometheus(samples: &[Sample<'_>]) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    for (name, kind, help, read) in METRICS {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for sample in samples {
            let _ = writeln!(text, "{name}{{watcher=\"{}\"}} {}", sample.name, read(sample));
        }
    }
    let name = "kvwatch_handler_seconds";
    let _ = writeln!(text, "# HELP {name} How long handlers ran.\n# TYPE {name} histogram");
    for sample in samples {
        let watcher = sample.name;
        let mut count = 0;
        for (index, bucket) in sample.delivery.handler_time.iter().enumerate() {
            count += bucket;
            let bound = HANDLER_TIME_BOUNDS.get(index).map_or_else(|| "+Inf".into(), |micros| seconds(*micros));
            let _ = writeln!(text, "{name}_bucket{{watcher=\"{watcher}\",le=\"{bound}\"}} {count}");
        }
        let sum = seconds(sample.delivery.handler_time_sum);
        let _ =
            writeln!(text, "{name}_sum{{watcher=\"{watcher}\"}} {sum}\n{name}_count{{watcher=\"{watcher}\"}} {count}");
    }
    text
}

fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::serve::Metrics;

    #[test]
    fn the_readme_explains_every_metric() {
        let readme = include_str!("../../README.md");
        for name in METRICS.map(|(name, ..)| name).into_iter().chain(["kvwatch_handler_seconds"]) {
            assert!(readme.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn the_text_has_every_metric_and_an_accumulated_histogram() {
        let metrics = Metrics::default();
        for micros in [10, 60, 70_000_000] {
            metrics.handler_time.record(Duration::from_micros(micros));
        }
        metrics.handled.fetch_add(3, Ordering::Relaxed);
        let usage = Usage::default();
        let (delivery, name) = (&metrics.snapshot(), "audit");
        let text = prometheus(&[Sample { name, delivery, usage: &usage }]);
        for (name, kind, ..) in METRICS {
            assert!(text.contains(&format!("# TYPE {name} {kind}\n{name}{{watcher=\"audit\"}} ")), "{name}");
        }
        for line in [
            "kvwatch_handled_total{watcher=\"audit\"} 3",
            "kvwatch_handler_seconds_bucket{watcher=\"audit\",le=\"0.000050\"} 1",
            "kvwatch_handler_seconds_bucket{watcher=\"audit\",le=\"0.000100\"} 2",
            "kvwatch_handler_seconds_bucket{watcher=\"audit\",le=\"60.000000\"} 2",
            "kvwatch_handler_seconds_bucket{watcher=\"audit\",le=\"+Inf\"} 3",
            "kvwatch_handler_seconds_sum{watcher=\"audit\"} 70.000070",
            "kvwatch_handler_seconds_count{watcher=\"audit\"} 3",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
    }
}
