//! Debian packages and source packages.
//!
//! Source packages are read through an apt configuration of our own: its source list is derived from the
//! machine's `deb` entries (same archive, same key), and its package lists lie in `.tools/apt`. The machine's
//! `/etc/apt` stays as it is, and downloading sources needs no root.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::{find_program, output_of, tools_directory};

/// The Debian suites that carry the newest releases of the peers, by package.
const PEER_RELEASES: [(&str, &str); 2] = [("redis", "experimental"), ("valkey", "sid")];

/// The Redis server to compare with. Debian's `redis-tools` holds the server's code already (the server is the
/// same file as `redis-check-rdb` under another name), so nothing is installed that starts a service.
pub(crate) fn redis_server() -> Result<PathBuf> {
    install(&[
        ("redis-cli", "redis-tools"),
        ("redis-benchmark", "redis-tools"),
        ("redis-check-rdb", "redis-tools"),
    ])?;
    if let Some(installed) = find_program("redis-server") {
        return Ok(installed);
    }
    let code = find_program("redis-check-rdb").context("redis-tools holds no redis-check-rdb")?;
    let link = tools_directory().join("bin/redis-server");
    if !link.exists() {
        fs::create_dir_all(tools_directory().join("bin"))?;
        std::os::unix::fs::symlink(code, &link)?;
    }
    Ok(link)
}

/// What running the suite needs beside its source.
pub(crate) fn suite_tools() -> Result<()> {
    install(&[("tclsh", "tcl"), ("redis-cli", "redis-tools"), ("taskset", "util-linux")])
}

/// What its clients need to speak TLS and to have certificates.
pub(crate) fn suite_tls_tools() -> Result<()> {
    install(&[("openssl", "openssl")])?;
    let asked = "echo 'exit [catch {package require tls}]' | tclsh";
    match output_of(Command::new("sh").args(["-c", asked])) {
        Ok(_) => Ok(()),
        Err(_) => install_packages(&["tcl-tls"]),
    }
}

/// What building a fuzz target needs: libFuzzer is compiled from its C++ source.
pub(crate) fn fuzz_toolchain() -> Result<()> {
    install(&[("c++", "g++")])
}

/// What makes a Debian package, and what reads its parts.
pub(crate) fn package_tools() -> Result<()> {
    install(&[
        ("dpkg-deb", "dpkg"),
        ("strip", "binutils"),
        ("lintian", "lintian"),
        ("man", "man-db"),
        ("systemd-analyze", "systemd"),
        ("fish", "fish"),
        ("zsh", "zsh"),
    ])
}

/// The unpacked source of a version that a suite of Debian's archive carries.
pub(crate) fn suite_source(package: &str, version: &str, release: &str) -> Result<PathBuf> {
    let folder = format!("{package}-{version}");
    let places = [tools_directory().join(&folder), peer_directory(package).join(&folder)];
    if let Some(found) = places.iter().find(|place| place.join("tests/test_helper.tcl").is_file()) {
        return Ok(found.clone());
    }
    let unpacked = source_package(package, release)?;
    if unpacked != places[0] {
        bail!("{release} carries {}, not {folder}", unpacked.display());
    }
    Ok(unpacked)
}

/// A peer's server built from its Debian source package (`redis` or `valkey`), release build, with TLS.
pub(crate) fn peer_build(package: &str) -> Result<PathBuf> {
    let parent = peer_directory(package);
    fs::create_dir_all(&parent)?;
    let binary = |directory: &Path| directory.join("src").join(format!("{package}-server"));
    if let Some(built) =
        directories_in(&parent)?.into_iter().map(|found| binary(&found)).find(|path| path.is_file())
    {
        return Ok(built);
    }
    install(&[("c++", "g++"), ("make", "make")])?;
    if !Path::new("/usr/include/openssl/ssl.h").is_file() {
        install_packages(&["libssl-dev"])?;
    }
    let (_, release) =
        PEER_RELEASES.iter().find(|(peer, _)| *peer == package).context("no such peer is built")?;
    let unpacked = source_package(package, release)?;
    let directory = parent.join(unpacked.file_name().context("a source package unpacks into a folder")?);
    if !directory.exists() {
        fs::rename(&unpacked, &directory)?;
    }
    println!("building {} (some minutes)", directory.display());
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let mut make = Command::new("make");
    make.arg(format!("-j{jobs}"))
        .args(["BUILD_TLS=yes", "USE_SYSTEMD=no", "MALLOC=jemalloc"])
        .current_dir(&directory);
    output_of(&mut make)?;
    Ok(binary(&directory))
}

