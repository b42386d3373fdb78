//! Decimal app ids as JavaScript rounds them.

use chatcamp_protocol::AppId;

/// JavaScript prints numbers from here on with an exponent, which an app id cannot have.
const EXPONENT_FROM: f64 = 1e21;

/// Returns `id` as a page sends it that holds it as a number; `None` if that is the same id.
pub(crate) fn rounded(id: &AppId) -> Option<AppId> {
    let digits = id.as_str();
    if digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Below 1e21 Rust prints a float as JavaScript does: the shortest digits that parse to it, then zeros.
    let number: f64 = digits.parse().ok().filter(|&n| n < EXPONENT_FROM)?;
    AppId::new(number.to_string()).ok().filter(|rounded| rounded != id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_ids_round_as_javascript_numbers_do() {
        for (id, expected) in [
            ("6399747348821438464", Some("6399747348821438000")),
            ("9007199254740993", Some("9007199254740992")),
            ("123456789012345678901", Some("123456789012345680000")),
            ("6399747348821438000", None),
            ("9007199254740992", None),
            ("9999999999999999999999", None),
            ("12345", None),
            ("0639974734882143846", None),
            ("6399747348821438464a", None),
            ("demo", None),
        ] {
            let rounded = rounded(&AppId::new(id).unwrap());
            assert_eq!(rounded.as_ref().map(AppId::as_str), expected, "{id}");
        }
    }
}
