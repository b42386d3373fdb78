//! For those who write transports, or test what runs over them: the conformance suite, and faults on demand.

mod conformance;
mod faulty;
#[cfg(feature = "long-poll")]
mod faulty_exchange;

pub use conformance::conformance;
pub use faulty::{At, Fault, Faulty, plan};
#[cfg(feature = "long-poll")]
pub use faulty_exchange::{ExchangeFault, FaultyExchange};
