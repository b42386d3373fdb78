//! The actions of the forms.

use chatcamp_protocol::Profile;
use chatcamp_server::{AuthPolicy, NewUser, SessionPolicy};
use chatcamp_store::TokenRecord;

use crate::fixture::{Browser, Fixture};

#[tokio::test]
async fn an_app_is_created_and_its_key_is_shown_once() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.admin().await;
    let page =
        admin.submit("/dashboard/app/create", &[("name", "Shop"), ("auth", "token"), ("id", "")]).await;
    let key = page.secret("API key");
    let id = page.secret("APP_ID");
    let app = fixture.accounts.app_of_api_key(&key).await.unwrap().expect("the key is good");
    assert_eq!(app.as_str(), id);
    let made = fixture.accounts.app(&app).await.unwrap();
    assert_eq!((made.name.as_str(), made.auth), ("Shop", AuthPolicy::Token));
    for path in [format!("/dashboard/app?app={app}"), format!("/dashboard/settings?app={app}")] {
        admin.get(&path).await.assert_lacks(&key);
    }

    let kept = [("name", "Moved"), ("auth", "open"), ("id", "6399747348821438464")];
    assert_eq!(admin.submit("/dashboard/app/create", &kept).await.secret("APP_ID"), "6399747348821438464");
    for (form, why) in [
        (kept, "App 6399747348821438464 exists already; choose another id."),
        ([("name", ""), ("auth", "open"), ("id", "")], "1 to 255 bytes"),
        ([("name", "x"), ("auth", ""), ("id", "")], "Choose what users must present."),
        ([("name", "x"), ("auth", "open"), ("id", "a b")], "1 to 64 characters"),
    ] {
        let refused = admin.submit("/dashboard/app/create", &form).await;
        refused.assert_contains(why);
        refused.assert_contains("role=\"alert\"");
    }
    let unknown = [("name", "x"), ("auth", "none"), ("id", "")];
    assert_eq!(admin.post("/dashboard/app/create", &unknown).await.status, 400);
    assert_eq!(fixture.accounts.apps().await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_head_request_does_not_use_up_a_flash_message() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.admin().await;
    let made = admin.post("/dashboard/key/create", &[("app", fixture.app.as_str()), ("name", "k")]).await;
    let page = made.location().unwrap();
    let head = admin.ask("HEAD", &page, "", "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert!(!admin.get(&page).await.secret("API key").is_empty());
}

#[tokio::test]
async fn settings_are_saved_and_requiring_tokens_ends_sessions_without_one() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.admin().await;
    let zoe = fixture.connect("zoe", None).await;
    let form = [("app", fixture.app.as_str()), ("name", "New name"), ("auth", "token")];
    admin.submit("/dashboard/app/update", &form).await.assert_contains("Saved.");
    let app = fixture.accounts.app(&fixture.app).await.unwrap();
    assert_eq!((app.name.as_str(), app.auth, app.directory), ("New name", AuthPolicy::Token, false));
    zoe.wait_for_end().await;
    let form = [("app", fixture.app.as_str()), ("name", "N"), ("auth", "open"), ("directory", "yes")];
    admin.submit("/dashboard/app/update", &form).await;
    assert!(fixture.accounts.app(&fixture.app).await.unwrap().directory);
}

#[tokio::test]
async fn the_session_limit_is_saved() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.admin().await;
    for (sessions, most, expected) in [
        ("evict_oldest", "1", SessionPolicy::EvictOldest(1)),
        ("reject_new", "0", SessionPolicy::EvictOldest(1)),
        ("", "7", SessionPolicy::EvictOldest(1)),
        ("unlimited", "", SessionPolicy::Unlimited),
    ] {
        let form = [
            ("app", fixture.app.as_str()),
            ("name", "N"),
            ("auth", "open"),
            ("sessions", sessions),
            ("most", most),
        ];
        admin.submit("/dashboard/app/update", &form).await;
        assert_eq!(fixture.accounts.app(&fixture.app).await.unwrap().sessions, expected, "{sessions} {most}");
    }
}

