//! Answers to heads that hyper refuses, with the headers that let web pages read these answers.

use super::{Answer, Cors, PATH};

/// Returns the answer to a head that is refused with this status; `head` is the part that was read.
pub(crate) fn refused_head(head: &[u8], status: u16) -> Answer {
    let (code, message) = match status {
        414 => ("TARGET_TOO_LONG", "the request's target is too long; a head has at most 16 KiB"),
        431 => ("HEAD_TOO_LONG", "a request's head has at most 16 KiB and 100 headers"),
        _ => ("HEAD_MALFORMED", "the request's head is not that of HTTP/1.1"),
    };
    if is_for_chat(head) {
        cors(head).failure(status, code, message)
    } else {
        Answer::failure(status, code, message)
    }
}

/// Returns the answer, outside the chat path, to a request without exactly one valid `Host` header.
pub(crate) fn bad_host() -> Answer {
    Answer::failure(400, HOST.0, HOST.1)
}

/// The code and the message of the answer to a request without exactly one valid `Host` header.
pub(super) const HOST: (&str, &str) =
    ("HOST", "a request has one header Host, with a name and perhaps a port; in HTTP/1.0 it may be missing");

fn is_for_chat(head: &[u8]) -> bool {
    let mut words = head.trim_ascii_start().split(|b| b" \r\n".contains(b));
    let target = words.nth(1).unwrap_or_default();
    // A proxy may serve the chat under a path.
    target.split(|&b| b == b'?').next().is_some_and(|path| path.ends_with(PATH.as_bytes()))
}

fn cors(head: &[u8]) -> Cors {
    let mut lines = head.trim_ascii_start().split_inclusive(|&b| b == b'\n').skip(1);
    let is_whole = lines.clone().any(|line| line.trim_ascii().is_empty());
    let mut origins = lines.by_ref().filter_map(origin);
    match (origins.next(), origins.next()) {
        (Some(origin), None) => Cors::new(Some(origin)),
        (None, _) if !is_whole => Cors::any(),
        _ => Cors::new(None),
    }
}

/// Returns the value of an `Origin` line. Returns `None` if the line is another header, incomplete or invalid.
fn origin(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_suffix(b"\n")?;
    let at = line.iter().position(|&b| b == b':')?;
    let value = line[at + 1..].trim_ascii();
    let is_origin = line[..at].eq_ignore_ascii_case(b"origin") && value.iter().all(u8::is_ascii_graphic);
    is_origin.then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(head: &str) -> Vec<String> {
        let mut named = Vec::new();
        refused_head(head.as_bytes(), 400).headers(|name, value| {
            if name.starts_with("access-control-") {
                named.push(String::from_utf8(value.to_vec()).unwrap());
            }
        });
        named
    }

    #[test]
    fn a_known_origin_is_echoed_and_an_incomplete_head_grants_any_origin() {
        let whole = "GET /chat/2.0?a=b HTTP/1.1\r\nHost: h\r\norigin:  http://a.example \r\nbad\r\n\r\n";
        assert_eq!(named(whole), ["http://a.example", "true"]);
        assert_eq!(named(&format!("\r\n{whole}")), ["http://a.example", "true"]);
        assert_eq!(named(&whole.replace("origin", "x")), [""; 0]);
        assert_eq!(named(&whole.replace("bad", "Origin: http://b.example")), [""; 0], "named twice");
        assert_eq!(named(&whole.replace("http://a", "\x01")), [""; 0]);
        assert_eq!(named(&whole.replace("/chat", "/talk/chat")), ["http://a.example", "true"]);
        for cut in [17, 30, whole.find("origin").unwrap() + 20] {
            assert_eq!(named(&whole[..cut]), ["*"], "cut at {cut}");
        }
        for other in ["nonsense", "", "\r\n", "GET /api/2.0/x HTTP/1.1\r\nOrigin: http://a.example\r\n\r\n"] {
            assert_eq!(named(other), [""; 0], "{other}");
        }
    }
}
