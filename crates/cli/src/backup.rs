//! `chatcamp backup` and `chatcamp restore`: copies the database of a data folder to a file, and back.

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

/// Arguments of `chatcamp backup`.
#[derive(Args)]
pub(crate) struct Backup {
    /// The file to create, which must not exist yet: a complete SQLite database without the keys. `-` is stdout.
    file: PathBuf,
    /// Also copies the keys to FILE.keys, which is a secret; keep it apart from FILE. Not allowed with `-`.
    #[arg(long)]
    with_keys: bool,
}

/// Arguments of `chatcamp restore`.
#[derive(Args)]
pub(crate) struct Restore {
    /// The file that `chatcamp backup` made; `-` is stdin.
    file: PathBuf,
    /// The file with its keys. By default FILE.keys, used if the keys in the data folder do not match the backup.
    #[arg(long, value_name = "KEYS")]
    keys: Option<PathBuf>,
    /// Replaces an existing database; keys that do not match are kept under another name.
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
    /// Copies the current database to the file.
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

    /// Copies the database to a temporary file, because SQLite needs a file, and then the file to stdout.
    fn run_to_stdout(self, context: &Context) -> Result<(), Failure> {
        if self.with_keys {
            let why = "--with-keys needs a file name, because it writes a second file; name a file, or copy the keys yourself";
            return Err(Failure::usage(why));
        }
        if io::stdout().is_terminal() {
            return Err(Failure::usage(
                "a backup is binary; redirect stdout to a file or a pipe, or name a file",
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
            // Not `Unread`: the reader would take a partial backup for a complete one.
            io::ErrorKind::BrokenPipe => {
                Failure::failed("cannot write the backup: stdout was closed before the end")
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
    /// Restores the backup into the data folder.
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

/// A temporary file in a folder that only its owner can enter; both are removed on drop.
struct Spool {
    folder: PathBuf,
    file: PathBuf,
}

impl Spool {
    fn new() -> Result<Self, Failure> {
        let mut name = [0; 8];
        getrandom::fill(&mut name)
            .map_err(|error| Failure::because("cannot generate a random number", error))?;
        let folder = env::temp_dir().join(format!("chatcamp-{:016x}", u64::from_ne_bytes(name)));
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .create(&folder)
            .map_err(|error| Failure::because(format!("cannot create {}", folder.display()), error))?;
        let file = folder.join("backup");
        Ok(Self { folder, file })
    }

    /// Reads stdin to its end.
    fn of_stdin() -> Result<Self, Failure> {
        if io::stdin().is_terminal() {
            return Err(Failure::usage(
                "a backup is binary; redirect stdin from a file or a pipe, or name a file",
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
        // If this fails, only the owner can read what remains.
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
                writeln!(f, "keys    {}    not in the backup; back them up once", self.keys.display())?;
            }
        }
        write!(f, "A restore needs both: without the keys, every access token and API key is void.")
    }
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "restored  {}    {} users", self.data.display(), self.users)?;
        writeln!(f, "keys      {}", self.keys.display())?;
        if let Some(replaced) = &self.replaced_keys {
            writeln!(f, "the previous keys are now in {}", replaced.display())?;
        }
        write!(f, "Tokens revoked and users suspended after the backup was made are valid again.")
    }
}
