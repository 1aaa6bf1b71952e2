//! The client libraries of other languages, each in an environment of its own under `.tools/`.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::debian::{install, install_packages};
use crate::workspace::{output_of, root, tools_directory};

/// A Python interpreter that can `import` what the checks name.
pub(crate) fn python_environment() -> Result<PathBuf> {
    install(&[("python3", "python3")])?;
    let directory = tools_directory().join("python");
    let interpreter = directory.join("bin/python");
    let requirements = root().join("tests/clients/python/requirements.txt");
    if is_current(&directory, &requirements) {
        return Ok(interpreter);
    }
    let has_venv = output_of(Command::new("python3").args(["-c", "import venv, ensurepip"])).is_ok();
    if !has_venv {
        install_packages(&["python3-venv"])?;
    }
    println!("installing redis-py, RQ and Celery");
    output_of(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&directory))?;
    let mut pip = Command::new(&interpreter);
    pip.args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(&requirements);
    output_of(&mut pip).context("is there a network?")?;
    mark_current(&directory, &requirements)?;
    Ok(interpreter)
}

/// A folder to run Node scripts in that can `require` what the checks name.
pub(crate) fn node_modules() -> Result<PathBuf> {
    install(&[("node", "nodejs"), ("npm", "npm")])?;
    let directory = tools_directory().join("node");
    let wanted = root().join("tests/clients/node/package.json");
    if is_current(&directory, &wanted) {
        return Ok(directory);
    }
    println!("installing ioredis, node-redis and BullMQ");
    fs::create_dir_all(&directory)?;
    fs::copy(&wanted, directory.join("package.json"))?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"])
        .current_dir(&directory);
    output_of(&mut npm).context("is there a network?")?;
    mark_current(&directory, &wanted)?;
    Ok(directory)
}

/// An environment is current while it was filled from the wish list as it stands now.
fn is_current(directory: &Path, wish_list: &Path) -> bool {
    let installed = fs::read(directory.join("installed-from"));
    matches!((installed, fs::read(wish_list)), (Ok(installed), Ok(wanted)) if installed == wanted)
}

fn mark_current(directory: &Path, wish_list: &Path) -> Result<()> {
    fs::copy(wish_list, directory.join("installed-from"))?;
    Ok(())
}
