//! Both halves of the ChatCamp handshake as plain values, and the tokens and keys that they check.
//!
//! Nothing here waits, reads a clock, draws a random number or does I/O: the time is an argument, and the caller looks
//! users up between two states. Tests can therefore connect both halves by function calls, and the same code serves every
//! transport.
//!
//! | start from | for |
//! |---|---|
//! | [`client::start`], [`server::open`] | the two halves of the handshake |
//! | [`credential::from_fn`] | a provider of access tokens, of a closure |
//! | [`Keyring`] | the master keys of a server |
//!
//! ```text
//!  client                                              server
//!  start(hello) -> AwaitAck + users.auth  --------->   open(query) -> AwaitRequest
//!                                                      AwaitRequest.on_message -> AwaitVerdict
//!                                                        question(): app, user, proof, origin -> Authenticator
//!  AwaitAck.on_message  <--------- users.auth.ack      AwaitVerdict.admit | refuse | defer
//!    -> Established | Refused | RetryLater
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`client`], [`server`] | the two halves of the handshake |
//! | [`credential`] | what a client presents, and its providers |
//! | [`authenticator`] | the trait that decides whether a user is admitted |
//! | [`keyring`] | the master keys, and the codes computed with them |
//! | [`token`] | access tokens: derived by a server or chosen by a backend |
//! | [`session_key`] | the keys with which clients resume sessions |
//!
//! ```
//! use chatcamp_auth::{Keyring, authenticator::OriginHeader, client, server};
//! use chatcamp_protocol::{AppId, UserId};
//!
//! let keyring = Keyring::new(vec![[7; 32]])?;
//! let (app, user) = (AppId::new("demo")?, UserId::new("alice")?);
//!
//! let (_await_ack, request) = client::start(&client::Hello {
//!     app_id: &app, user_id: &user, token: None, client: "example/1", resume: None,
//! });
//! let server::Opening::Native(half) = server::open(None, &keyring, 0)? else { panic!("no query, so native") };
//! let half = half.on_message(&request, &keyring)?;
//! assert_eq!(half.question(OriginHeader::Absent).user_id, &user);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod authenticator;
pub mod credential;
mod handshake;
pub mod keyring;
mod query;
pub mod session_key;
pub mod token;

pub use authenticator::{Authenticator, Question, Verdict};
pub use credential::{Credential, CredentialProvider, CredentialReason};
pub use handshake::{client, server};
pub use keyring::Keyring;
