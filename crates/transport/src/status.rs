//! What an HTTP status means that a ChatCamp server would not have answered.

/// Returns the status, and what it says about the URL, for the message of an error.
pub(crate) fn explained(status: u16) -> String {
    let meaning = match status {
        200..=299 | 404 | 405 => "; there is no ChatCamp server at this path",
        300..=399 => "; redirects are not followed, use the URL that it leads to",
        401 | 403 | 407 => "; a proxy or another server refuses the connection",
        502 | 504 => "; a proxy cannot reach the server",
        503 => "; the server, or a proxy in front of it, is overloaded or shutting down",
        _ => "",
    };
    format!("status {status}{meaning}")
}
