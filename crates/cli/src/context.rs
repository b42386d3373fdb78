//! What every command is given, and what it makes of it: the data folder and the app.

use std::{env, path::PathBuf};

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
}

impl Context {
    /// Opens the data folder, made if it is not there.
    pub(crate) async fn open(&self) -> Result<DataDir, Failure> {
        Ok(DataDir::open(&self.folder, keys_file()).await?)
    }

    /// Opens the data folder, made if it is not there, as its one server.
    pub(crate) async fn open_to_serve(&self) -> Result<DataDir, Failure> {
        Ok(DataDir::open_to_serve(&self.folder, keys_file()).await?)
    }

    /// Opens a data folder that is there: looking into a mistyped one does not make it.
    pub(crate) async fn open_existing(&self) -> Result<DataDir, Failure> {
        self.must_exist()?;
        self.open().await
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
