//! A credential provider that asks the backend.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use chatcamp_auth::{
    Credential, CredentialProvider,
    credential::{CredentialReason, Unavailable},
};
use chatcamp_protocol::AccessToken;
use chatcamp_runtime::Runtime;
use parking_lot::Mutex;

use super::World;
use crate::{Planted, ledger::Ledger, machine::Process};

/// A token that no user has.
const WRONG_TOKEN: &str = "wrong-token-of-no-user";

/// The provider of one client.
pub(super) struct Provider {
    world: Arc<World>,
    process: Process,
    client: usize,
    user: String,
    /// The latest token it returned.
    given: Mutex<Option<String>>,
    /// Planted: its first answer.
    first: Mutex<Option<Credential>>,
}

/// A pending question.
struct Question {
    ledger: Arc<Ledger>,
    client: usize,
}

impl Question {
    fn open(ledger: &Arc<Ledger>, client: usize) -> Self {
        ledger.question(client, true);
        Self { ledger: ledger.clone(), client }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.ledger.question(self.client, false);
    }
}

impl Provider {
    pub(super) fn new(world: Arc<World>, process: Process, client: usize, user: &str) -> Self {
        let (given, first) = (Mutex::default(), Mutex::default());
        Self { world, process, client, user: user.to_owned(), given, first }
    }
}

#[async_trait]
impl CredentialProvider for Provider {
    async fn credential(&self, why: CredentialReason) -> Result<Credential, Unavailable> {
        let _question = Question::open(&self.world.ledger, self.client);
        let _other = (self.world.planted == Some(Planted::QuestionRepeated))
            .then(|| Question::open(&self.world.ledger, self.client));
        self.world.machine.note(format_args!("client {} asks for a credential: {why:?}", self.client));
        let is_recovering = self.world.is_recovering();
        let (wait, fails) = self.world.draw(|random| {
            if is_recovering {
                (random.millis(1..=50), false)
            } else {
                (random.millis(1..=3_000), random.chance(60))
            }
        });
        self.process.sleep(wait).await;
        if fails {
            return Err(Unavailable("the backend did not answer".into()));
        }
        if why == CredentialReason::Expiring && !is_recovering && self.world.draw(|random| random.chance(500))
        {
            self.world.machine.note(format_args!("client {} is offered a wrong token", self.client));
            return Ok(Credential { token: Some(AccessToken::from(WRONG_TOKEN)), lifetime: None });
        }
        let given = self.given.lock().clone();
        let other_than = given.as_deref().filter(|_| matches!(why, CredentialReason::Rejected(_)));
        let token = self.world.backend.token_for(&self.user, other_than).await;
        *self.given.lock() = Some(token.text.clone());
        let lifetime = token.lifetime(self.process.now());
        let credential = Credential { token: Some(AccessToken::from(token.text.as_str())), lifetime };
        if self.world.planted == Some(Planted::StaleCredential) {
            return Ok(self.first.lock().get_or_insert(credential).clone());
        }
        Ok(credential)
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("client", &self.client).finish_non_exhaustive()
    }
}