#[tokio::test]
async fn origins_are_saved_and_a_rejected_form_is_kept() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.admin().await;
    let form = |name: &'static str, origins: &'static str, more: &[(&'static str, &'static str)]| {
        [&[("app", fixture.app.as_str()), ("name", name), ("auth", "open"), ("origins", origins)], more]
            .concat()
    };
    let saved = async || {
        let app = fixture.accounts.app(&fixture.app).await.unwrap();
        let origins: Vec<_> = app.origins.patterns().iter().map(ToString::to_string).collect();
        (origins.join(" "), app.origins.is_required())
    };
    let text = "HTTPS://Shop.example:443\r\n\r\n  https://*.shop.example ";
    let page = admin.submit("/dashboard/app/update", &form("N", text, &[("require_origin", "yes")])).await;
    page.assert_contains("https://shop.example\nhttps://*.shop.example</textarea>");
    page.assert_contains("name=\"require_origin\" value=\"yes\" checked");
    let two = ("https://shop.example https://*.shop.example".to_owned(), true);
    assert_eq!(saved().await, two);

    let wrong = "https://shop.example\n<b>.example";
    let page = admin.submit("/dashboard/app/update", &form("Other", wrong, &[])).await;
    page.assert_contains("The origin &lt;b&gt;.example is invalid: an origin begins with a scheme");
    page.assert_contains("https://shop.example\n&lt;b&gt;.example</textarea>");
    page.assert_contains("value=\"Other\"");
    assert_eq!(saved().await, two, "a rejected form changes nothing");
    let app = fixture.accounts.app(&fixture.app).await.unwrap();
    assert_eq!(app.name, "N");

    let without = [("app", fixture.app.as_str()), ("name", "N"), ("auth", "open")];
    admin.submit("/dashboard/app/update", &without).await.assert_contains("Saved.");
    assert_eq!(saved().await, two, "a form without the fields leaves them unchanged");
    let many: String = (0..101).map(|n| format!("https://a{n}.example\n")).collect();
    let form_of_many = [("app", fixture.app.as_str()), ("name", "N"), ("auth", "open"), ("origins", &many)];
    admin.submit("/dashboard/app/update", &form_of_many).await.assert_contains("at most 100 origins");
    admin.submit("/dashboard/app/update", &form("N", "", &[])).await.assert_contains("Saved.");
    assert_eq!(saved().await, (String::new(), false));
}

#[tokio::test]
async fn refused_origins_are_listed_with_a_button_that_copies_each() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.admin().await;
    admin.get(&fixture.path("settings")).await.assert_lacks("Refused origins");
    fixture.connect("alice", None).await;
    let form = [
        ("app", fixture.app.as_str()),
        ("name", "N"),
        ("auth", "open"),
        ("origins", "https://shop.example"),
        ("require_origin", "yes"),
    ];
    admin.submit("/dashboard/app/update", &form).await.assert_lacks("Refused origins");
    for origin in
        ["Origin: https://New.example:443\r\n", "Origin: https://new.example\r\n", "Origin: <b>\r\n", ""]
    {
        fixture.refused("alice", origin).await;
    }
    let page = admin.get(&fixture.path("settings")).await;
    page.assert_contains("data-copy=\"https://new.example\"");
    page.assert_contains("2 times");
    page.assert_contains("Origin missing: not a browser");
    page.assert_contains("Origin invalid: not a browser");
    page.assert_lacks("<b>");
    page.assert_contains(&format!("chatcamp app origins --app {} --add ORIGIN", fixture.app));
    admin.get(&fixture.path("app")).await.assert_contains("3 refused origins");
}

