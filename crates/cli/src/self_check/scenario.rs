//! The scenarios, which do not depend on a transport.

use std::time::{Duration, Instant};

use chatcamp_client::{
    ConnectError, EndReason, Event, ProfileUpdate, RequestError, State, User, request::GetUser,
};
use chatcamp_protocol::Code;

use super::{CheckError, Subject};

/// The longest a scenario may take.
const LIMIT: Duration = Duration::from_secs(5);
/// The user who connects by user id alone.
const GUEST: &str = "guest";

/// A check of a server and its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// A user connects by user id alone, and the client reports it.
    ConnectById,
    /// A user connects with an access token, and gets the same token back.
    ConnectByToken,
    /// A wrong access token is refused.
    WrongTokenRefused,
    /// A request is answered, and another session sees the change.
    Request,
    /// A user disconnects, no state remains, and the user can connect again.
    Disconnect,
}

/// The outcome of a scenario.
#[derive(Debug)]
pub struct Outcome {
    /// The scenario.
    pub scenario: Scenario,
    /// The time it took, or why it failed.
    pub result: Result<Duration, CheckError>,
}

impl Scenario {
    /// Every scenario.
    pub const ALL: [Self; 5] =
        [Self::ConnectById, Self::ConnectByToken, Self::WrongTokenRefused, Self::Request, Self::Disconnect];

    /// Returns the name, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConnectById => "connect by id",
            Self::ConnectByToken => "connect by token",
            Self::WrongTokenRefused => "wrong token refused",
            Self::Request => "request",
            Self::Disconnect => "disconnect",
        }
    }

    /// Runs the scenario once.
    pub(super) async fn run(self, subject: &Subject) -> Outcome {
        let outcome = tokio::time::timeout(LIMIT, async {
            match self {
                Self::ConnectById => connect_by_id(subject).await,
                Self::ConnectByToken => connect_by_token(subject).await,
                Self::WrongTokenRefused => wrong_token_refused(subject).await,
                Self::Request => request(subject).await,
                Self::Disconnect => disconnect(subject).await,
            }
        });
        let result = outcome.await.unwrap_or(Err(CheckError::TimedOut(LIMIT)));
        Outcome { scenario: self, result }
    }
}

async fn connect_by_id(subject: &Subject) -> Result<Duration, CheckError> {
    let chat = subject.client()?;
    let mut events = chat.events();
    let started = Instant::now();
    let user = chat.connect(GUEST).await?;
    let took = started.elapsed();
    expect(user.id.as_str() == GUEST, || format!("connected as {}, not as {GUEST}", user.id))?;
    expect(user.access_token.is_none(), || "got a token although none was presented".into())?;
    let event = events.next().await;
    let told = matches!(&event, Some(Event::Connected { transport, .. }) if *transport == subject.transport);
    expect(told, || format!("the first event is {event:?}"))?;
    chat.disconnect().await;
    Ok(took)
}

async fn connect_by_token(subject: &Subject) -> Result<Duration, CheckError> {
    let chat = subject.client()?;
    let started = Instant::now();
    let user = chat.connect((&subject.user, subject.token.clone())).await?;
    let took = started.elapsed();
    expect(user.id == subject.user, || format!("connected as {}, not as {}", user.id, subject.user))?;
    expect(user.access_token.as_ref() == Some(&subject.token), || "got another token back".into())?;
    chat.disconnect().await;
    Ok(took)
}

async fn wrong_token_refused(subject: &Subject) -> Result<Duration, CheckError> {
    let chat = subject.client()?;
    let started = Instant::now();
    let refused = chat.connect((&subject.user, "somebody else's access token")).await;
    let took = started.elapsed();
    match refused {
        Err(ConnectError::Refused(refusal)) if refusal.code == Code::AccessTokenInvalid.as_str() => Ok(took),
        Err(error) => Err(error.into()),
        Ok(_) => Err(CheckError::Unexpected("a wrong token was accepted".into())),
    }
}

async fn request(subject: &Subject) -> Result<Duration, CheckError> {
    let chat = subject.client()?;
    chat.connect(GUEST).await?;
    // A new name each time, so that the answer to an earlier request cannot pass.
    let name = format!("Guest over {} {:x}", subject.transport, getrandom::u32().unwrap_or(0));
    let update = ProfileUpdate { display_name: Some(name.clone()), ..ProfileUpdate::default() };
    let started = Instant::now();
    let user = chat.update_user(update).await?;
    let took = started.elapsed();
    let named = |user: &User| user.profile.display_name == name;
    expect(named(&user), || "the response is not the changed user".into())?;
    let seen = subject.client()?.connect(GUEST).await?;
    expect(named(&seen), || "another session does not see the change".into())?;
    chat.disconnect().await;
    Ok(took)
}

async fn disconnect(subject: &Subject) -> Result<Duration, CheckError> {
    let chat = subject.client()?;
    chat.connect(GUEST).await?;
    let started = Instant::now();
    chat.disconnect().await;
    let took = started.elapsed();
    expect(chat.current_user().is_none(), || "there is still a current user".into())?;
    let state = chat.state();
    let ended = matches!(state, State::Disconnected(EndReason::ByUs));
    expect(ended, || format!("the state is {state:?}"))?;
    let answer = chat.send(GetUser::default()).await;
    let refused = matches!(answer, Err(RequestError::NotConnected));
    expect(refused, || format!("a request after the disconnect returned {answer:?}"))?;
    chat.connect(GUEST).await?;
    chat.disconnect().await;
    Ok(took)
}

fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), CheckError> {
    if holds { Ok(()) } else { Err(CheckError::Unexpected(otherwise())) }
}