/// The source of the cache Ristretto, which holds a trace of a program: as its authors have packed it, since not every mirror
/// has what Debian adds.
pub(crate) fn recorded_trace() -> Result<PathBuf> {
    const PACKAGE: &str = "golang-github-dgraph-io-ristretto";
    let folder = tools_directory().join("ristretto");
    if folder.is_dir() {
        return Ok(folder);
    }
    install(&[("tar", "tar"), ("gzip", "gzip")])?;
    fetch_source("bookworm", &["--tar-only", PACKAGE])?;
    let is_it = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(PACKAGE) && name.contains(".orig.tar.")
    };
    let packed = entries_in(&tools_directory())?.into_iter().find(is_it).context("no archive came")?;
    fs::create_dir_all(&folder)?;
    output_of(Command::new("tar").args(["--strip-components=1", "-xf"]).arg(packed).current_dir(&folder))?;
    Ok(folder)
}

/// The library with which the clock of a process can be hurried.
pub(crate) fn hurried_clock() -> Result<PathBuf> {
    let library = || {
        let folders = directories_in(Path::new("/usr/lib")).unwrap_or_default().into_iter();
        folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|path| path.is_file())
    };
    if library().is_none() {
        install_packages(&["libfaketime"])?;
    }
    library().context("libfaketime holds no libfaketimeMT.so.1")
}

/// Where the builds of a peer lie.
fn peer_directory(package: &str) -> PathBuf {
    tools_directory().join("peers").join(package)
}

/// What draws the page of the metrics port, and what reads metrics.
pub(crate) fn page_tools() -> Result<()> {
    install(&[("chromium", "chromium"), ("promtool", "prometheus")])
}

/// Installs the packages whose program is missing.
pub(super) fn install(programs: &[(&str, &str)]) -> Result<()> {
    let mut missing: Vec<&str> = programs
        .iter()
        .filter(|(program, _)| find_program(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    install_packages(&missing)
}

/// Installs packages by name.
pub(super) fn install_packages(packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    if find_program("apt-get").is_none() {
        bail!("the tests need {names}; this machine has no apt-get, so install them by hand");
    }
    let user = output_of(Command::new("id").arg("-u"))?;
    if user.trim() != "0" {
        bail!("the tests need {names}; run `sudo apt-get install {names}` once, or this command as root");
    }
    println!("installing {names}");
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        output_of(&mut command)
    };
    apt(&["update"]).context("is there a network?")?;
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(packages);
    apt(&arguments).map(drop)
}

/// Downloads and unpacks a source package into `.tools`, and gives the folder.
fn source_package(package: &str, release: &str) -> Result<PathBuf> {
    install(&[("dpkg-source", "dpkg-dev")])?;
    let said = fetch_source(release, &[package])?;
    let folder = said
        .split_whitespace()
        .skip_while(|word| *word != "extracting")
        .skip_while(|word| *word != "in")
        .nth(1);
    let found = folder.map(|name| tools_directory().join(name)).filter(|path| path.is_dir());
    found
        .or_else(|| newest_folder(package))
        .with_context(|| format!("{package} unpacked into no folder:\n{said}"))
}

/// Has apt fetch a source package into `.tools`, and gives what it said.
fn fetch_source(release: &str, arguments: &[&str]) -> Result<String> {
    let apt = tools_directory().join("apt").join(release);
    let (parts, lists) = (apt.join("sources"), apt.join("lists"));
    fs::create_dir_all(&parts)?;
    fs::create_dir_all(lists.join("partial"))?;
    fs::write(parts.join("source.sources"), source_entry(release)?)?;
    let options = [
        "Dir::Etc::sourcelist=/dev/null".to_owned(),
        format!("Dir::Etc::sourceparts={}", parts.display()),
        format!("Dir::State::lists={}", lists.display()),
        format!("Dir::Cache::pkgcache={}", apt.join("packages.bin").display()),
        format!("Dir::Cache::srcpkgcache={}", apt.join("sources.bin").display()),
        // As root apt would hand the download to a user who may not write into a checkout.
        "APT::Sandbox::User=root".to_owned(),
    ];
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        for option in &options {
            command.args(["-o", option]);
        }
        command.args(arguments).current_dir(tools_directory());
        output_of(&mut command)
    };
    println!("fetching the source package {} of {release}", arguments.join(" "));
    apt_get(&["update"]).context("reading the package lists; is there a network?")?;
    apt_get(&[&["source"], arguments].concat())
}