#[tokio::test]
async fn an_api_key_is_created_shown_once_and_revoked() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.admin().await;
    let app = fixture.app.as_str();
    let page = admin.submit("/dashboard/key/create", &[("app", app), ("name", "backend <1>")]).await;
    let key = page.secret("API key");
    page.assert_contains("backend &lt;1&gt;");
    assert_eq!(fixture.accounts.app_of_api_key(&key).await.unwrap().as_ref(), Some(&fixture.app));
    admin.get(&fixture.path("settings")).await.assert_lacks(&key);

    let keys = fixture.accounts.api_keys(&fixture.app).await.unwrap();
    let id = keys.iter().find(|key| key.name == "backend <1>").unwrap().id.clone();
    admin
        .submit("/dashboard/key/revoke", &[("app", app), ("key", &id)])
        .await
        .assert_contains("The API key was revoked.");
    assert_eq!(fixture.accounts.app_of_api_key(&key).await.unwrap(), None);
    assert_eq!(admin.post("/dashboard/key/revoke", &[("app", app), ("key", &id)]).await.status, 404);
    assert_eq!(admin.submit("/dashboard/key/create", &[("app", app), ("name", "")]).await.status, 200);
    assert_eq!(fixture.accounts.api_keys(&fixture.app).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_user_is_created_with_a_token_that_connects() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.admin().await;
    let app = fixture.app.as_str();
    let form = [("app", app), ("id", "alice"), ("display_name", "Alice"), ("token_required", "yes")];
    let page = admin.submit("/dashboard/user/create", &form).await;
    let token = page.secret("Access token");
    fixture.connect("alice", Some(&token)).await;
    let alice = fixture.accounts.user(&fixture.app, &Fixture::user("alice")).await.unwrap();
    assert!(alice.check_access_token && alice.profile.display_name == "Alice");
    let user_page = format!("{}&id=alice", fixture.path("user"));
    admin.get(&user_page).await.assert_lacks(&token);
    let shown = admin.submit("/dashboard/user/show-token", &[("app", app), ("id", "alice")]).await;
    assert_eq!(shown.secret("Access token"), token);

    let again = admin.submit("/dashboard/user/create", &form).await;
    again.assert_contains("The user alice exists already.");
    again.assert_contains("value=\"alice\"");
    let bad = [("app", app), ("id", "a\u{7}b"), ("display_name", "x")];
    admin.submit("/dashboard/user/create", &bad).await.assert_contains("1 to 255 bytes");
    let long = "x".repeat(256);
    let bad = [("app", app), ("id", "bob"), ("display_name", &*long)];
    admin
        .submit("/dashboard/user/create", &bad)
        .await
        .assert_contains("display_name is longer than 255 bytes.");
    let id_only = [("app", app), ("id", "carol"), ("display_name", "")];
    admin.submit("/dashboard/user/create", &id_only).await;
    assert!(!fixture.accounts.user(&fixture.app, &Fixture::user("carol")).await.unwrap().check_access_token);
    assert_eq!(fixture.accounts.users(&fixture.app, None, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_token_is_required_and_not_and_a_user_is_suspended_and_restored() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.admin().await;
    let form = [("app", fixture.app.as_str()), ("id", "zoe")];
    let zoe = fixture.connect("zoe", None).await;
    let required = admin.submit("/dashboard/user/require-token", &form).await;
    required.assert_contains("The user must now present its access token.");
    required.assert_contains("token required");
    zoe.wait_for_end().await;
    let id_only = admin.submit("/dashboard/user/allow-id-only", &form).await;
    id_only.assert_contains("The user no longer needs an access token");
    id_only.assert_lacks("token required");
    let zoe = fixture.connect("zoe", None).await;
    admin.submit("/dashboard/user/suspend", &form).await.assert_contains("The user was suspended.");
    zoe.wait_for_end().await;
    let list = admin.get(&fixture.path("users")).await;
    list.assert_contains("suspended");
    admin.submit("/dashboard/user/restore", &form).await.assert_contains("The user was restored ");
    fixture.connect("zoe", None).await;
}

#[tokio::test]
async fn tokens_are_issued_with_lifetime_and_grace_period_and_revoked() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.admin().await;
    let app = fixture.app.as_str();
    let id = Fixture::user("alice");
    let form = [("app", app), ("id", "alice"), ("token_required", "yes")];
    let first = admin.submit("/dashboard/user/create", &form).await.secret("Access token");
    let issue = [("app", app), ("id", "alice"), ("lifetime", "86400"), ("grace", "3600")];
    let page = admin.submit("/dashboard/user/issue-token", &issue).await;
    let second = page.secret("Access token");
    page.assert_contains("in 1 day");
    assert_ne!(first, second);
    let alice = fixture.accounts.user(&fixture.app, &id).await.unwrap();
    assert!(matches!(alice.token, TokenRecord::Derived { expires_at: Some(_) }) && alice.previous.is_some());

    for (field, value) in [("lifetime", "1"), ("lifetime", "x"), ("grace", "7"), ("grace", "-1")] {
        let mut form = vec![("app", app), ("id", "alice"), ("lifetime", ""), ("grace", "")];
        form.retain(|(name, _)| *name != field);
        form.push((field, value));
        assert_eq!(admin.post("/dashboard/user/issue-token", &form).await.status, 400, "{field}={value}");
    }

    let live = fixture.connect("alice", Some(&first)).await;
    let form = [("app", app), ("id", "alice")];
    admin.submit("/dashboard/user/revoke-tokens", &form).await.assert_contains("All tokens were revoked.");
    live.wait_for_end().await;
    assert_eq!(fixture.accounts.user(&fixture.app, &id).await.unwrap().token, TokenRecord::None);
    admin
        .submit("/dashboard/user/show-token", &form)
        .await
        .assert_contains("The user has no token that can be shown.");
}

#[tokio::test]
async fn a_profile_is_edited_and_its_sessions_are_told() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.admin().await;
    let app = fixture.app.as_str();
    let id = Fixture::user("zoe");
    let mut zoe = fixture.connect("zoe", None).await;
    let page = admin.get(&format!("{}&id=zoe", fixture.path("user"))).await;
    let rev = page.between("name=\"rev\" value=\"", "\"").unwrap().to_owned();
    let form = |rev: &str, name: &str, metadata: &str| {
        [("app", app), ("id", "zoe"), ("rev", rev), ("display_name", name), ("metadata", metadata)]
            .map(|(name, value)| (name, value.to_owned()))
    };
    let submit = async |admin: &mut Browser, form: [(&str, String); 5]| {
        let form: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        admin.submit("/dashboard/user/profile", &form).await
    };
    let metadata = r#"{"plan": "pro", "seats": {"used": 3}}"#;
    let page = submit(&mut admin, form(&rev, "Zoë", metadata)).await;
    page.assert_contains("The profile was saved.");
    page.assert_contains("<bdi class=\"user-text\">pro</bdi>");
    page.assert_contains("{\n  &quot;used&quot;: 3\n}");
    zoe.wait_for("Zoë").await;
    let profile = fixture.accounts.user(&fixture.app, &id).await.unwrap().profile.clone();
    assert_eq!((profile.display_name.as_str(), profile.metadata.len()), ("Zoë", 2));

    let stale = submit(&mut admin, form(&rev, "Other", metadata)).await;
    stale.assert_contains("The user was changed after this page was opened");
    stale.assert_contains("value=\"Other\"");
    let rev = stale.between("name=\"rev\" value=\"", "\"").unwrap().to_owned();
    submit(&mut admin, form(&rev, "Zoë", metadata)).await.assert_contains("The profile is unchanged.");
    let long = "x".repeat(256);
    let deep = format!("{{\"a\": {}{}}}", "[".repeat(32), "]".repeat(32));
    for (name, metadata, field, reason) in [
        (&*long, "", "display_name", "display_name is longer than 255 bytes."),
        ("a\0b", "", "display_name", "display_name "),
        ("Zoë", "[1]", "metadata", "metadata must be a JSON object"),
        ("Zoë", "{", "metadata", "metadata is not valid JSON: "),
        ("Zoë", &deep, "metadata", "is nested deeper than 32 levels."),
    ] {
        let page = submit(&mut admin, form(&rev, name, metadata)).await;
        let beside = page.between(&format!("id=\"profile-{field}-error\">"), "</p>");
        assert!(beside.is_some_and(|beside| beside.contains(reason)), "{reason}: {beside:?}");
        page.assert_contains("aria-invalid=\"true\"");
        page.assert_contains("<details class=\"more\" open>");
    }
    let kept = fixture.accounts.user(&fixture.app, &id).await.unwrap().profile.clone();
    assert_eq!(kept, profile);
}

