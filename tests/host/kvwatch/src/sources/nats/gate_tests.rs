use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;

fn message(pin: &str, stream_sequence: u64, consumer_sequence: u64) -> Delivered<'_> {
    Delivered { pin: Some(pin), stream_sequence, consumer_sequence, reply: "reply" }
}

fn answer(gate: &Gate, pending: usize, delivered: u64, pin: &str) -> Answer {
    Answer { question: gate.question(), pending, delivered, pin: Some(pin.into()) }
}

/// A gate that is open, with the events 1 and 2 in hand.
fn open_gate() -> Gate {
    let mut gate = Gate::default();
    gate.message(message("p", 1, 1));
    gate.message(message("p", 2, 2));
    assert_eq!(gate.answer(&answer(&gate, 2, 2, "p")), Decision::Open);
    gate
}

#[test]
fn d5_the_gate_is_closed_until_all_pending_events_are_in_hand() {
    let mut gate = Gate::default();
    gate.message(message("p", 4, 8));
    assert_eq!(gate.answer(&answer(&gate, 3, 8, "p")), Decision::Keep);
    gate.message(message("p", 2, 9));
    gate.message(message("p", 3, 10));
    assert_eq!(gate.answer(&answer(&gate, 3, 10, "p")), Decision::Open);
}

#[test]
fn d5_events_after_the_count_do_not_open_the_gate() {
    let mut gate = Gate::default();
    gate.message(message("p", 4, 8));
    let early = answer(&gate, 2, 8, "p");
    gate.message(message("p", 5, 9));
    assert_eq!(gate.answer(&early), Decision::Keep, "one of the two that were counted is still missing");
}

#[test]
fn d5_an_event_whose_ack_is_on_its_way_hides_no_other() {
    let mut gate = open_gate();
    gate.close();
    gate.ending(1);
    // The server has the ack. It counts event 2 and an event that is not here.
    assert_eq!(gate.answer(&answer(&gate, 2, 3, "p")), Decision::Keep);
}

#[test]
fn d5_an_answer_may_come_before_the_message_that_it_counts() {
    let mut gate = Gate::default();
    gate.message(message("p", 1, 1));
    assert_eq!(gate.answer(&answer(&gate, 2, 2, "p")), Decision::Keep);
    assert!(gate.message(message("p", 2, 2)).opens);
}

#[test]
fn d5_another_pin_a_gap_and_a_reconnect_close_the_gate() {
    let mut gate = open_gate();
    assert_eq!(gate.message(message("p", 3, 3)), Verdict { new: true, closes: false, opens: false });
    assert!(gate.message(message("q", 4, 4)).closes);
    let mut gate = open_gate();
    assert!(gate.message(message("p", 4, 4)).closes, "the delivery 3 went elsewhere");
    let mut gate = open_gate();
    assert!(gate.close());
    assert!(!gate.close());
}

#[test]
fn d5_an_answer_to_an_older_question_says_nothing() {
    let mut gate = open_gate();
    let old = answer(&gate, 0, 2, "p");
    gate.close();
    assert_eq!(gate.answer(&old), Decision::Keep);
    assert!(gate.is_waiting());
}

#[test]
fn d5_another_pin_in_an_answer_gives_back() {
    let mut gate = open_gate();
    assert_eq!(gate.answer(&answer(&gate, 2, 2, "q")), Decision::GiveBack);
    assert!(gate.is_waiting(), "the gate is closed");
    assert!(!gate.message(message("q", 3, 3)).opens);
}

#[test]
fn d5_the_gate_of_a_standby_stays_closed() {
    let mut gate = Gate::default();
    // No process has had an event yet, so no process works.
    assert_eq!(gate.answer(&Answer { pin: None, ..answer(&gate, 0, 0, "p") }), Decision::Open);
    assert_eq!(gate.answer(&answer(&gate, 0, 1, "p")), Decision::GiveBack, "another process works now");
    for _ in 0..2 {
        assert_eq!(gate.answer(&answer(&gate, 0, 1, "p")), Decision::Keep);
    }
    // The other process ended.
    gate.message(message("q", 2, 2));
    assert_eq!(gate.answer(&answer(&gate, 1, 2, "q")), Decision::Open);
}

