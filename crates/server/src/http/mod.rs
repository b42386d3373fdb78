//! HTTP: the front door, which serves a TCP port, and a `tower` service for other HTTP servers.
//!
//! [`endpoint`] is `/chat/2.0` without an HTTP framework; [`front_door`] and [`service`] read and write HTTP for it.

mod endpoint;
mod front_door;
mod health;
mod proxies;
mod public_url;
mod service;
#[cfg(feature = "tls")]
mod tls;
mod web;

use std::{fmt, net::IpAddr, sync::Arc};

use chatcamp_runtime::Runtime;
use chatcamp_transport::long_poll::Hub;

#[cfg(feature = "api")]
use crate::api::Api;
use crate::{
    Limits, Proxies, admission::Admitter, bodies::Bodies, operations::Operations, shutdown::Shutdown,
};

#[cfg(feature = "tls")]
pub use self::tls::{CertificateFiles, Tls, TlsError};
pub(crate) use self::{endpoint::AdmittedPolls, health::Health};
pub use self::{
    front_door::{FrontDoor, Pages},
    proxies::ClientInfo,
    public_url::{InvalidPublicUrl, PublicUrl},
    service::{AnswerFuture, ChatService},
};

/// What the front door and the service share.
pub(crate) struct Http {
    pub(crate) admission: Arc<Admitter>,
    #[cfg(feature = "api")]
    pub(crate) api: Arc<Api>,
    pub(crate) operations: Arc<Operations>,
    /// The long-poll connections.
    pub(crate) hub: Hub,
    /// The long-poll connections that have a session.
    pub(crate) admitted_polls: Arc<AdmittedPolls>,
    pub(crate) health: Health,
    /// Bytes of request bodies being read and of answers that clients have not read yet, by network address.
    pub(crate) bodies: Arc<Bodies<IpAddr>>,
    pub(crate) limits: Limits,
    /// The address at which browsers and clients reach the server, if it was set.
    pub(crate) public_url: Option<PublicUrl>,
    pub(crate) proxies: Proxies,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) shutdown: Arc<Shutdown>,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}
