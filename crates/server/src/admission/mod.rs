//! From an open connection to a session: pending connections, the handshake, and the checks of credentials.

mod authenticator;
mod descriptors;
mod handshake;
mod pending;
mod rates;
mod refused_origins;
mod revalidation;

use std::{fmt, sync::Arc};

use chatcamp_auth::{Authenticator, Keyring};
use chatcamp_transport::Connection;

use crate::{
    session::{Driver, Handler},
    sessions::Sessions,
    shutdown::Task,
};

pub(crate) use self::{
    authenticator::{StoreAuthenticator, stays},
    pending::{PendingConnections, PendingGuard, PendingKind},
    rates::{Rates, is_guess},
    refused_origins::RefusedOrigins,
    revalidation::Revalidation,
};

pub use self::{
    pending::PendingConnection,
    refused_origins::{ClientOrigin, RefusedOrigin},
};

/// Admits connections: runs their handshakes, with the parts that these need.
pub(crate) struct Admitter {
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) pending: Arc<PendingConnections>,
    pub(crate) rates: Arc<Rates>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) refused_origins: Arc<RefusedOrigins>,
    pub(crate) revalidation: Arc<Revalidation>,
    /// Handles the requests of the sessions that are opened.
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) max_sessions_per_user: usize,
}

impl Admitter {
    /// Serves one connection. The future completes when the connection has ended.
    pub(crate) fn serve(self: &Arc<Self>, connection: Connection) -> impl Future<Output = ()> + Send + use<> {
        self.serve_while::<(), fn()>(connection, || ())
    }

    /// Serves one connection, and keeps the output of `admitted` while the connection has a session.
    pub(crate) fn serve_while<T: Send, F: FnOnce() -> T + Send>(
        self: &Arc<Self>,
        connection: Connection,
        admitted: F,
    ) -> impl Future<Output = ()> + Send + use<T, F> {
        let guard = self.pending.enter(connection.info().peer.map(|p| p.ip()), PendingKind::Handshake);
        let task = self.sessions.shutdown.enter();
        // Boxed here, so that the task of an idle connection keeps neither the memory of the handshake nor its arguments.
        let admitting = Box::pin(self.clone().admit(task, connection, guard));
        async move {
            if let Some(driver) = admitting.await {
                let _admitted = admitted();
                driver.await;
            }
        }
    }

    /// Runs the handshake of an open connection. Returns the driver of its session; `None` if it did not get a session.
    pub(crate) async fn admit(
        self: Arc<Self>,
        task: Task,
        connection: Connection,
        guard: PendingGuard,
    ) -> Option<Driver> {
        handshake::run(task, self, connection, guard).await
    }
}

impl fmt::Debug for Admitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitter").field("sessions", &self.sessions).finish_non_exhaustive()
    }
}
