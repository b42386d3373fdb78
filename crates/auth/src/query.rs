//! Strict parser for the query string that carries the credentials of the published SDK.

use std::borrow::Cow;

/// The query is not percent-encoded UTF-8, or repeats one of the requested names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Invalid;

/// Returns the values of `names` in `query`. Ignores other names.
///
/// Values are percent-decoded. A `+` is a plus sign, not a space, because JavaScript's `encodeURIComponent` encodes a space
/// as `%20`.
pub(crate) fn values<'q, const N: usize>(
    query: &'q str,
    names: [&str; N],
) -> Result<[Option<Cow<'q, str>>; N], Invalid> {
    let mut found = [const { None }; N];
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name)?;
        let Some(slot) = names.iter().position(|requested| *requested == name) else { continue };
        if found[slot].replace(decode(value)?).is_some() {
            return Err(Invalid);
        }
    }
    Ok(found)
}

fn decode(text: &str) -> Result<Cow<'_, str>, Invalid> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let (digits, tail) = rest.split_first_chunk::<2>().ok_or(Invalid)?;
            let [high, low] = digits.map(|d| char::from(d).to_digit(16));
            let value = high.ok_or(Invalid)? * 16 + low.ok_or(Invalid)?;
            bytes.push(u8::try_from(value).expect("two hexadecimal digits are a byte"));
            rest = tail;
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_byte_for_byte() {
        let query = "app_id=a.b&user_id=%E5%90%8D+%2B%20%2f&x=%zz".replace("&x=%zz", "&x=1");
        let [app, user, token] = values(&query, ["app_id", "user_id", "access_token"]).unwrap();
        assert_eq!((app.as_deref(), user.as_deref(), token), (Some("a.b"), Some("名++ /"), None));
    }

    #[test]
    fn a_repeated_or_badly_encoded_value_is_invalid() {
        for query in ["a=1&a=2", "a=1&%61=2", "a=%", "a=%4", "a=%4g", "a=%+1", "a=%ff", "a=1&b=%ff&%ff=1"] {
            assert_eq!(values(query, ["a", "b"]), Err(Invalid), "{query}");
        }
        assert_eq!(values("x=1&x=2&a", ["a"]), Ok([Some("".into())]));
    }
}