/// Where apt found the sources unpacked already, it does not say where they are.
fn newest_folder(package: &str) -> Option<PathBuf> {
    let prefix = format!("{package}-");
    let mut found = directories_in(&tools_directory()).ok()?;
    found.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)));
    found.sort();
    found.pop()
}

fn directories_in(parent: &Path) -> Result<Vec<PathBuf>> {
    Ok(entries_in(parent)?.into_iter().filter(|path| path.is_dir()).collect())
}

fn entries_in(parent: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(parent).with_context(|| format!("reading {}", parent.display()))?;
    Ok(entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
}

/// A `deb-src` entry for `release` from the archive and with the key the machine trusts already.
fn source_entry(release: &str) -> Result<String> {
    let mut texts = vec![fs::read_to_string("/etc/apt/sources.list").unwrap_or_default()];
    for entry in fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten() {
        texts.push(fs::read_to_string(entry.path()).unwrap_or_default());
    }
    let archive = texts.iter().find_map(|text| debian_archive(text));
    let archive =
        archive.context("no Debian archive in /etc/apt: the Redis test suite comes from Debian's sources")?;
    let mut entry =
        format!("Types: deb-src\nURIs: {}\nSuites: {release}\nComponents: main\n", archive.address);
    if let Some(key) = archive.signed_by {
        entry.push_str(&format!("Signed-By: {key}\n"));
    }
    Ok(entry)
}

#[derive(Debug, PartialEq)]
struct Archive {
    address: String,
    signed_by: Option<String>,
}

/// The main Debian archive among the entries of one apt file, in either of apt's two formats.
fn debian_archive(text: &str) -> Option<Archive> {
    let is_main = |address: &str| address.trim_end_matches('/').ends_with("/debian");
    for line in text.lines().filter(|line| line.starts_with("deb ")) {
        let address = line.split_whitespace().find(|word| word.contains("://") && is_main(word));
        if let Some(address) = address {
            let signed_by = line.split(['[', ' ', ']']).find_map(|word| word.strip_prefix("signed-by="));
            return Some(Archive { address: address.to_owned(), signed_by: signed_by.map(str::to_owned) });
        }
    }
    for stanza in text.split("\n\n") {
        let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let address =
            field("URIs:").and_then(|list| list.split_whitespace().find(|address| is_main(address)));
        if let (Some(address), Some(types)) = (address, field("Types:"))
            && types.split_whitespace().any(|kind| kind == "deb")
        {
            return Some(Archive {
                address: address.to_owned(),
                signed_by: field("Signed-By:").map(str::to_owned),
            });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_found_in_both_formats() {
        let one_line = "# comment\ndeb [signed-by=/key.gpg] http://archive.example/debian bookworm main\n";
        let address = "http://archive.example/debian".to_owned();
        let wanted = Some(Archive { address, signed_by: Some("/key.gpg".to_owned()) });
        assert_eq!(debian_archive(one_line), wanted);
        let stanzas = "Types: deb\nURIs: http://archive.example/debian-security\n\n\
                       Types: deb deb-src\nURIs: http://archive.example/debian\nSigned-By: /key.gpg\n";
        assert_eq!(debian_archive(stanzas), wanted);
    }

    #[test]
    fn other_archives_are_not_taken_for_debian() {
        assert_eq!(debian_archive("deb http://archive.example/node_20.x nodistro main"), None);
        assert_eq!(debian_archive("Types: deb-src\nURIs: http://archive.example/debian\n"), None);
    }
}
