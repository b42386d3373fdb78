//! `chatcamp backup` and `chatcamp restore`: the data folder, to a file and back.

use std::{fmt, path::PathBuf};

use chatcamp_server::DataDir;
use clap::Args;
use serde::Serialize;

use crate::{
    context::{Context, keys_file},
    failure::Failure,
};

/// Where a backup goes.
#[derive(Args)]
pub(crate) struct Backup {
    /// The file, which must not be there yet: a SQLite database, complete by itself but for the keys.
    file: PathBuf,
    /// Copies the keys too, to FILE.keys: a secret, best kept apart from FILE.
    #[arg(long)]
    with_keys: bool,
}

/// Where a backup comes from.
#[derive(Args)]
pub(crate) struct Restore {
    /// The file that `chatcamp backup` made.
    file: PathBuf,
    /// The file of its keys; FILE.keys otherwise, where the keys in the data folder are not the right ones.
    #[arg(long, value_name = "KEYS")]
    keys: Option<PathBuf>,
    /// Replaces a database that is there; keys that are not the right ones are kept under another name.
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
struct BackedUp {
    file: PathBuf,
    users: u64,
    bytes: u64,
    /// The keyring in use.
    keys: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys_copy: Option<PathBuf>,
}

#[derive(Serialize)]
struct Restored {
    data: PathBuf,
    users: u64,
    keys: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced_keys: Option<PathBuf>,
}

impl Backup {
    /// Copies the database as it is at this moment.
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        context.must_exist()?;
        let made = DataDir::back_up(&context.folder, keys_file(), &self.file, self.with_keys)?;
        context.out.print(&BackedUp {
            file: self.file,
            users: made.users,
            bytes: made.bytes,
            keys: made.keys,
            keys_copy: made.keys_copy,
        })
    }
}

impl Restore {
    /// Puts a backup into the data folder.
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let restored = DataDir::restore(&context.folder, keys_file(), &self.file, self.keys, self.force)?;
        context.out.print(&Restored {
            data: context.folder.clone(),
            users: restored.users,
            keys: restored.keys,
            replaced_keys: restored.replaced_keys,
        })
    }
}

impl fmt::Display for BackedUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "backup  {}    {} users, {} bytes", self.file.display(), self.users, self.bytes)?;
        match &self.keys_copy {
            Some(copy) => {
                writeln!(f, "keys    {}    a secret; keep it apart from the backup", copy.display())?;
            }
            None => {
                writeln!(f, "keys    {}    not in the backup; back them up, too, once", self.keys.display())?;
            }
        }
        write!(f, "A restore needs both: without the keys every access token and API key is void.")
    }
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "restored  {}    {} users", self.data.display(), self.users)?;
        writeln!(f, "keys      {}", self.keys.display())?;
        if let Some(replaced) = &self.replaced_keys {
            writeln!(f, "the keys that were there before are now {}", replaced.display())?;
        }
        write!(f, "What was revoked or suspended after the backup was made is good again.")
    }
}
