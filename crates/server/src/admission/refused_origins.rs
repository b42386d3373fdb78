//! The origins that apps have refused in the last hour, for operators.

use std::collections::HashMap;

use chatcamp_auth::authenticator::OriginHeader;
use chatcamp_protocol::{AppId, Origin};
use parking_lot::Mutex;

/// The maximum number of apps with refused origins. For one more, the app whose last refusal is the oldest is dropped.
const APPS: usize = 32;
/// The maximum number of origins per app. For one more, the one whose last refusal is the oldest is dropped.
const ORIGINS: usize = 32;
/// How long a refusal is kept, in seconds.
const KEPT: u64 = 60 * 60;

/// An origin that an app has refused in the last hour.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefusedOrigin {
    /// Who was refused.
    pub origin: ClientOrigin,
    /// The number of refusals since the first one that was followed by another one within an hour.
    pub count: u64,
    /// The last refusal, in Unix seconds.
    pub last: u64,
}

/// Where a client comes from, according to its header `Origin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientOrigin {
    /// A page of this origin.
    Page(Origin),
    /// The header is invalid. Browsers do not send such a header.
    Invalid,
    /// The header is missing: the client is not a browser.
    Missing,
}

/// The refused origins of all apps of this process.
#[derive(Debug, Default)]
pub(crate) struct RefusedOrigins {
    apps: Mutex<HashMap<AppId, Vec<RefusedOrigin>>>,
}

impl RefusedOrigins {
    /// Adds a refusal at the time `now`, in Unix seconds.
    pub(crate) fn add(&self, app: &AppId, header: OriginHeader<'_>, now: u64) {
        let origin = ClientOrigin::from(header);
        let mut apps = self.apps.lock();
        if !apps.contains_key(app) && apps.len() == APPS {
            let last = |refused: &[RefusedOrigin]| refused.iter().map(|refused| refused.last).max();
            let oldest = apps.iter().min_by_key(|(_, refused)| last(refused)).map(|(app, _)| app.clone());
            oldest.and_then(|oldest| apps.remove(&oldest));
        }
        let refused = apps.entry(app.clone()).or_default();
        refused.retain(|refused| is_kept(refused, now));
        match refused.iter_mut().find(|refused| refused.origin == origin) {
            Some(again) => {
                again.count += 1;
                again.last = now;
            }
            None => {
                if refused.len() == ORIGINS {
                    let oldest = (0..ORIGINS).min_by_key(|&at| refused[at].last).expect("ORIGINS is not 0");
                    refused.swap_remove(oldest);
                }
                refused.push(RefusedOrigin { origin, count: 1, last: now });
            }
        }
    }

    /// Lists the origins that an app has refused in the hour before `now`, the latest refusal first.
    pub(crate) fn of_app(&self, app: &AppId, now: u64) -> Vec<RefusedOrigin> {
        let mut refused = self.apps.lock().get(app).cloned().unwrap_or_default();
        refused.retain(|refused| is_kept(refused, now));
        refused.sort_by_key(|refused| std::cmp::Reverse(refused.last));
        refused
    }
}

impl From<OriginHeader<'_>> for ClientOrigin {
    fn from(header: OriginHeader<'_>) -> Self {
        match header {
            OriginHeader::Present(header) => header.parse().map_or(Self::Invalid, Self::Page),
            OriginHeader::Absent | OriginHeader::Checked => Self::Missing,
        }
    }
}

fn is_kept(refused: &RefusedOrigin, now: u64) -> bool {
    now.saturating_sub(refused.last) < KEPT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(id: &str) -> AppId {
        AppId::new(id).unwrap()
    }

    fn shown(refused: &RefusedOrigins, id: &str, now: u64) -> Vec<(String, u64)> {
        let shown = |origin: &ClientOrigin| match origin {
            ClientOrigin::Page(origin) => origin.to_string(),
            other => format!("{other:?}"),
        };
        refused.of_app(&app(id), now).iter().map(|r| (shown(&r.origin), r.count)).collect()
    }

    #[test]
    fn refusals_of_one_origin_are_counted_for_an_hour() {
        let refused = RefusedOrigins::default();
        for (header, now) in [
            (OriginHeader::Present("https://a.example"), 0),
            (OriginHeader::Present("HTTPS://A.example:443"), 1),
            (OriginHeader::Present("<script>"), 2),
            (OriginHeader::Present("garbage"), 3),
            (OriginHeader::Absent, 4),
            (OriginHeader::Present("null"), 5),
        ] {
            refused.add(&app("demo"), header, now);
        }
        let expected = [("null", 1), ("Missing", 1), ("Invalid", 2), ("https://a.example", 2)];
        assert_eq!(shown(&refused, "demo", 6), expected.map(|(text, count)| (text.to_owned(), count)));
        assert_eq!(shown(&refused, "other", 6), []);
        assert_eq!(shown(&refused, "demo", KEPT + 4), [("null".to_owned(), 1)]);
        refused.add(&app("demo"), OriginHeader::Present("https://a.example"), KEPT + 9);
        assert_eq!(shown(&refused, "demo", KEPT + 9), [("https://a.example".to_owned(), 1)]);
    }

    #[test]
    fn clients_cannot_make_the_list_grow() {
        let refused = RefusedOrigins::default();
        for n in 0..1_000_u64 {
            refused.add(&app(&format!("app{}", n % 100)), OriginHeader::Present("https://a.example"), n);
            refused.add(&app("demo"), OriginHeader::Present(&format!("https://a{n}.example")), n);
            // One that is refused again and again stays.
            refused.add(&app("demo"), OriginHeader::Present("https://shop.example"), n);
        }
        let apps = refused.apps.lock();
        assert_eq!(apps.len(), APPS);
        assert!(apps.values().all(|refused| refused.len() <= ORIGINS));
        drop(apps);
        let demo = shown(&refused, "demo", 1_000);
        assert_eq!(demo.len(), ORIGINS);
        assert!(demo.contains(&("https://shop.example".to_owned(), 1_000)), "{demo:?}");
        assert!(demo.contains(&("https://a999.example".to_owned(), 1)), "{demo:?}");
    }
}
