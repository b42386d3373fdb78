//! Access tokens: derived from a user's stamp, or chosen by a backend and kept as a digest.
//!
//! A derived token is `ct1_` and the base64url of expiry (8 bytes, Unix seconds, 0 for none), stamp id (the
//! stamp's first 8 bytes) and a code of 24 bytes over app, user, stamp and expiry. The database holds the stamp only: the
//! server computes the token again when the backend asks for it, and a new stamp revokes the token.

use std::time::Duration;

use chatcamp_protocol::{AccessToken, AppId, UserId, limits, secret};
use data_encoding::BASE64URL_NOPAD;

use crate::keyring::{Digest, Domain, Keyring};

/// The prefix of derived tokens: kind and version.
pub const PREFIX: &str = "ct1_";
/// The clock difference that is tolerated when an expiry is checked.
pub const LEEWAY: Duration = Duration::from_secs(5);

const STAMP_ID: usize = 8;
const CODE: usize = 24;
const LENGTH: usize = 8 + STAMP_ID + CODE;

/// 128 random bits of a user, replaced when its tokens are rotated or revoked. Not a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp(pub [u8; 16]);

/// The form of a token, before anything is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A derived token of this version.
    Derived(Derived),
    /// Any other text, which is compared as a digest.
    Custom,
    /// Text with the prefix of a derived token that is not one.
    Broken,
}

/// The fields of a derived token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Derived {
    expires_at: u64,
    stamp_id: [u8; STAMP_ID],
    code: [u8; CODE],
}

/// A token that a backend chose is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCustomToken {
    /// The token is too short or too long.
    #[error("a chosen access token must have {} to {} bytes", limits::CUSTOM_TOKEN.start(), limits::CUSTOM_TOKEN.end())]
    Length,
    /// The token has the prefix of derived tokens.
    #[error("a chosen access token must not begin with {PREFIX}")]
    Prefix,
    /// The token has control characters.
    #[error("a chosen access token must not have control characters")]
    Control,
    /// It begins or ends with white space, which clients remove.
    #[error("an access token of your own has no white space at its ends")]
    WhiteSpace,
}

/// Computes the token for a user's stamp. `expires_at` is in Unix seconds.
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

/// Returns the form of a token. Verifies nothing.
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
    /// Returns when the token expires, in Unix seconds; `None` if it does not.
    #[must_use]
    pub fn expires_at(&self) -> Option<u64> {
        (self.expires_at != 0).then_some(self.expires_at)
    }

    /// Returns whether the token was derived from this user's stamp. Does not check the expiry.
    #[must_use]
    pub fn is_of(&self, keyring: &Keyring, app: &AppId, user: &UserId, stamp: &Stamp) -> bool {
        let expiry = self.expires_at.to_be_bytes();
        // `&` evaluates both sides, so that the time does not tell which one differs.
        (self.stamp_id == stamp.0[..STAMP_ID])
            & keyring.verify(Domain::AccessToken, &parts(app, user, stamp, &expiry), &self.code)
    }

    /// Returns whether the token has expired at the time `now`, in Unix seconds.
    #[must_use]
    pub fn is_expired(&self, now: u64) -> bool {
        self.expires_at != 0 && now > self.expires_at.saturating_add(LEEWAY.as_secs())
    }
}

/// Computes the digest under which a token that a backend chose is kept.
///
/// # Errors
/// [`InvalidCustomToken`] if the token is not accepted.
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
    if secret::trim(text) != text {
        return Err(InvalidCustomToken::WhiteSpace);
    }
    Ok(keyring.sign(Domain::TokenDigest, &digest_parts(app, user, token)))
}

/// Returns whether `token` is the one kept under `digest`, compared in constant time.
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
    fn a_token_is_the_same_when_computed_again() {
        let (keyring, app, user) = ids();
        // Code: HMAC-SHA256 under 07…07 of the length-prefixed label, `demo`, `alice`, 16 × 01, eight bytes of expiry.
        let token = derive(&keyring, &app, &user, &Stamp([1; 16]), Some(1_800_000_000));
        assert_eq!(token.expose(), "ct1_AAAAAGtJ0gABAQEBAQEBAf5bBCVgCA0QtApHkVkQVCi03oEmIWnTxA");
        assert_eq!(token, derive(&keyring, &app, &user, &Stamp([1; 16]), Some(1_800_000_000)));
    }

    #[test]
    fn a_token_is_valid_for_its_user_stamp_and_key_only() {
        let (keyring, app, user) = ids();
        let token = derived(&derive(&keyring, &app, &user, &Stamp([1; 16]), None));
        assert!(token.is_of(&keyring, &app, &user, &Stamp([1; 16])));
        assert!(!token.is_of(&keyring, &app, &user, &Stamp([2; 16])));
        assert!(!token.is_of(&keyring, &app, &UserId::new("bob").unwrap(), &Stamp([1; 16])));
        assert!(!token.is_of(&keyring, &AppId::new("other").unwrap(), &user, &Stamp([1; 16])));
        assert!(!token.is_of(&Keyring::new(vec![[8; 32]]).unwrap(), &app, &user, &Stamp([1; 16])));
    }

    #[test]
    fn a_token_with_a_changed_bit_is_invalid() {
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
    fn the_expiry_tolerates_a_small_clock_difference() {
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
    fn chosen_tokens_are_compared_by_digest() {
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
            (format!("{} ", "x".repeat(20)), InvalidCustomToken::WhiteSpace),
            (format!("\u{feff}{}", "x".repeat(20)), InvalidCustomToken::WhiteSpace),
        ] {
            assert_eq!(digest(&keyring, &app, &user, &bad.into()), Err(why));
        }
    }
}
