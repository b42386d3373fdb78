//! `chatcamp user import`: imports users from a file, also while a server runs.

mod lines;
mod progress;
mod tally;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Write as _},
    path::PathBuf,
    time::{Duration, Instant},
};

use chatcamp_protocol::AppId;
use chatcamp_server::{AccountError, Accounts};
use chatcamp_store::StoreError;
use clap::Args;

use self::{
    lines::Batch,
    progress::Progress,
    tally::{BadLine, Summary, Tally, rate},
};
use crate::{
    context::{Context, InApp},
    failure::{Failure, chain},
    output::Output,
    private_file,
    signals::Signals,
};

/// The bytes read at once.
const BUFFER: usize = 256 * 1024;
/// The pause between two batches, so that a waiting server can write.
const GAP: Duration = Duration::from_millis(3);
/// The rate limit for changes of users. A server polls for changes five times a second; if it finds more than 4,096, it must check
/// every session.
const CHANGES: (u64, Duration) = (3000, Duration::from_millis(200));

/// Arguments of `chatcamp user import`.
#[derive(Args)]
pub(crate) struct Import {
    /// The file, with one JSON object with an `id` per line; `-` is stdin.
    file: PathBuf,
    #[command(flatten)]
    of: InApp,
    /// Writes the numbers of failed lines, and why they failed, to this new file instead of stderr.
    #[arg(long, value_name = "FILE", value_parser = errors_file)]
    errors: Option<PathBuf>,
    /// Skips the first N lines.
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip: u64,
    /// Ignores unknown fields and prints how many there were. Without this option a line with an unknown field is not imported.
    #[arg(long)]
    ignore_unknown: bool,
}

impl Import {
    /// Imports until the end of the file or a signal.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let mut signals = Signals::install()?;
        let (app, accounts) = context.open_app(self.of).await?;
        accounts.app(&app).await?;
        let named = self.file.display().to_string();
        let cannot = |error| Failure::because(format!("cannot read {named}"), error);
        let (source, bytes) = open(&self.file).map_err(cannot)?;
        let mut batches = lines::read(source, self.skip, self.ignore_unknown).map_err(cannot)?;
        let mut import = Running {
            accounts,
            app,
            errors: Errors::open(self.errors, context.out)?,
            progress: Progress::new(bytes),
            tally: Tally::default(),
            line: self.skip,
            began: Instant::now(),
        };
        let ended = loop {
            let batch = tokio::select! {
                biased;
                () = signals.next() => break Err(Failure::failed(import.stopped("interrupted"))),
                batch = batches.recv() => batch,
            };
            match batch {
                None => break Ok(()),
                Some(Err(error)) => break Err(cannot(error)),
                Some(Ok(batch)) => match import.write(batch).await {
                    Ok(pause) => tokio::time::sleep(pause).await,
                    Err(failure) => break Err(failure),
                },
            }
        };
        let (summary, failed) = import.end()?;
        context.out.print(&summary)?;
        ended?;
        match failed {
            0 => Ok(()),
            1 => Err(Failure::failed("1 line was not imported")),
            lines => Err(Failure::failed(format!("{lines} lines were not imported"))),
        }
    }
}

/// An import in progress.
struct Running {
    accounts: Accounts,
    app: AppId,
    errors: Errors,
    progress: Progress,
    tally: Tally,
    /// The last completed line.
    line: u64,
    began: Instant,
}

impl Running {
    /// Writes a batch. Returns how long to pause, so that others can write.
    async fn write(&mut self, batch: Batch) -> Result<Duration, Failure> {
        let began = Instant::now();
        let before = self.tally;
        let (lines, users): (Vec<_>, Vec<_>) = batch.users.into_iter().unzip();
        let outcomes = self.accounts.import_users(&self.app, users).await;
        let outcomes = outcomes.map_err(|error| Failure::because(self.stopped("stopped"), error))?;
        let mut bad = batch.bad;
        for (line, outcome) in lines.into_iter().zip(outcomes) {
            match outcome {
                Ok(written) => self.tally.count(written),
                Err(error) => bad.push((line, explain(&error))),
            }
        }
        bad.sort_by_key(|(line, _)| *line);
        self.tally.failed += bad.len() as u64;
        self.tally.ignored_fields += batch.ignored_fields;
        for (line, error) in bad {
            let bad = BadLine { line, error };
            self.progress.aside(|| self.errors.write(&bad))?;
        }
        self.line = batch.line;
        self.progress.at(batch.bytes, self.tally.users(), rate(self.tally.users(), self.began.elapsed()));
        let changes = u32::try_from(self.tally.updated - before.updated).unwrap_or(u32::MAX);
        let due = CHANGES.1 * changes / u32::try_from(CHANGES.0).unwrap_or(u32::MAX);
        Ok(GAP.max(due.saturating_sub(began.elapsed())))
    }

    /// Explains how to continue after the import ended early.
    fn stopped(&self, how: &str) -> String {
        let line = self.line;
        format!("{how} after line {line}; run it again, or continue from there with --skip {line}")
    }

    fn end(self) -> Result<(Summary, u64), Failure> {
        drop(self.progress);
        self.errors.end()?;
        Ok((Summary::new(self.tally, self.line, self.began.elapsed()), self.tally.failed))
    }
}

/// The destination for failed lines.
struct Errors {
    out: Output,
    file: Option<(PathBuf, io::BufWriter<File>)>,
}

impl Errors {
    fn open(path: Option<PathBuf>, out: Output) -> Result<Self, Failure> {
        let open = |path: PathBuf| match private_file::create_new(&path) {
            Ok(file) => Ok((path, io::BufWriter::new(file))),
            Err(error) => Err(cannot_write(&path, error)),
        };
        Ok(Self { out, file: path.map(open).transpose()? })
    }

    fn write(&mut self, bad: &BadLine) -> Result<(), Failure> {
        let Some((path, file)) = &mut self.file else { return self.out.note(bad) };
        let line = self.out.line(bad)?;
        file.write_all(line.as_bytes()).map_err(|error| cannot_write(path, error))
    }

    fn end(self) -> Result<(), Failure> {
        let Some((path, mut file)) = self.file else { return Ok(()) };
        file.flush().map_err(|error| cannot_write(&path, error))
    }
}

/// Parses the value of `--errors`.
fn errors_file(name: &str) -> Result<PathBuf, String> {
    if name == "-" {
        return Err("name a file, or leave out the option to print failed lines".into());
    }
    Ok(name.into())
}

fn cannot_write(path: &std::path::Path, error: io::Error) -> Failure {
    Failure::because(format!("cannot write {}", path.display()), error)
}

/// Opens the file and returns its length if it has one.
fn open(path: &std::path::Path) -> io::Result<(Box<dyn BufRead + Send>, Option<u64>)> {
    if path.as_os_str() == "-" {
        return Ok((Box::new(BufReader::with_capacity(BUFFER, io::stdin())), None));
    }
    let file = File::open(path)?;
    let found = file.metadata()?;
    let bytes = found.is_file().then_some(found.len());
    Ok((Box::new(BufReader::with_capacity(BUFFER, file)), bytes))
}

/// Explains why a user was not imported.
fn explain(error: &AccountError) -> String {
    match error {
        AccountError::Store(StoreError::UserLimit) => {
            format!("{}; raise the limit with `chatcamp app limit`", StoreError::UserLimit)
        }
        AccountError::Store(source) => source.to_string(),
        error => chain(error),
    }
}
