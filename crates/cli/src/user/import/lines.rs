//! Reads the lines of a file of any size in batches of bounded size.

use std::{
    io::{self, BufRead, Read as _},
    thread,
};

use chatcamp_server::ImportedUser;
use tokio::sync::mpsc;

use crate::user::row::parse;

/// The longest line, in bytes: all fields of a user at their limits, with every character escaped.
const LINE: u64 = 128 * 1024;
/// The maximum number of users in a batch: about 5 ms of work for the database, during which no other process can write.
const USERS: usize = 500;
/// The maximum number of bytes in a batch, so that batches of long lines are short.
const BYTES: u64 = 1024 * 1024;
/// The number of batches to read ahead.
const AHEAD: usize = 2;

/// A batch of parsed lines.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The users, each with the number of its line.
    pub(super) users: Vec<(u64, ImportedUser)>,
    /// The numbers of the invalid lines, and why they are invalid.
    pub(super) bad: Vec<(u64, String)>,
    /// The number of unknown fields that were ignored.
    pub(super) ignored_fields: u64,
    /// The number of its last line.
    pub(super) line: u64,
    /// The bytes read up to the end of the batch.
    pub(super) bytes: u64,
}

/// Reads the lines after the first `skip` lines on a separate thread, a few batches ahead.
pub(super) fn read(
    source: impl BufRead + Send + 'static,
    skip: u64,
    ignore_unknown: bool,
) -> io::Result<mpsc::Receiver<io::Result<Batch>>> {
    let (batches, receiver) = mpsc::channel(AHEAD);
    thread::Builder::new().name("import-reader".into()).spawn(move || {
        let mut lines = Lines { source, ignore_unknown, line: 0, bytes: 0, text: Vec::new() };
        let mut next = || -> io::Result<Option<Batch>> {
            if lines.bytes == 0 {
                lines.refuse_utf16()?;
            }
            while lines.line < skip {
                if !lines.skip()? {
                    return Ok(None);
                }
            }
            lines.batch()
        };
        // Sending fails if the receiver was dropped.
        while let Some(batch) = next().transpose() {
            let is_last = batch.is_err();
            if batches.blocking_send(batch).is_err() || is_last {
                break;
            }
        }
    })?;
    Ok(receiver)
}

