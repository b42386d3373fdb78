//! What pages show.

use chatcamp_protocol::Profile;
use chatcamp_server::NewUser;

use crate::world::World;

#[tokio::test]
async fn what_users_say_of_themselves_is_text() {
    let world = World::new().await;
    let hostile = r#"<img src=x onerror=alert(1)>"'&</textarea><script>"#;
    let profile = Profile {
        display_name: hostile.into(),
        profile_url: "javascript:void(0)".into(),
        avatar_url: "https://tracker.example/pixel.png".into(),
        data: hostile.into(),
        metadata: serde_json::from_value(serde_json::json!({ hostile: hostile })).unwrap(),
        ..Profile::default()
    };
    let id = World::user(r#""><script>alert(1)</script>"#);
    world.accounts.create_user(&world.app, &id, NewUser { profile, ..NewUser::default() }).await.unwrap();
    let mut admin = world.admin().await;
    let user = format!("{}&id=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E", world.path("user"));
    for path in [world.path("users"), format!("{}&q=%3Cimg", world.path("users")), user.clone()] {
        let page = admin.get(&path).await;
        assert_eq!(page.status, 200);
        page.says("&lt;img src=x onerror=alert(1)&gt;");
        for markup in
            ["<img src=x", "<script>", "</textarea><script", "href=\"javascript:", "src=\"https:", "\"'&<"]
        {
            page.says_nothing_of(markup);
        }
    }
    admin.get(&user).await.says("javascript:void(0)</bdi>");
    let search = admin.get(&format!("{}&q=%22%3E%3Cscript%3Ezzz", world.path("users"))).await;
    search.says("value=\"&quot;&gt;&lt;script&gt;zzz\"");
}

#[tokio::test]
async fn what_cannot_be_seen_of_a_name_is_shown() {
    let world = World::new().await;
    for (id, name) in [("bob\u{202e}lived", ""), (" ", ""), ("u", "\u{200b}")] {
        let profile = Profile { display_name: name.into(), ..Profile::default() };
        let new = NewUser { profile, ..NewUser::default() };
        world.accounts.create_user(&world.app, &World::user(id), new).await.unwrap();
    }
    let mut admin = world.admin().await;
    let users = admin.get(&world.path("users")).await;
    users.says("bob<span class=\"mark\" title=\"A character that cannot be seen\">U+202E</span>lived");
    users.says("<span class=\"blank\">&quot; &quot;</span>");
    users.says("<span class=\"blank\">&quot;\u{200b}&quot;</span>");
    let user = admin.get(&format!("{}&id=bob%E2%80%AElived", world.path("user"))).await;
    user.says("<title>bob[U+202E]lived of Camp");
    user.says("data-copy=\"bob\u{202e}lived\"");
}

#[tokio::test]
async fn the_command_to_paste_has_a_token_where_one_is_needed() {
    let world = World::new().await;
    for (id, locked) in [("alice", true), ("bob", false)] {
        let new = NewUser { check_access_token: locked, ..NewUser::default() };
        world.accounts.create_user(&world.app, &World::user(id), new).await.unwrap();
    }
    let mut admin = world.admin().await;
    for (page, has) in [
        (format!("{}&id=alice", world.path("user")), true),
        (format!("{}&id=bob", world.path("user")), false),
        (format!("{}&user=alice", world.path("live/sessions")), true),
        (format!("{}&user=bob", world.path("live/sessions")), false),
        (format!("{}&user=nobody", world.path("live/sessions")), false),
        (world.path("live"), false),
    ] {
        let shown = admin.get(&page).await;
        shown.says("chatcamp connect ");
        assert_eq!(shown.body.contains(" --token ACCESS_TOKEN"), has, "{page}");
    }
    let form = [("app", world.app.as_str()), ("name", "Camp"), ("auth", "token")];
    admin.submit("/dashboard/app/update", &form).await;
    admin.get(&world.path("live")).await.says("connect alice --app");
    admin.get(&world.path("live")).await.says(" --token ACCESS_TOKEN");
}

#[tokio::test]
async fn users_are_found_by_the_beginning_of_an_id_or_a_name() {
    let world = World::new().await;
    for (id, name) in [("alice", "Alice M"), ("alicia", ""), ("bob", "alison"), ("carol", "Carol")] {
        let profile = Profile { display_name: name.into(), ..Profile::default() };
        let new = NewUser { profile, ..NewUser::default() };
        world.accounts.create_user(&world.app, &World::user(id), new).await.unwrap();
    }
    let mut admin = world.admin().await;
    for (q, found) in [
        ("", &["alice", "alicia", "bob", "carol"][..]),
        ("ali", &["alice", "alicia", "bob"]),
        ("alice", &["alice"]),
        ("Alice", &["alice"]),
        ("c", &["carol"]),
        ("zzz", &[]),
        ("%00", &[]),
    ] {
        let page = admin.get(&format!("{}&q={q}", world.path("users"))).await;
        assert_eq!(page.status, 200, "{q}");
        for id in ["alice", "alicia", "bob", "carol"] {
            let is_there = page.body.contains(&format!("&amp;id={id}\""));
            assert_eq!(is_there, found.contains(&id), "{id} by {q:?}");
        }
    }
}

#[tokio::test]
async fn many_users_come_page_by_page() {
    let world = World::new().await;
    for n in 0..120 {
        world
            .accounts
            .create_user(&world.app, &World::user(&format!("user-{n:03}")), NewUser::default())
            .await
            .unwrap();
    }
    let mut admin = world.admin().await;
    let (mut path, mut seen) = (world.path("users"), Vec::new());
    loop {
        let page = admin.get(&path).await;
        seen.extend(
            page.body.split("&amp;id=").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()),
        );
        let Some(next) = page.between("class=\"button\" href=\"", "\">Next page") else { break };
        path = next.replace("&amp;", "&");
    }
    assert_eq!(seen, (0..120).map(|n| format!("user-{n:03}")).collect::<Vec<_>>());
    admin.get(&format!("{}&q=user", world.path("users"))).await.says("There are more");
}

#[tokio::test]
async fn a_page_shows_so_many_sessions_and_no_more() {
    let world = World::new().await;
    let mut sessions = Vec::new();
    for n in 0..105 {
        sessions.push(world.connect(&format!("user-{n}"), None).await);
    }
    let mut admin = world.admin().await;
    let region = admin.get(&world.path("live/sessions")).await;
    region.says("105 sessions; the newest 100 are shown.");
    assert_eq!(region.body.matches("/dashboard/session/end\"").count(), 100);
}

#[tokio::test]
async fn code_to_paste_has_the_apps_values_and_no_key() {
    let world = World::new().await;
    let key = world.accounts.create_api_key(&world.app, "k").await.unwrap().key;
    let page = world.admin().await.get(&world.path("app")).await;
    page.says(&format!("http://{}/compat.js", world.address));
    page.says(&format!("appId: &quot;{}&quot;", world.app));
    page.says_nothing_of(&key);
    page.says_nothing_of("ck1_");

    let apart = World::with(|dashboard| dashboard.with_chat_url("http://chat.example:9080")).await;
    let page = apart.admin().await.get(&apart.path("app")).await;
    page.says("http://chat.example:9080/compat.js");
}
