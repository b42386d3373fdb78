//! The content of pages.

use chatcamp_protocol::Profile;
use chatcamp_server::NewUser;

use crate::fixture::Fixture;

#[tokio::test]
async fn text_of_users_is_escaped() {
    let fixture = Fixture::new().await;
    let hostile = r#"<img src=x onerror=alert(1)>"'&</textarea><script>"#;
    let profile = Profile {
        display_name: hostile.into(),
        profile_url: "javascript:void(0)".into(),
        avatar_url: "https://tracker.example/pixel.png".into(),
        data: hostile.into(),
        metadata: serde_json::from_value(serde_json::json!({ hostile: hostile })).unwrap(),
        ..Profile::default()
    };
    let id = Fixture::user(r#""><script>alert(1)</script>"#);
    fixture.accounts.create_user(&fixture.app, &id, NewUser { profile, ..NewUser::default() }).await.unwrap();
    let mut admin = fixture.admin().await;
    let user = format!("{}&id=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E", fixture.path("user"));
    for path in [fixture.path("users"), format!("{}&q=%3Cimg", fixture.path("users")), user.clone()] {
        let page = admin.get(&path).await;
        assert_eq!(page.status, 200);
        page.assert_contains("&lt;img src=x onerror=alert(1)&gt;");
        for markup in
            ["<img src=x", "<script>", "</textarea><script", "href=\"javascript:", "src=\"https:", "\"'&<"]
        {
            page.assert_lacks(markup);
        }
    }
    admin.get(&user).await.assert_contains("javascript:void(0)</bdi>");
    let search = admin.get(&format!("{}&q=%22%3E%3Cscript%3Ezzz", fixture.path("users"))).await;
    search.assert_contains("value=\"&quot;&gt;&lt;script&gt;zzz\"");
}

#[tokio::test]
async fn invisible_characters_of_names_are_made_visible() {
    let fixture = Fixture::new().await;
    for (id, name) in [("bob\u{202e}lived", ""), (" ", ""), ("u", "\u{200b}")] {
        let profile = Profile { display_name: name.into(), ..Profile::default() };
        let new = NewUser { profile, ..NewUser::default() };
        fixture.accounts.create_user(&fixture.app, &Fixture::user(id), new).await.unwrap();
    }
    let mut admin = fixture.admin().await;
    let users = admin.get(&fixture.path("users")).await;
    users.assert_contains("bob<span class=\"code-point\" title=\"Invisible character\">U+202E</span>lived");
    users.assert_contains("<span class=\"blank\">&quot; &quot;</span>");
    users.assert_contains("<span class=\"blank\">&quot;\u{200b}&quot;</span>");
    let user = admin.get(&format!("{}&id=bob%E2%80%AElived", fixture.path("user"))).await;
    user.assert_contains("<title>bob[U+202E]lived of Camp");
    user.assert_contains("data-copy=\"bob\u{202e}lived\"");
}

#[tokio::test]
async fn invisible_characters_in_an_error_are_made_visible() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.admin().await;
    let page = admin.get(&format!("{}&id=bob%E2%80%AElived", fixture.path("user"))).await;
    assert_eq!(page.status, 404);
    page.assert_contains("bob<span class=\"code-point\" title=\"Invisible character\">U+202E</span>lived");
    page.assert_lacks("\u{202e}");
}

#[tokio::test]
async fn the_command_to_copy_has_a_token_if_one_is_required() {
    let fixture = Fixture::new().await;
    for (id, locked) in [("alice", true), ("bob", false)] {
        let new = NewUser { check_access_token: locked, ..NewUser::default() };
        fixture.accounts.create_user(&fixture.app, &Fixture::user(id), new).await.unwrap();
    }
    let mut admin = fixture.admin().await;
    for (page, has) in [
        (format!("{}&id=alice", fixture.path("user")), true),
        (format!("{}&id=bob", fixture.path("user")), false),
        (format!("{}&user=alice", fixture.path("live-sessions")), true),
        (format!("{}&user=bob", fixture.path("live-sessions")), false),
        (format!("{}&user=nobody", fixture.path("live-sessions")), false),
        (fixture.path("live"), false),
    ] {
        let shown = admin.get(&page).await;
        shown.assert_contains("chatcamp connect ");
        assert_eq!(shown.body.contains(" --token ACCESS_TOKEN"), has, "{page}");
    }
    let form = [("app", fixture.app.as_str()), ("name", "Camp"), ("auth", "token")];
    admin.submit("/dashboard/app/update", &form).await;
    admin.get(&fixture.path("live")).await.assert_contains("connect alice --app");
    admin.get(&fixture.path("live")).await.assert_contains(" --token ACCESS_TOKEN");
}

