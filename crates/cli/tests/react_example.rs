//! `examples/react`: installed from the server's `/chatcamp.tgz`, checked by TypeScript, built by Vite, and used in a real browser.
//!
//! Its scenarios are in `browser/react_example/`.

#[macro_use]
mod browser;

scenarios! {
    "react_example",
    both: [],
    web_socket: [
        a_page_in_react_connects_shows_events_and_errors_and_disconnects,
        the_package_asks_for_the_url_of_the_server,
    ],
    long_poll: [],
}
