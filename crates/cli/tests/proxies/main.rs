//! `docs/PROXIES.md`, executed: its configurations and commands, with the real binary and the proxies of Debian.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "all of it is test code, helpers included")]
#![allow(clippy::print_stderr, reason = "a failed test shows the log of the proxy")]

mod browser;
mod checks;
mod outside;
#[path = "../browser/packages.rs"]
mod packages;
mod page;
#[path = "../cli/process.rs"]
#[allow(dead_code, reason = "shared with the suite `cli`, which uses all of it")]
mod process;
mod site;

#[test]
fn every_command_of_the_page_is_executed() {
    // One for each way, that which makes a certificate, and that which connects.
    assert_eq!(page::commands(), site::Way::ALL.len() + 2);
}

#[test]
#[ignore = "needs nginx, caddy and haproxy: apt-get install nginx caddy haproxy openssl"]
fn a_silence_of_100_seconds_ends_no_connection() {
    checks::silence_ends_no_connection();
}

/// Defines a test for each check in each way.
macro_rules! ways {
    ($($way:ident $module:ident $needs:literal with $($more:ident)*;)*) => {
        $(ways!(of $way $module $needs $($more)*
            users_connect_with_their_token
            events_of_the_backend_arrive
            users_return_after_a_restart_of_the_server
            the_largest_bodies_reach_the_server
        );)*
    };
    (of $way:ident $module:ident $needs:literal $($check:ident)*) => {
        mod $module {
            $(
                #[test]
                #[ignore = $needs]
                fn $check() {
                    crate::checks::$check(crate::site::Way::$way);
                }
            )*

            #[test]
            #[ignore = "needs chromium: apt-get install chromium nodejs npm openssl, and the proxy"]
            fn pages_connect() {
                crate::browser::pages_connect(crate::site::Way::$way);
            }
        }
    };
}

ways! {
    ServerAlone server_alone "needs openssl and curl: apt-get install openssl curl"
        with a_renewed_certificate_is_used plain_http_on_the_port_for_tls_is_named;
    Nginx nginx "needs nginx: apt-get install nginx openssl curl"
        with a_new_proxy_resumes_the_sessions plain_http_on_the_port_for_tls_is_named;
    Caddy caddy "needs caddy: apt-get install caddy openssl curl"
        with a_new_proxy_resumes_the_sessions plain_http_on_the_port_for_tls_is_named;
    // It closes a connection without TLS, and says nothing.
    Haproxy haproxy "needs haproxy: apt-get install haproxy openssl curl"
        with a_new_proxy_resumes_the_sessions;
    HaproxyPassThrough haproxy_pass_through "needs haproxy: apt-get install haproxy openssl curl"
        with a_new_proxy_resumes_the_sessions a_renewed_certificate_is_used plain_http_on_the_port_for_tls_is_named;
}
