//! Why a verb failed.

use std::{error, fmt};

/// What a verb returns when it fails: what is wrong, for people.
pub(crate) type Failure = Box<dyn error::Error>;

/// A failure that was printed already.
#[derive(Debug)]
pub(crate) struct Reported;

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed, as printed above")
    }
}

impl error::Error for Reported {}
