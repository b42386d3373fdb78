//! Reads access tokens, API keys and passwords from options, files and stdin.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use chatcamp_protocol::{AccessToken, limits, secret};
use clap::Args;

use crate::failure::Failure;

/// The maximum number of bytes read from a file: twice the longest token; generated tokens are shorter.
const LIMIT: u64 = 2 * *limits::CUSTOM_TOKEN.end() as u64;

/// Options that give an access token.
#[derive(Args)]
pub(crate) struct TokenInput {
    /// The access token. Other users of this machine may see it; --token-file is safer.
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    token: Option<String>,
    /// A file with the access token; `-` is stdin.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl TokenInput {
    /// Reads the token. Returns `None` if neither option is given.
    pub(crate) fn read(self) -> Result<Option<AccessToken>, Failure> {
        let (token, from) = match (self.token, self.token_file) {
            (Some(token), _) => (token, "--token".to_owned()),
            (None, Some(path)) => (read_file(&path, "an access token")?, source(&path, "token")),
            (None, None) => return Ok(None),
        };
        self::token(&token, &from).map(Some)
    }
}

/// Parses a token and removes white space around it. Errors name its source, `from`.
pub(crate) fn token(text: &str, from: &str) -> Result<AccessToken, Failure> {
    one_line(text, from, "an access token").map(AccessToken::new)
}

/// Returns a secret without the white space around it. Errors name its source, `from`; `what` is the secret.
fn one_line<'a>(text: &'a str, from: &str, what: &str) -> Result<&'a str, Failure> {
    let secret = secret::trim(text);
    match secret.lines().count() {
        0 => Err(Failure::usage(format!("{from} is empty; {what} is missing"))),
        1 => Ok(secret),
        lines => Err(Failure::usage(format!("{from} has {lines} lines; {what} is one line"))),
    }
}

/// Returns how errors name a file with a secret. `kind` is the kind of the secret.
fn source(path: &Path, kind: &str) -> String {
    if path.as_os_str() == "-" { "stdin".into() } else { format!("the {kind} file {}", path.display()) }
}

/// Reads an API key from a file, or from stdin: one line, or what `chatcamp app key create` prints in a pipe.
pub(crate) fn read_api_key(path: &Path) -> Result<String, Failure> {
    let text = read_file(path, "an API key")?;
    api_key(field(&text, "api_key").unwrap_or(&text), &source(path, "API key"))
}

/// Returns the value of a field in lines of a name, a tab and a value.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'))
}

/// Parses an API key and removes white space around it. Errors name its source, `from`.
pub(crate) fn api_key(text: &str, from: &str) -> Result<String, Failure> {
    one_line(text, from, "an API key").map(str::to_owned)
}

/// Reads a password of one line from a file, or from stdin.
///
/// Spaces at either end are an error, because they are easily overlooked; other spaces are part of the password.
pub(crate) fn read_password(path: &Path) -> Result<String, Failure> {
    let text = read_file(path, "a password")?;
    let password = text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
    if password.contains(char::is_control) {
        return Err(Failure::usage(
            "the password contains a line break or another control character; it must be one line",
        ));
    }
    if password.trim() != password {
        return Err(Failure::usage("the password begins or ends with a space; remove it"));
    }
    Ok(password.to_owned())
}

/// Returns whether stdin is a pipe, a socket or a file, which may be empty.
#[cfg(unix)]
pub(crate) fn is_stdin_redirected() -> bool {
    use std::os::{fd::AsFd as _, unix::fs::FileTypeExt as _};
    let stdin = io::stdin().as_fd().try_clone_to_owned().map(File::from);
    stdin.and_then(|stdin| stdin.metadata()).is_ok_and(|stdin| {
        let kind = stdin.file_type();
        kind.is_fifo() || kind.is_socket() || kind.is_file()
    })
}

/// Returns whether stdin is redirected.
#[cfg(not(unix))]
pub(crate) fn is_stdin_redirected() -> bool {
    !io::IsTerminal::is_terminal(&io::stdin())
}

/// Reads a file, or stdin if the path is `-`. `what` is the content, for errors.
fn read_file(path: &Path, what: &str) -> Result<String, Failure> {
    let opened: io::Result<Box<dyn Read>> = if path.as_os_str() == "-" {
        Ok(Box::new(io::stdin().lock()))
    } else {
        File::open(path).map(|file| Box::new(file) as _)
    };
    let mut text = String::new();
    opened
        .and_then(|source| source.take(LIMIT).read_to_string(&mut text))
        .map_err(|e| Failure::because(format!("cannot read {what} from {}", path.display()), e))?;
    Ok(text)
}
