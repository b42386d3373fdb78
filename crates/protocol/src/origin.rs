//! The origins of web pages, and which of them an app accepts.
//!
//! Browsers send the origin of a page in the header `Origin`: scheme, host and port, such as `https://shop.example` or
//! `http://localhost:3000`, or `null` for a page whose origin is hidden, such as a file or a sandboxed frame.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// The maximum number of origins that an app can name.
pub const MAX_ORIGINS: usize = 100;
/// The maximum length of an origin, in bytes. A host name has at most 253.
const LONGEST: usize = 300;

/// The origin of a web page, valid and in one form: lower case, without the default port.
///
/// ```
/// use chatcamp_protocol::Origin;
///
/// assert_eq!("HTTPS://Shop.example:443".parse::<Origin>()?.to_string(), "https://shop.example");
/// # Ok::<(), chatcamp_protocol::origin::InvalidOrigin>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin(String);

/// An origin, or the origins of all subdomains of a host, that an app accepts.
///
/// `https://*.shop.example` accepts subdomains of any depth, such as `https://a.shop.example` and `https://a.b.shop.example`, but not
/// `https://shop.example`, as in a Content Security Policy. `null` accepts only pages whose origin is hidden, which any site can
/// make.
///
/// ```
/// use chatcamp_protocol::{Origin, OriginPattern};
///
/// let pattern: OriginPattern = "https://*.shop.example".parse()?;
/// assert!(pattern.accepts(&"https://a.b.shop.example".parse::<Origin>()?));
/// assert!(!pattern.accepts(&"https://shop.example".parse::<Origin>()?));
/// # Ok::<(), chatcamp_protocol::origin::InvalidOrigin>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OriginPattern(String);

/// Which origins an app accepts. The default accepts all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OriginPolicy {
    patterns: Vec<OriginPattern>,
    is_required: bool,
}

/// The reason a text is not an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidOrigin {
    /// The scheme is missing or malformed.
    #[error("an origin begins with a scheme, as in https://shop.example")]
    Scheme,
    /// The scheme is that of a WebSocket.
    #[error("an origin is that of the page, not of the server: it begins with https:// or http://")]
    WebSocket,
    /// Something follows host and port.
    #[error("an origin ends with host and port; remove the slash after it and the rest")]
    Path,
    /// The host is not in ASCII.
    #[error("write the host in ASCII as browsers send it, as in https://xn--bcher-kva.example")]
    NotAscii,
    /// The host is missing or malformed.
    #[error("the host is invalid; it is a name, an IPv4 address, or an IPv6 address in brackets")]
    Host,
    /// The port is malformed.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// `*` is at another place than before a domain.
    #[error(
        "* stands only for the subdomains of a host, as in https://*.shop.example; without any origin, an app accepts all"
    )]
    Wildcard,
}

/// A policy names too many origins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an app has at most {MAX_ORIGINS} origins; https://*.shop.example stands for all subdomains")]
pub struct TooManyOrigins;

/// The origin of a page whose origin is hidden.
const HIDDEN: &str = "null";
const SCHEME_END: &str = "://";
const ANY_SUBDOMAIN: &str = "*.";

impl Origin {
    /// Returns the origin as browsers send it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl OriginPattern {
    /// Returns whether the pattern stands for this origin.
    #[must_use]
    pub fn accepts(&self, origin: &Origin) -> bool {
        let Some((scheme, parent)) = self.0.split_once(ANY_SUBDOMAIN) else { return self.0 == origin.0 };
        // The parent, a host that may have a port, is the end of the text. What is left are the labels before it.
        origin
            .0
            .strip_prefix(scheme)
            .and_then(|rest| rest.strip_suffix(parent))
            .is_some_and(|labels| labels.len() > 1 && labels.ends_with('.'))
    }

    /// Returns the pattern as it is stored and shown.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl OriginPolicy {
    /// Returns a policy that accepts these origins, or all if there are none. Drops repeated ones.
    ///
    /// With `is_required`, clients that send no origin are refused: all but browsers.
    ///
    /// # Errors
    /// [`TooManyOrigins`] if there are more than [`MAX_ORIGINS`].
    pub fn new(
        patterns: impl IntoIterator<Item = OriginPattern>,
        is_required: bool,
    ) -> Result<Self, TooManyOrigins> {
        let mut kept: Vec<OriginPattern> = Vec::new();
        for pattern in patterns {
            if kept.contains(&pattern) {
                continue;
            }
            if kept.len() == MAX_ORIGINS {
                return Err(TooManyOrigins);
            }
            kept.push(pattern);
        }
        Ok(Self { patterns: kept, is_required })
    }

