//! `chatcamp backup` and `chatcamp restore`: the data folder, to a file and back.

use std::{
    env, fmt,
    fs::{self, DirBuilder, File},
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

use chatcamp_server::DataDir;
use clap::Args;
use serde::Serialize;

use crate::{
    context::{Context, keys_file},
    failure::Failure,
    private_file,
};

/// Where a backup goes.
#[derive(Args)]
pub(crate) struct Backup {
    /// The file, which must not be there yet: a SQLite database, complete by itself but for the keys. `-` is stdout.
    file: PathBuf,
    /// Copies the keys too, to FILE.keys: a secret, best kept apart from FILE. Not with `-`.
    #[arg(long)]
    with_keys: bool,
}

/// Where a backup comes from.
#[derive(Args)]
pub(crate) struct Restore {
    /// The file that `chatcamp backup` made; `-` is stdin.
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
        if self.file.as_os_str() == "-" {
            return self.run_to_stdout(context);
        }
        let made = DataDir::back_up(&context.folder, keys_file(), &self.file, self.with_keys)?;
        context.out.print(&BackedUp {
            file: self.file,
            users: made.users,
            bytes: made.bytes,
            keys: made.keys,
            keys_copy: made.keys_copy,
        })
    }

    /// SQLite needs a file to copy to, which is read once it is whole.
    fn run_to_stdout(self, context: &Context) -> Result<(), Failure> {
        if self.with_keys {
            let why = "--with-keys writes a second file, so that it needs the name of the first; without it, copy the file of the keys";
            return Err(Failure::usage(why));
        }
        if io::stdout().is_terminal() {
            return Err(Failure::usage(
                "a backup is not text; redirect stdout to a file or a pipe, or name a file",
            ));
        }
        let spool = Spool::new()?;
        let made = DataDir::back_up(&context.folder, keys_file(), spool.path(), false)?;
        let copied = File::open(spool.path()).and_then(|mut from| {
            let mut to = io::stdout().lock();
            io::copy(&mut from, &mut to)?;
            to.flush()
        });
        copied.map_err(|error| match error.kind() {
            // A part would pass for the whole.
            io::ErrorKind::BrokenPipe => {
                Failure::failed("cannot write the backup: nothing reads stdout any more")
            }
            _ => Failure::because("cannot write the backup to stdout", error),
        })?;
        let done = BackedUp {
            file: self.file,
            users: made.users,
            bytes: made.bytes,
            keys: made.keys,
            keys_copy: None,
        };
        context.out.print_aside(&done)
    }
}

impl Restore {
    /// Puts a backup into the data folder.
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let spool = if self.file.as_os_str() == "-" { Some(Spool::of_stdin()?) } else { None };
        let from = spool.as_ref().map_or(&*self.file, Spool::path);
        let restored = DataDir::restore(&context.folder, keys_file(), from, self.keys, self.force)?;
        context.out.print(&Restored {
            data: context.folder.clone(),
            users: restored.users,
            keys: restored.keys,
            replaced_keys: restored.replaced_keys,
        })
    }
}

/// A file for a stream, in a folder of its own that nobody else can enter; both are gone when this is.
struct Spool {
    folder: PathBuf,
    file: PathBuf,
}

impl Spool {
    fn new() -> Result<Self, Failure> {
        let mut name = [0; 8];
        getrandom::fill(&mut name).map_err(|error| Failure::because("cannot draw a random number", error))?;
        let folder = env::temp_dir().join(format!("chatcamp-{:016x}", u64::from_ne_bytes(name)));
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .create(&folder)
            .map_err(|error| Failure::because(format!("cannot make {}", folder.display()), error))?;
        let file = folder.join("backup");
        Ok(Self { folder, file })
    }

    /// Reads stdin to its end.
    fn of_stdin() -> Result<Self, Failure> {
        if io::stdin().is_terminal() {
            return Err(Failure::usage(
                "a backup is not text; redirect stdin from a file or a pipe, or name a file",
            ));
        }
        let spool = Self::new()?;
        let copied = private_file::create_new(&spool.file)
            .and_then(|mut to| io::copy(&mut io::stdin().lock(), &mut to));
        copied.map_err(|error| {
            Failure::because(format!("cannot copy stdin to {}", spool.file.display()), error)
        })?;
        Ok(spool)
    }

    fn path(&self) -> &Path {
        &self.file
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // What cannot be removed is its owner's alone.
        _ = fs::remove_dir_all(&self.folder);
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
