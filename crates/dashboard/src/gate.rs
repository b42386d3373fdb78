//! The way of a request up to a page or an action, and the ways in and out.

use std::net::IpAddr;

use http::{
    HeaderMap, Method, Request, StatusCode,
    header::{CONTENT_TYPE, COOKIE},
    request::Parts,
};
use hyper::body::Incoming;

use crate::{
    Dashboard, PATH, actions, assets,
    body::{self, Unread},
    fault::Fault,
    fields::{Fields, href},
    host::{Origin, Sender},
    pages,
    password::Hash,
    reply::Reply,
    secret,
    sign_in::Attempt,
    visits::{self, Asker, Visit},
};

/// Largest form of somebody who is signed in, in bytes: an event of 32 KiB, percent-encoded.
const FORM: usize = 128 * 1024;
/// Largest form of anybody else, in bytes: a password of 1 KiB, percent-encoded, and where it leads.
const STRANGERS_FORM: usize = 8 * 1024;
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
    /// Whether nobody sees the answer's body, so that what is said once is not yet said.
    pub(crate) is_unseen: bool,
}

impl Dashboard {
    /// Answers a request.
    pub(crate) async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Result<Reply, Fault> {
        let (head, body) = request.into_parts();
        let origin = self.hosts.origin(&head.headers).ok_or_else(misdirected)?;
        let path = head.uri.path();
        match head.method {
            Method::GET | Method::HEAD if path == "/" => Ok(Reply::see(PATH)),
            Method::GET | Method::HEAD => match assets::at(path) {
                Some(file) => Ok(file),
                None => self.show(&head, origin).await,
            },
            Method::POST => match origin.of_sender(&head.headers) {
                Sender::Ours => self.act(&head, origin, body, peer).await,
                Sender::Unnamed => Err(refuse(body, Fault::foreign_form()).await),
                Sender::Foreign(sender) => Err(refuse(body, Fault::foreign_origin(&sender, &origin)).await),
            },
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
                let is_unseen = head.method == Method::HEAD;
                pages::show(path, &Ask { dashboard: self, origin, visit, here, query, is_unseen }).await
            }
            None if asker == Asker::Page => Err(Fault::signed_out()),
            None => Ok(Reply::see(&href(SIGN_IN, &[("to", here)]))),
        }
    }

    /// Of whoever is not signed in, a small form is read, or none.
    async fn act(&self, head: &Parts, origin: Origin, body: Incoming, peer: IpAddr) -> Result<Reply, Fault> {
        if [SIGN_IN, ENTER].contains(&head.uri.path()) {
            let form = read_form(&head.headers, body, STRANGERS_FORM).await?;
            return match head.uri.path() {
                SIGN_IN => self.sign_in(&head.headers, &origin, &form, peer).await,
                _ => self.enter(&origin, &form, peer).await,
            };
        }
        let Some(visit) = self.visit(&head.headers, Asker::Person).await? else {
            return Err(refuse(body, Fault::signed_out()).await);
        };
        let form = read_form(&head.headers, body, FORM).await?;
        if !secret::is_same(&visit.form_token, form.text("form_token")) {
            return Err(Fault::foreign_form());
        }
        if head.uri.path() == "/dashboard/sign-out" {
            self.visits.end(&visit);
            return Ok(Reply::see(SIGN_IN).with_cookie(&self.cookie("", 0, &origin)));
        }
        let here = head.uri.path();
        let (query, here_too) = (Fields::default(), here.to_owned());
        let ask = Ask { dashboard: self, origin, visit, here: here_too, query, is_unseen: false };
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
        let why = match self.sign_in.attempt(peer, password, hash.clone()).await {
            Attempt::Right => {
                tracing::info!(%peer, "signed in to the dashboard by password");
                if let Some(earlier) = self.visit(headers, Asker::Person).await? {
                    self.visits.end(&earlier);
                }
                let to = if to.starts_with(PATH) && is_plain(to) { to } else { PATH };
                return Ok(self.let_in(hash, origin, to));
            }
            Attempt::Wrong => "That is not the admin password.",
            Attempt::Busy => {
                let why = "Too many sign-ins are waiting. Try again in a few seconds.";
                let page = pages::sign_in(to, Some(why));
                return Ok(Reply::page(StatusCode::TOO_MANY_REQUESTS, page).retrying_after(5));
            }
        };
        Ok(Reply::page(StatusCode::FORBIDDEN, pages::sign_in(to, Some(why))))
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

async fn read_form(headers: &HeaderMap, body: Incoming, most: usize) -> Result<Fields, Fault> {
    let content_type = headers.get(CONTENT_TYPE).map(|value| value.as_bytes()).unwrap_or_default();
    let essence = content_type.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
    if !essence.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
        let advice = "A form is sent as application/x-www-form-urlencoded.";
        return Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "This is no form", advice));
    }
    let form = body::read(body, most).await.map_err(|why| unread(why, most))?;
    Fields::parse(&form).map_err(|error| Fault::bad_request(format!("The form cannot be read: {error}.")))
}

/// Takes in a form that is small before it is refused: a connection that closes on what it has not read may take the answer
/// with it.
async fn refuse(body: Incoming, fault: Fault) -> Fault {
    _ = body::read(body, STRANGERS_FORM).await;
    fault
}

fn unread(why: Unread, most: usize) -> Fault {
    let nothing = "Nothing was changed.";
    match why {
        Unread::TooLarge => {
            let advice = format!("This form has at most {most} bytes. {nothing}");
            Fault::new(StatusCode::PAYLOAD_TOO_LARGE, "This form is too large", advice)
        }
        Unread::TooSlow => {
            let advice = format!("The form did not come in time. {nothing}");
            Fault::new(StatusCode::REQUEST_TIMEOUT, "This took too long", advice)
        }
        Unread::Broken => Fault::bad_request(format!("The form broke off. {nothing}")),
    }
}

fn misdirected() -> Fault {
    let advice = "The dashboard answers to localhost and to the address it listens on only, so that no other site can lead a \
                  browser to it. To reach it by another name, start the server with --dashboard-host NAME.";
    Fault::new(StatusCode::MISDIRECTED_REQUEST, "This is not the name of this server", advice)
}