#[test]
fn d5_an_event_that_comes_again_is_in_hand_once_with_its_new_place() {
    let mut gate = open_gate();
    assert!(!gate.message(message("p", 1, 3)).new);
    assert_eq!(gate.counted(2), 1);
    assert_eq!(gate.counted(3), 2);
}

#[test]
fn d5_a_server_that_has_forgotten_a_delivery_is_noticed() {
    let mut gate = open_gate();
    // The server knows only the delivery of event 1.
    let is_forgotten = |gate: &Gate, question| gate.is_forgotten(question, 1);
    let early = gate.question();
    assert!(is_forgotten(&gate, early));
    gate.ending(2);
    assert!(is_forgotten(&gate, gate.question()), "its ack is not confirmed either");
    gate.remove(2);
    assert!(!is_forgotten(&gate, gate.question()));
    gate.message(message("p", 3, 3));
    assert!(!is_forgotten(&gate, early), "the message came after the question");
    assert!(is_forgotten(&gate, gate.question()));
}

/// A server with one consumer, as far as the gate is concerned.
#[derive(Default)]
struct Server {
    next: u64,
    delivered: u64,
    pending: BTreeMap<u64, u64>,
    wire: VecDeque<(u64, u64)>,
}

impl Server {
    fn deliver(&mut self, stream_sequence: u64, arrives: bool) {
        self.delivered += 1;
        self.pending.insert(stream_sequence, self.delivered);
        if arrives {
            self.wire.push_back((stream_sequence, self.delivered));
        }
    }
}

proptest! {
    /// A takeover. The process before got some events, and they come again at any time, in any order. Acks and answers are late.
    /// When the gate opens, every event that was pending at the takeover is in hand or has ended here.
    #[test]
    fn d5_an_open_gate_has_everything_of_the_process_before(
        before in 0..20u64,
        steps in proptest::collection::vec((0..6u8, any::<usize>()), 1..300),
    ) {
        let mut server = Server::default();
        for _ in 0..before {
            server.next += 1;
            let next = server.next;
            server.deliver(next, false);
        }
        let mut missing: BTreeSet<u64> = server.pending.keys().copied().collect();
        let mut gate = Gate::default();
        let (mut in_hand, mut acks, mut answers) = (BTreeSet::new(), VecDeque::new(), VecDeque::<Answer>::new());
        let mut open = false;
        for (step, which) in steps {
            let mut opens = false;
            match step {
                0 => { server.next += 1; let next = server.next; server.deliver(next, true); }
                1 => if let Some(again) = missing.iter().nth(which % missing.len().max(1)).copied() {
                    missing.remove(&again);
                    server.deliver(again, true);
                },
                2 => if let Some((sequence, place)) = server.wire.pop_front() {
                    let verdict = gate.message(message("p", sequence, place));
                    if verdict.closes { open = false; }
                    in_hand.insert(sequence);
                    opens = verdict.opens;
                },
                3 => answers.push_back(answer(&gate, server.pending.len(), server.delivered, "p")),
                4 => if let Some(answer) = answers.pop_front() {
                    opens = gate.answer(&answer) == Decision::Open;
                },
                _ => if which % 2 == 0 {
                    // An event that starts ends at once. Its ack is on its way.
                    if open && let Some(sequence) = in_hand.pop_first() {
                        gate.ending(sequence);
                        acks.push_back(sequence);
                    }
                } else if let Some(sequence) = acks.pop_front() {
                    server.pending.remove(&sequence);
                    if which % 4 == 1 { gate.remove(sequence); }
                },
            }
            if opens {
                open = true;
                prop_assert!(missing.is_empty(), "{missing:?} are still to come");
                prop_assert!(!server.wire.iter().any(|(sequence, _)| *sequence <= before));
            }
        }
    }
}
