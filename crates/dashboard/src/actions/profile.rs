//! Changes to users' profiles.

use chatcamp_protocol::{
    Profile,
    user::{OverLimit, ProfileUpdate},
};
use chatcamp_server::{AccountError, UserFields, Written};
use chatcamp_store::StoreError;
use serde_json::{Map, Value};

use super::{ActionError, Completed, app_id, user_id, user_page};
use crate::{error::sentence, fields::Fields, flash::FlashMessage, request::PageRequest};

/// Saves the fields that the form changes. A user that was changed after the form was shown stays as it is.
pub(super) async fn update(request: &PageRequest<'_>, form: &Fields) -> Result<Completed, ActionError> {
    let app = app_id(form)?;
    let id = user_id(form, "id")?;
    let user = request.services.accounts.user(&app, &id).await?;
    if form.text("rev") != user.rev.to_string() {
        let reason = "The user was changed after this page was opened, so nothing was saved. The profile shows the current values; \
                      the form has yours. To overwrite, save again.";
        return Err(ActionError::Rejected(reason.into()));
    }
    let fields = changed_fields(&user.profile, form)?;
    let updated = request.services.server.update_user(&app, &id, fields).await;
    let text = match updated.map_err(invalid_value)?.written {
        Written::Unchanged => "The profile is unchanged.",
        Written::Created | Written::Claimed | Written::Changed => "The profile was saved.",
    };
    let next_page = user_page(app.as_str(), id.as_str());
    Ok(Completed { next_page, flash: FlashMessage::success(text) })
}

/// Returns the fields of a form that differ from a profile.
fn changed_fields(current: &Profile, form: &Fields) -> Result<UserFields, ActionError> {
    let line = |field: &str, current: &str| {
        let shown = current.replace(['\r', '\n'], "");
        form.get(field).filter(|&submitted| submitted != shown).map(str::to_owned)
    };
    let lines = |field: &str, current: &str| {
        // Browsers send line breaks of text areas as CRLF.
        let submitted = form.get(field)?.replace("\r\n", "\n");
        (submitted != current.replace("\r\n", "\n")).then_some(submitted)
    };
    let metadata = form.get("metadata").map(parse_metadata).transpose()?;
    Ok(UserFields {
        profile: ProfileUpdate {
            display_name: line("display_name", &current.display_name),
            profile_url: line("profile_url", &current.profile_url),
            avatar_url: line("avatar_url", &current.avatar_url),
            data: lines("data", &current.data),
            metadata: metadata.filter(|metadata| *metadata != current.metadata),
        },
        first_name: line("first_name", &current.first_name),
        last_name: line("last_name", &current.last_name),
        email: line("email", &current.email),
        phone_number: line("phone_number", &current.phone_number),
        ..UserFields::default()
    })
}

fn parse_metadata(text: &str) -> Result<Map<String, Value>, ActionError> {
    let invalid = |reason| ActionError::InvalidField { field: "metadata", reason };
    match text.trim() {
        "" => Ok(Map::new()),
        text => match serde_json::from_str(text) {
            Ok(Value::Object(metadata)) => Ok(metadata),
            Ok(_) => Err(invalid(r#"metadata must be a JSON object, such as {"plan": "pro"}."#.into())),
            Err(error) => Err(invalid(format!("metadata is not valid JSON: {error}."))),
        },
    }
}

/// Names the field that an error is about.
fn invalid_value(error: AccountError) -> ActionError {
    let field = match &error {
        AccountError::OverLimit(OverLimit::Long { field, .. })
        | AccountError::Store(StoreError::Nul { field }) => *field,
        AccountError::OverLimit(OverLimit::Deep) => "metadata",
        _ => return error.into(),
    };
    let reason = match &error {
        AccountError::Store(source) => sentence(source),
        error => sentence(error),
    };
    ActionError::InvalidField { field, reason }
}
