//! The report of the self-check: a table of times.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeStruct as _};
use serde_json::{Map, Value, json};

use super::{Outcome, Scenario};
use crate::failure::chain;

/// The outcome of every scenario over every transport.
#[derive(Debug, Default)]
pub struct Report {
    transports: Vec<(&'static str, Vec<Outcome>)>,
}

impl Report {
    /// Adds the outcomes of the scenarios over one transport.
    pub fn add(&mut self, transport: &'static str, outcomes: Vec<Outcome>) {
        self.transports.push((transport, outcomes));
    }

    /// Returns the outcomes by transport.
    #[must_use]
    pub fn transports(&self) -> &[(&'static str, Vec<Outcome>)] {
        &self.transports
    }

    /// Returns whether every scenario passed.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.transports.iter().flat_map(|(_, outcomes)| outcomes).all(|outcome| outcome.result.is_ok())
    }

    /// Returns the outcomes of `scenario`, by transport.
    fn of(&self, scenario: Scenario) -> impl Iterator<Item = (&'static str, Option<&Outcome>)> {
        let find = move |outcomes: &'_ [Outcome]| outcomes.iter().position(|o| o.scenario == scenario);
        self.transports
            .iter()
            .map(move |(name, outcomes)| (*name, find(outcomes).map(|index| &outcomes[index])))
    }
}

/// Prints one row per scenario, one column per transport, and failures below.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<22}", "Self-check")?;
        for (name, _) in &self.transports {
            write!(f, "{name:>12}")?;
        }
        writeln!(f)?;
        for scenario in Scenario::ALL {
            write!(f, "  {:<20}", scenario.name())?;
            for (_, outcome) in self.of(scenario) {
                let cell = match outcome.map(|outcome| &outcome.result) {
                    Some(Ok(took)) => format!("{:.2} ms", took.as_secs_f64() * 1000.0),
                    Some(Err(_)) => "FAILED".to_owned(),
                    None => "-".to_owned(),
                };
                write!(f, "{cell:>12}")?;
            }
            writeln!(f)?;
        }
        for (name, outcomes) in &self.transports {
            for outcome in outcomes {
                if let Err(error) = &outcome.result {
                    writeln!(f, "  FAILED: {} over {name}: {}", outcome.scenario.name(), chain(error))?;
                }
            }
        }
        Ok(())
    }
}

/// `{"self_check":[{"scenario":…,"memory_ms":…,"websocket_ms":…,"long_poll_ms":…}],"ok":true}`. For a failed scenario the time is
/// `null` and `…_error` says why.
impl Serialize for Report {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let row = |scenario: Scenario| {
            let mut row = Map::from_iter([("scenario".to_owned(), json!(scenario.name()))]);
            for (name, outcome) in self.of(scenario) {
                let name = name.replace('-', "_");
                match outcome.map(|outcome| &outcome.result) {
                    Some(Ok(took)) => {
                        let ms = (took.as_secs_f64() * 100_000.0).round() / 100.0;
                        row.insert(format!("{name}_ms"), json!(ms));
                    }
                    Some(Err(error)) => {
                        row.insert(format!("{name}_ms"), Value::Null);
                        row.insert(format!("{name}_error"), json!(chain(error)));
                    }
                    None => {}
                }
            }
            Value::Object(row)
        };
        let mut report = to.serialize_struct("Report", 2)?;
        report.serialize_field("self_check", &Scenario::ALL.map(row))?;
        report.serialize_field("ok", &self.ok())?;
        report.end()
    }
}
