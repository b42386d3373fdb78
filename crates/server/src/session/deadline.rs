//! The deadlines of a session, and when to check them next.

use std::time::Duration;

use chatcamp_auth::{server::Dialect, token::LEEWAY};
use chatcamp_protocol::{Code, limits};

use super::{Phase, Session, State, seconds};

/// The number of seconds ahead that a check can be scheduled. Before a later deadline, the session is checked in between.
pub(crate) const SPAN: u32 = 64;

/// The silence after which a native client is pinged, because its own ping is late.
const LATE: Duration = Duration::from_secs(30);

/// The result of checking the deadlines.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// No check to schedule: the session is over, or another check is scheduled.
    Nothing,
    /// Check again at this second.
    Later(u32),
    /// End the session: its credential has expired.
    End(Code),
    /// End the connection of this number: its client is silent, or does not take messages.
    EndConnection(Code, u32),
    /// End the detached session: its client did not resume it in time.
    EndDetached,
    /// Drop the connection of this number: its peer did not confirm the close in time.
    Abort(u32),
}

/// Returns the second nearest to `at` for which a check can be scheduled at second `now`.
pub(crate) fn reachable(at: u32, now: u32) -> u32 {
    at.clamp(now + 1, now + SPAN - 1)
}

impl Session {
    /// Requests a check at second `at` at the latest. Returns the second to schedule; `None` if an earlier check is scheduled.
    pub(crate) fn check_by(&self, at: u32, now: u32) -> Option<u32> {
        let mut state = self.state.lock();
        let at = reachable(at, now);
        (at < state.next_check).then(|| {
            state.next_check = at;
            at
        })
    }

    /// Checks the deadlines at second `now`.
    pub(crate) fn on_deadline(&self, now: u32, unix_now: u64) -> Due {
        let mut state = self.state.lock();
        if now < state.next_check {
            return Due::Nothing;
        }
        if state.is_busy {
            // Nothing is read during a request, so the client is not silent.
            state.last_heard = now;
        }
        state.next_check = u32::MAX;
        let due = match state.phase {
            Phase::Over => Due::Nothing,
            Phase::Closing { until, .. } if now >= until => Due::Abort(state.epoch),
            Phase::Closing { until, .. } => Due::Later(until),
            Phase::Detached { until, .. } if now >= until => Due::EndDetached,
            Phase::Detached { until, .. } => Due::Later(until),
            Phase::Opening | Phase::Open => state.check(self.dialect, now, unix_now),
        };
        match due {
            Due::Later(at) => {
                state.next_check = reachable(at, now);
                Due::Later(state.next_check)
            }
            due => due,
        }
    }
}

impl State {
    /// Checks silence, a peer that takes no messages, and the expiry of the credential.
    fn check(&mut self, dialect: Dialect, now: u32, unix_now: u64) -> Due {
        let until_expiry = self
            .auth
            .valid_until
            .map(|end| end.saturating_add(LEEWAY.as_secs() + 1).saturating_sub(unix_now));
        if until_expiry == Some(0) {
            return Due::End(Code::AccessTokenExpired);
        }
        if now.saturating_sub(self.last_heard) >= seconds(limits::SILENCE) {
            return Due::EndConnection(Code::IdleTimeout, self.epoch);
        }
        let stalled = self.link.as_ref().and_then(|link| link.stalled_since);
        let stall_ends = stalled.map_or(u32::MAX, |since| since + seconds(limits::STALLED));
        if now >= stall_ends {
            return Due::EndConnection(Code::SlowConsumer, self.epoch);
        }
        // A published SDK does not detect a dead connection, and a native client in a hidden page may send its ping late. Their
        // browsers answer the server's ping.
        let patience = if dialect == Dialect::Published { limits::HEARTBEAT } else { LATE };
        let mut next = self.last_heard + seconds(patience);
        if now >= next {
            next = self.last_heard + seconds(limits::SILENCE);
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
