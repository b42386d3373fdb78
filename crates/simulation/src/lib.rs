//! Deterministic simulation of the real client and the real server.
//!
//! Both run on a machine of the simulator's own: an executor whose order is drawn from a seed, a clock that moves only when
//! nothing else does, and a network that delays, cuts, falls silent and refuses. The same seed is the same schedule, to the
//! last message. What must always hold is checked all the while; the first thing that does not ends the run, and is told with
//! the steps that led to it.
//!
//! Start from [`Simulation`], and from [`Planted`], the faults with which the simulation is tested itself.
//!
//! ```text
//!   applications -- ChatCamp (real) --- ways, wires, weather --- Server (real) -- store -- backend
//!        |               |                      |                     |             |         |
//!        +---------------+---------- machine: order, time, randomness, from the seed ---------+
//!        +-------------------------- ledger: what must always hold ---------------------------+
//! ```
//!
//! It refuses to know how client and server work inside: it sees what applications, backends, networks and stores see.
//!
//! | module | holds |
//! |---|---|
//! | `machine`, `random`, `trace` | tasks, time, randomness; what happened |
//! | `network` | connections, and what goes wrong with them |
//! | `scenario` | who is there and what they do |
//! | `ledger` | what must always hold |
//! | `keys` | the servers' master key |
//! | `planted` | faults to be found |

mod keys;
mod ledger;
mod machine;
mod network;
mod planted;
mod random;
mod scenario;
mod trace;

pub use ledger::{Invariant, Violation};
pub use network::{Fate, Way};
pub use planted::Planted;
pub use scenario::{Outcome, Simulation};
