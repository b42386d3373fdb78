//! The dashboard of `chatcamp dev`, in a real browser.
//!
//! Its scenarios are in `browser/dashboard/`. `CHATCAMP_SCREENSHOTS=DIR` saves screenshots of its pages: narrow and
//! wide, light and dark.

#[macro_use]
mod browser;

scenarios! {
    "dashboard",
    both: [
        a_new_operator_creates_a_user_and_watches_its_session,
        a_user_is_suspended_and_restored_without_the_script,
        a_refused_origin_is_copied_into_the_list_and_accepted,
        everything_is_done_by_keyboard,
        a_profile_is_edited_and_an_error_stands_beside_its_field,
        users_are_filtered_and_searched,
    ],
    web_socket: [
        the_link_of_dev_signs_in_once,
        pages_fit_a_phone,
        pages_fit_a_wide_screen,
    ],
    long_poll: [],
}