#[tokio::test]
async fn a_profile_with_line_breaks_is_not_changed_by_saving_it() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.admin().await;
    let profile = Profile { first_name: "a\nb".into(), data: "1\n2".into(), ..Profile::default() };
    let new = NewUser { profile: profile.clone(), ..NewUser::default() };
    let id = Fixture::user("alice");
    fixture.accounts.create_user(&fixture.app, &id, new).await.unwrap();
    // What a browser submits of the unchanged form.
    let form = [
        ("app", fixture.app.as_str()),
        ("id", "alice"),
        ("rev", "1"),
        ("first_name", "ab"),
        ("data", "1\r\n2"),
        ("metadata", ""),
    ];
    admin.submit("/dashboard/user/profile", &form).await.assert_contains("The profile is unchanged.");
    assert_eq!(fixture.accounts.user(&fixture.app, &id).await.unwrap().profile, profile);
}

#[tokio::test]
async fn a_user_is_deleted() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.admin().await;
    let zoe = fixture.connect("zoe", None).await;
    let form = [("app", fixture.app.as_str()), ("id", "zoe")];
    let page = admin.submit("/dashboard/user/delete", &form).await;
    page.assert_contains("The user zoe was deleted.");
    page.assert_contains("No users yet");
    zoe.wait_for_end().await;
    for path in ["delete", "suspend", "require-token", "issue-token", "revoke-tokens", "show-token"] {
        let form = [("app", fixture.app.as_str()), ("id", "zoe"), ("lifetime", ""), ("grace", "")];
        assert_eq!(admin.post(&format!("/dashboard/user/{path}"), &form).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_session_is_listed_receives_an_event_and_is_ended() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.admin().await;
    let app = fixture.app.as_str();
    let live = fixture.path("live-sessions");
    admin.get(&live).await.assert_contains("No live sessions");
    let mut alice = fixture.connect("alice", None).await;
    let mut bob = fixture.connect("bob", None).await;
    let table = admin.get(&live).await;
    table.assert_contains("2 sessions");
    table.assert_contains("websocket");
    assert!(!table.body.contains("<html"), "it is a part of a page");
    admin.get(&format!("{live}&user=bob")).await.assert_lacks("alice");

    let event = [("app", app), ("to", ""), ("type", "test"), ("data", r#"{"n": 1}"#)];
    let page = admin.submit("/dashboard/event/publish", &event).await;
    page.assert_contains("Delivered to 2 sessions.");
    page.assert_contains("{&quot;n&quot;: 1}");
    alice.wait_for(r#""n":1"#).await;
    let event = [("app", app), ("on_user", "bob"), ("to", "bob"), ("type", "test"), ("data", "2")];
    let page = admin.submit("/dashboard/event/publish", &event).await;
    page.assert_contains("Delivered to 1 session.");
    page.assert_contains("← Users");
    bob.wait_for(r#""data":2"#).await;
    for (kind, data, to, why) in [
        ("Test", "1", "", "1 to 64 characters of a-z 0-9 . _ -."),
        ("test", "{", "", "The data is not valid JSON"),
        ("test", "1", "a\u{1}b", "1 to 255 bytes"),
        ("test", "1", "nobody", "Lost: no recipient has a session."),
    ] {
        let event = [("app", app), ("to", to), ("type", kind), ("data", data)];
        admin.submit("/dashboard/event/publish", &event).await.assert_contains(why);
    }

    let session =
        fixture.server.sessions(&fixture.app, Some(&Fixture::user("alice"))).await.unwrap().remove(0).id;
    let form = [("app", app), ("session", session.as_str())];
    admin.submit("/dashboard/session/end", &form).await.assert_contains("The session was ended.");
    alice.wait_for_end().await;
    admin.submit("/dashboard/session/end", &form).await.assert_contains("The session had already ended.");
    let form = [("app", app), ("on_user", "bob")];
    admin.submit("/dashboard/session/end-all", &form).await.assert_contains("Ended 1 session.");
    bob.wait_for_end().await;
    let none_left = admin.submit("/dashboard/session/end-all", &form).await;
    none_left.assert_contains("The user had no session.");
}