    /// Returns the policy with another decision on clients that send no origin.
    #[must_use]
    pub fn required(self, is_required: bool) -> Self {
        Self { is_required, ..self }
    }

    /// Returns the accepted origins. If there are none, all origins are accepted.
    #[must_use]
    pub fn patterns(&self) -> &[OriginPattern] {
        &self.patterns
    }

    /// Returns whether clients that send no origin are refused.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.is_required
    }

    /// Returns whether a client with this header `Origin`, or without it, is accepted. An invalid header is accepted only if all
    /// origins are.
    #[must_use]
    pub fn accepts(&self, header: Option<&str>) -> bool {
        let Some(header) = header else { return !self.is_required };
        // Browsers send the form that is stored, so that most headers need not be parsed.
        self.patterns.is_empty()
            || self.patterns.iter().any(|pattern| pattern.as_str() == header && !header.contains('*'))
            || header.parse().is_ok_and(|origin| self.patterns.iter().any(|pattern| pattern.accepts(&origin)))
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let origin = normalized(text)?;
        if origin.contains('*') { Err(InvalidOrigin::Wildcard) } else { Ok(Self(origin)) }
    }
}

impl FromStr for OriginPattern {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        normalized(text).map(Self)
    }
}

/// Returns an origin, whose host may begin with `*.`, in its one form.
fn normalized(text: &str) -> Result<String, InvalidOrigin> {
    if text == HIDDEN {
        return Ok(text.to_owned());
    }
    if text == "*" {
        return Err(InvalidOrigin::Wildcard);
    }
    if text.len() > LONGEST {
        return Err(InvalidOrigin::Host);
    }
    let (scheme, rest) = text.split_once(SCHEME_END).ok_or(InvalidOrigin::Scheme)?;
    let scheme = scheme.to_ascii_lowercase();
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    if !is_scheme {
        return Err(InvalidOrigin::Scheme);
    }
    if scheme == "ws" || scheme == "wss" {
        return Err(InvalidOrigin::WebSocket);
    }
    if rest.contains(['/', '?', '#', '\\']) {
        return Err(InvalidOrigin::Path);
    }
    if !rest.is_ascii() {
        return Err(InvalidOrigin::NotAscii);
    }
    // Some browsers send this for pages that are files.
    if scheme == "file" && rest.is_empty() {
        return Ok(format!("{scheme}{SCHEME_END}"));
    }
    let (host, port) = host_and_port(rest)?;
    let host = normalized_host(host)?;
    Ok(match (scheme.as_str(), port) {
        (_, None) | ("http", Some(80)) | ("https", Some(443)) => format!("{scheme}{SCHEME_END}{host}"),
        (_, Some(port)) => format!("{scheme}{SCHEME_END}{host}:{port}"),
    })
}

fn host_and_port(text: &str) -> Result<(&str, Option<u16>), InvalidOrigin> {
    // The colons of an IPv6 address are within brackets.
    let host_end = if text.starts_with('[') { text.find(']').map(|at| at + 1) } else { text.find(':') };
    let (host, port) = text.split_at(host_end.unwrap_or(text.len()));
    if port.is_empty() {
        return Ok((host, None));
    }
    let digits = port.strip_prefix(':').filter(|digits| !digits.contains(':')).ok_or(InvalidOrigin::Host)?;
    // `parse` alone would accept a sign.
    let port = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
    let port = port.filter(|&port| port > 0).ok_or(InvalidOrigin::Port)?;
    Ok((host, Some(port)))
}

