//! Access tokens: derived from a user's stamp, or of the caller's choice and kept as a digest.
//!
//! A derived token is `ct1_` and the base64url of expiry (8 bytes, Unix seconds, 0 for none), stamp id (the
//! stamp's first 8 bytes) and a code of 24 bytes over app, user, stamp and expiry. The database holds the stamp only;
//! the token can be computed again for the backend that owns it, and drawing a new stamp voids it.

use std::time::Duration;

use chatcamp_protocol::{AccessToken, AppId, UserId, limits};
use data_encoding::BASE64URL_NOPAD;

use crate::keyring::{Digest, Domain, Keyring};

/// What derived tokens begin with: kind and version.
pub const PREFIX: &str = "ct1_";
/// How far a clock may be off before an expiry counts.
pub const LEEWAY: Duration = Duration::from_secs(5);

const STAMP_ID: usize = 8;
const CODE: usize = 24;
const LENGTH: usize = 8 + STAMP_ID + CODE;

/// 128 random bits of a user, drawn anew at creation, rotation and revocation; not a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp(pub [u8; 16]);

/// What a presented token claims, before anything is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A derived one of this version.
    Derived(Derived),
    /// Any other text: compared as a digest.
    Custom,
    /// Begins like a derived one, and is none.
    Broken,
}

/// The fields of a derived token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Derived {
    expires_at: u64,
    stamp_id: [u8; STAMP_ID],
    code: [u8; CODE],
}

/// Why a token of a caller's choice is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCustomToken {
    /// Too short or too long.
    #[error("an access token of your own has {} to {} bytes", limits::CUSTOM_TOKEN.start(), limits::CUSTOM_TOKEN.end())]
    Length,
    /// It begins like a derived one.
    #[error("an access token of your own must not begin with {PREFIX}")]
    Prefix,
    /// It has control characters.
    #[error("an access token of your own has no control characters")]
    Control,
}

/// Computes the token of a user's stamp; `expires_at` in Unix seconds.
#[must_use]
pub fn derive(
    keyring: &Keyring,
    app: &AppId,
    user: &UserId,
    stamp: &Stamp,
    expires_at: Option<u64>,
) -> AccessToken {
    let expires_at = expires_at.unwrap_or(0);
    let code = keyring.sign(Domain::AccessToken, &parts(app, user, stamp, &expires_at.to_be_bytes()));
    let mut bytes = [0; LENGTH];
    bytes[..8].copy_from_slice(&expires_at.to_be_bytes());
    bytes[8..8 + STAMP_ID].copy_from_slice(&stamp.0[..STAMP_ID]);
    bytes[8 + STAMP_ID..].copy_from_slice(&code[..CODE]);
    AccessToken::new(format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes)))
}

/// Tells which kind of token this is; nothing is verified.
#[must_use]
pub fn form(token: &AccessToken) -> Form {
    let Some(text) = token.expose().strip_prefix(PREFIX) else { return Form::Custom };
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok();
    let Some(bytes) = bytes.and_then(|b| <[u8; LENGTH]>::try_from(b).ok()) else { return Form::Broken };
    let (mut expiry, mut stamp_id, mut code) = ([0; 8], [0; STAMP_ID], [0; CODE]);
    expiry.copy_from_slice(&bytes[..8]);
    stamp_id.copy_from_slice(&bytes[8..8 + STAMP_ID]);
    code.copy_from_slice(&bytes[8 + STAMP_ID..]);
    Form::Derived(Derived { expires_at: u64::from_be_bytes(expiry), stamp_id, code })
}

impl Derived {
    /// When the token ends, in Unix seconds; `None` for never.
    #[must_use]
    pub fn expires_at(&self) -> Option<u64> {
        (self.expires_at != 0).then_some(self.expires_at)
    }

    /// Whether the token is the one of this user's stamp. Its expiry is another question.
    #[must_use]
    pub fn is_of(&self, keyring: &Keyring, app: &AppId, user: &UserId, stamp: &Stamp) -> bool {
        let expiry = self.expires_at.to_be_bytes();
        // Both are looked at, whatever the first says: the time taken tells nothing.
        (self.stamp_id == stamp.0[..STAMP_ID])
            & keyring.verify(Domain::AccessToken, &parts(app, user, stamp, &expiry), &self.code)
    }

    /// Whether the token has ended at `now`, in Unix seconds.
    #[must_use]
    pub fn is_expired(&self, now: u64) -> bool {
        self.expires_at != 0 && now > self.expires_at.saturating_add(LEEWAY.as_secs())
    }
}

/// The digest under which a token of a caller's choice is kept.
///
/// # Errors
/// [`InvalidCustomToken`] when the token may not be used.
pub fn digest(
    keyring: &Keyring,
    app: &AppId,
    user: &UserId,
    token: &AccessToken,
) -> Result<Digest, InvalidCustomToken> {
    let text = token.expose();
    if text.starts_with(PREFIX) {
        return Err(InvalidCustomToken::Prefix);
    }
    if !limits::CUSTOM_TOKEN.contains(&text.len()) {
        return Err(InvalidCustomToken::Length);
    }
    if text.chars().any(char::is_control) {
        return Err(InvalidCustomToken::Control);
    }
    Ok(keyring.sign(Domain::TokenDigest, &digest_parts(app, user, token)))
}

