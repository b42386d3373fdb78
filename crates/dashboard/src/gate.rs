//! The way of a request up to a page or an action, and the ways in and out.

use std::net::IpAddr;

use bytes::Bytes;
use http::{
    HeaderMap, Method, Request, StatusCode,
    header::{CONTENT_TYPE, COOKIE},
    request::Parts,
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};

use crate::{
    Dashboard, PATH, actions, assets,
    fault::Fault,
    fields::{Fields, href},
    host::Origin,
    pages,
    password::{self, Hash},
    reply::Reply,
    secret,
    sign_in::Attempt,
    visits::{self, Asker, Visit},
};

/// Largest form, in bytes: an event of 32 KiB, percent-encoded.
const FORM: usize = 128 * 1024;
/// Cookies of the dashboard's name that are looked at, at most: another program on this host may set more of them.
const COOKIES: usize = 4;

/// The page on which one signs in.
pub(crate) const SIGN_IN: &str = "/dashboard/sign-in";

/// Where a one-time link is used up.
pub(crate) const ENTER: &str = "/dashboard/enter";

/// A request of somebody who is signed in.
pub(crate) struct Ask<'a> {
    pub(crate) dashboard: &'a Dashboard,
    pub(crate) origin: Origin,
    pub(crate) visit: Visit,
    /// The path and query that were asked for.
    pub(crate) here: String,
    pub(crate) query: Fields,
}

impl Dashboard {
    /// Answers a request.
    pub(crate) async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Result<Reply, Fault> {
        let (head, body) = request.into_parts();
        let origin = self.hosts.origin(&head.headers).ok_or_else(misdirected)?;
        let path = head.uri.path();
        match head.method {
            Method::GET | Method::HEAD => match assets::at(path) {
                Some(file) => Ok(file),
                None => self.show(&head, origin).await,
            },
            Method::POST if !origin.has_sent(&head.headers) => Err(Fault::foreign_form()),
            Method::POST => {
                let form = read_form(&head.headers, body).await?;
                self.act(&head, origin, form, peer).await
            }
            _ => Err(Fault::method()),
        }
    }

    async fn show(&self, head: &Parts, origin: Origin) -> Result<Reply, Fault> {
        let query = Fields::parse(head.uri.query().unwrap_or_default().as_bytes())
            .map_err(|error| Fault::bad_request(format!("The address cannot be read: {error}.")))?;
        let path = head.uri.path();
        if let Some(secret) = path.strip_prefix("/dashboard/enter/") {
            return Ok(match self.links.is_good(secret, &self.clock) {
                true => Reply::page(StatusCode::OK, pages::enter(secret)),
                false => Reply::page(StatusCode::FORBIDDEN, pages::link_is_used()),
            });
        }
        let asker = if path == pages::LIVE_ROWS { Asker::Page } else { Asker::Person };
        let visit = self.visit(&head.headers, asker).await?;
        if path == SIGN_IN {
            return Ok(match visit {
                Some(_) => Reply::see(PATH),
                None => Reply::page(StatusCode::OK, pages::sign_in(query.text("to"), None)),
            });
        }
        let here = head.uri.path_and_query().map_or(PATH, |here| here.as_str());
        match visit {
            Some(visit) => {
                let here = here.to_owned();
                pages::show(path, &Ask { dashboard: self, origin, visit, here, query }).await
            }
            None if asker == Asker::Page => Err(Fault::signed_out()),
            None => Ok(Reply::see(&href(SIGN_IN, &[("to", here)]))),
        }
    }

    async fn act(&self, head: &Parts, origin: Origin, form: Fields, peer: IpAddr) -> Result<Reply, Fault> {
        match head.uri.path() {
            SIGN_IN => return self.sign_in(&head.headers, &origin, &form, peer).await,
            ENTER => return self.enter(&origin, &form, peer).await,
            _ => {}
        }
        let visit = self.visit(&head.headers, Asker::Person).await?.ok_or_else(Fault::signed_out)?;
        if !secret::is_same(&visit.form_token, form.text("form_token")) {
            return Err(Fault::foreign_form());
        }
        if head.uri.path() == "/dashboard/sign-out" {
            self.visits.end(&visit);
            return Ok(Reply::see(SIGN_IN).with_cookie(&self.cookie("", 0, &origin)));
        }
        let here = head.uri.path();
        let ask = Ask { dashboard: self, origin, visit, here: here.to_owned(), query: Fields::default() };
        actions::act(here, &ask, form).await
    }

