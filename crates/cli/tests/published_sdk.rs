//! The last published JavaScript SDK, unmodified, in a real browser, against the real binary.
//!
//! Its scenarios are in `browser/published_sdk/`. The SDK is fetched by `npm ci` and never committed.

#[macro_use]
mod browser;

scenarios! {
    "published_sdk",
    both: [
        connects_by_user_id,
        runs_the_readmes_snippet,
        connects_by_token,
        keeps_ids_byte_for_byte,
        disconnects_and_connects_again,
        connects_another_user_after_disconnect,
        a_page_that_names_no_host_connects_through_the_compat_script,
        a_page_that_names_no_host_presents_its_token,
        a_page_that_extends_wrapped_classes_keeps_its_classes,
        keeps_a_19_digit_app_id_quoted_or_as_a_number,
        refuses_a_wrong_token,
        refuses_a_missing_token,
        refuses_a_token_for_an_unknown_user,
        refuses_an_unknown_user_where_tokens_are_required,
        refuses_an_unknown_app,
        a_page_of_another_origin_is_refused_and_stays_quiet,
        a_revoked_token_ends_the_live_connection_for_good,
        updates_the_display_name_and_keeps_the_token,
        blocks_lists_and_unblocks_a_user,
        lists_the_users_page_by_page,
        answers_a_request_of_an_unknown_type,
        survives_the_heartbeat,
        a_cut_connection_reconnects_by_session_key,
        a_cut_connection_keeps_its_token,
        an_outage_of_some_seconds_ends_by_itself,
        messages_sent_during_an_outage_arrive_after_it_once,
        an_unknown_session_key_falls_back_to_the_user_id,
        an_unknown_session_key_falls_back_to_the_token,
    ],
    web_socket: [
        two_tabs_of_one_user_do_not_wait_for_each_other,
    ],
    long_poll: [
        a_poll_without_messages_is_answered_and_another_follows,
        after_disconnect_the_held_poll_ends_and_none_follows,
        a_connection_cut_under_a_held_poll_goes_unnoticed,
        the_browser_sends_one_preflight_and_not_one_for_every_poll,
    ],
}
