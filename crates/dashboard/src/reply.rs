//! Answers, and the headers that every one of them carries.

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, RETRY_AFTER,
        SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};
use http_body_util::Full;
use maud::Markup;

/// Nothing but what this server sends itself: no script or style within a page, no other origin, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const EVERY_ANSWER: [(HeaderName, &str); 6] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_FRAME_OPTIONS, "DENY"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // With `no-referrer` browsers say `Origin: null` of our own forms too; this one tells other sites as little.
    (REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// What is answered.
pub(crate) struct Reply(Response<Full<Bytes>>);

impl Reply {
    pub(crate) fn page(status: StatusCode, page: Markup) -> Self {
        let mut reply = Self::new(status, "text/html; charset=utf-8", page.into_string().into());
        reply.set(CACHE_CONTROL, "no-store");
        reply
    }

    /// Leads to another page, by GET.
    pub(crate) fn see(location: &str) -> Self {
        let mut reply = Self::new(StatusCode::SEE_OTHER, "text/plain", Bytes::new());
        reply.set(CACHE_CONTROL, "no-store");
        reply.set(LOCATION, location);
        reply
    }

    /// A file that never changes under its path.
    pub(crate) fn file(content_type: &'static str, body: &'static [u8]) -> Self {
        let mut reply = Self::new(StatusCode::OK, content_type, Bytes::from_static(body));
        reply.set(CACHE_CONTROL, "public, max-age=31536000, immutable");
        reply
    }

    pub(crate) fn with_cookie(mut self, cookie: &str) -> Self {
        self.set(SET_COOKIE, cookie);
        self
    }

    pub(crate) fn allowing(mut self, methods: &'static str) -> Self {
        self.set(ALLOW, methods);
        self
    }

    /// With when to come again, in seconds.
    pub(crate) fn retrying_after(mut self, seconds: u64) -> Self {
        self.set(RETRY_AFTER, &seconds.to_string());
        self
    }

    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        self.0
    }

    fn new(status: StatusCode, content_type: &'static str, body: Bytes) -> Self {
        let mut reply = Self(Response::new(Full::new(body)));
        *reply.0.status_mut() = status;
        reply.set(CONTENT_TYPE, content_type);
        for (name, value) in EVERY_ANSWER {
            reply.set(name, value);
        }
        reply
    }

    fn set(&mut self, name: HeaderName, value: &str) {
        let mut value = HeaderValue::from_str(value).expect("cookies and locations are percent-encoded");
        value.set_sensitive(name == SET_COOKIE);
        self.0.headers_mut().insert(name, value);
    }
}
