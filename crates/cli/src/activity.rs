//! One line for what a user or a backend does, for `chatcamp dev`: the time, the user, and what happened.
//!
//! ```text
//! 21:50:57  alice             connected over websocket
//! 21:51:02  alice             event order.paid: delivered to 1 session
//! 21:51:09  bob               refused: ACCESS_TOKEN_REQUIRED: this user must present an access token; …
//! ```

use std::{fmt, path::PathBuf};

use anstyle::Style;
use chatcamp_protocol::{AppId, Code};
use chatcamp_server::ACTIVITY;
use jiff::Zoned;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use crate::{
    colour::{self, BAD, DIM, EVENT, GOOD, WARNING},
    dev_file::DevFile,
    escape::{field, shell_word},
    invocation::next_command,
};

/// The app of the self-check, whose activity is not shown.
pub(crate) const SELF_CHECK: &str = "self-check";

/// Formats activity as lines for people, and all other events as `F` does.
pub(crate) struct Format<F> {
    pub(crate) others: F,
    /// The data folder, for commands to try.
    pub(crate) folder: PathBuf,
}

/// What an event of [`ACTIVITY`] says.
#[derive(Default)]
struct Activity {
    message: String,
    app: String,
    user: Option<String>,
    users: Option<String>,
    transport: Option<String>,
    code: Option<String>,
    reason: String,
    kind: Option<String>,
    delivered: u64,
    queued: u64,
}

/// Writes the local time.
pub(crate) fn write_time(to: &mut Writer<'_>) -> fmt::Result {
    write!(to, "{}", Zoned::now().strftime("%H:%M:%S"))
}

impl<S, N, F> FormatEvent<S, N> for Format<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if event.metadata().target() != ACTIVITY {
            return self.others.format_event(context, to, event);
        }
        let mut activity = Activity::default();
        event.record(&mut activity);
        if activity.app == SELF_CHECK {
            return Ok(());
        }
        let is_coloured = to.has_ansi_escapes();
        let paint = |style: Style| if is_coloured { style } else { Style::new() };
        let dim = paint(DIM);
        write!(to, "{dim}")?;
        write_time(&mut to)?;
        let what = self.what(&activity);
        let what = colour::begin(&what, what.find(": ").unwrap_or(what.len()), paint(activity.style()));
        writeln!(to, "{dim:#}  {:<16}  {what}", activity.who())
    }
}

impl<F> Format<F> {
    /// Returns what happened, and what to do about a refusal.
    fn what(&self, activity: &Activity) -> String {
        let mut what = activity.message.clone();
        if let Some(kind) = &activity.kind {
            what += &format!(" {}: {}", field(kind), activity.outcome());
        }
        match (&activity.code, &activity.transport) {
            (Some(code), _) => what += &format!(": {code}: {}", field(&activity.reason)),
            (None, Some(transport)) => what += &format!(" over {transport}"),
            (None, None) => {}
        }
        if let Some(remedy) = self.remedy(activity) {
            what += &remedy;
        }
        what
    }

    /// Returns what to do about a refusal, if its reason does not say it.
    fn remedy(&self, activity: &Activity) -> Option<String> {
        let code = Code::from_wire(activity.code.as_ref()?)?;
        let user = activity.user.as_ref()?;
        match code {
            Code::AccessTokenRequired | Code::AccessTokenInvalid => {
                let app = AppId::new(&activity.app).ok()?;
                let command = format!("user token {}", shell_word(user));
                let is_default = DevFile::read(&self.folder).ok()?.is_some_and(|dev| dev.app_id == app);
                let command = next_command(&command, &self.folder, (!is_default).then_some(&app));
                Some(format!("; `{}` prints one", field(&command)))
            }
            Code::AppNotFound => Some(format!("; the client named {}", field(&activity.app))),
            _ => None,
        }
    }
}

impl Activity {
    /// Returns who did it.
    fn who(&self) -> String {
        match (&self.user, &self.users) {
            (Some(user), _) => field(user),
            (None, Some(users)) => format!("{users} users"),
            (None, None) if self.transport.is_none() => "a backend".into(),
            (None, None) => "a client".into(),
        }
    }

    /// Returns what became of an event.
    fn outcome(&self) -> String {
        let sessions = |n| if n == 1 { "1 session".into() } else { format!("{n} sessions") };
        match (self.delivered, self.queued) {
            (0, 0) => "lost, no recipient has a session".into(),
            (0, queued) => format!("queued for {}, which may come back", sessions(queued)),
            (delivered, 0) => format!("delivered to {}", sessions(delivered)),
            (delivered, queued) => format!("delivered to {}, queued for {queued}", sessions(delivered)),
        }
    }

    fn style(&self) -> Style {
        match (&self.code, &self.kind, &*self.message) {
            (Some(_), ..) => BAD,
            (None, Some(_), _) => EVENT,
            (None, None, "connected" | "resumed") => GOOD,
            (None, None, "disconnected") => Style::new(),
            _ => WARNING,
        }
    }
}

impl Visit for Activity {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "delivered" => self.delivered = value,
            "queued" => self.queued = value,
            _ => self.record_str(field, &value.to_string()),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let text = match field.name() {
            "message" => &mut self.message,
            "app" => &mut self.app,
            "reason" => &mut self.reason,
            "user" => self.user.get_or_insert_default(),
            "users" => self.users.get_or_insert_default(),
            "transport" => self.transport.get_or_insert_default(),
            "code" => self.code.get_or_insert_default(),
            "kind" => self.kind.get_or_insert_default(),
            _ => return,
        };
        value.clone_into(text);
    }
}
