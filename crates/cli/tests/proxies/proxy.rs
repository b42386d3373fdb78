//! Runs the proxies of Debian with the configurations of `docs/PROXIES.md`.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Command,
};

use crate::{
    outside::Outside,
    page,
    way::{PATH, PathStyle, Way},
};

/// Starts the proxy of a way at an address of loopback, in front of the server at `upstream`, with its files in `folder`.
pub(crate) fn start(
    way: Way,
    path: Option<PathStyle>,
    folder: &Path,
    address: SocketAddr,
    upstream: SocketAddr,
) -> Result<Outside, String> {
    let files = folder.display().to_string();
    let (port, upstream) = (address.port(), upstream.to_string());
    let mut command;
    match way {
        Way::ServerAlone => unreachable!("it has no proxy"),
        Way::Nginx => {
            let changes = [
                ("listen 443", format!("listen {address}")),
                ("[::]:443", format!("[::1]:{port}")),
                ("/etc/ssl/chatcamp", files.clone()),
                ("/var/log/nginx", files.clone()),
                ("127.0.0.1:9080", upstream),
            ];
            let site = configuration(way, path, "nginx", &changes);
            fs::write(folder.join("nginx.conf"), nginx_with(&site, &files)).unwrap();
            command = Command::new("/usr/sbin/nginx");
            command.args(["-e", "stderr", "-p", &files, "-c", "nginx.conf"]);
        }
        Way::Caddy => {
            let changes = [
                ("chat.example.com {", "chat.example.com, localhost {".to_owned()),
                ("/etc/ssl/chatcamp", files.clone()),
                ("127.0.0.1:9080", upstream),
            ];
            let site = configuration(way, path, "caddyfile", &changes);
            fs::write(folder.join("Caddyfile"), caddy_with(&site, port)).unwrap();
            command = Command::new("caddy");
            command.args(["run", "--config", "Caddyfile", "--adapter", "caddyfile"]);
            command.env("HOME", &files).env_remove("XDG_DATA_HOME").env_remove("XDG_CONFIG_HOME");
        }
        Way::Haproxy | Way::HaproxyPassThrough => {
            let server = if way == Way::Haproxy { "127.0.0.1:9080" } else { "127.0.0.1:9443" };
            let mut changes = vec![("bind :443", format!("bind {address}")), (server, upstream)];
            if way == Way::Haproxy {
                changes.push(("/etc/haproxy", files));
            }
            let site = configuration(way, path, "haproxy", &changes);
            fs::write(folder.join("haproxy.cfg"), haproxy_with(&site)).unwrap();
            command = Command::new("/usr/sbin/haproxy");
            command.args(["-db", "-f", "haproxy.cfg"]);
        }
    }
    Outside::start(&mut command, folder, address)
}

/// Returns the configuration of the page, with other addresses and paths.
fn configuration(way: Way, path: Option<PathStyle>, language: &str, changes: &[(&str, String)]) -> String {
    let mut text = page::block(way.title(), language).to_owned();
    if let Some(style) = path {
        text = below_a_path(way, style, &text);
    }
    for (from, to) in changes {
        assert!(text.contains(from), "{way:?}: {from}");
        text = text.replace(from, to);
    }
    text
}

/// Returns the configuration of a proxy that serves the server below [`PATH`].
fn below_a_path(way: Way, style: PathStyle, text: &str) -> String {
    let replaced = |text: &str, from: &str, to: &str| {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text.replace(from, to)
    };
    let (line, changed) = page::line_for_a_path(way.title());
    if style == PathStyle::PassesOn {
        return replaced(text, line, changed);
    }
    match way {
        Way::Nginx => replaced(&replaced(text, line, changed), "http://chatcamp;", "http://chatcamp/;"),
        Way::Caddy => replaced(text, line, &format!("uri strip_prefix {PATH}\n{line}")),
        _ => {
            let server = "    server chatcamp ";
            let removing = format!("    http-request replace-path {PATH}(/.*) \\1\n{server}");
            replaced(&replaced(text, line, changed), server, &removing)
        }
    }
}

/// Returns a configuration of nginx that includes only `site`, and keeps its files in `folder`.
fn nginx_with(site: &str, folder: &str) -> String {
    // Some machines that build have no IPv6.
    let has_ipv6 = TcpListener::bind("[::1]:0").is_ok();
    let lines: Vec<_> = site.lines().filter(|line| has_ipv6 || !line.contains("[::1]")).collect();
    let site = lines.join("\n");
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let folders: String = folders.iter().map(|name| format!("{name}_temp_path {folder}/{name};\n")).collect();
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/pid;\nevents {{}}\n\
         http {{\naccess_log access.log;\n{folders}\n{site}\n}}\n"
    )
}

/// Returns a configuration of Caddy that serves `site` on a port of loopback only.
fn caddy_with(site: &str, port: u16) -> String {
    let options = "admin off\n    default_bind 127.0.0.1\n    auto_https disable_redirects";
    site.replacen("{\n", &format!("{{\n    https_port {port}\n    {options}\n"), 1)
}

/// Returns a configuration of HAProxy with logging as Debian sets it, but to stdout.
fn haproxy_with(site: &str) -> String {
    format!("defaults\n    log stdout format raw daemon\n    option httplog\n\n{site}")
}
