//! `cargo xtask package`: a Debian package of the release build, made by `dpkg-deb` and looked at afterwards.
//!
//! The folder `packaging/` holds what is not generated; manual page and completions are what the binary itself writes.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use swytch_testkit::{Program, Reply, free_port, http_get};

use crate::workspace::{output_of, root, run, target_directory};
use crate::{setup, workspace};

/// Files of the package that are copied: from `packaging/`, to, and their mode.
const COPIED: [(&str, &str, u32); 7] = [
    ("packaging/swytch.conf", "etc/swytch/swytch.conf", 0o644),
    ("packaging/swytch.service", "usr/lib/systemd/system/swytch.service", 0o644),
    ("packaging/debian/copyright", "usr/share/doc/swytch/copyright", 0o644),
    ("packaging/debian/conffiles", "DEBIAN/conffiles", 0o644),
    ("packaging/debian/postinst", "DEBIAN/postinst", 0o755),
    ("packaging/debian/prerm", "DEBIAN/prerm", 0o755),
    ("packaging/debian/postrm", "DEBIAN/postrm", 0o755),
];

/// Files that the binary writes: its arguments, and where the text goes.
const WRITTEN: [(&[&str], &str); 4] = [
    (&["manual"], "usr/share/man/man1/swytch.1"),
    (&["completions", "bash"], "usr/share/bash-completion/completions/swytch"),
    (&["completions", "fish"], "usr/share/fish/vendor_completions.d/swytch.fish"),
    (&["completions", "zsh"], "usr/share/zsh/vendor-completions/_swytch"),
];

const BINARY: &str = "usr/bin/swytch";
const CHANGELOG: &str = "usr/share/doc/swytch/changelog";

/// What lintian finds and is meant: the list of changes is the project's, not Debian's.
const MEANT: &str =
    "no-changelog,syntax-error-in-debian-changelog,debian-changelog-file-missing-or-wrong-name";

/// Builds the package, checks it, and gives its path.
///
/// # Errors
/// When a tool is missing, or finds fault with the package.
pub(crate) fn build(server: Option<PathBuf>) -> Result<PathBuf> {
    setup::package_tools()?;
    let server = server.map_or_else(workspace::build_server, Ok)?;
    let parent = target_directory().join("package");
    let tree = parent.join("tree");
    match fs::remove_dir_all(&tree) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let place = |path: &str| -> Result<PathBuf> {
        let full = tree.join(path);
        fs::create_dir_all(full.parent().context("a file in the tree")?)?;
        Ok(full)
    };
    run(Command::new("install").args(["-m", "0755", "--strip"]).arg(&server).arg(place(BINARY)?))?;
    for (from, to, mode) in COPIED {
        let mode = format!("{mode:04o}");
        run(Command::new("install").args(["-m", &mode]).arg(root().join(from)).arg(place(to)?))?;
    }
    for (arguments, to) in WRITTEN {
        fs::write(place(to)?, output_of(Command::new(&server).args(arguments))?)?;
    }
    fs::copy(root().join("CHANGELOG.md"), place(CHANGELOG)?)?;
    for path in [WRITTEN[0].1, CHANGELOG] {
        run(Command::new("gzip").args(["--best", "--no-name", "--force"]).arg(tree.join(path)))?;
    }
    let name = control(&tree, &place("DEBIAN/control")?)?;
    let package = parent.join(name);
    run(Command::new("dpkg-deb").args(["--root-owner-group", "--build"]).arg(&tree).arg(&package))?;
    check(&tree, &package)?;
    println!("{}", package.display());
    Ok(package)
}

/// Writes what dpkg must know and gives the package's file name.
fn control(tree: &Path, to: &Path) -> Result<String> {
    let architecture = output_of(Command::new("dpkg").arg("--print-architecture"))?;
    let bytes = fs::metadata(tree.join(BINARY))?.len();
    let values = [
        ("{version}", env!("CARGO_PKG_VERSION").to_owned()),
        ("{architecture}", architecture.trim().to_owned()),
        ("{kibibytes}", (bytes / 1024).to_string()),
        ("{libc}", libc_version(&tree.join(BINARY))?),
    ];
    let mut text = fs::read_to_string(root().join("packaging/debian/control"))?;
    for (name, value) in &values {
        ensure!(text.contains(name), "packaging/debian/control has no {name}");
        text = text.replace(name, value);
    }
    fs::write(to, text)?;
    Ok(format!("swytch_{}_{}.deb", values[0].1, values[1].1))
}

