//! Reading a command's own flags: each is taken by name, and what nobody took is an error that names it.
use anyhow::{Result, bail};

/// The arguments behind a command's name.
#[derive(Debug)]
pub(crate) struct Arguments {
    remaining: Vec<String>,
}

impl Arguments {
    /// Arguments as the shell gave them.
    pub(crate) fn new(arguments: impl IntoIterator<Item = String>) -> Arguments {
        Arguments { remaining: arguments.into_iter().collect() }
    }

    /// Takes `name` wherever it stands.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let before = self.remaining.len();
        self.remaining.retain(|argument| argument != name);
        self.remaining.len() != before
    }

    /// Takes `name VALUE` or `name=VALUE`, the first of them.
    pub(crate) fn value(&mut self, name: &str) -> Result<Option<String>> {
        let prefix = format!("{name}=");
        let Some(position) =
            self.remaining.iter().position(|given| given == name || given.starts_with(&prefix))
        else {
            return Ok(None);
        };
        let given = self.remaining.remove(position);
        if let Some(value) = given.strip_prefix(&prefix) {
            return Ok(Some(value.to_owned()));
        }
        if position >= self.remaining.len() || self.remaining[position].starts_with("--") {
            bail!("{name} needs a value");
        }
        Ok(Some(self.remaining.remove(position)))
    }

    /// Takes `name NUMBER`.
    pub(crate) fn number(&mut self, name: &str) -> Result<Option<u64>> {
        let Some(value) = self.value(name)? else { return Ok(None) };
        match value.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => bail!("{name} needs a number, not {value:?}"),
        }
    }

    /// What is left must be words without dashes.
    pub(crate) fn words(self) -> Result<Vec<String>> {
        match self.remaining.iter().find(|argument| argument.starts_with('-')) {
            Some(unknown) => bail!("unknown option {unknown}; `cargo xtask help` lists them"),
            None => Ok(self.remaining),
        }
    }

    /// Nothing may be left.
    pub(crate) fn nothing_else(self) -> Result<()> {
        match self.remaining.first() {
            Some(unknown) => bail!("unexpected {unknown:?}; `cargo xtask help` lists the options"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str) -> Arguments {
        Arguments::new(line.split(' ').map(str::to_owned))
    }

    #[test]
    fn options_are_taken_in_any_order() {
        let mut given = arguments("unit/scan --mode=own --check --server path unit/quit");
        assert!(given.flag("--check"));
        assert_eq!(given.value("--server").expect("has a value").as_deref(), Some("path"));
        assert_eq!(given.value("--mode").expect("has a value").as_deref(), Some("own"));
        assert_eq!(given.words().expect("only words are left"), ["unit/scan", "unit/quit"]);
    }

    #[test]
    fn a_missing_value_and_an_unknown_option_are_errors() {
        assert!(arguments("--server").value("--server").is_err());
        assert!(arguments("--server --check").value("--server").is_err());
        assert!(arguments("--seconds x").number("--seconds").is_err());
        assert!(arguments("--bogus").words().is_err());
        assert!(arguments("word").nothing_else().is_err());
    }
}
