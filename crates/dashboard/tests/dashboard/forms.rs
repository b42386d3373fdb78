//! What each form does.

use chatcamp_server::{AuthPolicy, SessionPolicy};
use chatcamp_store::TokenRecord;

use crate::world::World;

#[tokio::test]
async fn an_app_is_created_and_its_key_is_shown_once() {
    let world = World::new().await;
    let mut admin = world.admin().await;
    let page =
        admin.submit("/dashboard/app/create", &[("name", "Shop"), ("auth", "token"), ("id", "")]).await;
    let (key, id) = (page.secret("API key"), page.secret("APP_ID"));
    let app = world.accounts.app_of_api_key(&key).await.unwrap().expect("the key is good");
    assert_eq!(app.as_str(), id);
    let made = world.accounts.app(&app).await.unwrap();
    assert_eq!((made.name.as_str(), made.auth), ("Shop", AuthPolicy::Token));
    for path in [format!("/dashboard/app?app={app}"), format!("/dashboard/settings?app={app}")] {
        admin.get(&path).await.says_nothing_of(&key);
    }

    let kept = [("name", "Moved"), ("auth", "open"), ("id", "6399747348821438464")];
    assert_eq!(admin.submit("/dashboard/app/create", &kept).await.secret("APP_ID"), "6399747348821438464");
    for (form, why) in [
        (kept, "The app id 6399747348821438464 is taken."),
        ([("name", ""), ("auth", "open"), ("id", "")], "A name has 1 to 255 bytes"),
        ([("name", "x"), ("auth", ""), ("id", "")], "Choose what users must present."),
        ([("name", "x"), ("auth", "open"), ("id", "a b")], "An app id is 1 to 64 characters"),
    ] {
        let refused = admin.submit("/dashboard/app/create", &form).await;
        refused.says(why);
        refused.says("role=\"alert\"");
    }
    let unknown = [("name", "x"), ("auth", "none"), ("id", "")];
    assert_eq!(admin.post("/dashboard/app/create", &unknown).await.status, 400);
    assert_eq!(world.accounts.apps().await.unwrap().len(), 3);
}

#[tokio::test]
async fn what_is_shown_once_waits_for_somebody_who_looks() {
    let world = World::new().await;
    let mut admin = world.admin().await;
    let made = admin.post("/dashboard/key/create", &[("app", world.app.as_str()), ("name", "k")]).await;
    let page = made.header("location").unwrap();
    let unseen = admin.ask("HEAD", page, "", "").await;
    assert_eq!((unseen.status, unseen.body.as_str()), (200, ""));
    assert!(!admin.get(page).await.secret("API key").is_empty());
}

#[tokio::test]
async fn settings_are_saved_and_a_switch_to_tokens_ends_sessions_by_id_alone() {
    let world = World::new().await;
    let mut admin = world.admin().await;
    let zoe = world.connect("zoe", None).await;
    let form = [("app", world.app.as_str()), ("name", "New name"), ("auth", "token")];
    admin.submit("/dashboard/app/update", &form).await.says("Saved.");
    let app = world.accounts.app(&world.app).await.unwrap();
    assert_eq!((app.name.as_str(), app.auth, app.directory), ("New name", AuthPolicy::Token, false));
    zoe.wait_for_end().await;
    let form = [("app", world.app.as_str()), ("name", "N"), ("auth", "open"), ("directory", "yes")];
    admin.submit("/dashboard/app/update", &form).await;
    assert!(world.accounts.app(&world.app).await.unwrap().directory);
}

#[tokio::test]
async fn the_sessions_of_a_user_are_bounded() {
    let world = World::new().await;
    let mut admin = world.admin().await;
    for (sessions, most, expected) in [
        ("evict_oldest", "1", SessionPolicy::EvictOldest(1)),
        ("reject_new", "0", SessionPolicy::EvictOldest(1)),
        ("", "7", SessionPolicy::EvictOldest(1)),
        ("unlimited", "", SessionPolicy::Unlimited),
    ] {
        let form = [
            ("app", world.app.as_str()),
            ("name", "N"),
            ("auth", "open"),
            ("sessions", sessions),
            ("most", most),
        ];
        admin.submit("/dashboard/app/update", &form).await;
        assert_eq!(world.accounts.app(&world.app).await.unwrap().sessions, expected, "{sessions} {most}");
    }
}

