//! Encodes frames and decodes messages by RFC 6455.

use std::{io::Cursor, mem};

use bytes::{Buf, BufMut, BytesMut};
use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{CloseCode, Control, Data, OpCode},
};

use crate::{Close, MESSAGE_LIMIT, Message};

/// Maximum payload of a control frame, in bytes.
const CONTROL_LIMIT: usize = 125;

/// The end of the connection: a client masks its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Server,
    Client,
}

/// A message or control frame, complete after its last frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    Text(Message),
    Ping(Box<[u8]>),
    Pong,
    Close(Option<Close>),
}

pub(super) fn encode_text(output: &mut BytesMut, role: Role, text: &Message) {
    encode(output, role, OpCode::Data(Data::Text), text.as_bytes());
}

pub(super) fn encode_ping(output: &mut BytesMut, role: Role) {
    encode(output, role, OpCode::Control(Control::Ping), &[]);
}

pub(super) fn encode_pong(output: &mut BytesMut, role: Role, payload: &[u8]) {
    encode(output, role, OpCode::Control(Control::Pong), payload);
}

/// Writes a Close frame; it is empty if the code must not be sent on the wire.
pub(super) fn encode_close(output: &mut BytesMut, role: Role, close: Option<&Close>) {
    let payload = match close.filter(|close| CloseCode::from(close.code).is_allowed()) {
        Some(close) => [&close.code.to_be_bytes(), close.reason.as_bytes()].concat(),
        None => Vec::new(),
    };
    encode(output, role, OpCode::Control(Control::Close), &payload);
}

fn encode(output: &mut BytesMut, role: Role, opcode: OpCode, payload: &[u8]) {
    let mask = (role == Role::Client).then(random_mask);
    let header = FrameHeader { opcode, mask, ..FrameHeader::default() };
    output.reserve(header.len(payload.len() as u64) + payload.len());
    header.format(payload.len() as u64, &mut output.writer()).expect("writing to memory cannot fail");
    let start = output.len();
    output.extend_from_slice(payload);
    if let Some(mask) = mask {
        apply_mask(&mut output[start..], mask);
    }
}

fn random_mask() -> [u8; 4] {
    getrandom::u32().expect("the operating system provides random bytes").to_ne_bytes()
}

fn apply_mask(bytes: &mut [u8], mask: [u8; 4]) {
    let narrow = u64::from(u32::from_ne_bytes(mask));
    let wide = narrow << 32 | narrow;
    let mut chunks = bytes.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let masked = u64::from_ne_bytes((&*chunk).try_into().expect("chunks of eight bytes")) ^ wide;
        chunk.copy_from_slice(&masked.to_ne_bytes());
    }
    for (byte, mask) in chunks.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Decodes messages. Buffers only incomplete ones, and nothing while idle.
pub(super) struct Decoder {
    input: BytesMut,
    /// The text received so far of a fragmented message.
    text: Option<BytesMut>,
    /// Maximum size of an accepted message, in bytes.
    limit: u32,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { input: BytesMut::new(), text: None, limit: MESSAGE_LIMIT as u32 }
    }
}

impl Decoder {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Sets the largest message that is accepted, in bytes; never more than [`MESSAGE_LIMIT`].
    pub(super) fn limit(&mut self, bytes: usize) {
        self.limit = bytes.min(MESSAGE_LIMIT) as u32;
    }

    /// Returns the bytes of memory held.
    pub(super) fn capacity(&self) -> usize {
        self.input.capacity() + self.text.as_ref().map_or(0, BytesMut::capacity)
    }

    /// Returns the next message or control frame, `None` if more bytes are needed, or the Close for a violation.
    pub(super) fn next(&mut self, role: Role) -> Result<Option<Incoming>, Close> {
        loop {
            let mut cursor = Cursor::new(&self.input[..]);
            let parsed = FrameHeader::parse(&mut cursor).map_err(|_| protocol("unknown opcode"))?;
            let Some((header, length)) = parsed else { return Ok(None) };
            let head = cursor.position() as usize;
            let length = self.check(&header, head, length, role)?;
            if self.input.len() < head + length {
                return Ok(None);
            }
            let payload = self.take(head, length, header.mask);
            match header.opcode {
                OpCode::Data(_) => match self.text(payload, header.is_final)? {
                    Some(message) => return Ok(Some(Incoming::Text(message))),
                    None => continue,
                },
                OpCode::Control(Control::Ping) => return Ok(Some(Incoming::Ping(payload[..].into()))),
                OpCode::Control(Control::Close) => {
                    return decode_close(&payload).map(Incoming::Close).map(Some);
                }
                OpCode::Control(_) => return Ok(Some(Incoming::Pong)),
            }
        }
    }

