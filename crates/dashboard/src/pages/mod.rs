//! What is shown: templates, escaped where they compile. What users say of themselves is text, never a link.

mod app;
mod apps;
mod doors;
mod frame;
mod live;
mod parts;
mod settings;
mod snippets;
mod user;
mod users;

use chatcamp_protocol::AppId;
use chatcamp_store::App;
use std::sync::Arc;

pub(crate) use self::{
    doors::{enter, fault, link_is_used, sign_in},
    live::ROWS as LIVE_ROWS,
    user::{GRACES, LIFETIMES},
};
use crate::{fault::Fault, gate::Ask, reply::Reply};

/// Shows a page to somebody who is signed in.
pub(crate) async fn show(path: &str, ask: &Ask<'_>) -> Result<Reply, Fault> {
    match path {
        "/dashboard" | "/dashboard/" => apps::show(ask).await,
        "/dashboard/app" => app::show(ask).await,
        "/dashboard/users" => users::show(ask).await,
        "/dashboard/user" => user::show(ask).await,
        "/dashboard/live" => live::show(ask).await,
        LIVE_ROWS => live::rows(ask).await,
        "/dashboard/settings" => settings::show(ask).await,
        _ => Err(Fault::not_found()),
    }
}

impl Ask<'_> {
    /// The app that the address names.
    async fn app(&self) -> Result<Arc<App>, Fault> {
        let id = AppId::new(self.query.text("app")).map_err(|_| Fault::not_found())?;
        Ok(self.dashboard.accounts.app(&id).await?)
    }

    /// Where apps reach the chat.
    fn chat_url(&self) -> String {
        self.dashboard.chat_url.clone().unwrap_or_else(|| self.origin.to_string())
    }

    fn now(&self) -> u64 {
        self.dashboard.clock.now()
    }
}
