//! SET

use swytch_store::{Event, Expiry, KeyspaceMut, SetCondition, Text};

use crate::commands::{
    Arg, ArgKind, Call, Categories, CommandError, CommandResult, CommandSpec, Flags, Group, Handler,
    KeyFlags, KeySpec,
};

pub static SET: CommandSpec = CommandSpec {
    name: "set",
    summary: "Sets the string value of a key, ignoring its type. The key is created if it doesn't exist.",
    since: "1.0.0",
    group: Group::String,
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::STRING,
    key_specs: &[KeySpec {
        notes: "RW and ACCESS due to the optional `GET` argument",
        ..KeySpec::one(
            1,
            KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE).union(KeyFlags::VARIABLE_FLAGS),
        )
    }],
    arguments: &[
        Arg::key("key"),
        Arg::string("value"),
        Arg::one_of("condition", &[Arg::flag("nx", "NX"), Arg::flag("xx", "XX")]).optional().since("2.6.12"),
        Arg::flag("get", "GET").optional().since("6.2.0"),
        Arg::one_of(
            "expiration",
            &[
                Arg::integer("seconds").token("EX").since("2.6.12"),
                Arg::integer("milliseconds").token("PX").since("2.6.12"),
                Arg::new("unix-time-seconds", ArgKind::UnixTime).token("EXAT").since("6.2.0"),
                Arg::new("unix-time-milliseconds", ArgKind::UnixTime).token("PXAT").since("6.2.0"),
                Arg::flag("keepttl", "KEEPTTL").since("6.0.0"),
            ],
        )
        .optional(),
    ],
    history: &[
        ("2.6.12", "Added the `EX`, `PX`, `NX` and `XX` options."),
        ("6.0.0", "Added the `KEEPTTL` option."),
        ("6.2.0", "Added the `GET`, `EXAT` and `PXAT` option."),
        ("7.0.0", "Allowed the `NX` and `GET` options to be used together."),
    ],
    handler: Handler::Write(set),
    ..CommandSpec::DEFAULT
};

#[derive(Default)]
struct Options {
    condition: SetCondition,
    get: bool,
    expiry: Option<Expiry>,
}

fn set(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let (key, value) = (call.key(1), call.args.get(2));
    if call.args.len() == 3 {
        keyspace.set(&key, value, Expiry::Clear, Event::string("set"));
        call.reply.ok();
        return Ok(());
    }
    let options = parse(call)?;
    let exists = if options.get {
        let old = keyspace.value(&key);
        match old.map(Text::of) {
            Some(Some(text)) => call.reply.bulk(&text),
            Some(None) => return Err(CommandError::WrongType),
            None => call.reply.null(),
        }
        old.is_some()
    } else if options.condition == SetCondition::Always {
        false
    } else {
        keyspace.peek(&key).is_some()
    };
    let applies = match options.condition {
        SetCondition::Always => true,
        SetCondition::IfAbsent => !exists,
        SetCondition::IfPresent => exists,
    };
    if applies {
        let expiry = options.expiry.unwrap_or(Expiry::Clear);
        keyspace.set_or_expire(&key, value, expiry);
    }
    if !options.get {
        if applies { call.reply.ok() } else { call.reply.null() }
    }
    Ok(())
}

fn parse(call: &Call<'_>) -> Result<Options, CommandError> {
    let mut options = Options::default();
    let mut arguments = call.args.cursor(3);
    while arguments.remaining() > 0 {
        let free = options.expiry.is_none();
        if options.condition != SetCondition::IfPresent && arguments.word("NX") {
            options.condition = SetCondition::IfAbsent;
        } else if options.condition != SetCondition::IfAbsent && arguments.word("XX") {
            options.condition = SetCondition::IfPresent;
        } else if arguments.word("GET") {
            options.get = true;
        } else if free && arguments.word("KEEPTTL") {
            options.expiry = Some(Expiry::Keep);
        } else if let Some(unit) = free.then(|| ExpiryUnit::word(&mut arguments)).flatten() {
            let at_ms = unit.deadline(arguments.expect()?, call.now_ms, "set")?;
            options.expiry = Some(Expiry::At(at_ms));
        } else {
            return Err(CommandError::Syntax);
        }
    }
    Ok(options)
}

/// How an expiry is given: EX, PX, EXAT, PXAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpiryUnit {
    /// Seconds instead of milliseconds.
    pub seconds: bool,
    /// From now on instead of since 1970.
    pub relative: bool,
}

impl ExpiryUnit {
    /// Steps over the option's word, if it is next.
    pub fn word(arguments: &mut crate::commands::ArgCursor<'_>) -> Option<ExpiryUnit> {
        [("EX", true, true), ("PX", false, true), ("EXAT", true, false), ("PXAT", false, false)]
            .into_iter()
            .find(|(word, ..)| arguments.word(word))
            .map(|(_, seconds, relative)| ExpiryUnit { seconds, relative })
    }

    /// The Unix time in milliseconds that a positive `argument` means.
    pub fn deadline(self, argument: &[u8], now_ms: u64, command: &'static str) -> Result<u64, CommandError> {
        let amount = swytch_decimal::parse_i64(argument).ok_or(CommandError::NotAnInteger)?;
        let invalid = || CommandError::InvalidExpire(command);
        if amount <= 0 {
            return Err(invalid());
        }
        let ms = if self.seconds { amount.checked_mul(1000).ok_or_else(invalid)? } else { amount };
        let at_ms = if self.relative { ms.checked_add(now_ms as i64).ok_or_else(invalid)? } else { ms };
        Ok(at_ms as u64)
    }
}