    /// Checks a header before waiting for its payload; returns the length of the payload.
    fn check(&self, header: &FrameHeader, head: usize, length: u64, role: Role) -> Result<usize, Close> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(protocol("reserved bits are set"));
        }
        if header.mask.is_some() != (role == Role::Server) {
            return Err(protocol("a client masks its frames, a server does not"));
        }
        if header.len(length) != head {
            return Err(protocol("the length is not in its shortest form"));
        }
        let room = match (header.opcode, &self.text) {
            (OpCode::Control(_), _) if !header.is_final => {
                return Err(protocol("a control frame in fragments"));
            }
            (OpCode::Control(_), _) if length > CONTROL_LIMIT as u64 => {
                return Err(protocol("a control frame is too long"));
            }
            (OpCode::Control(_), _) => CONTROL_LIMIT,
            (OpCode::Data(Data::Binary), _) => return Err(Close::new(1003, "only text is understood")),
            (OpCode::Data(Data::Continue), None) => return Err(protocol("nothing to continue")),
            (OpCode::Data(Data::Text), Some(_)) => {
                return Err(protocol("the message before is not complete"));
            }
            (OpCode::Data(_), text) => {
                (self.limit as usize).saturating_sub(text.as_ref().map_or(0, BytesMut::len))
            }
        };
        match usize::try_from(length) {
            Ok(length) if length <= room => Ok(length),
            _ => Err(Close::new(1009, "message too large")),
        }
    }

    /// Takes a whole frame off the input and copies the smaller part: the payload, or the bytes after the frame.
    ///
    /// A few bytes after a large frame therefore do not keep its memory.
    fn take(&mut self, head: usize, length: usize, mask: Option<[u8; 4]>) -> BytesMut {
        let end = head + length;
        let mut payload = if self.input.len() - end <= length {
            let rest = BytesMut::from(&self.input[end..]);
            let mut frame = mem::replace(&mut self.input, rest);
            frame.truncate(end);
            frame.advance(head);
            frame
        } else {
            let payload = BytesMut::from(&self.input[head..end]);
            self.input.advance(end);
            payload
        };
        if let Some(mask) = mask {
            apply_mask(&mut payload, mask);
        }
        payload
    }

    fn text(&mut self, payload: BytesMut, is_final: bool) -> Result<Option<Message>, Close> {
        let text = match self.text.take() {
            Some(mut text) => {
                text.extend_from_slice(&payload);
                text
            }
            None => payload,
        };
        if !is_final {
            self.text = Some(text);
            return Ok(None);
        }
        match Message::try_from(text.freeze()) {
            Ok(message) => Ok(Some(message)),
            Err(_) => Err(Close::new(1007, "not UTF-8 text")),
        }
    }
}

fn decode_close(payload: &[u8]) -> Result<Option<Close>, Close> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        [_] => return Err(protocol("half a close code")),
    };
    if !CloseCode::from(code).is_allowed() {
        return Err(protocol("a close code that may not be sent"));
    }
    match std::str::from_utf8(reason) {
        Ok(reason) => Ok(Some(Close::new(code, reason.to_owned()))),
        Err(_) => Err(Close::new(1007, "not UTF-8 text")),
    }
}

fn protocol(reason: &'static str) -> Close {
    Close::new(1002, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masking_twice_restores_payloads_of_every_length() {
        let mask = [1, 2, 3, 4];
        for length in 0..40 {
            let mut bytes = vec![0; length];
            apply_mask(&mut bytes, mask);
            let expected: Vec<u8> = mask.into_iter().cycle().take(length).collect();
            assert_eq!(bytes, expected);
        }
    }
}
