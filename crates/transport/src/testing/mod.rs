//! For those who write transports, or test what runs over them: the conformance suite, and faults on demand.

mod conformance;
mod faulty;

pub use conformance::conformance;
pub use faulty::{At, Fault, Faulty};
