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
    ];
}