    async fn sign_in(
        &self,
        headers: &HeaderMap,
        origin: &Origin,
        form: &Fields,
        peer: IpAddr,
    ) -> Result<Reply, Fault> {
        let (password, to) = (form.text("password"), form.text("to"));
        let Some(hash) = self.password.hash().await? else {
            let advice = "There is no admin password yet. `chatcamp admin password` sets one.";
            return Err(Fault::new(StatusCode::SERVICE_UNAVAILABLE, "Nobody can sign in yet", advice));
        };
        // Of what cannot be the password nothing is computed.
        let attempt = match password.len() {
            0..=password::LONGEST => self.sign_in.attempt(peer, password, hash.clone()).await,
            _ => Attempt::Wrong,
        };
        let why = match attempt {
            Attempt::Right => {
                tracing::info!(%peer, "signed in to the dashboard by password");
                if let Some(earlier) = self.visit(headers, Asker::Person).await? {
                    self.visits.end(&earlier);
                }
                let to = if to.starts_with(PATH) && is_plain(to) { to } else { PATH };
                return Ok(self.let_in(hash, origin, to));
            }
            Attempt::Wrong => {
                tracing::warn!(%peer, "a wrong password for the dashboard");
                (StatusCode::FORBIDDEN, "That is not the admin password.")
            }
            Attempt::Crowded => (
                StatusCode::TOO_MANY_REQUESTS,
                "Too many people are signing in just now. Try again in a second.",
            ),
        };
        Ok(Reply::page(why.0, pages::sign_in(to, Some(why.1))))
    }

    async fn enter(&self, origin: &Origin, form: &Fields, peer: IpAddr) -> Result<Reply, Fault> {
        let hash = self.password.hash().await?;
        match hash.filter(|_| self.links.take(form.text("secret"), &self.clock)) {
            Some(hash) => {
                tracing::info!(%peer, "signed in to the dashboard by one-time link");
                Ok(self.let_in(hash, origin, PATH))
            }
            None => Ok(Reply::page(StatusCode::FORBIDDEN, pages::link_is_used())),
        }
    }

    fn let_in(&self, hash: Hash, origin: &Origin, to: &str) -> Reply {
        let value = self.visits.begin(hash, &self.clock);
        Reply::see(to).with_cookie(&self.cookie(&value, visits::LIFE, origin))
    }

    /// The visit that a request belongs to.
    async fn visit(&self, headers: &HeaderMap, asker: Asker) -> Result<Option<Visit>, Fault> {
        let values = cookies(headers, &self.cookie_name());
        if values.is_empty() {
            return Ok(None);
        }
        let Some(hash) = self.password.hash().await? else { return Ok(None) };
        Ok(values.into_iter().find_map(|value| self.visits.find(value, &hash, asker, &self.clock)))
    }

    /// Browsers keep cookies by host, whatever the port: two servers on one machine need two names.
    fn cookie_name(&self) -> String {
        format!("chatcamp_dashboard_{}", self.listen.port())
    }

    fn cookie(&self, value: &str, life: u64, origin: &Origin) -> String {
        let secure = if origin.is_https() { "; Secure" } else { "" };
        let name = self.cookie_name();
        format!("{name}={value}; Path=/dashboard; Max-Age={life}; HttpOnly; SameSite=Strict{secure}")
    }
}

/// The values of the cookies of a name.
fn cookies<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    cookies
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .filter_map(|(n, value)| (n == name).then_some(value))
        .take(COOKIES)
        .collect()
}

/// Whether a text can be the location that an answer leads to.
fn is_plain(to: &str) -> bool {
    to.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
}

async fn read_form(headers: &HeaderMap, body: Incoming) -> Result<Fields, Fault> {
    let content_type = headers.get(CONTENT_TYPE).map(|value| value.as_bytes()).unwrap_or_default();
    let essence = content_type.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
    if !essence.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
        let advice = "A form is sent as application/x-www-form-urlencoded.";
        return Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "This is no form", advice));
    }
    let form = read(body).await?;
    Fields::parse(&form).map_err(|error| Fault::bad_request(format!("The form cannot be read: {error}.")))
}

async fn read(body: Incoming) -> Result<Bytes, Fault> {
    let too_large = || {
        let advice = format!("A form has at most {FORM} bytes. Nothing was changed.");
        Fault::new(StatusCode::PAYLOAD_TOO_LARGE, "This form is too large", advice)
    };
    // Of what says its length too long nothing is read.
    if body.size_hint().lower() > FORM as u64 {
        return Err(too_large());
    }
    match Limited::new(body, FORM).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Fault::bad_request("The form broke off. Nothing was changed.")),
    }
}

fn misdirected() -> Fault {
    let advice = "The dashboard answers to localhost and to the address it listens on only, so that no other site can lead a \
                  browser to it. To reach it by another name, start the server with --dashboard-host NAME.";
    Fault::new(StatusCode::MISDIRECTED_REQUEST, "This is not the name of this server", advice)
}
