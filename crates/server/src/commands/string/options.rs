//! The options that SET, MSETEX and GETEX share: when the key expires, and the conditions.
//!
//! As in Redis an option may be repeated, and then its last value holds; two that contradict each other
//! are a syntax error. Values are looked at only when the syntax is right.

use swytch_store::Expiry;

use super::condition::Condition;
use crate::command::prelude::*;

/// Which command reads its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionsOf {
    /// SET: conditions, GET, KEEPTTL.
    Set,
    /// MSETEX: of the conditions only those on whether keys exist, KEEPTTL.
    MSetEx,
    /// GETEX: PERSIST.
    GetEx,
}

/// The options of one call.
#[derive(Clone, Copy, Debug, Default)]
pub struct StringOptions<'a> {
    /// NX, XX or a comparison.
    pub condition: Condition<'a>,
    /// GET.
    pub get: bool,
    /// EX, PX, EXAT or PXAT with its argument.
    pub expiry: Option<(ExpiryUnit, &'a [u8])>,
    /// KEEPTTL.
    pub keep_ttl: bool,
    /// PERSIST.
    pub persist: bool,
}

impl<'a> StringOptions<'a> {
    /// Reads all that is left.
    pub fn parse(mut arguments: ArgCursor<'a>, of: OptionsOf) -> Result<Self, CommandError> {
        let mut options = StringOptions::default();
        while arguments.remaining() > 0 {
            options.parse_next(&mut arguments, of)?;
        }
        Ok(options)
    }

    fn parse_next(&mut self, arguments: &mut ArgCursor<'a>, of: OptionsOf) -> Result<(), CommandError> {
        let (set, writes) = (of == OptionsOf::Set, of != OptionsOf::GetEx);
        if writes && let Some(condition) = self.next_condition(arguments, set)? {
            self.condition = condition;
        } else if set && arguments.word("GET") {
            self.get = true;
        } else if writes && self.expiry.is_none() && arguments.word("KEEPTTL") {
            self.keep_ttl = true;
        } else if !writes && self.expiry.is_none() && arguments.word("PERSIST") {
            self.persist = true;
        } else if let Some(unit) = ExpiryUnit::word(arguments)
            && !self.keep_ttl
            && !self.persist
            && self.expiry.is_none_or(|(other, _)| other == unit)
        {
            self.expiry = Some((unit, arguments.expect()?));
        } else {
            return Err(CommandError::Syntax);
        }
        Ok(())
    }

    /// The condition that is next, if it does not contradict one that was given.
    fn next_condition(
        &self,
        arguments: &mut ArgCursor<'a>,
        compares: bool,
    ) -> Result<Option<Condition<'a>>, CommandError> {
        let next = if arguments.word("NX") {
            Some(Condition::Exists(false))
        } else if arguments.word("XX") {
            Some(Condition::Exists(true))
        } else if compares {
            Condition::comparison(arguments)?
        } else {
            None
        };
        match next {
            Some(next) if self.condition != Condition::None && !self.condition.is_like(&next) => {
                Err(CommandError::Syntax)
            }
            next => Ok(next),
        }
    }

    /// The Unix time in milliseconds that the expiry option means, if there is one.
    pub fn deadline(&self, call: &Call<'_>, command: &'static str) -> Result<Option<u64>, CommandError> {
        let deadline = |(unit, argument): (ExpiryUnit, &[u8])| unit.deadline(argument, call.now_ms, command);
        self.expiry.map(deadline).transpose()
    }

    /// What SET does with the expiry, given [`StringOptions::deadline`].
    pub fn set_expiry(&self, deadline: Option<u64>) -> Expiry {
        match deadline {
            Some(at_ms) => Expiry::At(at_ms),
            None if self.keep_ttl => Expiry::Keep,
            None => Expiry::Clear,
        }
    }
}

/// How commands say when what they write expires, or that its expiry stays.
pub const EXPIRATIONS: [Arg; 5] = [
    Arg::integer("seconds").token("EX"),
    Arg::integer("milliseconds").token("PX"),
    Arg::new("unix-time-seconds", ArgKind::UnixTime).token("EXAT"),
    Arg::new("unix-time-milliseconds", ArgKind::UnixTime).token("PXAT"),
    Arg::flag("keepttl", "KEEPTTL"),
];

/// How an expiry is given: EX, PX, EXAT, PXAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpiryUnit {
    /// Seconds instead of milliseconds.
    pub seconds: bool,
    /// From now on instead of since 1970.
    pub relative: bool,
}

