//! What is due on a session, and when to ask again.

use std::time::Duration;

use chatcamp_auth::{server::Dialect, token::LEEWAY};
use chatcamp_protocol::{Code, limits};

use super::{Phase, Session, State, seconds};

/// Seconds ahead that a deadline can be scheduled; a later one is looked at in between.
pub(crate) const SPAN: u32 = 64;

/// Silence after which a native client, whose ping is late, is asked for a sign of life.
const LATE: Duration = Duration::from_secs(30);

/// What a look at the deadlines finds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing more to ask: the session is over, or another look is on its way.
    Nothing,
    /// Ask again at this second.
    Later(u32),
    /// Its credential has ended.
    End(Code),
    /// Its connection of this number is of no use any more.
    Dismiss(Code, u32),
    /// Its client did not come back in time.
    GiveUp,
    /// The peer of its connection of this number has not agreed to the close in time.
    Abandon(u32),
}

/// Returns the second nearest to `at` that can be scheduled at second `now`.
pub(crate) fn reachable(at: u32, now: u32) -> u32 {
    at.clamp(now + 1, now + SPAN - 1)
}

impl Session {
    /// Wants a look at second `at`, at the latest; answers when the wheel is to come for it, if not already earlier.
    pub(crate) fn look_by(&self, at: u32, now: u32) -> Option<u32> {
        let mut state = self.state.lock();
        let at = reachable(at, now);
        (at < state.look_at).then(|| {
            state.look_at = at;
            at
        })
    }

    /// Looks at the deadlines at second `now`.
    pub(crate) fn on_deadline(&self, now: u32, unix_now: u64) -> Due {
        let mut state = self.state.lock();
        if now < state.look_at {
            return Due::Nothing;
        }
        if state.is_busy {
            // Nothing is read meanwhile, so silence says nothing.
            state.heard = now;
        }
        state.look_at = u32::MAX;
        let due = match state.phase {
            Phase::Over => Due::Nothing,
            Phase::Closing { until, .. } if now >= until => Due::Abandon(state.epoch),
            Phase::Closing { until, .. } => Due::Later(until),
            Phase::Detached { until, .. } if now >= until => Due::GiveUp,
            Phase::Detached { until, .. } => Due::Later(until),
            Phase::Greeting | Phase::Open => state.watch(self.dialect, now, unix_now),
        };
        match due {
            Due::Later(at) => {
                state.look_at = reachable(at, now);
                Due::Later(state.look_at)
            }
            due => due,
        }
    }
}

impl State {
    /// Silence, a peer that takes nothing, and the end of the credential.
    fn watch(&mut self, dialect: Dialect, now: u32, unix_now: u64) -> Due {
        let until_expiry = self
            .vouched
            .valid_until
            .map(|end| end.saturating_add(LEEWAY.as_secs() + 1).saturating_sub(unix_now));
        if until_expiry == Some(0) {
            return Due::End(Code::AccessTokenExpired);
        }
        if now.saturating_sub(self.heard) >= seconds(limits::SILENCE) {
            return Due::Dismiss(Code::IdleTimeout, self.epoch);
        }
        let stalled = self.link.as_ref().and_then(|link| link.stalled_since);
        let stall_ends = stalled.map_or(u32::MAX, |since| since + seconds(limits::STALLED));
        if now >= stall_ends {
            return Due::Dismiss(Code::SlowConsumer, self.epoch);
        }
        // A published SDK does not notice a dead connection, and a native client in a hidden page may be late with its ping:
        // their browsers answer ours.
        let patience = if dialect == Dialect::Published { limits::HEARTBEAT } else { LATE };
        let mut next = self.heard + seconds(patience);
        if now >= next {
            next = self.heard + seconds(limits::SILENCE);
            if let Some(link) = &mut self.link {
                link.carrier.keep_alive();
                link.wake();
            }
        }
        let expiry =
            until_expiry.and_then(|s| u32::try_from(s).ok()).map_or(u32::MAX, |s| now.saturating_add(s));
        Due::Later(next.min(expiry).min(stall_ends))
    }
}
