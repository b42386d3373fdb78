//! Tests of `chatcamp app` and `chatcamp user`.

use crate::process::{Done, Folder, text};

#[test]
fn apps_are_created_listed_and_changed() {
    let folder = Folder::new();
    let open = folder.ok(&["app", "create", "my shop", "--auth", "open"]);
    let kept = folder.ok(&["app", "create", "old", "--auth", "token", "--id", "6399747348821438464"]);
    assert_eq!((text(&open, "name"), text(&open, "auth")), ("my shop", "open"));
    assert_eq!(text(&kept, "app_id"), "6399747348821438464");
    for app in [&open, &kept] {
        assert!(text(app, "api_key").starts_with("ck1_"));
    }
    let policies = || -> Vec<_> {
        let list = folder.run(&["app", "list"]).objects();
        list.iter().map(|app| (text(app, "name").to_owned(), text(app, "auth").to_owned())).collect()
    };
    assert_eq!(policies(), [("my shop".into(), "open".into()), ("old".into(), "token".into())]);
    folder.ok(&["app", "policy", "--app", text(&open, "app_id"), "--auth", "token"]);
    assert_eq!(policies()[0].1, "token");
    assert_eq!(folder.ok(&["app", "directory", "--app", text(&open, "app_id"), "off"])["directory"], "off");
    assert_eq!(folder.run(&["app", "list"]).objects()[0]["directory"], "off");
    assert!(!folder.run(&["app", "list"]).stdout.contains("ck1_"));
}

#[test]
fn origins_of_an_app_are_set_shown_added_and_removed() {
    let folder = Folder::new();
    let shop = "https://shop.example";
    let create = ["app", "create", "shop", "--auth", "open", "--id", "shop", "--require-origin"];
    folder.ok(&[
        &create[..],
        &["--origin", "HTTPS://shop.example:443", "--origin", "https://*.shop.example"],
    ]
    .concat());
    let change = |args: &[&str]| {
        let app = folder.ok(&[&["app", "origins", "--app", "shop"], args].concat());
        let origins: Vec<_> =
            app["origins"].as_array().unwrap().iter().map(|o| o.as_str().unwrap().to_owned()).collect();
        (origins.join(" "), text(&app, "require_origin").to_owned())
    };
    let is = |origins: &str, required: &str| (origins.to_owned(), required.to_owned());
    assert_eq!(change(&[]), is("https://shop.example https://*.shop.example", "on"));
    assert_eq!(change(&["--remove", "https://*.shop.example", "--require-origin", "off"]), is(shop, "off"));
    assert_eq!(change(&["--add", "null", "--add", shop]), is("https://shop.example null", "off"));
    let listed = &folder.run(&["app", "list"]).objects()[0];
    assert_eq!((&listed["origins"][1], &listed["require_origin"]), (&"null".into(), &"off".into()));

    for (args, code, says) in [
        (&["--remove", shop, "--remove", "null"][..], 1, "chatcamp app origins --app APP --any"),
        (&["--remove", "https://other.example"], 1, "does not name the origin https://other.example"),
        (&["--add", "shop.example"], 2, "an origin begins with a scheme"),
        (&["--add", "https://shop.example/"], 2, "remove the slash"),
        (&["--add", "*"], 2, "without any origin, an app accepts all"),
        (&["--any", "--add", shop], 2, "cannot be used with"),
    ] {
        let done = folder.run(&[&["app", "origins", "--app", "shop"], args].concat());
        assert_eq!(done.code, code, "{args:?}: {}", done.stderr);
        assert!(done.stderr.contains(says), "{args:?}: {}", done.stderr);
    }
    assert_eq!(change(&[]), is("https://shop.example null", "off"), "a refused change changes nothing");
    assert_eq!(change(&["--any"]), is("", "off"));
    assert_eq!(folder.run(&["app", "origins", "--app", "other"]).code, 1);
}

#[test]
fn the_only_app_of_a_folder_need_not_be_named() {
    let folder = Folder::new();
    folder.ok(&["app", "create", "shop", "--auth", "open", "--id", "shop"]);
    let serve = folder.start(&["serve", "--listen", "127.0.0.1:0"]);
    let url = format!("http://{}", text(&serve.line(), "listening"));
    folder.ok(&["user", "create", "alice", "--no-lock"]);
    assert_eq!(text(&folder.ok(&["user", "list"]), "id"), "alice");
    assert_eq!(text(&folder.ok(&["app", "key", "list"]), "name"), "default");
    assert_eq!(text(&folder.ok(&["app", "limit", "7"]), "app_id"), "shop");
    assert_eq!(folder.run(&["connect", "alice", "--url", &url]).code, 0);
    drop(serve);

    folder.ok(&["app", "create", "my blog", "--auth", "open", "--id", "blog"]);
    for args in [&["user", "list"] as &[&str], &["app", "limit", "8"], &["connect", "alice", "--url", &url]] {
        let done = folder.run(args);
        assert_eq!((done.code, done.stderr.lines().count()), (2, 1), "{args:?}: {}", done.stderr);
        for says in ["--app APP_ID is missing", "has 2 apps", "shop (shop)", "blog (my blog)"] {
            assert!(done.stderr.contains(says), "{args:?}: {}", done.stderr);
        }
    }
    let (_dev, ready) = folder.dev();
    let limited = folder.ok(&["app", "limit", "8"]);
    assert_eq!(limited["app_id"], ready["app_id"], "the app of a development server is the default");
}

