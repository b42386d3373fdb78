//! Session keys: signed and self-contained, so that the published SDK can resume with the key alone.
//!
//! `cs1.` and the base64url of: app and user (each a length byte and its text), stamp (16 bytes), session (8), incarnation (8),
//! node (4), serial (4), expiry (8, Unix seconds), how the session was authenticated and whether it is native (1), and a
//! code of 24 bytes over all of them.

use chatcamp_protocol::{AppId, SessionKey, UserId};
use data_encoding::BASE64URL_NOPAD;

use crate::{
    keyring::{Domain, Keyring},
    token::{LEEWAY, Stamp},
};

const PREFIX: &str = "cs1.";
const CODE: usize = 24;
/// The bit in the last byte of the claims that marks a native session.
const NATIVE: u8 = 0x80;

/// The content of a session key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The app.
    pub app: AppId,
    /// The user.
    pub user: UserId,
    /// The user's stamp when the session was authenticated.
    pub stamp: Stamp,
    /// The session's number within its incarnation.
    pub session: u64,
    /// The server process that holds the session.
    pub incarnation: u64,
    /// The node that holds the session.
    pub node: u32,
    /// The number of this key within its session, from 1; a newer key replaces an older one.
    pub serial: u32,
    /// When the key expires, in Unix seconds.
    pub expires_at: u64,
    /// How the session was authenticated.
    pub proven_by: ProvenBy,
    /// Whether the session is a native client's. Native clients always present a full credential with the key.
    pub is_native: bool,
}

/// How a session was authenticated; decides which changes of the user end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProvenBy {
    /// By user id alone.
    UserId,
    /// By a derived token.
    DerivedToken,
    /// By a token that the backend chose, which the server cannot compute again.
    CustomToken,
}

/// Signs the claims and encodes them as a key.
#[must_use]
pub fn seal(keyring: &Keyring, claims: &Claims) -> SessionKey {
    let mut bytes =
        Vec::with_capacity(2 + claims.app.as_str().len() + claims.user.as_str().len() + 49 + CODE);
    for text in [claims.app.as_str(), claims.user.as_str()] {
        bytes.push(u8::try_from(text.len()).expect("ids have at most 255 bytes"));
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes.extend_from_slice(&claims.stamp.0);
    bytes.extend_from_slice(&claims.session.to_be_bytes());
    bytes.extend_from_slice(&claims.incarnation.to_be_bytes());
    bytes.extend_from_slice(&claims.node.to_be_bytes());
    bytes.extend_from_slice(&claims.serial.to_be_bytes());
    bytes.extend_from_slice(&claims.expires_at.to_be_bytes());
    let proven_by = match claims.proven_by {
        ProvenBy::UserId => 0,
        ProvenBy::DerivedToken => 1,
        ProvenBy::CustomToken => 2,
    };
    bytes.push(proven_by | if claims.is_native { NATIVE } else { 0 });
    let code = keyring.sign(Domain::SessionKey, &[&bytes]);
    bytes.extend_from_slice(&code[..CODE]);
    SessionKey::new(format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes)))
}

/// Decodes and verifies a key. Returns `None` if it is invalid, or has expired at the time `now` (Unix seconds).
#[must_use]
pub fn open(keyring: &Keyring, key: &SessionKey, now: u64) -> Option<Claims> {
    let bytes = BASE64URL_NOPAD.decode(key.expose().strip_prefix(PREFIX)?.as_bytes()).ok()?;
    let (signed, code) = bytes.split_last_chunk::<CODE>()?;
    if !keyring.verify(Domain::SessionKey, &[signed], code) {
        return None;
    }
    let mut rest = signed;
    let claims = Claims {
        app: AppId::new(take_text(&mut rest)?).ok()?,
        user: UserId::new(take_text(&mut rest)?).ok()?,
        stamp: Stamp(take(&mut rest)?),
        session: u64::from_be_bytes(take(&mut rest)?),
        incarnation: u64::from_be_bytes(take(&mut rest)?),
        node: u32::from_be_bytes(take(&mut rest)?),
        serial: u32::from_be_bytes(take(&mut rest)?),
        expires_at: u64::from_be_bytes(take(&mut rest)?),
        proven_by: match rest.first()? & !NATIVE {
            0 => ProvenBy::UserId,
            1 => ProvenBy::DerivedToken,
            2 => ProvenBy::CustomToken,
            _ => return None,
        },
        is_native: rest.first()? & NATIVE != 0,
    };
    if rest.len() != 1 {
        return None;
    }
    (now <= claims.expires_at.saturating_add(LEEWAY.as_secs())).then_some(claims)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let [len] = take(rest)?;
    let (head, tail) = rest.split_at_checked(usize::from(len))?;
    *rest = tail;
    std::str::from_utf8(head).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring() -> Keyring {
        Keyring::new(vec![[7; 32]]).unwrap()
    }

    fn claims() -> Claims {
        Claims {
            app: AppId::new("demo").unwrap(),
            user: UserId::new("名前 a+b").unwrap(),
            stamp: Stamp([1; 16]),
            session: 2,
            incarnation: 3,
            node: 4,
            serial: 5,
            expires_at: 1_800_000_000,
            proven_by: ProvenBy::DerivedToken,
            is_native: false,
        }
    }

    #[test]
    fn a_key_opens_to_the_claims_that_were_sealed() {
        for proven_by in [ProvenBy::UserId, ProvenBy::DerivedToken, ProvenBy::CustomToken] {
            for is_native in [false, true] {
                let claims = Claims { proven_by, is_native, ..claims() };
                assert_eq!(open(&keyring(), &seal(&keyring(), &claims), 0), Some(claims));
            }
        }
    }

    #[test]
    fn a_key_uses_the_unescaped_alphabet_and_keeps_its_format() {
        let key = seal(&keyring(), &claims());
        assert!(key.expose().bytes().all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b)));
        assert_eq!(
            key.expose(),
            "cs1.BGRlbW8K5ZCN5YmNIGErYgEBAQEBAQEBAQEBAQEBAQEAAAAAAAAAAgAAAAAAAAADAAAABAAAAAUAAAAAa0nSAAH8TPRs7HWMk9DdYlkk-4ap1txQFVpAGrg"
        );
    }

    #[test]
    fn forged_changed_truncated_and_expired_keys_do_not_open() {
        let key = seal(&keyring(), &claims());
        assert!(open(&Keyring::new(vec![[8; 32]]).unwrap(), &key, 0).is_none());
        assert!(open(&keyring(), &key, 1_800_000_005).is_some());
        assert!(open(&keyring(), &key, 1_800_000_006).is_none());
        let text = key.expose();
        for cut in 0..text.len() {
            assert!(open(&keyring(), &text[..cut].into(), 0).is_none(), "cut at {cut}");
        }
        let bytes = BASE64URL_NOPAD.decode(&text.as_bytes()[4..]).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let changed = format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes));
            assert!(open(&keyring(), &changed.into(), 0).is_none(), "bit {bit}");
        }
    }
}
