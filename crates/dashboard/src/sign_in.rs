//! Signing in, by password or one-time link, and out.

use std::net::IpAddr;

use http::{HeaderMap, StatusCode};

use crate::{
    access::{Access, Attempt, BrowserSession, Trigger},
    error::PageError,
    fields::Fields,
    host::Origin,
    pages,
    paths::{self, Root},
    reply::Reply,
};

pub(crate) async fn by_password(
    access: &Access,
    headers: &HeaderMap,
    origin: &Origin,
    root: Root,
    form: &Fields,
    peer: IpAddr,
) -> Result<Reply, PageError> {
    let to = form.text("to");
    let Some(hash) = access.password.hash().await? else {
        let advice = "No admin password is set. `chatcamp admin password` sets one.";
        return Err(PageError::new(StatusCode::SERVICE_UNAVAILABLE, "Sign-in is unavailable", advice));
    };
    match access.attempts.attempt(peer, form.text("password"), hash.clone()).await {
        Attempt::Right => {
            tracing::info!(%peer, "signed in to the dashboard by password");
            if let Some(earlier) = access.session(headers, Trigger::User).await? {
                access.sessions.end(&earlier);
            }
            let to = if to.starts_with(paths::HOME) && is_valid_location(to) { to } else { paths::HOME };
            Ok(Reply::see_other(&root.to(to)).with_cookie(&access.start_session(hash, origin.is_https())))
        }
        Attempt::Wrong => {
            let page = pages::sign_in(root, to, Some("The password is wrong."));
            Ok(Reply::page(StatusCode::FORBIDDEN, page))
        }
        Attempt::Busy => {
            let page =
                pages::sign_in(root, to, Some("Too many sign-ins are waiting. Try again in a few seconds."));
            Ok(Reply::page(StatusCode::TOO_MANY_REQUESTS, page).with_retry_after(5))
        }
    }
}

pub(crate) async fn by_link(
    access: &Access,
    origin: &Origin,
    root: Root,
    form: &Fields,
    peer: IpAddr,
) -> Result<Reply, PageError> {
    let hash = access.password.hash().await?;
    match hash.filter(|_| access.links.take(form.text("secret"), access.clock.now())) {
        Some(hash) => {
            tracing::info!(%peer, "signed in to the dashboard by one-time link");
            Ok(Reply::see_other(&root.to(paths::HOME))
                .with_cookie(&access.start_session(hash, origin.is_https())))
        }
        None => Ok(Reply::page(StatusCode::FORBIDDEN, pages::invalid_link(root))),
    }
}

pub(crate) fn sign_out(access: &Access, origin: &Origin, root: Root, session: &BrowserSession) -> Reply {
    Reply::see_other(&root.to(paths::SIGN_IN)).with_cookie(&access.end_session(session, origin.is_https()))
}

/// Returns whether a path can be sent as a `Location` header.
fn is_valid_location(path: &str) -> bool {
    path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
}
