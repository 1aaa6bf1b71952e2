//! Where things are in a checkout, and running other programs from its root.
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The checkout's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the workspace")
}

/// Downloads and installed helpers live here, outside version control, and survive `cargo clean`.
pub(crate) fn tools_directory() -> PathBuf {
    root().join(".tools")
}

/// Cargo's build folder.
pub(crate) fn target_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |given| root().join(given))
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    let mut command = with_tools(Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())));
    command.current_dir(root());
    command
}

/// A command that finds the programs which `setup` put into `.tools/bin`, as does what it starts.
pub(crate) fn with_tools(mut command: Command) -> Command {
    let own = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&own).chain([tools_directory().join("bin")]);
    if let Ok(path) = std::env::join_paths(directories) {
        command.env("PATH", path);
    }
    command
}

/// Names the profile in which servers are built: `release` where it is not set.
pub(crate) const PROFILE_VARIABLE: &str = "SWYTCH_PROFILE";

/// Builds the server and gives its path.
pub(crate) fn build_server() -> Result<PathBuf> {
    let profile = std::env::var(PROFILE_VARIABLE).unwrap_or_else(|_| "release".to_owned());
    run(cargo().args(["build", "--quiet", "--profile", &profile, "--package", "swytch", "--bin", "swytch"]))?;
    let folder = if profile == "dev" { "debug" } else { &profile };
    Ok(target_directory().join(folder).join("swytch"))
}

/// Runs a command with our own output and fails when it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("running {}", line_of(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", line_of(command));
    }
    Ok(())
}

/// Runs a command and keeps its output, which stands in the error when the command fails.
pub(crate) fn output_of(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("running {}", line_of(command)))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("`{}` failed ({}):\n{}", line_of(command), output.status, String::from_utf8_lossy(&said));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Where a program of this name is on the path.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|candidate| candidate.is_file())
}

/// The files version control knows, and those it would take up, relative to the root.
pub(crate) fn tracked_files() -> Result<Vec<String>> {
    let mut list = Command::new("git");
    list.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(root());
    let listed = output_of(&mut list)?;
    Ok(listed.lines().filter(|file| root().join(file).is_file()).map(str::to_owned).collect())
}

fn line_of(command: &Command) -> String {
    let arguments = command.get_args().map(|argument| argument.to_string_lossy());
    std::iter::once(command.get_program().to_string_lossy()).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// The last lines of a text, this many at most.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
