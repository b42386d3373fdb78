//! Checks a request and passes it to a page, an action or a sign-in.

use std::net::IpAddr;

use chatcamp_server::{ClientInfo, PendingConnection};
use http::{HeaderMap, Method, Request, StatusCode, header::CONTENT_TYPE, request::Parts};
use hyper::body::Incoming;

use crate::{
    access::{self, Access, Trigger},
    actions, assets,
    body::{self, BodyError},
    error::PageError,
    fields::{Fields, href},
    host::{Hosts, Origin, Sender},
    pages,
    paths::{self, Root},
    reply::Reply,
    request::{PageRequest, Services},
    sign_in,
};

/// Maximum size of a signed-in browser's form, in bytes: an event of 32 KiB, percent-encoded.
const MAX_FORM: usize = 128 * 1024;
/// Maximum size of any other form, in bytes: a password of 1 KiB and the page to show next, percent-encoded.
const MAX_SIGN_IN_FORM: usize = 8 * 1024;

/// Answers the dashboard's requests.
pub(crate) struct Router {
    pub(crate) services: Services,
    pub(crate) access: Access,
    pub(crate) hosts: Hosts,
}

impl Router {
    /// Answers a request for a page from which `root` leads to the root of the server.
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
        root: Root,
        client: ClientInfo,
    ) -> Result<Reply, PageError> {
        let (head, body) = request.into_parts();
        let origin = self.hosts.origin(&head.headers, client.encrypted).ok_or_else(PageError::wrong_host)?;
        let path = head.uri.path();
        match head.method {
            Method::GET | Method::HEAD if path == "/" => Ok(self.to_home(root)),
            Method::GET | Method::HEAD if Some(path) == paths::HOME.strip_suffix('/') => {
                Ok(Reply::see_other(&root.to(paths::HOME)))
            }
            Method::GET | Method::HEAD => match assets::at(path) {
                Some(file) => Ok(file),
                None => self.show(&head, origin, root).await,
            },
            Method::POST => match origin.sender(&head.headers) {
                Sender::Ours => self.act(&head, origin, root, body, client.address.ip()).await,
                Sender::Unnamed => Err(refuse(body, PageError::foreign_form()).await),
                Sender::Foreign(sender) => {
                    Err(refuse(body, PageError::foreign_origin(&sender, &origin)).await)
                }
            },
            _ => Err(PageError::method_not_allowed()),
        }
    }

    /// Redirects from the root of the server. A proxy may answer `/talk` with the root: then a relative link would miss the path.
    fn to_home(&self, root: Root) -> Reply {
        match self.services.server.public_url() {
            Some(url) => Reply::see_other(&format!("{}{}", url.path(), paths::HOME)),
            None => Reply::see_other(&root.to(paths::HOME)),
        }
    }

    async fn show(&self, head: &Parts, origin: Origin, root: Root) -> Result<Reply, PageError> {
        let query = Fields::parse(head.uri.query().unwrap_or_default().as_bytes())
            .map_err(|error| PageError::bad_request(format!("The address is invalid: {error}.")))?;
        let path = head.uri.path();
        if let Some(secret) = path.strip_prefix(paths::LINK_PREFIX) {
            return Ok(if self.access.links.is_valid(secret, self.access.clock.now()) {
                Reply::page(StatusCode::OK, pages::one_time_link(root, secret))
            } else {
                Reply::page(StatusCode::FORBIDDEN, pages::invalid_link(root))
            });
        }
        let trigger = if path == paths::LIVE_ROWS { Trigger::Script } else { Trigger::User };
        let session = self.access.session(&head.headers, trigger).await?;
        if path == paths::SIGN_IN {
            return Ok(match session {
                Some(_) => Reply::see_other(&root.to(paths::HOME)),
                None => Reply::page(StatusCode::OK, pages::sign_in(root, query.text("to"), None)),
            });
        }
        let path_and_query = head.uri.path_and_query().map_or(paths::HOME, |path| path.as_str());
        let Some(session) = session else {
            return match trigger {
                Trigger::Script => Err(PageError::signed_out()),
                Trigger::User => {
                    let sign_in = href(paths::SIGN_IN, &[("to", path_and_query)]);
                    Ok(Reply::see_other(&root.to(&sign_in)))
                }
            };
        };
        mark_authenticated(head);
        let request = PageRequest {
            services: &self.services,
            sessions: &self.access.sessions,
            session,
            origin,
            root,
            path_and_query: path_and_query.to_owned(),
            query,
            is_head: head.method == Method::HEAD,
        };
        match pages::show(path, &request).await {
            Err(error) if trigger == Trigger::User => Ok(pages::signed_in_error(&request, &error).await),
            shown => shown,
        }
    }

    /// Handles a form. Without a session, only a small form is read.
    async fn act(
        &self,
        head: &Parts,
        origin: Origin,
        root: Root,
        body: Incoming,
        peer: IpAddr,
    ) -> Result<Reply, PageError> {
        let path = head.uri.path();
        if path == paths::SIGN_IN {
            let form = read_form(&head.headers, body, MAX_SIGN_IN_FORM).await?;
            return sign_in::by_password(&self.access, &head.headers, &origin, root, &form, peer).await;
        }
        if path == paths::USE_LINK {
            let form = read_form(&head.headers, body, MAX_SIGN_IN_FORM).await?;
            return sign_in::by_link(&self.access, &origin, root, &form, peer).await;
        }
        let Some(session) = self.access.session(&head.headers, Trigger::User).await? else {
            return Err(refuse(body, PageError::signed_out()).await);
        };
        mark_authenticated(head);
        let form = read_form(&head.headers, body, MAX_FORM).await?;
        if !access::is_same(&session.form_token, form.text("form_token")) {
            return Err(PageError::foreign_form());
        }
        if path == paths::SIGN_OUT {
            return Ok(sign_in::sign_out(&self.access, &origin, root, &session));
        }
        let request = PageRequest {
            services: &self.services,
            sessions: &self.access.sessions,
            session,
            origin,
            root,
            path_and_query: path.to_owned(),
            query: Fields::default(),
            is_head: false,
        };
        match actions::act(path, &request, form).await {
            Err(error) => Ok(pages::signed_in_error(&request, &error).await),
            done => done,
        }
    }
}

