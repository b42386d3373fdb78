//! The form to which JavaScript rounds a decimal app id.

use chatcamp_protocol::AppId;

/// From here on JavaScript writes numbers with an exponent, which no app id can look like.
const EXPONENT_FROM: f64 = 1e21;

/// Returns `id` as a page has it that wrote it as a number, if that differs.
pub(crate) fn rounded(id: &AppId) -> Option<AppId> {
    let digits = id.as_str();
    if digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Rust prints a float like JavaScript below 1e21: the shortest digits that read back, then zeros.
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
