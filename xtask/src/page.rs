//! `cargo xtask page`: what a person and Prometheus see of a running server.
//!
//! The page of the metrics port is drawn by a browser, light and dark; `promtool` reads the metrics and the alert rules.
use std::fs::{self, File};
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use swytch_testkit::{Program, Server, free_port, http_get};

use crate::workspace::{output_of, root, target_directory};
use crate::{setup, workspace};

/// Milliseconds of the page's own time: it asks three times meanwhile.
const PAGE_MS: u32 = 5000;
/// Fewest colours of a page with text, figures and lines on it.
const COLOURS_MIN: usize = 50;

/// Draws the page and checks what is exported.
///
/// # Errors
/// When a tool is missing, or something is not as it should be.
pub(crate) fn check(server: Option<PathBuf>) -> Result<()> {
    setup::page_tools()?;
    let path = server.map_or_else(workspace::build_server, Ok)?;
    let port = free_port();
    let file = format!("bind 127.0.0.1\nmetrics-port {port}\nslowlog-log-slower-than 0\n");
    let mut server = Program::at("swytch", &path).start("page", &file);
    let folder = target_directory().join("page");
    fs::create_dir_all(&folder)?;
    rules(&root().join("packaging/monitoring/alerts.yml"))?;
    work(&mut server);
    metrics(port)?;
    shown(port)?;
    let light = screenshot(port, &folder, "light")?;
    let dark = screenshot(port, &folder, "dark")?;
    ensure!(light > 0.8 && dark < 0.3, "the page's brightness is {light:.2} by light, {dark:.2} by dark");
    println!("light.png and dark.png are in {}", folder.display());
    Ok(())
}

fn work(server: &mut Server) {
    (0..1000).for_each(|number| drop(server.say(&format!("SET key:{number} value"))));
    (0..2000).for_each(|number| drop(server.say(&format!("GET key:{number}"))));
    server.say("LPUSH key:1 x");
}

fn rules(path: &Path) -> Result<()> {
    output_of(Command::new("promtool").args(["check", "rules"]).arg(path)).map(drop)
}

/// Metrics are as Prometheus wants them; those that redis_exporter has named are what they are.
fn metrics(port: u16) -> Result<()> {
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().context("starting promtool")?;
    let text = http_get(port, "/metrics")?;
    promtool.stdin.take().context("its input")?.write_all(text.as_bytes())?;
    let output = promtool.wait_with_output()?;
    let found = [output.stdout, output.stderr].concat();
    let found = String::from_utf8_lossy(&found);
    let ours: Vec<&str> = found.lines().filter(|line| !line.starts_with("redis_")).collect();
    ensure!(ours.is_empty(), "promtool check metrics: {}", ours.join("\n"));
    Ok(())
}

fn browser(port: u16, scheme: &str) -> Command {
    // Nothing but this server can be reached.
    let alone = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1";
    // As the browser numbers them.
    let scheme = format!("--blink-settings=preferredColorScheme={}", if scheme == "dark" { 0 } else { 1 });
    let mut browser = Command::new("chromium");
    browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1200,900", alone, &scheme]);
    browser.arg(format!("--virtual-time-budget={PAGE_MS}")).stderr(Stdio::null());
    browser.arg(format!("http://127.0.0.1:{port}/"));
    browser
}

/// What the page has written by itself.
fn shown(port: u16) -> Result<()> {
    let page = output_of(browser(port, "light").arg("--dump-dom"))?;
    let (_, body) = page.split_once("<main>").context("a page")?;
    let (body, _) = body.split_once("</main>").context("its end")?;
    let text = without_tags(body);
    for part in [
        "Commands per second",
        "in the slow log",
        "1.00 k 0 with an expiry",
        "50.0 % since the start",
        " set ",
        " get ",
        " lpush ",
    ] {
        ensure!(text.contains(part), "the page does not show {part:?}: {text}");
    }
    ensure!(page.contains(">serving<"), "the page does not say that the server serves");
    Ok(())
}

fn without_tags(page: &str) -> String {
    let parts = page.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
    parts.filter(|text| !text.trim().is_empty()).collect::<Vec<_>>().join(" ")
}

/// Draws the page and answers how bright it is, from 0 to 1.
fn screenshot(port: u16, folder: &Path, scheme: &str) -> Result<f64> {
    let path = folder.join(format!("{scheme}.png"));
    let _ = fs::remove_file(&path);
    output_of(browser(port, scheme).arg(format!("--screenshot={}", path.display())))?;
    let mut decoder = png::Decoder::new(BufReader::new(File::open(&path).context("no screenshot was made")?));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut image = decoder.read_info()?;
    let mut pixels = vec![0; image.output_buffer_size().context("an image of a size")?];
    let info = image.next_frame(&mut pixels)?;
    let channels = info.color_type.samples();
    if channels < 3 {
        bail!("{scheme}.png has no colours");
    }
    let colours: std::collections::HashSet<&[u8]> =
        pixels.chunks(channels).map(|pixel| &pixel[..3]).collect();
    ensure!(colours.len() >= COLOURS_MIN, "{scheme}.png has {} colours", colours.len());
    let sum: f64 = pixels.chunks(channels).flat_map(|pixel| &pixel[..3]).map(|part| f64::from(*part)).sum();
    Ok(sum / (pixels.len() / channels * 3) as f64 / 255.0)
}

#[cfg(test)]
mod tests {
    use super::without_tags;

    #[test]
    fn text_is_what_stands_between_tags() {
        assert_eq!(without_tags("<p class=\"a\">one</p> <p>two</p>"), "one two");
    }
}