/// The C library that a binary needs at least: the highest version among its symbols.
fn libc_version(binary: &Path) -> Result<String> {
    let text = output_of(Command::new("readelf").args(["--version-info", "--wide"]).arg(binary))?;
    let versions = text.split("GLIBC_").skip(1).filter_map(|rest| {
        let number = rest.split(|letter: char| letter != '.' && !letter.is_ascii_digit()).next()?;
        let (major, minor) = number.split_once('.')?;
        Some((major.parse::<u32>().ok()?, minor.split('.').next()?.parse::<u32>().ok()?))
    });
    let (major, minor) = versions.max().context("the binary names no version of the C library")?;
    Ok(format!("{major}.{minor}"))
}

/// Lets those who read the parts of the package read them, and starts the server with its configuration.
fn check(tree: &Path, package: &Path) -> Result<()> {
    let quiet = |program: &str, arguments: &[&str]| -> Result<()> {
        let output = Command::new(program).args(arguments).current_dir(tree).output();
        let output = output.with_context(|| format!("running {program}"))?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        ensure!(output.status.success(), "{program} {arguments:?}:\n{said}");
        Ok(())
    };
    quiet("bash", &["-n", WRITTEN[1].1])?;
    quiet("fish", &["--no-execute", WRITTEN[2].1])?;
    quiet("zsh", &["-n", WRITTEN[3].1])?;
    for script in ["postinst", "prerm", "postrm"] {
        quiet("sh", &["-n", &format!("DEBIAN/{script}")])?;
    }
    let entry = root().join("packaging/docker/entrypoint.sh");
    quiet("sh", &["-n", &entry.to_string_lossy()])?;
    let page = format!("{}.gz", WRITTEN[0].1);
    let mut man = Command::new("man");
    man.args(["--warnings", "--local-file", "-Tutf8", "--prompt=", &page]).current_dir(tree);
    let output = man.env("MANROFFSEQ", "").env("MANWIDTH", "100").env("LC_ALL", "C.UTF-8").output()?;
    let warnings = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && warnings.is_empty(), "man says of the page: {warnings}");
    quiet("systemd-analyze", &["verify", "--man=no", "--recursive-errors=no", "--root=.", "swytch.service"])?;
    run(Command::new("lintian")
        .args(["--fail-on", "error", "--suppress-tags", MEANT, "--allow-root"])
        .arg(package))?;

    let configuration = fs::read_to_string(tree.join(COPIED[0].1))?;
    let own_place =
        |line: &&str| !line.starts_with("dir ") && !line.starts_with("port ") && !line.starts_with("bind ");
    let lines: Vec<&str> = configuration.lines().filter(own_place).collect();
    let mut server =
        Program::at("swytch", tree.join(BINARY)).start("package", &format!("{}\n", lines.join("\n")));
    match server.say("CONFIG GET appendonly") {
        Reply::Array(parts) if parts.len() == 2 => {}
        other => bail!("the packaged server answers {other:?}"),
    }
    for manifest in ["docker/compose.yaml", "kubernetes/swytch.yaml"] {
        check_manifest(&tree.join(BINARY), manifest).with_context(|| format!("packaging/{manifest}"))?;
    }
    Ok(())
}

/// Starts the server with the arguments that a manifest gives it, and asks whether it is healthy, as the manifest's probes do.
fn check_manifest(binary: &Path, manifest: &str) -> Result<()> {
    let text = fs::read_to_string(root().join("packaging").join(manifest))?;
    let words = arguments_of(&text);
    ensure!(words.len() > 1 && words.len().is_multiple_of(2), "its arguments are {words:?}");
    let port = free_port();
    let mut file = format!("bind 127.0.0.1\nmetrics-port {port}\n");
    for pair in words.chunks(2) {
        let name = pair[0].strip_prefix("--").with_context(|| format!("{} is no directive", pair[0]))?;
        let value = if pair[1].starts_with('$') { "secret" } else { &pair[1] };
        if name != "metrics-port" {
            file += &format!("{name} {value}\n");
        }
    }
    let _server = Program::at("swytch", binary).start("manifest", &file);
    http_get(port, "/health")?;
    Ok(())
}

/// The items of the list that a manifest calls `command` or `args`.
fn arguments_of(manifest: &str) -> Vec<String> {
    let mut lines = manifest.lines().skip_while(|line| !matches!(line.trim(), "command:" | "args:")).skip(1);
    let mut words = Vec::new();
    while let Some(line) = lines.next().map(str::trim).filter(|line| line.starts_with(['-', '#'])) {
        words.extend(line.strip_prefix("- ").map(|word| word.trim_matches('"').to_owned()));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_a_manifest_are_the_items_of_its_list() {
        let manifest = "a:\n  args:\n    - --one\n    # why\n    - \"yes\"\n    - --two\n    - $(TWO)\n  env:\n    - name: TWO\n";
        assert_eq!(arguments_of(manifest), ["--one", "yes", "--two", "$(TWO)"]);
        assert_eq!(arguments_of("a: b\n"), Vec::<String>::new());
    }
}
