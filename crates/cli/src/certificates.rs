//! The certificates of `serve`: loaded from files, and loaded again when these change.

use std::{convert::Infallible, path::PathBuf, time::Duration};

use chatcamp_server::{CertificateFiles, Tls};
use clap::Args;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{
    failure::{Failure, chain},
    signals::Hangups,
};

/// How often the files are compared with those in use.
const PERIOD: Duration = Duration::from_secs(10);
/// How long the same failure is not logged again.
const QUIET: Duration = Duration::from_secs(600);

/// The options that name certificates.
#[derive(Args)]
pub(crate) struct CertificateOptions {
    /// A certificate chain in PEM; connections are then accepted over TLS only. May be given several times, or as a list with
    /// commas, each with a --tls-key-file; a client that asks for a name gets the first certificate with that name. The files are loaded again within
    /// 10 seconds of a change, and at once on SIGHUP.
    #[arg(long, value_name = "FILE", env = "CHATCAMP_TLS_CERT_FILE", value_delimiter = ',')]
    tls_cert_file: Vec<PathBuf>,
    /// The private key of the certificate, in PEM. May be given several times, or as a list with commas.
    #[arg(long, value_name = "FILE", env = "CHATCAMP_TLS_KEY_FILE", value_delimiter = ',')]
    tls_key_file: Vec<PathBuf>,
}

impl CertificateOptions {
    /// Loads the certificates. Returns `None` if the options name none.
    pub(crate) fn load(self) -> Result<Option<Tls>, Failure> {
        let (chains, keys) = (self.tls_cert_file, self.tls_key_file);
        if chains.len() != keys.len() {
            let (certificates, keys) = (chains.len(), keys.len());
            return Err(Failure::usage(format!(
                "each --tls-cert-file needs a --tls-key-file; certificates: {certificates}, keys: {keys}"
            )));
        }
        if chains.is_empty() {
            return Ok(None);
        }
        let files = chains.into_iter().zip(keys).map(|(chain, key)| CertificateFiles { chain, key });
        Ok(Some(Tls::load(files.collect())?))
    }
}

impl From<chatcamp_server::TlsError> for Failure {
    fn from(error: chatcamp_server::TlsError) -> Self {
        Self::failed(error)
    }
}

/// Loads the certificates again whenever their files change or SIGHUP arrives. Never returns.
///
/// Dropping the future loses no signal.
pub(crate) async fn keep_current(tls: Option<Tls>, hangups: &mut Hangups) -> Infallible {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failure: Option<(String, Instant)> = None;
    loop {
        let is_asked = tokio::select! {
            () = hangups.next() => true,
            _ = ticks.tick(), if tls.is_some() => false,
        };
        let Some(tls) = tls.clone() else {
            tracing::info!("SIGHUP: there are no certificates to load again");
            continue;
        };
        let reloaded = match tokio::task::spawn_blocking(move || tls.reload()).await {
            Ok(reloaded) => reloaded,
            Err(error) => {
                tracing::error!(%error, "loading the certificates again failed");
                continue;
            }
        };
        match reloaded {
            Ok(is_changed) => {
                failure = None;
                if is_changed {
                    tracing::info!("the certificates were replaced; new connections use them");
                } else if is_asked {
                    tracing::info!("SIGHUP: the certificates are unchanged");
                }
            }
            Err(error) => {
                let why = chain(&error);
                let is_known =
                    failure.as_ref().is_some_and(|(known, at)| *known == why && at.elapsed() < QUIET);
                if is_asked || !is_known {
                    tracing::warn!("the certificates stay as they were: {why}");
                    failure = Some((why, Instant::now()));
                }
            }
        }
    }
}
