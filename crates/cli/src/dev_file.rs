//! `DATA/dev.json` stores the development app, its API key, the dashboard password and the server's URL.

use std::{fs, io, path::Path};

use chatcamp_protocol::AppId;
use chatcamp_server::{remove_private_drafts, write_private_file};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

const NAME: &str = "dev.json";

/// The development app of a data folder.
#[derive(Serialize, Deserialize)]
pub(crate) struct DevFile {
    pub(crate) app_id: AppId,
    /// A secret; only the owner of the file can read it.
    pub(crate) api_key: String,
    /// The dashboard password, also a secret; `None` if another password has been set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dashboard_password: Option<String>,
    /// The URL of the latest server of the folder, which may have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
}

impl DevFile {
    /// Reads the file. Returns `None` if it does not exist.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, Failure> {
        let path = folder.join(NAME);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|e| Failure::because(format!("cannot read {}", path.display()), e))?,
        };
        // Without the reason, which may quote the key.
        let read = serde_json::from_str(&text).map_err(|_| {
            let path = path.display();
            Failure::failed(format!("{path} is damaged; delete it, and `chatcamp dev` creates another app"))
        })?;
        Ok(Some(read))
    }

    /// Writes the file atomically, and removes what a killed server has left of it. Only the server of the folder may call this.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Failure> {
        let path = folder.join(NAME);
        let json = serde_json::to_vec_pretty(self).map_err(io::Error::from);
        let written = json.and_then(|json| {
            remove_private_drafts(&path)?;
            write_private_file(&path, &json)
        });
        written.map_err(|e| Failure::because(format!("cannot write {}", path.display()), e))
    }
}
