//! Reads request bodies, with limits on size and time.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Body;
use tokio::time::timeout;

/// Maximum time until a body is received.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    TooLarge,
    TimedOut,
    Incomplete,
}

/// Returns whether the headers declare this content type, with or without parameters.
pub(crate) fn has_content_type(headers: &HeaderMap, content_type: &str) -> bool {
    let declared = headers.get(CONTENT_TYPE).map(|value| value.as_bytes()).unwrap_or_default();
    let essence = declared.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
    essence.eq_ignore_ascii_case(content_type.as_bytes())
}

/// Reads a body of at most `max` bytes. If its declared length is larger, nothing is read.
pub(crate) async fn read<B>(body: B, max: usize) -> Result<Bytes, BodyError>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if body.size_hint().lower() > max as u64 {
        return Err(BodyError::TooLarge);
    }
    match timeout(TIMEOUT, Limited::new(body, max).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge),
        Ok(Err(_)) => Err(BodyError::Incomplete),
        Err(_) => Err(BodyError::TimedOut),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        pin::Pin,
        task::{Context, Poll},
    };

    use http_body_util::Full;
    use hyper::body::Frame;
    use tokio::time::Instant;

    use super::*;

    /// A body that is never sent.
    struct Stalled;

    impl Body for Stalled {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_read_within_its_limits() {
        assert_eq!(read(Full::<Bytes>::from("body"), 4).await.as_deref(), Ok(&b"body"[..]));
        assert_eq!(read(Full::<Bytes>::from("body"), 3).await, Err(BodyError::TooLarge));
        let began = Instant::now();
        assert_eq!(read(Stalled, 4).await, Err(BodyError::TimedOut));
        assert_eq!(began.elapsed(), TIMEOUT);
    }
}
