//! The ways in over HTTP: the front door of a TCP port, and services for other HTTP servers.
//!
//! [`endpoint`] is `/chat/2.0` without any HTTP framework. [`front_door`] and [`service`] speak HTTP for it.

mod endpoint;
mod front_door;
mod health;
mod service;
mod web;

use std::{fmt, net::IpAddr, sync::Arc};

use chatcamp_runtime::Runtime;
use chatcamp_transport::long_poll::Hub;

#[cfg(feature = "api")]
use crate::api::Api;
use crate::{Limits, admission::Admission, bodies::Bodies, operations::Operations, shutdown::Shutdown};

pub(crate) use self::{endpoint::AdmittedPolls, health::Health};
pub use self::{
    front_door::{FrontDoor, Pages},
    service::{AnswerFuture, ChatService},
};

/// What all ways in over HTTP share.
pub(crate) struct Http {
    pub(crate) admission: Arc<Admission>,
    #[cfg(feature = "api")]
    pub(crate) api: Arc<Api>,
    pub(crate) operations: Arc<Operations>,
    /// The connections over long-poll.
    pub(crate) hub: Hub,
    /// Those of them that have a session.
    pub(crate) admitted_polls: Arc<AdmittedPolls>,
    pub(crate) health: Health,
    /// Bytes of polls' bodies that are being read, and of answers that clients have yet to read, by network address.
    pub(crate) bodies: Arc<Bodies<IpAddr>>,
    pub(crate) limits: Limits,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) shutdown: Arc<Shutdown>,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}