struct Lines<R> {
    source: R,
    ignore_unknown: bool,
    line: u64,
    bytes: u64,
    text: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// Fails if the source is UTF-16, which programs on Windows may write and which contains no readable lines.
    fn refuse_utf16(&mut self) -> io::Result<()> {
        match self.source.fill_buf()? {
            [0xff | 0xfe | 0, ..] | [_, 0, ..] => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "the file is UTF-16; save it as UTF-8"))
            }
            _ => Ok(()),
        }
    }

    /// Returns the next batch, or `None` at the end.
    fn batch(&mut self) -> io::Result<Option<Batch>> {
        let (mut batch, begin) = (Batch::default(), self.bytes);
        while batch.users.len() + batch.bad.len() < USERS && self.bytes - begin < BYTES {
            let Some(fits) = self.next()? else { break };
            if !fits {
                batch.bad.push((self.line, format!("the line is longer than {LINE} bytes")));
                continue;
            }
            let text = self.text.trim_ascii();
            if text.is_empty() {
                continue;
            }
            match parse(text, self.ignore_unknown) {
                Ok((user, ignored)) => {
                    batch.users.push((self.line, user));
                    batch.ignored_fields += ignored;
                }
                Err(why) => batch.bad.push((self.line, why)),
            }
        }
        (batch.line, batch.bytes) = (self.line, self.bytes);
        Ok((self.bytes > begin).then_some(batch))
    }

    /// Reads the next line into `text`. Returns whether it fits, or `None` at the end.
    fn next(&mut self) -> io::Result<Option<bool>> {
        self.text.clear();
        let read = (&mut self.source).take(LINE + 1).read_until(b'\n', &mut self.text)? as u64;
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        self.bytes += read;
        let fits = read <= LINE;
        if !fits && self.text.last() != Some(&b'\n') {
            self.bytes += self.source.skip_until(b'\n')? as u64;
        }
        // Some programs write a byte order mark at the start of a file.
        if self.line == 1 && self.text.starts_with("\u{feff}".as_bytes()) {
            self.text.drain(..3);
        }
        Ok(Some(fits))
    }

    /// Skips the next line. Returns `false` at the end.
    fn skip(&mut self) -> io::Result<bool> {
        let read = self.source.skip_until(b'\n')? as u64;
        self.line += u64::from(read > 0);
        self.bytes += read;
        Ok(read > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn batches(text: impl Into<Vec<u8>>, skip: u64) -> Vec<Batch> {
        let mut receiver = read(Cursor::new(text.into()), skip, false).unwrap();
        std::iter::from_fn(|| receiver.blocking_recv()).map(Result::unwrap).collect()
    }

    /// Returns the numbers of the valid and of the invalid lines.
    fn numbers(batches: &[Batch]) -> (Vec<u64>, Vec<u64>) {
        let good = batches.iter().flat_map(|batch| batch.users.iter().map(|(line, _)| *line));
        (good.collect(), batches.iter().flat_map(|batch| batch.bad.iter().map(|(line, _)| *line)).collect())
    }

    #[test]
    fn lines_are_counted_as_an_editor_counts_them() {
        let text = "\u{feff}{\"id\":\"a\"}\r\n\n  \nno\n{\"id\":\"b\"}";
        for (skip, good, bad) in
            [(0, &[1, 5][..], &[4][..]), (1, &[5], &[4]), (4, &[5], &[]), (5, &[], &[]), (99, &[], &[])]
        {
            let batches = batches(text, skip);
            assert_eq!(numbers(&batches), (good.to_vec(), bad.to_vec()), "skip {skip}");
            if let Some(last) = batches.last() {
                assert_eq!((last.line, last.bytes), (5, text.len() as u64));
            }
        }
        assert!(batches("", 0).is_empty());
    }

    #[test]
    fn utf_16_is_reported_as_such() {
        let utf16 =
            |text: &str, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<_>>();
        let text = "{\"id\":\"a\"}\n";
        for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
            for (text, skip) in [(text.to_owned(), 0), (format!("\u{feff}{text}"), 0), (text.to_owned(), 1)] {
                let mut receiver = read(Cursor::new(utf16(&text, bytes)), skip, false).unwrap();
                let error = receiver.blocking_recv().unwrap().unwrap_err();
                assert!(error.to_string().contains("UTF-16"), "{error}");
                assert!(receiver.blocking_recv().is_none());
            }
        }
    }

    #[test]
    fn a_line_of_any_length_is_skipped_in_bounded_memory() {
        let limit = usize::try_from(LINE).unwrap();
        let line = |length: usize| format!("{{\"id\":\"{}\"}}\n", "x".repeat(length - 10));
        let text = line(limit) + &line(limit + 1) + &line(limit + 2) + &line(3 * limit) + "{\"id\":\"b\"}\n";
        let mut lines =
            Lines { source: text.as_bytes(), ignore_unknown: false, line: 0, bytes: 0, text: Vec::new() };
        let fit: Vec<_> = std::iter::from_fn(|| lines.next().unwrap()).collect();
        assert_eq!(fit, [true, false, false, false, true]);
        assert_eq!(lines.bytes, text.len() as u64);
        assert!(lines.text.capacity() <= 4 * limit, "{}", lines.text.capacity());
    }

    #[test]
    fn batches_are_bounded_in_users_and_in_bytes() {
        let short = "{\"id\":\"a\"}\n".repeat(USERS * 2 + 1);
        let sizes: Vec<_> = batches(short, 0).iter().map(|batch| batch.users.len()).collect();
        assert_eq!(sizes, [USERS, USERS, 1]);
        let long = format!("{{\"id\":\"a\",\"data\":\"{}\"}}\n", "x".repeat(100_000)).repeat(25);
        for batch in batches(long, 0) {
            assert!(batch.users.len() <= 11, "{}", batch.users.len());
        }
    }
}
