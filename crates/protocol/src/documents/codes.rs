//! The codes of errors as types in `chatcamp.d.ts`.

use std::fmt::Write as _;

use super::{WEB_TYPES, assert_generated};
use crate::{Code, ErrorCode};

fn union<'a>(name: &str, description: &str, codes: impl Iterator<Item = &'a str>) -> String {
    let mut text = format!("/** {description} */\nexport type {name} =");
    for code in codes {
        write!(text, "\n  | \"{code}\"").unwrap();
    }
    text + ";\n"
}

#[test]
fn the_web_client_has_a_type_of_every_code() {
    let ends = union(
        "EndCode",
        "Why the server refused or ended a connection.",
        Code::ALL.iter().map(|code| code.as_str()),
    );
    let requests = union(
        "RequestCode",
        "Why the server rejected a request.",
        ErrorCode::ALL.iter().map(|code| code.as_str()),
    );
    assert_generated(WEB_TYPES, "codes", &format!("{ends}\n{requests}"));
}
