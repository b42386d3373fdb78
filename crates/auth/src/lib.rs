//! Both halves of the ChatCamp handshake, side by side, as values.
//!
//! Nothing here waits, reads a clock, draws a random number or touches a network: time and randomness come in
//! as arguments, look-ups happen outside, between two states. So both halves meet in a function call, and the
//! same code serves every transport.
//!
//! Start from [`client::start`] and [`server::open`].
//!
//! ```text
//!  client                                              server
//!  start(hello) -> AwaitAck + users.auth  --------->   open(query) -> AwaitRequest
//!                                                      AwaitRequest.on_message -> AwaitVerdict
//!                                                        question(): app, user, proof  -> Directory
//!  AwaitAck.on_message  <--------- users.auth.ack      AwaitVerdict.admit | refuse | defer
//!    -> Established | Refused | ComeBack
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`client`], [`server`] | the two halves |
//! | [`credential`] | what a client presents, and who provides it |
//! | [`directory`] | what the server half asks: may this user in? |
//! | [`keyring`] | the master keys, and everything authenticated with them |
//! | [`token`] | access tokens: derived ones, and digests of others |
//! | [`session_key`] | keys with which a session comes back |
//!
//! ```
//! use chatcamp_auth::{Keyring, client, server};
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
//! assert_eq!(half.question().user_id, &user);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod credential;
pub mod directory;
mod handshake;
pub mod keyring;
mod query;
pub mod session_key;
pub mod token;

pub use credential::{Credential, CredentialProvider};
pub use directory::{Directory, Question, Verdict};
pub use handshake::{client, server};
pub use keyring::Keyring;
