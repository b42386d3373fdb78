//! The content of pages.

use chatcamp_dashboard::Dashboard;
use chatcamp_protocol::Profile;
use chatcamp_server::NewUser;

use crate::fixture::{Answer, Fixture};

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
    for (id, check_access_token) in [("alice", true), ("bob", false)] {
        let new = NewUser { check_access_token, ..NewUser::default() };
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
async fn users_are_found_inside_their_id_or_name_and_by_filters() {
    let fixture = Fixture::new().await;
    let users = [
        ("alice", "Mary Alice", true),
        ("alicia", "", false),
        ("bob", "malison", true),
        ("carol%", "Carol", false),
    ];
    for (id, name, check_access_token) in users {
        let profile = Profile { display_name: name.into(), ..Profile::default() };
        let new = NewUser { profile, check_access_token, ..NewUser::default() };
        fixture.accounts.create_user(&fixture.app, &Fixture::user(id), new).await.unwrap();
    }
    fixture.accounts.set_suspended(&fixture.app, &Fixture::user("bob"), true).await.unwrap();
    let _alicia = fixture.connect("alicia", None).await;
    let mut admin = fixture.admin().await;
    for (query, found, summary) in [
        ("", &["alice", "alicia", "bob", "carol%25"][..], "4 users"),
        ("&q=ali", &["alice", "alicia", "bob"], "3 of 4 users with “ali” in the id or display name"),
        ("&q=LISON", &["bob"], "1 of 4 users"),
        ("&q=y a", &["alice"], "1 of 4 users"),
        ("&q=%25", &["carol%25"], "1 of 4 users"),
        ("&q=_", &[], "0 of 4 users"),
        ("&q=%00", &[], "0 of 4 users"),
        ("&show=token-required", &["alice", "bob"], "2 of 4 users."),
        ("&show=open", &["alicia", "carol%25"], "2 of 4 users."),
        ("&show=suspended", &["bob"], "1 of 4 users."),
        ("&show=online", &["alicia"], "1 of 4 users."),
        ("&show=open&q=car", &["carol%25"], "1 of 4 users with “car”"),
        ("&show=other", &["alice", "alicia", "bob", "carol%25"], "4 users"),
        ("&page=2", &[], "4 users"),
        ("&page=99999999999999999999", &["alice", "alicia", "bob", "carol%25"], "4 users"),
    ] {
        let page = admin.get(&format!("{}{}", fixture.path("users"), query.replace(' ', "+"))).await;
        assert_eq!(page.status, 200, "{query}");
        page.assert_contains(summary);
        for id in ["alice", "alicia", "bob", "carol%25"] {
            let is_listed = page.body.contains(&format!("&amp;id={id}\""));
            assert_eq!(is_listed, found.contains(&id), "{id} by {query:?}");
        }
    }
    let page = admin.get(&format!("{}&q=ali&show=open", fixture.path("users"))).await;
    page.assert_contains("&amp;q=ali&amp;show=suspended\"");
    page.assert_contains("<input type=\"hidden\" name=\"show\" value=\"open\">");
}

/// Returns the ids of the users that a page lists.
fn listed(page: &Answer) -> Vec<String> {
    let links = page.body.split("&amp;id=").skip(1);
    links.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

/// Returns the link with this relation.
fn link(page: &Answer, rel: &str) -> Option<String> {
    Some(page.between(&format!("rel=\"{rel}\" href=\""), "\"")?.replace("&amp;", "&"))
}

#[tokio::test]
async fn users_are_listed_in_pages_in_both_directions() {
    let fixture = Fixture::new().await;
    for n in 0..120 {
        let id = Fixture::user(&format!("user-{n:03}"));
        fixture.accounts.create_user(&fixture.app, &id, NewUser::default()).await.unwrap();
    }
    let mut admin = fixture.admin().await;
    for query in ["", "&q=USER", "&show=token-required"] {
        let mut page = admin.get(&format!("{}{query}", fixture.path("users"))).await;
        page.assert_contains("<span>1–50 of 120</span>");
        assert_eq!(link(&page, "prev"), None);
        let mut seen = listed(&page);
        while let Some(next) = link(&page, "next") {
            page = admin.get(&next).await;
            seen.extend(listed(&page));
        }
        assert_eq!(seen, (0..120).map(|n| format!("user-{n:03}")).collect::<Vec<_>>(), "{query}");
        page.assert_contains("<span>101–120 of 120</span>");
        let mut back = listed(&page);
        while let Some(previous) = link(&page, "prev") {
            page = admin.get(&previous).await;
            back.splice(0..0, listed(&page));
        }
        assert_eq!(back, seen, "{query}");
    }
}

#[tokio::test]
async fn sessions_are_listed_in_pages() {
    let fixture = Fixture::new().await;
    let mut sessions = Vec::new();
    for n in 0..105 {
        sessions.push(fixture.connect(&format!("user-{n}"), None).await);
    }
    let mut admin = fixture.admin().await;
    let first = admin.get(&fixture.path("live")).await;
    first.assert_contains("105 sessions, newest first");
    first.assert_contains("<span>1–100 of 105</span>");
    assert_eq!(first.body.matches("/dashboard/session/end\"").count(), 100);
    let second = admin.get(&link(&first, "next").unwrap()).await;
    assert_eq!(second.body.matches("/dashboard/session/end\"").count(), 5);
    second.assert_contains("<span>101–105 of 105</span>");
    let rows = second.between("data-live=\"", "\"").unwrap().replace("&amp;", "&");
    let rows = admin.get(&rows).await;
    assert_eq!(rows.body.matches("/dashboard/session/end\"").count(), 5, "the script reloads the same page");
}

#[tokio::test]
async fn the_overview_has_figures_and_links() {
    let fixture = Fixture::with(Dashboard::with_try_page).await;
    let _alice = fixture.connect("alice", None).await;
    fixture.advance_time(2 * 60 * 60);
    let page = fixture.admin().await.get("/dashboard/").await;
    for figure in [
        concat!("<dt>Version</dt><dd>", env!("CARGO_PKG_VERSION"), "</dd>"),
        ">2 hours</time>",
        "<dt>Apps</dt><dd>1</dd>",
        "<dt>Users</dt><dd>1</dd>",
        "<dt>Live sessions</dt><dd>1</dd>",
        "<dt>Detached sessions</dt><dd>0</dd>",
        "href=\"../try\"",
        "href=\"../api/openapi.json\"",
    ] {
        page.assert_contains(figure);
    }

    let apart = Fixture::with(|dashboard| dashboard.with_chat_url("http://chat.example:9080")).await;
    let page = apart.admin().await.get("/dashboard/").await;
    page.assert_lacks("/try\"");
    page.assert_contains("href=\"http://chat.example:9080/api/openapi.json\"");
}

#[tokio::test]
async fn a_missing_page_leads_back() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.admin().await;
    let user = format!("{}&id=nobody", fixture.path("user"));
    for (path, has_app) in
        [("/dashboard/nowhere", false), ("/dashboard/users?app=gone", false), (&*user, true)]
    {
        let page = admin.get(path).await;
        assert_eq!(page.status, 404, "{path}");
        page.assert_contains("Sign out");
        page.assert_contains(">Overview</a>");
        assert_eq!(page.body.contains(">Users of Camp</a>"), has_app, "{path}");
    }
    let page = fixture.browser().get("/dashboard/style-0.css").await;
    assert_eq!(page.status, 303, "without a session, the path says nothing");
}

#[tokio::test]
async fn the_settings_say_which_limit_of_sessions_holds() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.admin().await;
    let page = admin.get(&fixture.path("settings")).await;
    page.assert_contains("name=\"most\" type=\"number\" min=\"1\" max=\"100\" value=\"\"");
    page.assert_contains("The server refuses more than 100 sessions of one user.");
    let form = [
        ("app", fixture.app.as_str()),
        ("name", "Camp"),
        ("auth", "open"),
        ("sessions", "evict_oldest"),
        ("most", "3"),
    ];
    let page = admin.submit("/dashboard/app/update", &form).await;
    page.assert_contains("max=\"100\" value=\"3\"");
    page.assert_contains("In addition, the server refuses more than 100 sessions of one user.");
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