#[test]
fn api_keys_are_shown_once_and_revoked_by_their_id() {
    let folder = Folder::new();
    let app = folder.ok(&["app", "create", "demo", "--auth", "open"]);
    let app = text(&app, "app_id");
    let key = folder.ok(&["app", "key", "create", "--app", app, "--name", "backend"]);
    assert!(text(&key, "api_key").starts_with("ck1_"));
    let names = || -> Vec<_> {
        let done = folder.run(&["app", "key", "list", "--app", app]);
        assert!(!done.stdout.contains("ck1_"));
        done.objects().iter().map(|key| text(key, "name").to_owned()).collect()
    };
    assert_eq!(names(), ["default", "backend"]);
    folder.ok(&["app", "key", "revoke", "--app", app, text(&key, "id")]);
    assert_eq!(names(), ["default"]);
    assert_eq!(
        folder.run(&["app", "key", "revoke", "--app", app, text(&key, "id")]).code,
        1,
        "the key is revoked"
    );
}

#[test]
fn users_are_created_shown_changed_and_deleted() {
    let folder = Folder::new();
    let app = folder.ok(&["app", "create", "demo", "--auth", "open"]);
    let user = |args: &[&str]| folder.run(&[&["user"], args, &["--app", text(&app, "app_id")]].concat());
    let one = |args: &[&str]| {
        let done = user(args);
        assert_eq!(done.code, 0, "{args:?}: {}", done.stderr);
        done.objects().remove(0)
    };

    let created = one(&["create", "alice", "--display-name", "Alice"]);
    assert_eq!(user(&["create", "alice"]).code, 1, "alice exists already");
    assert_eq!(one(&["token", "alice"]), created, "the token is computed again");
    let shown = one(&["show", "alice"]);
    assert_eq!((text(&shown, "display_name"), &shown["access_token_set"]), ("Alice", &true.into()));
    assert!(shown.get("access_token").is_none() && shown.get("stamp").is_none());

    let renewed = one(&["token", "alice", "--new", "--expires-in", "3600", "--grace", "60"]);
    assert_ne!(text(&renewed, "access_token"), text(&created, "access_token"));
    assert!(one(&["show", "alice"])["access_token_expires_at"].is_u64());

    for (command, field, value) in [
        ("lock", "check_access_token", true),
        ("unlock", "check_access_token", false),
        ("suspend", "is_suspended", true),
        ("restore", "is_suspended", false),
    ] {
        assert_eq!(one(&[command, "alice"])[field], value, "{command}");
        assert_eq!(one(&["show", "alice"])[field], value, "{command}");
    }

    one(&["revoke", "alice"]);
    assert_eq!(one(&["show", "alice"])["access_token_set"], false);
    let none = user(&["token", "alice"]);
    assert!(none.code == 1 && none.stderr.contains("--new"), "{}", none.stderr);

    one(&["delete", "alice"]);
    for command in ["show", "token", "lock", "revoke", "delete"] {
        assert_eq!(user(&[command, "alice"]).code, 1, "{command}");
    }
}

#[test]
fn a_chosen_token_is_stored_only_as_a_digest() {
    let folder = Folder::new();
    let app = folder.ok(&["app", "create", "demo", "--auth", "open"]);
    let app = text(&app, "app_id");
    let token = "a token of my own";
    let created = folder.ok(&["user", "create", "alice", "--app", app, "--token", token, "--no-lock"]);
    assert_eq!(text(&created, "access_token"), token);
    let shown = folder.run(&["user", "token", "alice", "--app", app]);
    assert_eq!(shown.code, 1);
    assert!(shown.stderr.contains("cannot be shown") && !shown.stderr.contains(token), "{}", shown.stderr);
    let shown = folder.ok(&["user", "show", "alice", "--app", app]);
    assert_eq!((&shown["check_access_token"], &shown["access_token_set"]), (&false.into(), &true.into()));
}

#[test]
fn lists_are_limited_and_continued() {
    let folder = Folder::new();
    let app = folder.ok(&["app", "create", "demo", "--auth", "open"]);
    let app = text(&app, "app_id");
    for id in ["b", "a", "c"] {
        folder.ok(&["user", "create", id, "--app", app]);
    }
    for (args, ids) in [
        (&[] as &[&str], "abc"),
        (&["--limit", "2"], "ab"),
        (&["--limit", "0"], ""),
        (&["--after", "a"], "bc"),
        (&["--after", "a", "--limit", "1"], "b"),
        (&["--after", "c"], ""),
    ] {
        let done = folder.run(&[&["user", "list", "--app", app], args].concat());
        let listed: String = done.objects().iter().map(|user| text(user, "id")).collect();
        assert_eq!((done.code, listed.as_str()), (0, ids), "{args:?}");
    }
}

#[test]
fn a_display_name_is_escaped_on_a_terminal() {
    let folder = Folder::new();
    let app = folder.ok(&["app", "create", "demo", "--auth", "open"]);
    let app = text(&app, "app_id");
    folder.ok(&["user", "create", "eve", "--app", app, "--display-name", "\u{1b}[2Jeve\nroot"]);
    for command in [&["user", "list", "--app", app] as &[&str], &["user", "show", "eve", "--app", app]] {
        let done = Done::of(&mut folder.command(command));
        assert!(done.stdout.contains("\\u{1b}[2Jeve") && !done.stdout.contains('\u{1b}'), "{}", done.stdout);
    }
}
