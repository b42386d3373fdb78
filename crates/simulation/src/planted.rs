//! Faults that no honest network, store or runtime has: planted at the seams of the simulation, to be found.

/// A planted fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Planted {
    /// The network swallows an answer, and hides the gap in the numbers.
    AnswerDropped,
    /// The network says a message twice, the second time without its number.
    MessageRepeated,
    /// The network exchanges what two messages say, and leaves their numbers in place.
    MessagesExchanged,
    /// The network swallows the first message that is sent again after a resume, and hides the gap.
    ReplaySwallowed,
    /// A carrier takes a request and loses it, and stays alive.
    RequestLost,
    /// An event reaches another user's client.
    EventMisdelivered,
    /// The network turns the server's last words into an end without a code.
    CloseWithoutCode,
    /// The network says the last close of a client again on its next connection.
    CloseRepeated,
    /// The transport leaves an older connection open.
    TwoConnections,
    /// The store goes on answering what it answered first.
    StoreStandsStill,
    /// Nobody hears of changes in the store.
    ChangeUnheard,
    /// The store carries an edit out twice.
    EditRepeated,
    /// The provider's answer needs a second question, asked beside the first.
    QuestionRepeated,
    /// The provider goes on answering what it answered first.
    StaleCredential,
    /// No timer of a client ever fires.
    DeafTimer,
    /// The server has tasks that never run.
    TaskLost,
    /// The server's clock stands still.
    ClockStopped,
    /// A restarted server takes the keys of the one before for its own.
    OldIncarnation,
    /// The backend's publish is carried out twice.
    PublishRepeated,
    /// The network sends a request again under the next number.
    RepeatRenumbered,
    /// The network puts the newest key in place of the one that a client presents.
    OldKeyRenewed,
    /// The network presents a session key in the name of the user that it was given to.
    KeyOwnerAssumed,
    /// The network turns a close that it made itself into the client's own (1000).
    CloseBecomesNormal,
    /// The network turns the refusal of a refresh into the end of the session.
    RefusalEnds,
    /// The network shows a client a token that it did not present.
    TokenOfAnother,
    /// The network says that a session was evicted whenever it does not go on.
    EvictionClaimed,
    /// The server is started without the bounds that it is to keep.
    BoundsForgotten,
    /// The store hides the app's session policy from the server.
    PolicyHidden,
    /// The network drops the first event for a published client that comes back, before the server has said it.
    WaitingDropped,
}

impl Planted {
    /// Every one there is.
    pub const ALL: &[Self] = &[
        Self::AnswerDropped,
        Self::MessageRepeated,
        Self::MessagesExchanged,
        Self::ReplaySwallowed,
        Self::RequestLost,
        Self::EventMisdelivered,
        Self::CloseWithoutCode,
        Self::CloseRepeated,
        Self::TwoConnections,
        Self::StoreStandsStill,
        Self::ChangeUnheard,
        Self::EditRepeated,
        Self::QuestionRepeated,
        Self::StaleCredential,
        Self::DeafTimer,
        Self::TaskLost,
        Self::ClockStopped,
        Self::OldIncarnation,
        Self::PublishRepeated,
        Self::RepeatRenumbered,
        Self::OldKeyRenewed,
        Self::KeyOwnerAssumed,
        Self::CloseBecomesNormal,
        Self::RefusalEnds,
        Self::TokenOfAnother,
        Self::EvictionClaimed,
        Self::BoundsForgotten,
        Self::PolicyHidden,
        Self::WaitingDropped,
    ];
}