fn normalized_host(host: &str) -> Result<String, InvalidOrigin> {
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').and_then(|address| address.parse::<Ipv6Addr>().ok());
        return Ok(format!("[{}]", address.ok_or(InvalidOrigin::Host)?));
    }
    if host == "*" {
        return Err(InvalidOrigin::Wildcard);
    }
    let host = host.to_ascii_lowercase();
    let name = host.strip_prefix(ANY_SUBDOMAIN).unwrap_or(&host);
    if name.contains('*') {
        return Err(InvalidOrigin::Wildcard);
    }
    // A name may end with a dot. Browsers treat it as another host than the name without it.
    let mut labels = name.strip_suffix('.').unwrap_or(name).split('.');
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    if !labels.clone().all(is_label) {
        return Err(InvalidOrigin::Host);
    }
    // A host whose last label is a number is an address, of which browsers send the four numbers.
    let is_number = labels.next_back().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if is_number && host.parse::<Ipv4Addr>().is_err() {
        return Err(InvalidOrigin::Host);
    }
    Ok(host)
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(patterns: &[&str], is_required: bool) -> OriginPolicy {
        OriginPolicy::new(patterns.iter().map(|text| text.parse().unwrap()), is_required).unwrap()
    }

    #[test]
    fn an_origin_has_one_form() {
        for (text, normalized) in [
            ("https://shop.example", "https://shop.example"),
            ("HTTPS://Shop.EXAMPLE", "https://shop.example"),
            ("https://shop.example:443", "https://shop.example"),
            ("http://shop.example:80", "http://shop.example"),
            ("http://shop.example:443", "http://shop.example:443"),
            ("https://shop.example:0443", "https://shop.example"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("https://shop.example.", "https://shop.example."),
            ("https://XN--bcher-kva.example", "https://xn--bcher-kva.example"),
            ("https://a_b.example", "https://a_b.example"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[::1]", "http://[::1]"),
            ("http://[2001:DB8:0:0::1]:80", "http://[2001:db8::1]"),
            ("https://[::FFFF:c000:201]:8443", "https://[::ffff:192.0.2.1]:8443"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("chrome-extension://abc", "chrome-extension://abc"),
            ("file://", "file://"),
            ("null", "null"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().as_str(), normalized, "{text}");
            let pattern: OriginPattern = text.parse().unwrap();
            assert_eq!(pattern.to_string(), normalized, "{text}");
            assert!(policy(&[text], true).accepts(Some(text)), "{text}");
            assert!(policy(&[text], true).accepts(Some(normalized)), "{text}");
        }
    }

    #[test]
    fn an_invalid_origin_is_refused_with_what_to_change() {
        for (text, why) in [
            ("", InvalidOrigin::Scheme),
            ("shop.example", InvalidOrigin::Scheme),
            ("//shop.example", InvalidOrigin::Scheme),
            ("://shop.example", InvalidOrigin::Scheme),
            ("1https://shop.example", InvalidOrigin::Scheme),
            ("ht tps://shop.example", InvalidOrigin::Scheme),
            ("NULL", InvalidOrigin::Scheme),
            ("wss://shop.example", InvalidOrigin::WebSocket),
            ("ws://shop.example", InvalidOrigin::WebSocket),
            ("https://shop.example/", InvalidOrigin::Path),
            ("https://shop.example/basket", InvalidOrigin::Path),
            ("https://shop.example?a", InvalidOrigin::Path),
            ("https://shop.example#a", InvalidOrigin::Path),
            ("https://b\u{fc}cher.example", InvalidOrigin::NotAscii),
            ("https://\u{fffd}", InvalidOrigin::NotAscii),
            ("https://", InvalidOrigin::Host),
            ("https://.", InvalidOrigin::Host),
            ("https://.shop.example", InvalidOrigin::Host),
            ("https://shop..example", InvalidOrigin::Host),
            ("https://shop.example..", InvalidOrigin::Host),
            ("https://user@shop.example", InvalidOrigin::Host),
            ("https://a b.example", InvalidOrigin::Host),
            ("https://a.example, https://b.example", InvalidOrigin::Path),
            ("https://a.example https:", InvalidOrigin::Port),
            ("https://a%2eexample", InvalidOrigin::Host),
            ("https://a\0b.example", InvalidOrigin::Host),
            ("https://[::1", InvalidOrigin::Host),
            ("https://[::g]", InvalidOrigin::Host),
            ("https://[fe80::1%25eth0]", InvalidOrigin::Host),
            ("https://[::1]x", InvalidOrigin::Host),
            ("https://::1", InvalidOrigin::Host),
            ("https://127.1", InvalidOrigin::Host),
            ("https://1.2.3.4.5", InvalidOrigin::Host),
            ("https://256.0.0.1", InvalidOrigin::Host),
            ("https://shop.example:", InvalidOrigin::Port),
            ("https://shop.example:0", InvalidOrigin::Port),
            ("https://shop.example:65536", InvalidOrigin::Port),
            ("https://shop.example:+80", InvalidOrigin::Port),
            ("https://shop.example:80:80", InvalidOrigin::Host),
            ("*", InvalidOrigin::Wildcard),
            ("https://*", InvalidOrigin::Wildcard),
            ("https://shop.*", InvalidOrigin::Wildcard),
            ("https://a*.example", InvalidOrigin::Wildcard),
            ("https://*.*.example", InvalidOrigin::Wildcard),
            ("https://a.*.example", InvalidOrigin::Wildcard),
            ("https://*.", InvalidOrigin::Host),
            ("https://*.0.0.1", InvalidOrigin::Host),
            ("https://*.1.2.3.4", InvalidOrigin::Host),
            ("*://shop.example", InvalidOrigin::Scheme),
        ] {
            assert_eq!(text.parse::<OriginPattern>(), Err(why), "{text}");
            assert!(text.parse::<Origin>().is_err(), "{text}");
            assert!(!policy(&["https://shop.example", "null"], false).accepts(Some(text)), "{text}");
        }
        let long = format!("https://{}", ["a"; 150].join("."));
        assert_eq!(long.parse::<Origin>(), Err(InvalidOrigin::Host));
        assert_eq!(format!("https://{}.example", "a".repeat(64)).parse::<Origin>(), Err(InvalidOrigin::Host));
    }

    #[test]
    fn an_app_accepts_the_origins_that_it_names() {
        for (pattern, origin, is_accepted) in [
            ("https://shop.example", "https://shop.example", true),
            ("https://shop.example", "HTTPS://SHOP.example:443", true),
            ("https://shop.example", "http://shop.example", false),
            ("https://shop.example", "https://shop.example:8443", false),
            ("https://shop.example:8443", "https://shop.example:8443", true),
            ("https://shop.example:8443", "https://shop.example", false),
            ("https://shop.example", "https://shop.example.", false),
            ("https://shop.example.", "https://shop.example.", true),
            ("https://shop.example", "https://a.shop.example", false),
            ("https://shop.example", "https://shop.example.evil.example", false),
            ("https://shop.example", "https://myshop.example", false),
            ("https://*.shop.example", "https://a.shop.example", true),
            ("https://*.shop.example", "https://a.b.shop.example", true),
            ("https://*.shop.example", "https://A.Shop.example:443", true),
            ("https://*.shop.example", "https://shop.example", false),
            ("https://*.shop.example", "https://.shop.example", false),
            ("https://*.shop.example", "https://evilshop.example", false),
            ("https://*.shop.example", "https://a.shop.example.evil.example", false),
            ("https://*.shop.example", "https://a.shop.example.", false),
            ("https://*.shop.example", "http://a.shop.example", false),
            ("https://*.shop.example", "https://a.shop.example:8443", false),
            ("https://*.shop.example:8443", "https://a.shop.example:8443", true),
            ("https://*.shop.example:8443", "https://a.shop.example", false),
            ("https://*.shop.example", "https://*.shop.example", false),
            ("https://*.shop.example", "https://evil.example/.shop.example", false),
            ("http://*.localhost:3000", "http://app.localhost:3000", true),
            ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example", true),
            ("https://xn--bcher-kva.example", "https://b\u{fc}cher.example", false),
            ("http://[::1]:3000", "http://[0:0::1]:3000", true),
            ("http://[::1]", "http://127.0.0.1", false),
            ("null", "null", true),
            ("null", "https://shop.example", false),
            ("null", "Null", false),
            ("https://shop.example", "null", false),
            ("https://shop.example", "https://shop.example, https://shop.example", false),
            ("https://shop.example", "", false),
            ("file://", "file://", true),
            ("file://", "null", false),
        ] {
            assert_eq!(
                policy(&["https://other.example", pattern], false).accepts(Some(origin)),
                is_accepted,
                "{pattern}, {origin}"
            );
        }
    }

    #[test]
    fn without_origins_every_page_is_accepted_and_without_a_header_every_client_unless_it_is_required() {
        for (patterns, is_required, header, is_accepted) in [
            (&[][..], false, None, true),
            (&[], false, Some("https://any.example"), true),
            (&[], false, Some("null"), true),
            (&[], false, Some("no origin at all"), true),
            (&[], true, None, false),
            (&[], true, Some("https://any.example"), true),
            (&["https://shop.example"], false, None, true),
            (&["https://shop.example"], true, None, false),
            (&["https://shop.example"], true, Some("https://shop.example"), true),
        ] {
            assert_eq!(
                policy(patterns, is_required).accepts(header),
                is_accepted,
                "{patterns:?} {is_required} {header:?}"
            );
        }
    }

    #[test]
    fn a_policy_drops_repeated_origins_and_has_a_limit() {
        let repeated = policy(&["https://a.example", "HTTPS://a.example:443", "https://b.example"], false);
        let texts: Vec<_> = repeated.patterns().iter().map(OriginPattern::as_str).collect();
        assert_eq!(texts, ["https://a.example", "https://b.example"]);
        let many = |count: usize| (0..count).map(|n| format!("https://a{n}.example").parse().unwrap());
        assert_eq!(OriginPolicy::new(many(MAX_ORIGINS), false).unwrap().patterns().len(), MAX_ORIGINS);
        assert_eq!(OriginPolicy::new(many(MAX_ORIGINS + 1), false), Err(TooManyOrigins));
    }

    /// A generator of pseudo-random numbers, SplitMix64.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) % bound as u64) as usize
        }

        fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
            of[self.below(of.len())]
        }
    }

    #[test]
    fn patterns_accept_what_a_comparison_of_the_parts_accepts() {
        let mut random = Random(11);
        let mut accepted = 0;
        for _ in 0..20_000 {
            let mut parts = |labels: usize| {
                let scheme = random.one(&["http", "https"]);
                let labels: Vec<_> = (0..labels).map(|_| random.one(&["a", "b", "ab", "b-a"])).collect();
                let port = [None, Some(80), Some(443), Some(8443)][random.below(4)];
                let text = |prefix: &str| {
                    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
                    format!("{scheme}://{prefix}{}.a{port}", labels.join("."))
                };
                let port = port.unwrap_or(if scheme == "http" { 80 } else { 443 });
                ((scheme, labels.clone(), port), text(""), text("*."))
            };
            let (own, exact, wildcard) = parts(1);
            let (other, origin, _) = parts(1 + own.1[0].len() % 3);
            let origin = if own.2 % 2 == 0 { origin.to_ascii_uppercase() } else { origin };
            let same_place = own.0 == other.0 && own.2 == other.2;
            assert_eq!(policy(&[&exact], false).accepts(Some(&origin)), own == other, "{exact} {origin}");
            let is_below = same_place && other.1.len() > own.1.len() && other.1.ends_with(&own.1);
            assert_eq!(policy(&[&wildcard], false).accepts(Some(&origin)), is_below, "{wildcard} {origin}");
            accepted += usize::from(is_below);
        }
        assert!(accepted > 100, "the generator makes matches: {accepted}");
    }

    #[test]
    fn random_text_is_refused_or_has_one_form() {
        let mut random = Random(7);
        let mut valid = 0;
        for _ in 0..50_000 {
            let length = random.below(7);
            let text: String = (0..length)
                .map(|_| {
                    random.one(&[
                        "https", "://", "*", ".", "a", "A", ":", "80", "[", "]", "::1", "/", "é", "@", " ",
                        "\0", "null",
                    ])
                })
                .collect();
            let Ok(pattern) = text.parse::<OriginPattern>() else { continue };
            valid += 1;
            assert_eq!(pattern.as_str().parse().as_ref(), Ok(&pattern), "{text}");
            if let Ok(origin) = text.parse::<Origin>() {
                assert!(pattern.accepts(&origin), "{text}");
            }
        }
        assert!(valid > 50, "the generator makes valid ones: {valid}");
    }
}
