//! Reads the head of an HTTP/1.1 message, on either side.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Maximum size of a head, in bytes.
pub(super) const HEAD_LIMIT: usize = 16 * 1024;
/// Maximum number of header lines.
pub(super) const HEADERS_LIMIT: usize = 64;

/// The end of every head.
const END: &[u8] = b"\r\n\r\n";

/// A head, and the bytes read after it.
pub(super) struct Head {
    bytes: Vec<u8>,
    end: usize,
}

impl Head {
    /// Reads up to the end of the head. Returns `None` if the head exceeds [`HEAD_LIMIT`].
    pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let mut bytes = Vec::with_capacity(1024);
        while bytes.len() < HEAD_LIMIT {
            let seen = bytes.len().saturating_sub(END.len() - 1);
            let room = (HEAD_LIMIT - bytes.len()) as u64;
            if (&mut *stream).take(room).read_buf(&mut bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(at) = bytes[seen..].windows(END.len()).position(|window| window == END) {
                return Ok(Some(Self { bytes, end: seen + at + END.len() }));
            }
        }
        Ok(None)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.end]
    }

    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.end..]
    }
}

/// Returns whether the comma-separated list `value` contains `token`, ignoring case.
pub(super) fn names_token(value: &[u8], token: &str) -> bool {
    value.split(|byte| *byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}