#[tokio::test]
async fn an_api_key_is_made_shown_once_and_revoked() {
    let world = World::new().await;
    let mut admin = world.admin().await;
    let app = world.app.as_str();
    let page = admin.submit("/dashboard/key/create", &[("app", app), ("name", "backend <1>")]).await;
    let key = page.secret("API key");
    page.says("backend &lt;1&gt;");
    assert_eq!(world.accounts.app_of_api_key(&key).await.unwrap().as_ref(), Some(&world.app));
    admin.get(&world.path("settings")).await.says_nothing_of(&key);

    let keys = world.accounts.api_keys(&world.app).await.unwrap();
    let id = keys.iter().find(|key| key.name == "backend <1>").unwrap().id.clone();
    admin
        .submit("/dashboard/key/revoke", &[("app", app), ("key", &id)])
        .await
        .says("The API key is revoked.");
    assert_eq!(world.accounts.app_of_api_key(&key).await.unwrap(), None);
    assert_eq!(admin.post("/dashboard/key/revoke", &[("app", app), ("key", &id)]).await.status, 404);
    assert_eq!(admin.submit("/dashboard/key/create", &[("app", app), ("name", "")]).await.status, 200);
    assert_eq!(world.accounts.api_keys(&world.app).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_user_is_created_with_a_token_that_connects() {
    let world = World::new().await;
    let mut admin = world.admin().await;
    let app = world.app.as_str();
    let form = [("app", app), ("id", "alice"), ("display_name", "Alice"), ("locked", "yes")];
    let page = admin.submit("/dashboard/user/create", &form).await;
    let token = page.secret("Access token");
    world.connect("alice", Some(&token)).await;
    let alice = world.accounts.user(&world.app, &World::user("alice")).await.unwrap();
    assert!(alice.check_access_token && alice.profile.display_name == "Alice");
    let user_page = format!("{}&id=alice", world.path("user"));
    admin.get(&user_page).await.says_nothing_of(&token);
    let shown = admin.submit("/dashboard/user/show-token", &[("app", app), ("id", "alice")]).await;
    assert_eq!(shown.secret("Access token"), token);

    let again = admin.submit("/dashboard/user/create", &form).await;
    again.says("The user alice exists already.");
    again.says("value=\"alice\"");
    let bad = [("app", app), ("id", "a\u{7}b"), ("display_name", "x")];
    admin.submit("/dashboard/user/create", &bad).await.says("A user id is 1 to 255 bytes");
    let long = "x".repeat(256);
    let bad = [("app", app), ("id", "bob"), ("display_name", &*long)];
    admin.submit("/dashboard/user/create", &bad).await.says("display_name is longer than 255 bytes.");
    let unlocked = [("app", app), ("id", "carol"), ("display_name", "")];
    admin.submit("/dashboard/user/create", &unlocked).await;
    assert!(!world.accounts.user(&world.app, &World::user("carol")).await.unwrap().check_access_token);
    assert_eq!(world.accounts.users(&world.app, None, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn access_is_locked_suspended_and_given_back() {
    let world = World::new().await;
    let mut admin = world.admin().await;
    let form = [("app", world.app.as_str()), ("id", "zoe")];
    let zoe = world.connect("zoe", None).await;
    admin.submit("/dashboard/user/lock", &form).await.says("Locked: ");
    zoe.wait_for_end().await;
    admin.submit("/dashboard/user/unlock", &form).await.says("Unlocked: ");
    let zoe = world.connect("zoe", None).await;
    admin.submit("/dashboard/user/suspend", &form).await.says("Suspended: ");
    zoe.wait_for_end().await;
    let list = admin.get(&world.path("users")).await;
    list.says("suspended");
    admin.submit("/dashboard/user/restore", &form).await.says("Restored: ");
    world.connect("zoe", None).await;
}

#[tokio::test]
async fn tokens_are_issued_with_a_life_and_a_grace_and_revoked() {
    let world = World::new().await;
    let mut admin = world.admin().await;
    let (app, id) = (world.app.as_str(), World::user("alice"));
    let form = [("app", app), ("id", "alice"), ("locked", "yes")];
    let first = admin.submit("/dashboard/user/create", &form).await.secret("Access token");
    let issue = [("app", app), ("id", "alice"), ("lifetime", "86400"), ("grace", "3600")];
    let page = admin.submit("/dashboard/user/issue-token", &issue).await;
    let second = page.secret("Access token");
    page.says("in 1 day");
    assert_ne!(first, second);
    let alice = world.accounts.user(&world.app, &id).await.unwrap();
    assert!(matches!(alice.token, TokenRecord::Derived { expires_at: Some(_) }) && alice.previous.is_some());

    for (field, value) in [("lifetime", "1"), ("lifetime", "x"), ("grace", "7"), ("grace", "-1")] {
        let mut form = vec![("app", app), ("id", "alice"), ("lifetime", ""), ("grace", "")];
        form.retain(|(name, _)| *name != field);
        form.push((field, value));
        assert_eq!(admin.post("/dashboard/user/issue-token", &form).await.status, 400, "{field}={value}");
    }

    let live = world.connect("alice", Some(&first)).await;
    let form = [("app", app), ("id", "alice")];
    admin.submit("/dashboard/user/revoke-tokens", &form).await.says("Every token is revoked");
    live.wait_for_end().await;
    assert_eq!(world.accounts.user(&world.app, &id).await.unwrap().token, TokenRecord::None);
    admin.submit("/dashboard/user/show-token", &form).await.says("There is no token that could be shown.");
}

#[tokio::test]
async fn a_user_is_deleted_for_good() {
    let world = World::new().await;
    let mut admin = world.admin().await;
    let zoe = world.connect("zoe", None).await;
    let form = [("app", world.app.as_str()), ("id", "zoe")];
    let page = admin.submit("/dashboard/user/delete", &form).await;
    page.says("zoe is deleted.");
    page.says("Nobody has connected yet");
    zoe.wait_for_end().await;
    for path in ["delete", "suspend", "lock", "issue-token", "revoke-tokens", "show-token"] {
        let form = [("app", world.app.as_str()), ("id", "zoe"), ("lifetime", ""), ("grace", "")];
        assert_eq!(admin.post(&format!("/dashboard/user/{path}"), &form).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_session_is_seen_hears_an_event_and_is_ended() {
    let world = World::new().await;
    let mut admin = world.admin().await;
    let app = world.app.as_str();
    let live = world.path("live/sessions");
    admin.get(&live).await.says("Nobody is connected");
    let (mut alice, mut bob) = (world.connect("alice", None).await, world.connect("bob", None).await);
    let region = admin.get(&live).await;
    region.says("2 sessions");
    region.says("websocket");
    assert!(!region.body.contains("<html"), "it is a part of a page");
    admin.get(&format!("{live}&user=bob")).await.says_nothing_of("alice");

    let event = [("app", app), ("to", ""), ("type", "test"), ("data", r#"{"n": 1}"#)];
    let page = admin.submit("/dashboard/event/publish", &event).await;
    page.says("Delivered to 2 sessions.");
    page.says("{&quot;n&quot;: 1}");
    alice.hears(r#""n":1"#).await;
    let event = [("app", app), ("on_user", "bob"), ("to", "bob"), ("type", "test"), ("data", "2")];
    let page = admin.submit("/dashboard/event/publish", &event).await;
    page.says("Delivered to 1 session.");
    page.says("← All users");
    bob.hears(r#""data":2"#).await;
    for (kind, data, to, why) in [
        ("Test", "1", "", "This is not 1 to 64 characters of a-z 0-9 . _ -."),
        ("test", "{", "", "The data is not JSON"),
        ("test", "1", "a\u{1}b", "A user id is 1 to 255 bytes"),
        ("test", "1", "nobody", "nobody it is for is connected"),
    ] {
        let event = [("app", app), ("to", to), ("type", kind), ("data", data)];
        admin.submit("/dashboard/event/publish", &event).await.says(why);
    }

    let session = world.server.sessions(&world.app, Some(&World::user("alice"))).await.unwrap().remove(0).id;
    let form = [("app", app), ("session", session.as_str())];
    admin.submit("/dashboard/session/end", &form).await.says("The session is ended.");
    alice.wait_for_end().await;
    admin.submit("/dashboard/session/end", &form).await.says("The session was over already.");
    let form = [("app", app), ("on_user", "bob")];
    admin.submit("/dashboard/session/end-all", &form).await.says("Ended: 1 session.");
    bob.wait_for_end().await;
    admin.submit("/dashboard/session/end-all", &form).await;
}
