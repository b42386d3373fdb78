//! Planted faults: what a correct network, store, runtime or backend never does. The simulation must find each of them.

/// A planted fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Planted {
    /// The network drops an answer and renumbers what follows.
    AnswerDropped,
    /// The network delivers a message twice, the second time without its number.
    MessageRepeated,
    /// The network swaps the bodies of two messages and keeps their numbers.
    MessagesSwapped,
    /// The network drops the first message that is replayed after a resume, and renumbers what follows.
    ReplayDropped,
    /// A carrier accepts a request and drops it while the connection stays open.
    RequestLost,
    /// The network delivers an event to a client of another user.
    EventMisdelivered,
    /// The network replaces the server's final message and close by a close without a code.
    CloseWithoutCode,
    /// The network delivers the last close of a client again on its next connection.
    CloseRepeated,
    /// The transport leaves the previous connection open.
    TwoConnections,
    /// The store keeps returning the first version of a record.
    StoreStale,
    /// The store reports no changes.
    ChangesNotReported,
    /// The store applies an edit twice.
    EditRepeated,
    /// The provider is asked again while it still answers.
    QuestionRepeated,
    /// The provider keeps returning its first credential.
    StaleCredential,
    /// The timers of clients never fire.
    TimersNeverFire,
    /// Some tasks of the server are never polled.
    TaskLost,
    /// The server's clock does not advance.
    ClockStopped,
    /// A restarted server accepts the session keys of the previous process as its own.
    OldIncarnation,
    /// The backend publishes each event twice.
    PublishRepeated,
    /// The network repeats a request under the next number.
    RepeatRenumbered,
    /// The network replaces the session key that a client presents by the session's newest key.
    OldKeyRenewed,
    /// The network presents a session key in the name of the user that the key belongs to.
    KeyOwnerAssumed,
    /// The network turns a close of its own into the client's normal close (1000).
    CloseBecomesNormal,
    /// The network turns a refused refresh into the end of the session.
    RefusalEnds,
    /// The network shows a client a token that the client did not present.
    TokenOfAnother,
    /// The network reports every session that is not resumed as evicted.
    EvictionClaimed,
    /// The server starts with the default limits instead of the configured ones.
    BoundsForgotten,
    /// The store hides the app's session policy from the server.
    PolicyHidden,
    /// The server's first message to a resumed published client is dropped before it reaches the network.
    WaitingDropped,
    /// The network reports no client's address, so what strangers at one address hold counts for no address.
    AddressesHidden,
    /// The network reports one address for all clients, so what strangers hold counts for everybody's address.
    AddressesMerged,
    /// Connections report output that the network has taken as memory that they still hold.
    OutputNeverFreed,
}

impl Planted {
    /// Returns whether the fault shows only while the server's memory is short.
    pub(crate) fn needs_little_memory(self) -> bool {
        matches!(self, Self::AddressesHidden | Self::AddressesMerged | Self::OutputNeverFreed)
    }

    /// All planted faults.
    pub const ALL: &[Self] = &[
        Self::AnswerDropped,
        Self::MessageRepeated,
        Self::MessagesSwapped,
        Self::ReplayDropped,
        Self::RequestLost,
        Self::EventMisdelivered,
        Self::CloseWithoutCode,
        Self::CloseRepeated,
        Self::TwoConnections,
        Self::StoreStale,
        Self::ChangesNotReported,
        Self::EditRepeated,
        Self::QuestionRepeated,
        Self::StaleCredential,
        Self::TimersNeverFire,
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
        Self::AddressesHidden,
        Self::AddressesMerged,
        Self::OutputNeverFreed,
    ];
}