#[tokio::test]
async fn users_are_found_by_the_start_of_their_id_or_name() {
    let fixture = Fixture::new().await;
    for (id, name) in [("alice", "Alice M"), ("alicia", ""), ("bob", "alison"), ("carol", "Carol")] {
        let profile = Profile { display_name: name.into(), ..Profile::default() };
        let new = NewUser { profile, ..NewUser::default() };
        fixture.accounts.create_user(&fixture.app, &Fixture::user(id), new).await.unwrap();
    }
    let mut admin = fixture.admin().await;
    for (q, found) in [
        ("", &["alice", "alicia", "bob", "carol"][..]),
        ("ali", &["alice", "alicia", "bob"]),
        ("alice", &["alice"]),
        ("Alice", &["alice"]),
        ("c", &["carol"]),
        ("zzz", &[]),
        ("%00", &[]),
    ] {
        let page = admin.get(&format!("{}&q={q}", fixture.path("users"))).await;
        assert_eq!(page.status, 200, "{q}");
        for id in ["alice", "alicia", "bob", "carol"] {
            let is_listed = page.body.contains(&format!("&amp;id={id}\""));
            assert_eq!(is_listed, found.contains(&id), "{id} by {q:?}");
        }
    }
}

#[tokio::test]
async fn users_are_listed_in_pages() {
    let fixture = Fixture::new().await;
    for n in 0..120 {
        fixture
            .accounts
            .create_user(&fixture.app, &Fixture::user(&format!("user-{n:03}")), NewUser::default())
            .await
            .unwrap();
    }
    let mut admin = fixture.admin().await;
    let mut path = fixture.path("users");
    let mut seen = Vec::new();
    loop {
        let page = admin.get(&path).await;
        seen.extend(
            page.body.split("&amp;id=").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()),
        );
        let Some(next) = page.between("class=\"button\" href=\"", "\">Next page") else { break };
        path = next.replace("&amp;", "&");
    }
    assert_eq!(seen, (0..120).map(|n| format!("user-{n:03}")).collect::<Vec<_>>());
    admin.get(&format!("{}&q=user", fixture.path("users"))).await.assert_contains("There are more matches.");
}

#[tokio::test]
async fn a_page_shows_a_limited_number_of_sessions() {
    let fixture = Fixture::new().await;
    let mut sessions = Vec::new();
    for n in 0..105 {
        sessions.push(fixture.connect(&format!("user-{n}"), None).await);
    }
    let mut admin = fixture.admin().await;
    let table = admin.get(&fixture.path("live-sessions")).await;
    table.assert_contains("105 sessions, the newest 100 are shown.");
    assert_eq!(table.body.matches("/dashboard/session/end\"").count(), 100);
}

#[tokio::test]
async fn code_to_copy_has_the_apps_values_and_no_key() {
    let fixture = Fixture::new().await;
    let key = fixture.accounts.create_api_key(&fixture.app, "k").await.unwrap().key;
    let page = fixture.admin().await.get(&fixture.path("app")).await;
    page.assert_contains(&format!("http://{}/compat.js", fixture.address));
    page.assert_contains(&format!("appId: &quot;{}&quot;", fixture.app));
    page.assert_lacks(&key);
    page.assert_lacks("ck1_");

    let apart = Fixture::with(|dashboard| dashboard.with_chat_url("http://chat.example:9080")).await;
    let page = apart.admin().await.get(&apart.path("app")).await;
    page.assert_contains("http://chat.example:9080/compat.js");
}
