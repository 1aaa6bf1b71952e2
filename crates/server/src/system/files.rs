//! Files that are replaced as a whole, and what the system says of those that it refuses.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Replaces a file so that a crash leaves the old one or the new one: a temporary file beside it, fsync, rename, fsync of
/// the folder. It keeps its mode; `mode` is that of one that did not exist before. Writers must exclude each other.
///
/// # Errors
/// What the system says; the old file is as it was.
pub fn replace(path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = Path::new(&name);
    let written = write(temporary, path, text, mode)
        .and_then(|()| std::fs::rename(temporary, path))
        .and_then(|()| File::open(directory)?.sync_all());
    if written.is_err() {
        // The error that matters is the one above; after a successful rename there is nothing to remove.
        let _ = std::fs::remove_file(temporary);
    }
    written
}

/// What an operating-system error says, without its number.
pub fn error_text(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.as_str(), |(plain, _)| plain).to_owned()
}

fn write(temporary: &Path, like: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    // Writers exclude each other, so a leftover with this name is of a process that is gone.
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(temporary)?;
    if let Ok(old) = std::fs::metadata(like) {
        file.set_permissions(old.permissions())?;
    }
    file.write_all(text)?;
    file.sync_all()
}
