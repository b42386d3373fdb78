//! Answers, with the headers that all of them have.

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

/// Allows only files of this server: no inline scripts or styles, no other origins, no framing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const COMMON_HEADERS: [(HeaderName, &str); 6] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_FRAME_OPTIONS, "DENY"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // With `no-referrer`, browsers send `Origin: null` with our own forms too. `same-origin` also sends nothing to other sites.
    (REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// An answer.
pub(crate) struct Reply(Response<Full<Bytes>>);

impl Reply {
    pub(crate) fn page(status: StatusCode, page: Markup) -> Self {
        let mut reply = Self::new(status, "text/html; charset=utf-8", page.into_string().into());
        reply.set(CACHE_CONTROL, "no-store");
        reply
    }

    /// Redirects to another page, which is read with GET. `location` is relative to the requested page.
    pub(crate) fn see_other(location: &str) -> Self {
        let mut reply = Self::new(StatusCode::SEE_OTHER, "text/plain", Bytes::new());
        reply.set(CACHE_CONTROL, "no-store");
        reply.set(LOCATION, location);
        reply
    }

    /// A file that never changes: its path contains a digest of it.
    pub(crate) fn file(content_type: &'static str, body: &'static [u8]) -> Self {
        let mut reply = Self::new(StatusCode::OK, content_type, Bytes::from_static(body));
        reply.set(CACHE_CONTROL, "public, max-age=31536000, immutable");
        reply
    }

    pub(crate) fn with_cookie(mut self, cookie: &str) -> Self {
        self.set(SET_COOKIE, cookie);
        self
    }

    pub(crate) fn with_allow(mut self, methods: &'static str) -> Self {
        self.set(ALLOW, methods);
        self
    }

    /// Tells the client when to retry, in seconds.
    pub(crate) fn with_retry_after(mut self, seconds: u64) -> Self {
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
        for (name, value) in COMMON_HEADERS {
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
