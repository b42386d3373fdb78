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
mod proxy;
mod raw;
mod site;
mod way;

#[test]
fn every_command_of_the_page_is_executed() {
    // One for each way, that which makes a certificate, and that which connects.
    assert_eq!(page::commands(), way::Way::ALL.len() + 2);
}

#[test]
#[ignore = "needs nginx, caddy, haproxy and openssl: apt-get install nginx caddy haproxy openssl"]
fn a_silence_of_100_seconds_ends_no_connection() {
    checks::silence_ends_no_connection();
}

/// Defines a test for each check in each way, with the checks that every way has.
macro_rules! ways {
    ($($way:ident $module:ident $needs:literal with $($more:ident)*;)*) => {
        $(ways!(of $way $module $needs $($more)*
            users_connect_with_their_token
            events_of_the_backend_arrive
            users_return_after_a_restart_of_the_server
            the_largest_bodies_pass
            forged_addresses_are_not_believed
            an_operator_signs_in
            pages_connect
        );)*
    };
    (of $way:ident $module:ident $needs:literal $($check:ident)*) => {
        mod $module {
            $(
                #[test]
                #[ignore = $needs]
                fn $check() {
                    crate::checks::$check(crate::way::Way::$way);
                }
            )*
        }
    };
}

ways! {
    ServerAlone server_alone "needs openssl, curl, chromium, node and npm: apt-get install openssl curl chromium nodejs npm"
        with
        a_renewed_certificate_is_used
        plain_http_on_the_port_for_tls_is_named;
    Nginx nginx "needs nginx, openssl, curl, chromium, node and npm: apt-get install nginx openssl curl chromium nodejs npm"
        with
        a_new_proxy_resumes_the_sessions
        headers_of_an_untrusted_proxy_are_ignored
        no_log_contains_a_token
        pages_connect_below_a_path
        plain_http_on_the_port_for_tls_is_named
        users_connect_below_a_path;
    Caddy caddy "needs caddy, openssl, curl, chromium, node and npm: apt-get install caddy openssl curl chromium nodejs npm"
        with
        a_new_proxy_resumes_the_sessions
        headers_of_an_untrusted_proxy_are_ignored
        no_log_contains_a_token
        pages_connect_below_a_path
        plain_http_on_the_port_for_tls_is_named
        users_connect_below_a_path;
    // It closes a connection without TLS, and says nothing.
    Haproxy haproxy "needs haproxy, openssl, curl, chromium, node and npm: apt-get install haproxy openssl curl chromium nodejs npm"
        with
        a_new_proxy_resumes_the_sessions
        headers_of_an_untrusted_proxy_are_ignored
        no_log_contains_a_token
        pages_connect_below_a_path
        users_connect_below_a_path;
    HaproxyPassThrough haproxy_pass_through "needs haproxy, openssl, curl, chromium, node and npm: apt-get install haproxy openssl curl chromium nodejs npm"
        with
        a_new_proxy_resumes_the_sessions
        a_renewed_certificate_is_used
        plain_http_on_the_port_for_tls_is_named;
}