impl ExpiryUnit {
    /// Seconds from now on.
    pub const EX: ExpiryUnit = ExpiryUnit { seconds: true, relative: true };
    /// Milliseconds from now on.
    pub const PX: ExpiryUnit = ExpiryUnit { seconds: false, relative: true };
    /// Unix seconds.
    pub const EXAT: ExpiryUnit = ExpiryUnit { seconds: true, relative: false };
    /// Unix milliseconds.
    pub const PXAT: ExpiryUnit = ExpiryUnit { seconds: false, relative: false };

    /// Steps over the option's word, if it is next.
    pub fn word(arguments: &mut ArgCursor<'_>) -> Option<ExpiryUnit> {
        [("EX", Self::EX), ("PX", Self::PX), ("EXAT", Self::EXAT), ("PXAT", Self::PXAT)]
            .into_iter()
            .find(|(word, _)| arguments.word(word))
            .map(|(_, unit)| unit)
    }

    /// The Unix time in milliseconds that a positive `argument` means.
    pub fn deadline(self, argument: &[u8], now_ms: u64, command: &'static str) -> Result<u64, CommandError> {
        let amount = swytch_decimal::parse_i64(argument).ok_or(CommandError::NotAnInteger)?;
        let invalid = || CommandError::invalid_expire(command);
        if amount <= 0 {
            return Err(invalid());
        }
        let ms = if self.seconds { amount.checked_mul(1000).ok_or_else(invalid)? } else { amount };
        let at_ms = if self.relative { ms.checked_add(now_ms as i64).ok_or_else(invalid)? } else { ms };
        Ok(at_ms as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::OwnedArgs;

    fn parse(words: &str, of: OptionsOf) -> Result<String, CommandError> {
        let words: Vec<&[u8]> = words.split_whitespace().map(str::as_bytes).collect();
        let owned = OwnedArgs::from_words(&words);
        StringOptions::parse(owned.as_args().cursor(0), of).map(|options| {
            let expiry = options.expiry.map(|(unit, argument)| {
                format!("{}{}{}", unit.seconds, unit.relative, String::from_utf8_lossy(argument))
            });
            let StringOptions { condition, get, keep_ttl, persist, .. } = options;
            format!("{condition:?} {get} {keep_ttl} {persist} {}", expiry.unwrap_or_default())
        })
    }

    #[test]
    fn the_last_of_a_repeated_option_holds() {
        let all = parse("nx GET Nx ex 5 EX 7 get", OptionsOf::Set).expect("no contradiction");
        assert_eq!(all, "Exists(false) true false false truetrue7");
        let pxat = parse("PXAT 1", OptionsOf::GetEx).expect("an option of GETEX");
        assert_eq!(pxat, "None false false false falsefalse1");
    }

    #[test]
    fn contradictions_are_syntax_errors() {
        for words in [
            "NX XX",
            "XX NX",
            "EX 1 PX 1",
            "EX 1 EXAT 1",
            "KEEPTTL EX 1",
            "PX 1 KEEPTTL",
            "EX",
            "PERSIST",
            "FOO",
        ] {
            assert_eq!(parse(words, OptionsOf::Set), Err(CommandError::Syntax), "{words}");
        }
        for words in ["PERSIST EX 1", "EX 1 PERSIST", "NX", "XX", "GET", "KEEPTTL", "PXAT"] {
            assert_eq!(parse(words, OptionsOf::GetEx), Err(CommandError::Syntax), "{words}");
        }
    }

    #[test]
    fn an_expiry_that_does_not_fit_is_refused() {
        let invalid = Err(CommandError::invalid_expire("set"));
        for (unit, argument, expect) in [
            (ExpiryUnit::EX, "10", Ok(10_500)),
            (ExpiryUnit::PX, "10", Ok(510)),
            (ExpiryUnit::EXAT, "10", Ok(10_000)),
            (ExpiryUnit::PXAT, "9223372036854775807", Ok(i64::MAX as u64)),
            (ExpiryUnit::PX, "9223372036854775807", invalid.clone()),
            (ExpiryUnit::EXAT, "9223372036854775", Ok(9_223_372_036_854_775_000)),
            (ExpiryUnit::EXAT, "9223372036854776", invalid.clone()),
            (ExpiryUnit::EX, "0", invalid.clone()),
            (ExpiryUnit::PXAT, "-1", invalid),
            (ExpiryUnit::EX, "1.5", Err(CommandError::NotAnInteger)),
        ] {
            assert_eq!(unit.deadline(argument.as_bytes(), 500, "set"), expect, "{unit:?} {argument}");
        }
    }
}