/// Whether `token` is the one kept under `digest`.
#[must_use]
pub fn is_digest_of(
    keyring: &Keyring,
    app: &AppId,
    user: &UserId,
    token: &AccessToken,
    digest: &Digest,
) -> bool {
    keyring.verify(Domain::TokenDigest, &digest_parts(app, user, token), digest)
}

fn parts<'a>(app: &'a AppId, user: &'a UserId, stamp: &'a Stamp, expiry: &'a [u8; 8]) -> [&'a [u8]; 4] {
    [app.as_str().as_bytes(), user.as_str().as_bytes(), &stamp.0, expiry]
}

fn digest_parts<'a>(app: &'a AppId, user: &'a UserId, token: &'a AccessToken) -> [&'a [u8]; 3] {
    [app.as_str().as_bytes(), user.as_str().as_bytes(), token.expose().as_bytes()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> (Keyring, AppId, UserId) {
        let keyring = Keyring::new(vec![[7; 32]]).unwrap();
        (keyring, AppId::new("demo").unwrap(), UserId::new("alice").unwrap())
    }

    fn derived(token: &AccessToken) -> Derived {
        let Form::Derived(derived) = form(token) else { panic!("a derived token") };
        derived
    }

    #[test]
    fn a_token_is_computed_again_the_same() {
        let (keyring, app, user) = ids();
        // Code: HMAC-SHA256 under 07…07 of the length-prefixed label, `demo`, `alice`, 16 × 01, eight bytes of expiry.
        let token = derive(&keyring, &app, &user, &Stamp([1; 16]), Some(1_800_000_000));
        assert_eq!(token.expose(), "ct1_AAAAAGtJ0gABAQEBAQEBAf5bBCVgCA0QtApHkVkQVCi03oEmIWnTxA");
        assert_eq!(token, derive(&keyring, &app, &user, &Stamp([1; 16]), Some(1_800_000_000)));
    }

    #[test]
    fn a_token_is_good_for_its_user_stamp_and_key_only() {
        let (keyring, app, user) = ids();
        let token = derived(&derive(&keyring, &app, &user, &Stamp([1; 16]), None));
        assert!(token.is_of(&keyring, &app, &user, &Stamp([1; 16])));
        assert!(!token.is_of(&keyring, &app, &user, &Stamp([2; 16])));
        assert!(!token.is_of(&keyring, &app, &UserId::new("bob").unwrap(), &Stamp([1; 16])));
        assert!(!token.is_of(&keyring, &AppId::new("other").unwrap(), &user, &Stamp([1; 16])));
        assert!(!token.is_of(&Keyring::new(vec![[8; 32]]).unwrap(), &app, &user, &Stamp([1; 16])));
    }

    #[test]
    fn every_changed_bit_voids_a_token() {
        let (keyring, app, user) = ids();
        let token = derive(&keyring, &app, &user, &Stamp([1; 16]), Some(1_800_000_000));
        let bytes = BASE64URL_NOPAD.decode(&token.expose().as_bytes()[4..]).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let token = AccessToken::new(format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes)));
            assert!(!derived(&token).is_of(&keyring, &app, &user, &Stamp([1; 16])), "bit {bit}");
        }
    }

    #[test]
    fn expiry_allows_for_a_clock_a_little_off() {
        let (keyring, app, user) = ids();
        let with = |at| derived(&derive(&keyring, &app, &user, &Stamp([1; 16]), at));
        assert_eq!((with(Some(100)).expires_at(), with(None).expires_at()), (Some(100), None));
        for (at, now, expired) in [
            (Some(100), 105, false),
            (Some(100), 106, true),
            (None, u64::MAX, false),
            (Some(u64::MAX), u64::MAX, false),
        ] {
            assert_eq!(with(at).is_expired(now), expired, "{at:?} at {now}");
        }
    }

    #[test]
    fn what_begins_like_a_derived_token_is_never_custom() {
        for (text, expected) in [
            ("ct1_", Form::Broken),
            ("ct1_abc", Form::Broken),
            ("ct1_!!", Form::Broken),
            ("ct2_x", Form::Custom),
            ("", Form::Custom),
        ] {
            assert_eq!(form(&AccessToken::from(text)), expected, "{text}");
        }
    }

    #[test]
    fn tokens_of_a_callers_choice_are_compared_by_digest() {
        let (keyring, app, user) = ids();
        let token = AccessToken::from("a token of my own");
        let kept = digest(&keyring, &app, &user, &token).unwrap();
        assert!(is_digest_of(&keyring, &app, &user, &token, &kept));
        assert!(!is_digest_of(&keyring, &app, &user, &AccessToken::from("a token of my owN"), &kept));
        assert!(!is_digest_of(&keyring, &app, &UserId::new("bob").unwrap(), &token, &kept));
        for (bad, why) in [
            ("x".repeat(15), InvalidCustomToken::Length),
            ("x".repeat(513), InvalidCustomToken::Length),
            (format!("ct1_{}", "x".repeat(20)), InvalidCustomToken::Prefix),
            (format!("{}\n", "x".repeat(20)), InvalidCustomToken::Control),
        ] {
            assert_eq!(digest(&keyring, &app, &user, &bad.into()), Err(why));
        }
    }
}
