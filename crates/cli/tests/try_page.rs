//! The page `/try` of `chatcamp dev`, in a real browser.
//!
//! Its scenarios are in `browser/try_page/`. `CHATCAMP_SCREENSHOTS=DIR` saves screenshots of the page: narrow and
//! wide, light and dark.

#[macro_use]
mod browser;

scenarios! {
    "try_page",
    both: [
        both_users_connect_and_receive_messages,
        users_of_a_backend_do_not_block_the_page,
        a_cut_connection_resumes,
        a_token_is_accepted_and_never_shown,
        a_refusal_shows_the_reason,
        everything_is_done_by_keyboard,
    ],
    web_socket: [
        the_page_fits_a_phone_and_a_wide_screen,
    ],
    long_poll: [],
}
