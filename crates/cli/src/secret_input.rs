//! Access tokens and passwords as they are given: on the command line, in a file, on stdin.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use chatcamp_protocol::{AccessToken, limits, secret};
use clap::Args;

use crate::failure::Failure;

/// Most bytes read from a token file: derived tokens are shorter than those of a caller's choice.
const LIMIT: u64 = 2 * *limits::CUSTOM_TOKEN.end() as u64;

/// Where a token comes from.
#[derive(Args)]
pub(crate) struct TokenInput {
    /// The access token; others on this machine may see it, a file is safer.
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    token: Option<String>,
    /// The file that holds the access token; `-` is stdin.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl TokenInput {
    /// The token, where one is given.
    pub(crate) fn read(self) -> Result<Option<AccessToken>, Failure> {
        let (token, from) = match (self.token, self.token_file) {
            (Some(token), _) => (token, "--token".to_owned()),
            (None, Some(path)) => (read_file(&path, "an access token")?, path.display().to_string()),
            (None, None) => return Ok(None),
        };
        self::token(&token, &from).map(Some)
    }
}

/// Reads a token that came `from` somewhere, without the white space around it.
pub(crate) fn token(text: &str, from: &str) -> Result<AccessToken, Failure> {
    match secret::trim(text) {
        "" => Err(Failure::usage(format!("the access token from {from} is empty"))),
        token => Ok(AccessToken::new(token)),
    }
}

/// Reads a password of one line from a file, or from stdin. Its spaces are part of it, unless they are at its ends, where nobody
/// sees them.
pub(crate) fn read_password(path: &Path) -> Result<String, Failure> {
    let text = read_file(path, "a password")?;
    let password = text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
    if password.contains(char::is_control) {
        return Err(Failure::usage(
            "the password has a line break or another control character in it; it must be one line",
        ));
    }
    if password.trim() != password {
        return Err(Failure::usage("the password begins or ends with a space; remove it"));
    }
    Ok(password.to_owned())
}

/// Whether somebody has put something on stdin: it is a pipe, a socket or a file, whatever is in it.
#[cfg(unix)]
pub(crate) fn is_given_on_stdin() -> bool {
    use std::os::{fd::AsFd as _, unix::fs::FileTypeExt as _};
    let stdin = io::stdin().as_fd().try_clone_to_owned().map(File::from);
    stdin.and_then(|stdin| stdin.metadata()).is_ok_and(|stdin| {
        let kind = stdin.file_type();
        kind.is_fifo() || kind.is_socket() || kind.is_file()
    })
}

/// Whether somebody has put something on stdin.
#[cfg(not(unix))]
pub(crate) fn is_given_on_stdin() -> bool {
    !io::IsTerminal::is_terminal(&io::stdin())
}

/// Reads a file, or stdin, which holds `what`.
fn read_file(path: &Path, what: &str) -> Result<String, Failure> {
    let opened: io::Result<Box<dyn Read>> = match path.as_os_str() == "-" {
        true => Ok(Box::new(io::stdin().lock())),
        false => File::open(path).map(|file| Box::new(file) as _),
    };
    let mut text = String::new();
    opened
        .and_then(|source| source.take(LIMIT).read_to_string(&mut text))
        .map_err(|e| Failure::because(format!("cannot read {what} from {}", path.display()), e))?;
    Ok(text)
}
