//! The table of requests: each type with its handler and its dialects.
//!
//! The types, with their bodies and responses, are defined in [`chatcamp_protocol::request`].

use std::sync::Arc;

use chatcamp_auth::server::Dialect;
use chatcamp_protocol::{Envelope, request::*};

use super::{Requests, blocks, call::Call, credential, directory, heartbeat, users};
use crate::session::{Session, Work};

/// A row of the table.
#[derive(Debug)]
pub(super) struct RequestType {
    t: &'static str,
    is_native_only: bool,
    handle: fn(Arc<Requests>, &Arc<Session>, &Envelope<'_>) -> Option<Work>,
}

macro_rules! handlers {
    ($($request:ident => $handler:path, $how:ident, native only: $is_native_only:literal;)+) => {
        const ALL: &[RequestType] = &[$(RequestType {
            t: $request::TYPE,
            is_native_only: $is_native_only,
            handle: |requests, session, envelope| {
                let call = Call::<$request>::new(requests, session, envelope.r);
                let request = call.read(envelope)?;
                handlers!(@$how call, $handler, request)
            },
        }),+];
    };
    (@waits $call:ident, $handler:path, $request:ident) => {
        Some(Work::new(async move { $call.finish($handler(&$call, $request).await) }))
    };
    (@at_once $call:ident, $handler:path, $request:ident) => {{
        $call.finish($handler(&$call, $request));
        None
    }};
}

handlers! {
    GetUser           => users::get,          waits,   native only: false;
    UpdateUser        => users::update,       waits,   native only: false;
    ListUsers         => directory::list,     waits,   native only: false;
    CountUsers        => directory::count,    waits,   native only: false;
    BlockUser         => blocks::block,       waits,   native only: false;
    UnblockUser       => blocks::unblock,     waits,   native only: false;
    ListBlockedUsers  => blocks::list,        waits,   native only: false;
    RefreshCredential => credential::refresh, waits,   native only: true;
    Ping              => heartbeat::ping,     at_once, native only: true;
}

impl RequestType {
    /// Finds a type of requests; returns `None` if the dialect has no such request.
    pub(super) fn of(t: &str, dialect: Dialect) -> Option<&'static Self> {
        let request = ALL.iter().find(|request| request.t == t)?;
        (dialect == Dialect::Native || !request.is_native_only).then_some(request)
    }

    /// Handles a request. Returns the work that remains; `None` if it is acknowledged already.
    pub(super) fn handle(
        &self,
        requests: Arc<Requests>,
        session: &Arc<Session>,
        envelope: &Envelope<'_>,
    ) -> Option<Work> {
        (self.handle)(requests, session, envelope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_of_the_protocol_has_a_handler() {
        let types: Vec<_> = ALL.iter().map(|request| request.t).collect();
        assert_eq!(types, TYPES);
    }

    #[test]
    fn a_dialect_has_only_its_own_requests() {
        for (t, native, published) in
            [(GetUser::TYPE, true, true), (Ping::TYPE, true, false), ("users.nonsense", false, false)]
        {
            assert_eq!(RequestType::of(t, Dialect::Native).is_some(), native, "{t}");
            assert_eq!(RequestType::of(t, Dialect::Published).is_some(), published, "{t}");
        }
    }
}
