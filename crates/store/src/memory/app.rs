//! Apps, in the order in which they were created.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use chatcamp_protocol::AppId;

use super::{Kept, Store};
use crate::{App, AppEdit, AppStore, Edited, StoreError, nul, rounding::rounded};

#[async_trait]
impl AppStore for Store {
    async fn create_app(&self, app: App) -> Result<bool, StoreError> {
        nul::check_app(&app)?;
        let mut state = self.state.lock();
        if state.kept(&app.id).is_some() {
            return Ok(false);
        }
        let rounded = rounded(&app.id);
        state.apps.push(Kept {
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
        let by_rounded = || state.apps.iter().find(|kept| kept.rounded.as_ref() == Some(id));
        Ok(state.kept(id).or_else(by_rounded).map(|kept| kept.app.clone()))
    }

    async fn apps(&self) -> Result<Vec<Arc<App>>, StoreError> {
        Ok(self.state.lock().apps.iter().map(|kept| kept.app.clone()).collect())
    }

    async fn edit_app(&self, id: &AppId, edit: AppEdit) -> Result<Option<Arc<App>>, StoreError> {
        let edited = {
            let mut state = self.state.lock();
            let Some(kept) = state.kept_mut(id) else { return Ok(None) };
            let mut app = App::clone(&kept.app);
            if edit(&mut app) == Edited::Keep {
                return Ok(Some(kept.app.clone()));
            }
            let old = &kept.app;
            nul::check_edited_app(old, &app)?;
            kept.app = Arc::new(App { id: id.clone(), created_at: old.created_at, rev: old.rev + 1, ..app });
            kept.app.clone()
        };
        self.changed(id, None);
        Ok(Some(edited))
    }
}
