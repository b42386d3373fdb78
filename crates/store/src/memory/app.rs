//! Apps, in order of creation.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use chatcamp_protocol::AppId;

use super::{AppRecords, Store};
use crate::{App, AppEdit, AppStore, Edited, StoreError, nul, rounding::rounded};

#[async_trait]
impl AppStore for Store {
    async fn create_app(&self, app: App) -> Result<bool, StoreError> {
        nul::check_app(&app)?;
        let mut state = self.state.lock();
        if state.app(&app.id).is_some() {
            return Ok(false);
        }
        let rounded = rounded(&app.id);
        state.apps.push(AppRecords {
            app: Arc::new(App { rev: 1, ..app }),
            rounded,
            keys: Vec::new(),
            users: BTreeMap::new(),
            blocks: HashMap::new(),
        });
        Ok(true)
    }

    async fn app(&self, id: &AppId) -> Result<Option<Arc<App>>, StoreError> {
        let state = self.state.lock();
        let by_rounded = || state.apps.iter().find(|records| records.rounded.as_ref() == Some(id));
        Ok(state.app(id).or_else(by_rounded).map(|records| records.app.clone()))
    }

    async fn apps(&self) -> Result<Vec<Arc<App>>, StoreError> {
        Ok(self.state.lock().apps.iter().map(|records| records.app.clone()).collect())
    }

    async fn edit_app(&self, id: &AppId, edit: AppEdit) -> Result<Option<Arc<App>>, StoreError> {
        let edited = {
            let mut state = self.state.lock();
            let Some(records) = state.app_mut(id) else { return Ok(None) };
            let mut app = App::clone(&records.app);
            if edit(&mut app) == Edited::Keep {
                return Ok(Some(records.app.clone()));
            }
            let old = &records.app;
            nul::check_edited_app(old, &app)?;
            records.app =
                Arc::new(App { id: id.clone(), created_at: old.created_at, rev: old.rev + 1, ..app });
            records.app.clone()
        };
        self.changed(id, None);
        Ok(Some(edited))
    }
}
