//! Where users come from, and where they are kept: `user` lines, or a file of their own.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::rule::has_spaces;
use super::user::User;
use super::users::{DEFAULT_USER, Users};
use crate::config::{AclPubsubDefault, Config, UserLine, UserText};
use crate::system::files;

/// Mode of a file of users that did not exist before; the umask applies. It holds hashes of passwords.
const FILE_MODE: u32 = 0o600;

/// Makes the users what `requirepass`, `user` lines and `aclfile` say.
///
/// # Errors
/// What is wrong with them; the server must not start then.
pub fn start(users: &Users, config: &Config, lines: &[UserLine]) -> Result<(), String> {
    if let Some(password) = config.requirepass().filter(|password| !password.is_empty()) {
        users.set_default_password(Some(&password));
    }
    let file = path(config);
    if let (Some(file), Some(line)) = (&file, lines.first()) {
        let text = format!(
            "users are described by 'user' lines and by 'aclfile' {}, too: give one of both",
            file.display()
        );
        return Err(line.error(text).to_string());
    }
    for line in lines {
        if has_spaces(&line.name) {
            return Err(line.error("Spaces not allowed in ACL usernames".to_owned()).to_string());
        }
        let reset: &[u8] = b"reset";
        let words: Vec<&[u8]> = std::iter::once(reset).chain(line.rules.iter().map(Vec::as_slice)).collect();
        let user = users
            .set(&line.name, &words, allows_channels(config))
            .map_err(|error| line.error(String::from_utf8_lossy(&error).into_owned()).to_string())?;
        if !user.rights().is_on {
            let name = String::from_utf8_lossy(&line.name);
            tracing::info!("The user '{name}' is disabled: nothing in its description says 'on'");
        }
    }
    if file.is_some() {
        load_file(users, config).map_err(|error| {
            format!("Aborting startup because of ACL errors: {}", String::from_utf8_lossy(&error))
        })?;
    }
    Ok(())
}

/// Makes the users what the file says, and gives those that are no longer there.
///
/// # Errors
/// What is wrong with it; nothing has changed then.
pub fn load_file(users: &Users, config: &Config) -> Result<Vec<Arc<User>>, Vec<u8>> {
    let path = path(config).unwrap_or_default();
    let text = std::fs::read(&path).map_err(|error| {
        let (path, reason) = (path.display(), error.to_string());
        format!("Error loading ACLs, opening file '{path}': {reason}").into_bytes()
    })?;
    users.load(&text, &path.display().to_string(), allows_channels(config))
}

/// Writes all users into the file.
///
/// # Errors
/// What the system says; the file is as it was.
pub fn save_file(users: &Users, config: &Config) -> io::Result<()> {
    let mut text = users.lines().join(&b'\n');
    text.push(b'\n');
    files::replace(&path(config).unwrap_or_default(), &text, FILE_MODE)
}

/// The users as lines of redis.conf: none if they have a file of their own.
pub fn texts(users: &Users, config: &Config) -> Vec<UserText> {
    if path(config).is_some() {
        return Vec::new();
    }
    let implied = [b"user ", DEFAULT_USER, b" ", &users.rights_of_nobody_said().describe()[..]].concat();
    users.lines().into_iter().map(|line| UserText { is_implied: line == implied, line }).collect()
}

/// What a new user may listen to: all channels, or none.
pub fn allows_channels(config: &Config) -> bool {
    config.acl_pubsub_default() == AclPubsubDefault::Allchannels
}

fn path(config: &Config) -> Option<PathBuf> {
    let name = config.aclfile().filter(|name| !name.is_empty())?;
    Some(config.resolve(OsString::from_vec(name)))
}
