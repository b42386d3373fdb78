//! Who may in, and how.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::world::{PASSWORD, World};

#[tokio::test]
async fn the_right_password_lets_in_and_leads_on_to_where_one_wanted() {
    let world = World::new().await;
    let mut browser = world.browser();
    let wanted = world.path("users");
    let sent_away = browser.get(&wanted).await;
    assert_eq!(sent_away.status, 303);
    let sign_in = browser.get(sent_away.header("location").unwrap()).await;
    let to = sign_in.between("name=\"to\" value=\"", "\"").unwrap().to_owned();
    assert_eq!(to, wanted);

    let let_in = browser.post("/dashboard/sign-in", &[("password", PASSWORD), ("to", &to)]).await;
    assert_eq!((let_in.status, let_in.header("location")), (303, Some(&*wanted)));
    let users = browser.get(&wanted).await;
    assert_eq!(users.status, 200);
    users.says("Nobody has connected yet");
}

#[tokio::test]
async fn one_is_led_on_to_pages_of_the_dashboard_only() {
    let world = World::new().await;
    for to in [
        "https://evil.example/",
        "//evil.example",
        "/",
        "/dashboard",
        "/dashboard/\r\nx: y",
        "/dashboard/\\x",
        "",
    ] {
        let mut browser = world.browser();
        let let_in = browser.post("/dashboard/sign-in", &[("password", PASSWORD), ("to", to)]).await;
        assert_eq!((let_in.status, let_in.header("location")), (303, Some("/dashboard/")), "{to:?}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_answered_late_and_does_not_lock_the_right_one_out() {
    let world = World::new().await;
    for wrong in ["", "Correct horse battery", &"x".repeat(2000)] {
        let (mut guesser, mut admin) = (world.browser(), world.browser());
        let began = Instant::now();
        let (refused, let_in) =
            tokio::join!(async { (guesser.sign_in(wrong).await, began.elapsed()) }, async {
                (admin.sign_in(PASSWORD).await, began.elapsed())
            },);
        assert_eq!((refused.0.status, guesser.cookie), (403, None));
        refused.0.says("That is not the admin password.");
        assert_eq!(let_in.0.status, 303);
        assert!(refused.1 >= Duration::from_secs(1), "{:?}", refused.1);
        assert!(let_in.1 < Duration::from_secs(1), "{:?}", let_in.1);
    }
}

#[tokio::test]
async fn the_cookie_is_for_the_dashboard_of_this_site_and_no_script() {
    let world = World::new().await;
    let mut browser = world.browser();
    let let_in = browser.enter(&world.dashboard.one_time_path()).await;
    let cookie = let_in.header("set-cookie").unwrap();
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/dashboard; Max-Age=43200; HttpOnly; SameSite=Strict");
    let (name, value) = pair.split_once('=').unwrap();
    assert_eq!(
        name,
        format!("chatcamp_dashboard_{}", world.address.port()),
        "two servers on one host have two cookies"
    );
    assert!(value.len() >= 32, "{value}");
}

#[tokio::test]
async fn behind_a_proxy_with_tls_the_cookie_is_secure() {
    let world =
        World::with(|dashboard| dashboard.with_hosts(vec!["https://camp.example".parse().unwrap()])).await;
    let mut browser = world.browser();
    (browser.host, browser.origin) = ("camp.example".into(), Some("https://camp.example".into()));
    let let_in = browser.enter(&world.dashboard.one_time_path()).await;
    assert!(let_in.header("set-cookie").unwrap().ends_with("; Secure"));
    browser.get(&world.path("app")).await.says("https://camp.example/compat.js");

    browser.origin = Some("http://camp.example".into());
    assert_eq!(browser.post("/dashboard/sign-out", &[]).await.status, 403);
}

#[tokio::test]
async fn a_one_time_link_is_not_used_up_by_looking_and_works_once() {
    let world = World::new().await;
    let path = world.dashboard.one_time_path();
    for _ in 0..3 {
        let looked = world.browser().get(&path).await;
        assert_eq!((looked.status, looked.header("set-cookie")), (200, None));
    }
    assert_eq!(world.browser().enter(&path).await.status, 303);
    let again = world.browser().enter(&path).await;
    assert_eq!((again.status, again.header("set-cookie")), (403, None));
    again.says("This link was used, or is too old");
    assert_eq!(world.browser().get(&path).await.status, 403);
    assert_eq!(world.browser().get("/dashboard/enter/guessed").await.status, 403);

    let late = world.dashboard.one_time_path();
    world.pass(60 * 60);
    assert_eq!(world.browser().enter(&late).await.status, 403);
}

#[tokio::test]
async fn a_visit_ends_by_signing_out_by_time_and_with_another_password() {
    let world = World::new().await;
    let mut browser = world.admin().await;
    let cookie = browser.cookie.clone();
    assert_eq!(browser.post("/dashboard/sign-out", &[]).await.status, 303);
    assert_eq!(browser.cookie, None, "the browser forgets it");
    browser.cookie = cookie;
    assert_eq!(browser.get("/dashboard/").await.status, 303, "and the server too");

    let mut idle = world.admin().await;
    let mut watching = idle.clone();
    let live = format!("{}&user=alice", world.path("live/sessions"));
    world.pass(60 * 60 - 1);
    assert_eq!(watching.get(&live).await.status, 200);
    world.pass(1);
    assert_eq!(watching.get(&live).await.status, 403, "a page that updates itself does not keep a visit");
    let refused = idle.post("/dashboard/user/create", &[("app", world.app.as_str()), ("id", "alice")]).await;
    assert_eq!(refused.status, 403);
    refused.says("You are signed out");

    let mut admin = world.admin().await;
    world.set_password("another one entirely");
    let ended = Instant::now() + Duration::from_secs(10);
    while admin.get("/dashboard/").await.status != 303 {
        assert!(Instant::now() < ended, "the visit outlives its password");
    }
    assert_eq!(world.browser().sign_in("another one entirely").await.status, 303);
}

#[tokio::test]
async fn a_form_of_another_site_or_visit_changes_nothing() {
    let world = World::new().await;
    let admin = world.admin().await;
    let other = world.admin().await;
    let form = [("app", world.app.as_str()), ("id", "alice")];
    for (what, origin, form_token) in [
        ("another site", Some("http://evil.example".to_owned()), admin.form_token.clone()),
        ("another port", Some(format!("http://{}:1", world.address.ip())), admin.form_token.clone()),
        ("a hidden origin", Some("null".into()), admin.form_token.clone()),
        ("no origin", None, admin.form_token.clone()),
        ("no token", admin.origin.clone(), String::new()),
        ("a wrong token", admin.origin.clone(), admin.form_token.to_lowercase() + "x"),
        ("the token of another visit", admin.origin.clone(), other.form_token.clone()),
    ] {
        let mut forged = admin.clone();
        (forged.origin, forged.form_token) = (origin, form_token);
        for path in ["/dashboard/user/create", "/dashboard/sign-out"] {
            let refused = forged.post(path, &form).await;
            assert_eq!(refused.status, 403, "{what}");
            refused.says("This form was not accepted");
        }
    }
    assert!(world.accounts.users(&world.app, None, 10).await.unwrap().is_empty());
    let mut foreign = world.browser();
    foreign.origin = Some("http://evil.example".into());
    assert_eq!(foreign.sign_in(PASSWORD).await.status, 403, "nobody is signed in by another site");
    assert_eq!(admin.clone().get("/dashboard/").await.status, 200);
}

#[tokio::test]
async fn behind_a_proxy_a_refused_form_says_what_the_proxy_must_do() {
    let names = || vec!["https://camp.example".parse().unwrap()];
    let world = World::with(|dashboard| dashboard.with_hosts(names())).await;
    let mut browser = world.browser();
    browser.origin = Some("https://camp.example".into());
    // As nginx does unless told otherwise.
    let refused = browser.sign_in(PASSWORD).await;
    assert_eq!(refused.status, 403);
    refused.says("sent the form from https://camp.example,");
    refused.says(&format!("was asked as http://{}.", world.address));
    refused.says("proxy_set_header Host");
    // And as some do that pass it on.
    browser.host = "camp.example:443".into();
    assert_eq!(browser.sign_in(PASSWORD).await.status, 303);
}

#[tokio::test]
async fn a_form_of_somebody_unknown_is_not_waited_for() {
    let world = World::new().await;
    let origin = format!("http://{}", world.address);
    for (path, length, status) in [
        ("user/create", 131_072, 403),
        ("sign-out", 131_072, 403),
        ("sign-in", 10_000, 413),
        ("enter", 10_000, 413),
    ] {
        let mut tcp = TcpStream::connect(world.address).await.unwrap();
        let head = format!(
            "POST /dashboard/{path} HTTP/1.1\r\nHost: {}\r\nOrigin: {origin}\r\nContent-Length: {length}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\n",
            world.address
        );
        tcp.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(Duration::from_secs(5), tcp.read_to_string(&mut answer))
            .await
            .expect("it is answered")
            .unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_name_of_another_site_is_not_answered() {
    let world = World::new().await;
    let mut admin = world.admin().await;
    for host in ["evil.example", "localhost.evil.example", "10.0.0.1", ""] {
        admin.host = host.into();
        for path in ["/dashboard/", "/dashboard/sign-in", "/dashboard/enter/x"] {
            let refused = admin.get(path).await;
            assert_eq!(refused.status, 421, "{host}");
            refused.says_nothing_of(world.app.as_str());
        }
    }
    admin.host = format!("localhost:{}", world.address.port());
    assert_eq!(admin.get("/dashboard/").await.status, 200);
}

#[tokio::test]
async fn every_answer_forbids_frames_foreign_scripts_and_keeping() {
    let world = World::new().await;
    let mut browser = world.browser();
    let style = browser
        .get("/dashboard/sign-in")
        .await
        .between("rel=\"stylesheet\" href=\"", "\"")
        .unwrap()
        .to_owned();
    let mut admin = world.admin().await;
    let answers = [
        browser.get("/dashboard/sign-in").await,
        browser.get("/dashboard/").await,
        browser.get("/dashboard/enter/x").await,
        browser.sign_in("wrong").await,
        admin.get("/dashboard/").await,
        admin.get("/dashboard/nowhere").await,
        admin.get(&world.path("live/sessions")).await,
        admin.post("/dashboard/user/create", &[("app", world.app.as_str()), ("id", "alice")]).await,
        browser.get(&style).await,
    ];
    for (index, answer) in answers.iter().enumerate() {
        let policy = answer.header("content-security-policy").unwrap();
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(rule), "{policy}");
        }
        assert!(!policy.contains("unsafe"));
        for (name, value) in [
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{index}");
        }
        assert_eq!(answer.header("access-control-allow-origin"), None);
        let is_file = index == answers.len() - 1;
        assert_eq!(answer.header("cache-control") == Some("no-store"), !is_file, "{index}: {}", answer.head);
        for inline in ["<style", "style=\"", "onclick", "javascript:"] {
            assert!(is_file || !answer.body.contains(inline), "{index}: {inline}");
        }
    }
}

#[tokio::test]
async fn what_is_no_form_is_refused_with_the_reason() {
    let world = World::new().await;
    let admin = world.admin().await;
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let large = format!("data={}", "x".repeat(200_000));
    for (method, path, headers, body, status) in [
        ("PUT", "/dashboard/", "", "", 405),
        ("DELETE", "/dashboard/users", "", "", 405),
        ("POST", "/dashboard/user/create", "Content-Type: application/json\r\n", "{}", 415),
        ("POST", "/dashboard/user/create", "", "app=1", 415),
        ("POST", "/dashboard/user/create", form, "a=%ff", 400),
        ("POST", "/dashboard/user/create", form, "a=1&a=2", 400),
        ("POST", "/dashboard/user/create", form, &large, 413),
        ("POST", "/dashboard/sign-in", form, &large, 413),
        ("GET", "/dashboard/users?app=%ff", "", "", 400),
        ("GET", "/dashboard/users", "", "", 404),
        ("GET", "/dashboard/users?app=nobody", "", "", 404),
        ("GET", "/dashboard/user?app=..&id=..", "", "", 404),
        ("GET", "/dashboard/nowhere", "", "", 404),
        ("HEAD", "/dashboard/", "", "", 200),
    ] {
        let answer = admin.clone().ask(method, path, headers, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert_eq!(answer.header("allow").is_some(), status == 405);
        assert_eq!(answer.body.is_empty(), method == "HEAD");
    }
    let mut unknown = admin.clone();
    assert_eq!(unknown.post("/dashboard/nothing/done", &[]).await.status, 404);
}

#[tokio::test]
async fn the_chat_and_the_rest_are_where_they_were() {
    let world = World::new().await;
    let mut browser = world.browser();
    for path in ["/healthz", "/compat.js"] {
        assert_eq!(browser.get(path).await.status, 200, "{path}");
    }
    for path in ["/dashboards", "/dashboardx/", "/x/dashboard/"] {
        assert_eq!(browser.get(path).await.status, 404, "{path}");
    }
    assert_eq!(browser.get("/dashboard").await.status, 303);
    let front = browser.get("/").await;
    assert_eq!((front.status, front.header("location")), (303, Some("/dashboard/")));
}
