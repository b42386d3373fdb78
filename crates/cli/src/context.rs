//! The context of a command: its output, its data folder and its app.

use std::{cell::OnceCell, env, path::PathBuf, sync::Arc};

use chatcamp_protocol::AppId;
use chatcamp_server::{Accounts, DataDir};
use chatcamp_store::App;
use clap::Args;

use crate::{dev_file::DevFile, escape::field, failure::Failure, output::Output};

/// The environment variable that names a keyring file outside the data folder.
const KEYS_FILE: &str = "CHATCAMP_KEYS_FILE";

/// The maximum number of apps that an error lists.
const LISTED: usize = 20;

/// The app that a command works on.
#[derive(Args)]
pub(crate) struct InApp {
    /// The app id. By default the app of `chatcamp dev` in the data folder, or the only app there.
    #[arg(long, value_name = "APP_ID", env = "CHATCAMP_APP")]
    pub(crate) app: Option<AppId>,
}

/// The context of a command.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) out: Output,
    pub(crate) folder: PathBuf,
    /// The data folder that the command has opened; closed when the command ends.
    opened: OnceCell<DataDir>,
}

impl Context {
    pub(crate) fn new(out: Output, folder: PathBuf) -> Self {
        Self { out, folder, opened: OnceCell::new() }
    }

    /// Opens the data folder; creates it if it does not exist.
    pub(crate) async fn open(&self) -> Result<&DataDir, Failure> {
        let data = DataDir::open(&self.folder, keys_file()).await?;
        Ok(self.opened.get_or_init(|| data))
    }

    /// Opens the data folder as its only server; creates it if it does not exist. The caller closes it.
    ///
    /// With `new_database`, first creates an empty database in a folder that has lost its own.
    pub(crate) async fn open_to_serve(&self, new_database: bool) -> Result<DataDir, Failure> {
        if new_database && let Some(kept) = DataDir::begin_anew(&self.folder, keys_file().as_deref()).await? {
            tracing::warn!("the previous database file is now {}", kept.display());
        }
        Ok(DataDir::open_to_serve(&self.folder, keys_file()).await?)
    }

    /// Opens an existing data folder; a mistyped name is not created.
    pub(crate) async fn open_existing(&self) -> Result<&DataDir, Failure> {
        self.must_exist()?;
        let data = DataDir::open_existing(&self.folder, keys_file()).await?;
        Ok(self.opened.get_or_init(|| data))
    }

    /// Opens an existing data folder for reading, which also works on a full disk.
    pub(crate) async fn open_to_read(&self) -> Result<&DataDir, Failure> {
        self.must_exist()?;
        let data = DataDir::open_to_read(&self.folder, keys_file()).await?;
        Ok(self.opened.get_or_init(|| data))
    }

    /// Closes the data folder that the command has opened, so that the database is one complete file.
    pub(crate) fn close(&mut self) -> Result<(), Failure> {
        self.opened.take().map_or(Ok(()), |data| Ok(data.close()?))
    }

    /// Fails if the data folder does not exist.
    pub(crate) fn must_exist(&self) -> Result<(), Failure> {
        if DataDir::exists(&self.folder) {
            return Ok(());
        }
        Err(Failure::failed(format!(
            "the data folder {} does not exist; create it with `chatcamp dev`, or name another with --data",
            self.folder.display()
        )))
    }

    /// Opens an existing data folder for changes to an app of it.
    pub(crate) async fn open_app(&self, of: InApp) -> Result<(AppId, Accounts), Failure> {
        let accounts = self.open_existing().await?.accounts();
        Ok((self.app(of).await?, accounts))
    }

    /// Opens an existing data folder to read from an app of it.
    pub(crate) async fn open_app_to_read(&self, of: InApp) -> Result<(AppId, Accounts), Failure> {
        let accounts = self.open_to_read().await?.accounts();
        Ok((self.app(of).await?, accounts))
    }

    /// Returns the given app, or by default the development app of the data folder, or its only app.
    pub(crate) async fn app(&self, of: InApp) -> Result<AppId, Failure> {
        if let Some(app) = of.app {
            return Ok(app);
        }
        if let Some(dev) = self.dev()? {
            return Ok(dev.app_id);
        }
        if !DataDir::exists(&self.folder) {
            return Err(self.no_dev("--app APP_ID"));
        }
        if let Some(data) = self.opened.get() {
            return self.only_app(&data.accounts().apps().await?);
        }
        let data = DataDir::open_to_read(&self.folder, keys_file()).await?;
        let apps = data.accounts().apps().await;
        data.close()?;
        self.only_app(&apps?)
    }

    fn only_app(&self, apps: &[Arc<App>]) -> Result<AppId, Failure> {
        let folder = self.folder.display();
        match apps {
            [] => Err(Failure::failed(format!(
                "{folder} has no app; create one with `chatcamp app create NAME --auth token`"
            ))),
            [app] => Ok(app.id.clone()),
            apps => {
                let listed = apps.iter().take(LISTED).map(|app| format!("{} ({})", app.id, field(&app.name)));
                let mut listed = listed.collect::<Vec<_>>().join(", ");
                if apps.len() > LISTED {
                    listed += ", …; `chatcamp app list` lists all";
                }
                Err(Failure::usage(format!(
                    "--app APP_ID is missing, and {folder} has {} apps: {listed}",
                    apps.len()
                )))
            }
        }
    }

    /// Reads the file that `chatcamp dev` has written into the data folder.
    pub(crate) fn dev(&self) -> Result<Option<DevFile>, Failure> {
        DevFile::read(&self.folder)
    }

    /// Returns the error for a missing option that could not be taken from a development server.
    pub(crate) fn no_dev(&self, option: &str) -> Failure {
        Failure::usage(format!(
            "{option} is missing, and {} has no development server to take it from; start one with `chatcamp dev`",
            self.folder.display()
        ))
    }
}

/// Returns the keyring file that the environment names, if any.
pub(crate) fn keys_file() -> Option<PathBuf> {
    env::var_os(KEYS_FILE).filter(|file| !file.is_empty()).map(PathBuf::from)
}
