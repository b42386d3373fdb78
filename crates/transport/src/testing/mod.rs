//! For tests of transports and of code that uses them: the conformance suite and fault injection.

mod conformance;
mod faulty;
#[cfg(feature = "long-poll")]
mod faulty_exchange;

pub use conformance::conformance;
pub use faulty::{At, Fault, Faulty, plan};
#[cfg(feature = "long-poll")]
pub use faulty_exchange::{ExchangeFault, FaultyExchange};
