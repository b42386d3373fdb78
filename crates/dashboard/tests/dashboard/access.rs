//! Sign-in, sessions of browsers, and the checks before every request.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::fixture::{Fixture, PASSWORD};

#[tokio::test]
async fn the_right_password_signs_in_and_redirects_to_the_requested_page() {
    let fixture = Fixture::new().await;
    let mut browser = fixture.browser();
    let requested = fixture.path("users");
    let redirect = browser.get(&requested).await;
    assert_eq!(redirect.status, 303);
    let sign_in = browser.get(&redirect.location().unwrap()).await;
    let to = sign_in.between("name=\"to\" value=\"", "\"").unwrap().to_owned();
    assert_eq!(to, requested);

    let signed_in = browser.post("/dashboard/sign-in", &[("password", PASSWORD), ("to", &to)]).await;
    assert_eq!((signed_in.status, signed_in.location()), (303, Some(requested.clone())));
    let users = browser.get(&requested).await;
    assert_eq!(users.status, 200);
    users.assert_contains("No users yet");
}

#[tokio::test]
async fn sign_in_redirects_only_to_pages_of_the_dashboard() {
    let fixture = Fixture::new().await;
    for to in [
        "https://evil.example/",
        "//evil.example",
        "/",
        "/dashboard",
        "/dashboard/\r\nx: y",
        "/dashboard/\\x",
        "",
    ] {
        let mut browser = fixture.browser();
        let signed_in = browser.post("/dashboard/sign-in", &[("password", PASSWORD), ("to", to)]).await;
        assert_eq!((signed_in.status, signed_in.location()), (303, Some("/dashboard/".to_owned())), "{to:?}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_answered_late_and_does_not_delay_the_right_one() {
    let fixture = Fixture::new().await;
    for wrong in ["", "Correct horse battery", &"x".repeat(2000)] {
        let mut guesser = fixture.browser();
        let mut admin = fixture.browser();
        let began = Instant::now();
        let guess = async { (guesser.sign_in(wrong).await, began.elapsed()) };
        let sign_in = async { (admin.sign_in(PASSWORD).await, began.elapsed()) };
        let ((refused, refused_after), (signed_in, signed_in_after)) = tokio::join!(guess, sign_in);
        refused.assert_contains("The password is wrong.");
        assert_eq!((refused.status, guesser.cookie), (403, None));
        assert_eq!(signed_in.status, 303);
        assert!(refused_after >= Duration::from_secs(1), "{refused_after:?}");
        assert!(signed_in_after < refused_after, "{signed_in_after:?}, {refused_after:?}");
    }
}

#[tokio::test]
async fn the_cookie_is_limited_to_the_dashboard_and_hidden_from_scripts() {
    let fixture = Fixture::new().await;
    let mut browser = fixture.browser();
    let signed_in = browser.enter(&fixture.dashboard.one_time_path()).await;
    let cookie = signed_in.header("set-cookie").unwrap();
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    // Without `Path`, the cookie is for the folder of the form, which may be below the path of a proxy.
    assert_eq!(attributes, "Max-Age=43200; HttpOnly; SameSite=Strict");
    let (name, value) = pair.split_once('=').unwrap();
    assert_eq!(
        name,
        format!("chatcamp_dashboard_{}", fixture.address.port()),
        "two servers on one host have two cookies"
    );
    assert!(value.len() >= 32, "{value}");
}

#[tokio::test]
async fn behind_a_proxy_with_tls_the_cookie_is_secure() {
    let fixture =
        Fixture::with(|dashboard| dashboard.with_hosts(vec!["https://camp.example".parse().unwrap()])).await;
    let mut browser = fixture.browser();
    (browser.host, browser.origin) = ("camp.example".into(), Some("https://camp.example".into()));
    let signed_in = browser.enter(&fixture.dashboard.one_time_path()).await;
    assert!(signed_in.header("set-cookie").unwrap().ends_with("; Secure"));
    browser.get(&fixture.path("app")).await.assert_contains("https://camp.example/compat.js");

    browser.origin = Some("http://camp.example".into());
    assert_eq!(browser.post("/dashboard/sign-out", &[]).await.status, 403);
}

#[tokio::test]
async fn a_one_time_link_works_once_and_opening_it_does_not_use_it() {
    let fixture = Fixture::new().await;
    let path = fixture.dashboard.one_time_path();
    for _ in 0..3 {
        let opened = fixture.browser().get(&path).await;
        assert_eq!((opened.status, opened.header("set-cookie")), (200, None));
    }
    assert_eq!(fixture.browser().enter(&path).await.status, 303);
    let again = fixture.browser().enter(&path).await;
    assert_eq!((again.status, again.header("set-cookie")), (403, None));
    again.assert_contains("This link was already used or has expired");
    assert_eq!(fixture.browser().get(&path).await.status, 403);
    assert_eq!(fixture.browser().get("/dashboard/enter/guessed").await.status, 403);

    let late = fixture.dashboard.one_time_path();
    fixture.advance_time(60 * 60);
    assert_eq!(fixture.browser().enter(&late).await.status, 403);
}

#[tokio::test]
async fn a_browser_session_ends_by_sign_out_by_time_and_with_a_new_password() {
    let fixture = Fixture::new().await;
    let mut browser = fixture.admin().await;
    let cookie = browser.cookie.clone();
    assert_eq!(browser.post("/dashboard/sign-out", &[]).await.status, 303);
    assert_eq!(browser.cookie, None, "the browser deletes it");
    browser.cookie = cookie;
    assert_eq!(browser.get("/dashboard/").await.status, 303, "and the server too");

    let mut idle = fixture.admin().await;
    let mut watching = idle.clone();
    let live = format!("{}&user=alice", fixture.path("live-sessions"));
    fixture.advance_time(60 * 60 - 1);
    assert_eq!(watching.get(&live).await.status, 200);
    fixture.advance_time(1);
    assert_eq!(
        watching.get(&live).await.status,
        403,
        "a page that reloads its data does not keep a session alive"
    );
    let refused =
        idle.post("/dashboard/user/create", &[("app", fixture.app.as_str()), ("id", "alice")]).await;
    assert_eq!(refused.status, 403);
    refused.assert_contains("You are signed out");

    let mut admin = fixture.admin().await;
    fixture.set_password("another one entirely");
    let ended = Instant::now() + Duration::from_secs(10);
    while admin.get("/dashboard/").await.status != 303 {
        assert!(Instant::now() < ended, "the session outlives its password");
    }
    assert_eq!(fixture.browser().sign_in("another one entirely").await.status, 303);
}

#[tokio::test]
async fn a_form_of_another_site_or_session_changes_nothing() {
    let fixture = Fixture::new().await;
    let admin = fixture.admin().await;
    let other = fixture.admin().await;
    let form = [("app", fixture.app.as_str()), ("id", "alice")];
    for (what, origin, form_token) in [
        ("another site", Some("http://evil.example".to_owned()), admin.form_token.clone()),
        ("another port", Some(format!("http://{}:1", fixture.address.ip())), admin.form_token.clone()),
        ("a hidden origin", Some("null".into()), admin.form_token.clone()),
        ("no origin", None, admin.form_token.clone()),
        ("no token", admin.origin.clone(), String::new()),
        ("a wrong token", admin.origin.clone(), admin.form_token.to_lowercase() + "x"),
        ("the token of another session", admin.origin.clone(), other.form_token.clone()),
    ] {
        let mut forged = admin.clone();
        (forged.origin, forged.form_token) = (origin, form_token);
        for path in ["/dashboard/user/create", "/dashboard/sign-out"] {
            let refused = forged.post(path, &form).await;
            assert_eq!(refused.status, 403, "{what}");
            refused.assert_contains("The form was not accepted");
        }
    }
    assert!(fixture.accounts.users(&fixture.app, None, 10).await.unwrap().is_empty());
    let mut foreign = fixture.browser();
    foreign.origin = Some("http://evil.example".into());
    assert_eq!(foreign.sign_in(PASSWORD).await.status, 403, "another site cannot sign in");
    assert_eq!(admin.clone().get("/dashboard/").await.status, 200);
}

#[tokio::test]
async fn a_form_refused_behind_a_proxy_says_how_to_configure_the_proxy() {
    let names = || vec!["https://camp.example".parse().unwrap()];
    let fixture = Fixture::with(|dashboard| dashboard.with_hosts(names())).await;
    let mut browser = fixture.browser();
    browser.origin = Some("https://camp.example".into());
    // The default of nginx: the Host header is replaced.
    let refused = browser.sign_in(PASSWORD).await;
    assert_eq!(refused.status, 403);
    refused.assert_contains("sent the form from https://camp.example,");
    refused.assert_contains(&format!("reached this server as http://{}.", fixture.address));
    refused.assert_contains("proxy_set_header Host");
    // Some proxies pass the Host header on with the default port.
    browser.host = "camp.example:443".into();
    assert_eq!(browser.sign_in(PASSWORD).await.status, 303);
}

#[tokio::test]
async fn a_large_form_is_not_read_before_sign_in() {
    let fixture = Fixture::new().await;
    let origin = format!("http://{}", fixture.address);
    for (path, length, status) in [
        ("user/create", 131_072, 403),
        ("sign-out", 131_072, 403),
        ("sign-in", 10_000, 413),
        ("enter", 10_000, 413),
    ] {
        let mut tcp = TcpStream::connect(fixture.address).await.unwrap();
        let head = format!(
            "POST /dashboard/{path} HTTP/1.1\r\nHost: {}\r\nOrigin: {origin}\r\nContent-Length: {length}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\n",
            fixture.address
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
async fn a_request_for_another_host_is_refused() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.admin().await;
    for host in ["evil.example", "localhost.evil.example", "10.0.0.1", ""] {
        admin.host = host.into();
        for path in ["/dashboard/", "/dashboard/sign-in", "/dashboard/enter/x"] {
            let refused = admin.get(path).await;
            assert_eq!(refused.status, 421, "{host}");
            refused.assert_lacks(fixture.app.as_str());
        }
    }
    admin.host = format!("localhost:{}", fixture.address.port());
    assert_eq!(admin.get("/dashboard/").await.status, 200);
}

#[tokio::test]
async fn every_answer_forbids_framing_foreign_scripts_and_caching() {
    let fixture = Fixture::new().await;
    let mut browser = fixture.browser();
    let style = browser
        .get("/dashboard/sign-in")
        .await
        .between("rel=\"stylesheet\" href=\"", "\"")
        .unwrap()
        .to_owned();
    let mut admin = fixture.admin().await;
    let answers = [
        browser.get("/dashboard/sign-in").await,
        browser.get("/dashboard/").await,
        browser.get("/dashboard/enter/x").await,
        browser.sign_in("wrong").await,
        admin.get("/dashboard/").await,
        admin.get("/dashboard/nowhere").await,
        admin.get(&fixture.path("live-sessions")).await,
        admin.post("/dashboard/user/create", &[("app", fixture.app.as_str()), ("id", "alice")]).await,
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
async fn invalid_requests_are_refused_with_the_right_status() {
    let fixture = Fixture::new().await;
    let admin = fixture.admin().await;
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
async fn other_paths_of_the_server_stay_reachable() {
    let fixture = Fixture::new().await;
    let mut browser = fixture.browser();
    for path in ["/healthz", "/compat.js"] {
        assert_eq!(browser.get(path).await.status, 200, "{path}");
    }
    for path in ["/dashboards", "/dashboardx/", "/x/dashboard/"] {
        assert_eq!(browser.get(path).await.status, 404, "{path}");
    }
    assert_eq!(browser.get("/dashboard").await.status, 303);
    let front = browser.get("/").await;
    assert_eq!((front.status, front.location()), (303, Some("/dashboard/".to_owned())));
}
