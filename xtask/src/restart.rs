//! `restart`: restarts a server under many clients, and draws into `docs/restart.svg` when they reconnect.

use std::{fmt::Write as _, fs};

use serde::Deserialize;

use crate::cargo::{cargo, line, root};
use crate::failure::Failure;

const CLIENTS: u64 = 5000;
const PICTURE: &str = "docs/restart.svg";
/// The height of the tallest bar, and of the space above it.
const HEIGHT: u64 = 200;
const TOP: u64 = 40;
/// The width of a bar with its gap, and of the space left of the first bar.
const BAR: usize = 36;
const LEFT: usize = 60;

/// What the test prints: the number of clients, the time until the last had reconnected, and the attempts of each second.
#[derive(Deserialize)]
struct Restart {
    clients: u64,
    seconds: f64,
    attempts: Vec<u64>,
}

/// Runs the test of `cli` with this many clients, and draws its figures.
///
/// # Errors
///
/// If the test fails or prints no figures, or the picture cannot be written.
pub(crate) fn run() -> Result<(), Failure> {
    let test = ["test", "--release", "-p", "chatcamp-cli", "--test", "relay", "restart", "--", "--nocapture"];
    let mut test = cargo(&test);
    test.env("CHATCAMP_CLIENTS", CLIENTS.to_string());
    println!("CHATCAMP_CLIENTS={CLIENTS} {}", line(&test));
    let output = test.output()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let figures = printed.lines().find_map(|line| serde_json::from_str::<Restart>(line).ok());
    let (true, Some(restart)) = (output.status.success(), figures) else {
        return Err(format!("{printed}\n{}", String::from_utf8_lossy(&output.stderr)).into());
    };
    println!(
        "{} clients had reconnected after {:.1} s; attempts per second: {:?}",
        restart.clients, restart.seconds, restart.attempts
    );
    fs::write(root().join(PICTURE), draw(&restart)?)?;
    println!("wrote {PICTURE}");
    Ok(())
}

/// Draws a bar for each second, as tall as its attempts.
fn draw(restart: &Restart) -> Result<String, Failure> {
    let busiest = restart
        .attempts
        .iter()
        .copied()
        .max()
        .filter(|&most| most > 0)
        .ok_or("the test counted no attempt to connect")?;
    let width = LEFT + BAR * restart.attempts.len() + 20;
    let (floor, bottom) = (TOP + HEIGHT, TOP + HEIGHT + 50);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {bottom}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<style>text{{fill:#333}}rect{{fill:#3a7bd5}}\
         @media (prefers-color-scheme:dark){{text{{fill:#ddd}}}}</style>\n\
         <text x=\"{LEFT}\" y=\"20\">{} clients, server restarted: attempts to connect per second; all back after \
         {:.1} s</text>\n",
        restart.clients, restart.seconds,
    );
    for (second, attempts) in restart.attempts.iter().enumerate() {
        let (x, height) = (LEFT + second * BAR, attempts * HEIGHT / busiest);
        let (top, middle) = (floor - height, x + BAR / 2 - 2);
        writeln!(svg, "<rect x=\"{x}\" y=\"{top}\" width=\"{}\" height=\"{height}\"/>", BAR - 4)?;
        writeln!(svg, "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{attempts}</text>", top - 4)?;
        writeln!(svg, "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{second}</text>", floor + 16)?;
    }
    writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{}\">seconds after the server was told to end</text>\n</svg>",
        floor + 36
    )?;
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_second_has_the_tallest_bar() {
        let svg = draw(&Restart { clients: 3, seconds: 1.5, attempts: vec![1, 2] }).unwrap();
        assert!(svg.contains("height=\"100\"") && svg.contains("height=\"200\""), "{svg}");
        assert!(draw(&Restart { clients: 3, seconds: 1.5, attempts: vec![0] }).is_err());
    }
}
