//! Deterministic simulation of the real client and the real server.
//!
//! Both run on a simulated machine: an executor whose order is drawn from a seed, a clock that advances only while no task is
//! ready, and a network that delays, cuts, stalls and refuses. The same seed gives the same schedule, message for message.
//! Invariants are checked throughout; the first violation ends the run and is reported with the steps that led
//! to it.
//!
//! Start from [`Simulation`], and from [`Planted`], the faults that test the simulation itself.
//!
//! ```text
//!   applications -- ChatCamp (real) ---- network, faults ------ Server (real) -- store -- backend
//!        |               |                      |                     |             |         |
//!        +---------------+---------- machine: order, time, randomness, from the seed ---------+
//!        +------------------------------- ledger: invariants ---------------------------------+
//! ```
//!
//! It knows nothing about the inside of client and server: it observes what applications, backends, networks and stores observe.
//!
//! | module | holds |
//! |---|---|
//! | `machine`, `random`, `trace` | tasks, time, randomness; the trace of a run |
//! | `network` | connections and their faults |
//! | `scenario` | the server, its store and backend, the clients, and what they do |
//! | `ledger` | the invariants |
//! | `keys` | the servers' master key |
//! | `planted` | faults that the simulation must find |

mod keys;
mod ledger;
mod machine;
mod network;
mod planted;
mod random;
mod scenario;
mod trace;

pub use ledger::{Invariant, Violation};
pub use network::{ConnectionFault, Direction};
pub use planted::Planted;
pub use scenario::{Outcome, Simulation};
