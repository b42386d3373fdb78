//! The server under a path such as `/talk` of a proxy, in a real browser, against the real binary.
//!
//! Its scenarios are in `browser/under_a_path/`. `CHATCAMP_SCREENSHOTS=DIR` saves screenshots of the dashboard and of `/try`.

#[macro_use]
mod browser;

scenarios! {
    "under_a_path",
    both: [
        the_dashboard_signs_in_works_and_signs_out,
        code_to_copy_from_the_dashboard_connects,
        both_users_of_the_try_page_connect,
        the_web_client_dials_where_it_was_loaded_from,
        the_published_sdk_connects_through_the_compat_script,
        a_server_with_a_public_url_needs_no_proxy_that_removes_the_path,
    ],
    web_socket: [],
    long_poll: [],
}