/// Takes the connection of a signed-in operator out of the pending ones.
fn mark_authenticated(head: &Parts) {
    if let Some(connection) = head.extensions.get::<PendingConnection>() {
        connection.mark_authenticated();
    }
}

async fn read_form(headers: &HeaderMap, body: Incoming, max: usize) -> Result<Fields, PageError> {
    if !body::has_content_type(headers, "application/x-www-form-urlencoded") {
        let advice = format!("The {CONTENT_TYPE} of a form must be application/x-www-form-urlencoded.");
        return Err(PageError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Not a form", advice));
    }
    let form = body::read(body, max).await.map_err(|error| form_not_read(error, max))?;
    Fields::parse(&form).map_err(|error| PageError::bad_request(format!("The form is invalid: {error}.")))
}

/// Reads a small form before refusing it: closing a connection with unread data can discard the answer.
async fn refuse(body: Incoming, error: PageError) -> PageError {
    _ = body::read(body, MAX_SIGN_IN_FORM).await;
    error
}

fn form_not_read(error: BodyError, max: usize) -> PageError {
    match error {
        BodyError::TooLarge => {
            let advice = format!("The form has more than {max} bytes. Nothing was changed.");
            PageError::new(StatusCode::PAYLOAD_TOO_LARGE, "The form is too large", advice)
        }
        BodyError::TimedOut => {
            let advice = "The form was not received in time. Nothing was changed.";
            PageError::new(StatusCode::REQUEST_TIMEOUT, "Timed out", advice)
        }
        BodyError::Incomplete => PageError::bad_request("The form is incomplete. Nothing was changed."),
    }
}
