//! A user as one line of a file, which `user export` writes and `user import` reads.

use chatcamp_protocol::{AccessToken, Profile, UserId};
use chatcamp_server::ImportedUser;
use chatcamp_store::User;
use serde::Serialize;
use serde_json::Value;

use crate::escape::field;

/// A line of an export: the fields that an import needs.
#[derive(Serialize)]
pub(super) struct Row<'a> {
    id: &'a UserId,
    #[serde(flatten)]
    profile: &'a Profile,
    check_access_token: bool,
    is_suspended: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    auto_created: bool,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "AccessToken::expose_optional")]
    access_token: Option<AccessToken>,
}

impl<'a> Row<'a> {
    pub(super) fn new(user: &'a User, access_token: Option<AccessToken>) -> Self {
        Self {
            id: &user.id,
            profile: &user.profile,
            check_access_token: user.check_access_token,
            is_suspended: user.is_suspended,
            auto_created: user.auto_created,
            access_token,
        }
    }
}

/// Parses a line by the same rules as a JSON body of the Platform API. Returns the user and the number of unknown fields, which must be 0
/// unless they are ignored. Errors name fields but quote no values, which may be tokens.
pub(super) fn parse(line: &[u8], ignore_unknown: bool) -> Result<(ImportedUser, u64), String> {
    let value = serde_json::from_slice(line).map_err(|error| {
        let text = error.to_string();
        // The line number in the error is always 1, because one line is parsed at a time.
        let what = text.split(" at line ").next().unwrap_or_default();
        format!("this is not JSON: {what}, column {}", error.column())
    })?;
    let Value::Object(fields) = value else { return Err("this is JSON, but not an object".into()) };
    let unknown: Vec<_> = ImportedUser::unknown_fields(&fields).map(explain_unknown).collect();
    if !unknown.is_empty() && !ignore_unknown {
        return Err(unknown.join(", "));
    }
    let ignored = unknown.len() as u64;
    ImportedUser::read(fields).map(|user| (user, ignored)).map_err(|error| error.to_string())
}

fn explain_unknown((name, nearest): (&str, Option<&str>)) -> String {
    match nearest {
        Some(nearest) => format!("{}: this field is unknown; did you mean {nearest}?", field(name)),
        None => format!("{}: this field is unknown", field(name)),
    }
}

#[cfg(test)]
mod tests {
    use chatcamp_protocol::AppId;

    use super::*;

    #[test]
    fn an_exported_row_can_be_imported() {
        let mut user =
            User::new(AppId::new("demo").unwrap(), UserId::new("a \"b\"\n".trim_end()).unwrap(), [1; 16], 5);
        user.profile = Profile {
            display_name: "Ä\u{2028}".into(),
            first_name: "F".into(),
            last_name: "L".into(),
            email: "e@example.com".into(),
            phone_number: "1".into(),
            profile_url: "javascript:void(0)".into(),
            avatar_url: "//x/y".into(),
            data: "d\n".into(),
            metadata: [("k".to_owned(), Value::from(1.5))].into_iter().collect(),
        };
        (user.is_suspended, user.auto_created) = (true, true);
        let line = serde_json::to_string(&Row::new(&user, Some("sixteen bytes at least".into()))).unwrap();
        assert!(!line.contains('\n'), "one line: {line}");
        let ImportedUser { id, fields, auto_created } = parse(line.as_bytes(), false).unwrap().0;
        let mut profile = Profile::default();
        profile.apply(fields.profile);
        (profile.first_name, profile.last_name) = (fields.first_name.unwrap(), fields.last_name.unwrap());
        (profile.email, profile.phone_number) = (fields.email.unwrap(), fields.phone_number.unwrap());
        assert_eq!((id, profile, auto_created), (user.id, user.profile, true));
        assert_eq!((fields.check_access_token, fields.is_suspended), (Some(false), Some(true)));
        assert_eq!(fields.access_token.unwrap().expose(), "sixteen bytes at least");
    }

    #[test]
    fn numbers_and_null_are_accepted_as_databases_write_them() {
        let line = br#"{"id":42,"is_suspended":1,"check_access_token":0,"email":null,"metadata":null}"#;
        let (user, _) = parse(line, false).unwrap();
        assert_eq!((user.id.as_str(), user.fields.email), ("42", None));
        assert_eq!((user.fields.is_suspended, user.fields.check_access_token), (Some(true), Some(false)));

        let line =
            br#"{"id":1.0,"is_suspended":"1","check_access_token":"false","auto_created":"1","data":7}"#;
        let (user, _) = parse(line, false).unwrap();
        assert_eq!((user.id.as_str(), user.fields.profile.data.as_deref()), ("1", Some("7")));
        assert_eq!((user.fields.is_suspended, user.fields.check_access_token), (Some(true), Some(false)));
        assert!(user.auto_created);
    }

    #[test]
    fn an_error_says_what_is_wrong_and_quotes_nothing() {
        for (line, why) in [
            (r"", "this is not JSON: EOF while parsing a value, column 0"),
            (r#"{"id":"secret","#, "this is not JSON: EOF while parsing a value, column 15"),
            (r#""secret""#, "this is JSON, but not an object"),
            (r#"[{"id":"secret"}]"#, "this is JSON, but not an object"),
            (r#"{"display_name":"secret"}"#, "id: this is missing"),
            (r#"{"id":["secret"]}"#, "id: this is not text"),
            (r#"{"id":1.5}"#, "id: this is not text"),
            (r#"{"id":"a","access_token":["secret"]}"#, "access_token: this is not text"),
            (r#"{"id":"a","is_suspended":"secret"}"#, "is_suspended: this is neither true nor false"),
            (r#"{"id":"a","check_access_token":2}"#, "check_access_token: this is neither true nor false"),
            (
                r#"{"id":"a","display_nam":"secret","shoe\n_size":9,"metadata":"secret"}"#,
                "display_nam: this field is unknown; did you mean display_name?, shoe\\n_size: this field is unknown",
            ),
            (r#"{"id":"a","metadata":"secret"}"#, "metadata: this is not a JSON object"),
        ] {
            assert_eq!(parse(line.as_bytes(), false).unwrap_err(), why, "{line}");
        }
        for line in [&br#"{"id":""}"#[..], br#"{"id":"a\u0000"}"#, b"{\"id\":\"\xff\"}", b"\xff\xfe"] {
            assert!(!parse(line, true).unwrap_err().is_empty());
        }
    }
}
