//! The simulation itself: that it repeats itself, holds, and finds what is planted.

use chatcamp_simulation::{Fate, Invariant, Outcome, Planted, Simulation, Way};

/// Seeds within which every planted fault is found.
const WITHIN: u64 = 30;

fn assert_held(outcome: &Outcome, what: &str) {
    if let Some(violation) = &outcome.violation {
        let steps = outcome.last_steps.join("\n");
        panic!("{steps}\nseed {}, {what}, broke {violation}", outcome.seed);
    }
}

#[test]
fn a_seed_is_a_schedule() {
    let digest = |seed| {
        let outcome = Simulation::new(seed).keep_steps(0).run();
        (outcome.digest, outcome.steps, outcome.violation)
    };
    for seed in [3, 11, 40, 60] {
        assert_eq!(digest(seed), digest(seed), "seed {seed}");
    }
    assert_ne!(digest(1).0, digest(2).0);
}

#[test]
fn everything_holds_under_the_first_seeds() {
    for seed in 1..=25 {
        assert_held(&Simulation::new(seed).run(), "in a storm");
    }
}

/// A planted fault, and the invariants that it is known to break; which comes first, the schedule decides.
const FOUND_BY: &[(Planted, &[Invariant])] = &[
    (Planted::AnswerDropped, &[Invariant::OnceInOrder, Invariant::PromisesKept, Invariant::CalmRecovers]),
    (Planted::MessageRepeated, &[Invariant::OnceInOrder]),
    (Planted::MessagesExchanged, &[Invariant::OnceInOrder, Invariant::NothingLost]),
    (Planted::ReplaySwallowed, &[Invariant::NothingLost, Invariant::OnceInOrder]),
    (Planted::RequestLost, &[Invariant::NobodyAccused]),
    (Planted::EventMisdelivered, &[Invariant::OwnEvents]),
    (Planted::CloseWithoutCode, &[Invariant::EndsActedOn]),
    (Planted::CloseRepeated, &[Invariant::EndsActedOn]),
    (Planted::TwoConnections, &[Invariant::OneConnection]),
    (Planted::StoreStandsStill, &[Invariant::ShutOut]),
    (Planted::ChangeUnheard, &[Invariant::ShutOut]),
    (Planted::EditRepeated, &[Invariant::ExactlyOnce]),
    (Planted::QuestionRepeated, &[Invariant::OneQuestion]),
    (Planted::StaleCredential, &[Invariant::CalmRecovers]),
    (Planted::DeafTimer, &[Invariant::PromisesKept, Invariant::CalmRecovers]),
    (Planted::TaskLost, &[Invariant::NothingLeft, Invariant::PromisesKept, Invariant::ShutOut]),
    (Planted::ClockStopped, &[Invariant::ShutOut]),
    (
        Planted::OldIncarnation,
        &[
            Invariant::OwnEvents,
            Invariant::ExactlyOnce,
            Invariant::KeysRefused,
            Invariant::NothingLost,
            Invariant::EndsJustified,
        ],
    ),
    (Planted::PublishRepeated, &[Invariant::OnceInOrder]),
    (Planted::RepeatRenumbered, &[Invariant::ExactlyOnce]),
    (Planted::OldKeyRenewed, &[Invariant::KeysRefused]),
    (Planted::KeyOwnerAssumed, &[Invariant::KeysRefused]),
    (Planted::CloseBecomesNormal, &[Invariant::FreshExplained]),
    (Planted::RefusalEnds, &[Invariant::EndsJustified]),
    (Planted::TokenOfAnother, &[Invariant::OwnToken]),
    (Planted::EvictionClaimed, &[Invariant::EvictedForRoom]),
    (Planted::BoundsForgotten, &[Invariant::LimitsKept]),
    (Planted::PolicyHidden, &[Invariant::LimitsKept]),
    (Planted::WaitingDropped, &[Invariant::NothingLost]),
];

#[test]
fn every_planted_fault_is_found() {
    let named: Vec<_> = FOUND_BY.iter().map(|(planted, _)| *planted).collect();
    assert_eq!(named, Planted::ALL, "each has its row");
    for (planted, invariants) in FOUND_BY {
        let is_found = |seed| {
            let violation = Simulation::new(seed).plant(*planted).run().violation;
            violation.is_some_and(|violation| invariants.contains(&violation.invariant))
        };
        assert!((1..=WITHIN).any(is_found), "{planted:?} is not found within {WITHIN} seeds");
    }
}

#[test]
fn a_connection_may_end_at_every_message() {
    for way in [Way::Up, Way::Down] {
        for n in 1..=12 {
            for fate in [Fate::CutBefore(n), Fate::CutAfter(n), Fate::Silent(n)] {
                let simulation = Simulation::new(n).first_connection(way, fate);
                assert_held(&simulation.run(), &format!("{way:?} {fate:?}"));
            }
        }
    }
}
