//! `chatcamp dev`: a development server with an open app, which runs a self-check.

use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc};

use anstyle::Style;
use chatcamp_dashboard::TryPage;
use chatcamp_protocol::AppId;
use chatcamp_server::{AuthPolicy, DataDir};
use chatcamp_store::Edited;
use serde::Serialize;

use crate::{
    admin,
    colour::{BAD, COPY, DIM},
    context::Context,
    dev_file::DevFile,
    failure::{Failure, chain},
    invocation::next_command,
    self_check,
    serve::{Listen, Serving, Settings, ignore_unread},
    signals::Signals,
};

/// The maximum number of users of the development app. It is limited because connecting creates a user.
const MAX_USERS: u64 = 100_000;
/// The width of the labels of [`Ready`], with the blanks around them.
const LABEL: usize = "  chat URL  ".len();

/// Runs a development server until a signal arrives.
pub(crate) async fn run(options: Listen, context: &Context) -> Result<(), Failure> {
    let mut signals = Signals::install_with_hangup()?;
    let data = context.open_to_serve(options.new_database).await?;
    let mut dev = find_or_make_app(&data, context.dev()?).await?;
    admin::make_dev_password(&data, &mut dev)?;
    let app = dev.app_id.clone();
    let mut sign_in = String::new();
    let settings = Settings { public_url: options.public_url, ..Settings::default() };
    let serving = Serving::start_with(data, options.listen, settings, |server, data, address| {
        let names = options.dashboard_host;
        let dashboard = admin::dashboard(server, data, address, names.clone(), None, false);
        let dashboard = Arc::new(dashboard.with_try_page());
        sign_in = dashboard.one_time_path();
        vec![dashboard, Arc::new(TryPage::new(server.clone(), app, address).with_hosts(names))]
    })?;
    dev.url = Some(serving.url());
    dev.write(&context.folder)?;
    if !serving.address.ip().is_loopback() {
        tracing::warn!(
            "the app is open: anyone who can reach {} can connect as any of its users",
            serving.address
        );
    }
    let ready = Ready {
        listening: serving.address,
        app_id: dev.app_id,
        api_key: dev.api_key,
        dashboard: format!("{}{sign_in}", serving.shown_url()),
        url: serving.shown_url(),
        folder: context.folder.clone(),
    };
    ignore_unread(context.out.print_styled(&ready, ready_style))?;

    tokio::select! {
        report = self_check::run() => match report {
            Ok(report) => {
                if !report.ok() {
                    tracing::error!("the self-check failed: do not use this build");
                }
                ignore_unread(context.out.print_styled(&report, report_style))?;
                tracing::debug!("the self-check has ended");
            }
            Err(error) => tracing::error!("the self-check could not run: {}", chain(&error)),
        },
        () = signals.next() => {
            return serving.shut_down(signals).await;
        }
    }
    serving.run_until_signal(signals).await
}

/// Returns the app that an earlier `dev` created in this folder, or creates one.
async fn find_or_make_app(data: &DataDir, earlier: Option<DevFile>) -> Result<DevFile, Failure> {
    let (accounts, store) = (data.accounts(), data.store());
    let Some(mut dev) = earlier else { return make_app(data).await };
    if store.app(&dev.app_id).await?.is_none() {
        tracing::warn!("the app {} of dev.json is not in the database; creating another", dev.app_id);
        return make_app(data).await;
    }
    if accounts.app_of_api_key(&dev.api_key).await?.is_none() {
        tracing::warn!("the API key of dev.json was revoked; creating another");
        dev.api_key = accounts.create_api_key(&dev.app_id, "dev").await?.key;
    }
    Ok(dev)
}

async fn make_app(data: &DataDir) -> Result<DevFile, Failure> {
    let app = data.accounts().create_app("dev", AuthPolicy::Open, None).await?;
    let limited = |app: &mut chatcamp_store::App| {
        app.max_users = MAX_USERS;
        Edited::Save
    };
    data.store().edit_app(&app.id, Box::new(limited)).await?;
    let dev = DevFile { app_id: app.id, api_key: app.api_key.key, dashboard_password: None, url: None };
    // Written at once, so that the key is not lost if a later step fails.
    dev.write(data.path())?;
    Ok(dev)
}

/// The addresses and credentials that a new user needs.
#[derive(Serialize)]
struct Ready {
    listening: SocketAddr,
    app_id: AppId,
    api_key: String,
    url: String,
    /// A URL that signs in once.
    dashboard: String,
    #[serde(skip)]
    folder: PathBuf,
}

/// Returns the style of a line of [`Ready`]: text to copy stands out from labels.
fn ready_style(line: &str) -> (Style, usize) {
    match line.strip_prefix("  ") {
        Some(text) if text.starts_with("http") || text.contains(" connect ") => (COPY, line.len()),
        Some(_) => (DIM, LABEL),
        None => (Style::new(), 0),
    }
}

/// Returns the style of a line of the self-check's report.
fn report_style(line: &str) -> (Style, usize) {
    let style = if line.contains("FAILED") { BAD } else { DIM };
    (style, line.len())
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "ChatCamp is running for development; Ctrl-C stops it.\n")?;
        writeln!(f, "  chat URL  {}", self.url)?;
        writeln!(f, "  app id    {}", self.app_id)?;
        writeln!(f, "  API key   {}", self.api_key)?;
        writeln!(f, "  data      {}", self.folder.display())?;
        writeln!(f, "  try it    {}/try\n", self.url)?;
        // The link is long. On a line of its own, it fits 80 columns, so that terminals can open it.
        writeln!(f, "The dashboard; the link signs you in once:\n")?;
        writeln!(f, "  {}\n", self.dashboard)?;
        writeln!(f, "Next, in this folder, in another terminal, connect a user:\n")?;
        writeln!(f, "  {}", next_command("connect alice", &self.folder, None))
    }
}
