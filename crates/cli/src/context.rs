//! What every command is given, and what it makes of it: the data folder and the app.

use std::{cell::OnceCell, env, path::PathBuf};

use chatcamp_protocol::AppId;
use chatcamp_server::DataDir;

use crate::{dev_file::DevFile, failure::Failure, output::Output};

/// Names the keyring file, where it is not in the data folder.
const KEYS_FILE: &str = "CHATCAMP_KEYS_FILE";

/// What every command is given.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) out: Output,
    pub(crate) folder: PathBuf,
    /// What the command has opened; closed at its end, whatever still uses it.
    opened: OnceCell<DataDir>,
}

impl Context {
    pub(crate) fn new(out: Output, folder: PathBuf) -> Self {
        Self { out, folder, opened: OnceCell::new() }
    }

    /// Opens the data folder, made if it is not there.
    pub(crate) async fn open(&self) -> Result<&DataDir, Failure> {
        let data = DataDir::open(&self.folder, keys_file()).await?;
        Ok(self.opened.get_or_init(|| data))
    }

    /// Opens the data folder, made if it is not there, as its one server, which closes it.
    ///
    /// With `new_database`, one is made first in a folder that has lost its own.
    pub(crate) async fn open_to_serve(&self, new_database: bool) -> Result<DataDir, Failure> {
        if new_database && let Some(kept) = DataDir::begin_anew(&self.folder, keys_file().as_deref()).await? {
            tracing::warn!("what was in the place of the database is now {}", kept.display());
        }
        Ok(DataDir::open_to_serve(&self.folder, keys_file()).await?)
    }

    /// Opens a data folder that is there: looking into a mistyped one does not make it.
    pub(crate) async fn open_existing(&self) -> Result<&DataDir, Failure> {
        self.must_exist()?;
        let data = DataDir::open_existing(&self.folder, keys_file()).await?;
        Ok(self.opened.get_or_init(|| data))
    }

    /// Opens a data folder that is there only to read it, which works on a full disk too.
    pub(crate) async fn open_to_read(&self) -> Result<&DataDir, Failure> {
        self.must_exist()?;
        let data = DataDir::open_to_read(&self.folder, keys_file()).await?;
        Ok(self.opened.get_or_init(|| data))
    }

    /// Closes what the command has opened, so that the database is one whole file.
    pub(crate) fn close(&mut self) -> Result<(), Failure> {
        self.opened.take().map_or(Ok(()), |data| Ok(data.close()?))
    }

    /// Fails where there is no data folder.
    pub(crate) fn must_exist(&self) -> Result<(), Failure> {
        match DataDir::exists(&self.folder) {
            true => Ok(()),
            false => Err(Failure::failed(format!(
                "there is no data folder {}; `chatcamp dev` makes one, --data names another",
                self.folder.display()
            ))),
        }
    }

    /// The given app, or else the development app of the data folder.
    pub(crate) fn app(&self, given: Option<AppId>) -> Result<AppId, Failure> {
        match given {
            Some(app) => Ok(app),
            None => Ok(self.dev()?.ok_or_else(|| self.no_dev("--app APP_ID"))?.app_id),
        }
    }

    /// What `chatcamp dev` has left in the data folder.
    pub(crate) fn dev(&self) -> Result<Option<DevFile>, Failure> {
        DevFile::read(&self.folder)
    }

    /// The mistake of leaving out an option where there is no development server to take it from.
    pub(crate) fn no_dev(&self, option: &str) -> Failure {
        Failure::usage(format!(
            "give {option}: there is no development server in {} to take it from (`chatcamp dev` makes one)",
            self.folder.display()
        ))
    }
}

/// The keyring file that the environment names.
pub(crate) fn keys_file() -> Option<PathBuf> {
    env::var_os(KEYS_FILE).filter(|file| !file.is_empty()).map(PathBuf::from)
}
