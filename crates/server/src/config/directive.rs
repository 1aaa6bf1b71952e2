//! What one configuration directive is: its names, type, default, and what the server makes of it.
//!
//! A directive is declared once, in `directives/`; the file parser, CONFIG GET/SET/REWRITE, the
//! command line, `--help` and the nearest-name hint are all derived from that declaration.
//! The builder methods are `const`, so the whole list is data in the binary.

use super::value;
use std::path::Path;

/// One directive of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Directive {
    /// The primary name, lower case, as CONFIG REWRITE writes it.
    pub name: &'static str,
    /// An older or alternative name with the same meaning, e.g. `slaveof` for `replicaof`.
    pub alias: Option<&'static str>,
    /// Type, range and default.
    pub kind: Kind,
    /// Whether CONFIG SET may change it.
    pub mutability: Mutability,
    /// CONFIG GET leaves it out of what a pattern matches; only its exact name finds it.
    pub hidden: bool,
    /// The value is a secret: never shown in SLOWLOG, MONITOR, logs or error messages.
    pub sensitive: bool,
    /// CONFIG SET answers LOADING while a data set is being loaded.
    pub denied_while_loading: bool,
    /// Takes several words; a single word is split at spaces.
    pub several_words: bool,
    /// What of a choice's words go together, if not all do.
    pub(super) combination: Option<Combination>,
    /// What the server does with the value.
    pub standing: Standing,
    /// Who knows the directive.
    pub known: Known,
    /// The heading it stands under in `--help`.
    pub group: Group,
    /// One line for `--help`.
    pub summary: &'static str,
}

/// Type, range and default of a value. Integers are kept as `i64`, as the bits of `u64` where unsigned.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `yes` or `no`.
    Flag(bool),
    /// A decimal integer.
    Integer(Bounds, i64),
    /// An octal integer (file modes).
    Octal(Bounds, i64),
    /// Bytes, with the units k, kb, m, mb, g, gb.
    Memory(Bounds, i64),
    /// The same, or a percentage of what this process may have, which is worked out where it is read.
    MemoryOrShare(Bounds, i64),
    /// Bytes, or a percentage of `maxmemory`; a percentage is kept as its negative.
    MemoryOrPercent(Bounds, i64),
    /// One of the names (or several, added up, where the directive takes several words).
    Choice(&'static [(&'static str, i64)], i64),
    /// Free text; `None` where unset differs from empty.
    Text {
        /// The value when nothing is configured.
        default: Option<&'static str>,
        /// The empty string means "unset".
        empty_unsets: bool,
        /// An additional rule.
        check: Option<Rule>,
    },
    /// A syntax of its own.
    Special(Special),
}

/// A rule about the words of a choice, all together.
pub(super) type Combination = fn(i64) -> Result<(), &'static str>;

/// A rule for text beyond its type; the error is the reply text.
pub type Rule = fn(&[u8]) -> Result<(), &'static str>;

/// The directives that have a syntax of their own (see `special.rs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// `dir`.
    Directory,
    /// `save`.
    Save,
    /// `client-output-buffer-limit`.
    OutputBufferLimits,
    /// `oom-score-adj-values`.
    OomScoreValues,
    /// `notify-keyspace-events`.
    KeyspaceEvents,
    /// `bind`.
    Bind,
    /// `replicaof`.
    ReplicaOf,
    /// `latency-tracking-info-percentiles`.
    Percentiles,
}

/// The inclusive range of an integer.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Smallest accepted value; for [`Kind::MemoryOrPercent`] minus the largest percentage.
    pub min: i128,
    /// Largest accepted value.
    pub max: i128,
    /// Negative input is read as a huge unsigned number, as C does; it shows in the error text only.
    pub unsigned: bool,
    /// Accepted values outside this range are pulled into it (`hz`, `repl-backlog-size`).
    pub clamp: Option<(i64, i64)>,
}

/// Whether CONFIG SET may change a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutability {
    /// At any time.
    Runtime,
    /// Only where `enable-protected-configs` allows it.
    Protected,
    /// Never; CONFIG SET always answers with an error.
    Immutable,
    /// Never, but CONFIG SET to the value it already has succeeds. For names that Redis 7.0 does not
    /// know: tools that write back what `CONFIG GET *` answered know which of Redis's to leave out.
    StartOnly,
}

/// What the server does with a value. There is no fourth way: what is accepted works, or costs nothing to ignore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The server behaves as configured.
    Honoured,
    /// Accepted, stored and answered, and changes nothing, for the reason given, which is why nothing is lost. Another
    /// value than the default is worth a line in the log.
    Harmless(&'static str),
    /// To ignore a value would cost data, safety, or what a user waits for. So any that does not ask for what happens
    /// anyway stops the start, and is an error of CONFIG SET.
    Refused {
        /// What is missing.
        reason: &'static str,
        /// What asks for what happens, beside the default; as CONFIG GET answers it.
        fine: &'static [&'static str],
    },
}

/// Which servers know a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Redis 7.0 and 8.0.
    Redis7,
    /// New in Redis 8.0 (or in 7.2 or 7.4).
    Redis8,
    /// Redis 7.0 only: 8.0 dropped it.
    Redis7Only,
    /// This server's own.
    Swytch,
}

/// Headings of `--help`, in the order shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants say what they are")]
pub enum Group {
    Network,
    Tls,
    General,
    Security,
    Clients,
    Memory,
    Keyspace,
    Encodings,
    Scripting,
    Observability,
    Persistence,
    Replication,
    Cluster,
}

impl Group {
    /// Every group, in the order `--help` shows them.
    pub const ALL: &'static [Group] = &[
        Group::Network,
        Group::Tls,
        Group::General,
        Group::Security,
        Group::Clients,
        Group::Memory,
        Group::Keyspace,
        Group::Encodings,
        Group::Scripting,
        Group::Observability,
        Group::Persistence,
        Group::Replication,
        Group::Cluster,
    ];

    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Group::Network => "Network",
            Group::Tls => "TLS",
            Group::General => "General",
            Group::Security => "Security",
            Group::Clients => "Clients",
            Group::Memory => "Memory",
            Group::Keyspace => "Keyspace",
            Group::Encodings => "Encodings",
            Group::Scripting => "Scripting",
            Group::Observability => "Observability",
            Group::Persistence => "Persistence",
            Group::Replication => "Replication",
            Group::Cluster => "Redis Cluster",
        }
    }
}

/// C's `INT_MAX`, the upper bound of many of Redis's directives.
pub(super) const INT_MAX: i128 = i32::MAX as i128;
/// C's `LONG_MAX` on 64-bit platforms.
pub(super) const LONG_MAX: i128 = i64::MAX as i128;

const fn bounds(min: i128, max: i128, unsigned: bool) -> Bounds {
    Bounds { min, max, unsigned, clamp: None }
}

impl Directive {
    const fn new(name: &'static str, kind: Kind) -> Directive {
        Directive {
            name,
            alias: None,
            kind,
            mutability: Mutability::Runtime,
            hidden: false,
            sensitive: false,
            denied_while_loading: false,
            several_words: false,
            combination: None,
            standing: Standing::Honoured,
            known: Known::Redis7,
            group: Group::General,
            summary: "",
        }
    }

    pub(super) const fn flag(name: &'static str, default: bool) -> Directive {
        Directive::new(name, Kind::Flag(default))
    }

    pub(super) const fn integer(name: &'static str, min: i128, max: i128, default: i64) -> Directive {
        Directive::new(name, Kind::Integer(bounds(min, max, false), default))
    }

    pub(super) const fn unsigned(name: &'static str, min: i128, max: i128, default: i64) -> Directive {
        Directive::new(name, Kind::Integer(bounds(min, max, true), default))
    }

    pub(super) const fn octal(name: &'static str, max: i128, default: i64) -> Directive {
        Directive::new(name, Kind::Octal(bounds(0, max, true), default))
    }

    pub(super) const fn memory(name: &'static str, min: i128, max: i128, default: i64) -> Directive {
        Directive::new(name, Kind::Memory(bounds(min, max, false), default))
    }

    pub(super) const fn unsigned_memory(name: &'static str, min: i128, max: i128, default: i64) -> Directive {
        Directive::new(name, Kind::Memory(bounds(min, max, true), default))
    }

    pub(super) const fn memory_or_share(name: &'static str, max: i128, default: i64) -> Directive {
        Directive::new(name, Kind::MemoryOrShare(bounds(0, max, true), default))
    }

    pub(super) const fn memory_or_percent(name: &'static str, default: i64) -> Directive {
        Directive::new(name, Kind::MemoryOrPercent(bounds(-100, LONG_MAX, false), default))
    }

    pub(super) const fn choice(
        name: &'static str,
        names: &'static [(&'static str, i64)],
        default: i64,
    ) -> Directive {
        Directive::new(name, Kind::Choice(names, default))
    }

    /// Text where empty is a value.
    pub(super) const fn text(name: &'static str, default: &'static str) -> Directive {
        Directive::new(name, Kind::Text { default: Some(default), empty_unsets: false, check: None })
    }

    /// Text that is unset by default and by the empty string.
    pub(super) const fn optional_text(name: &'static str) -> Directive {
        Directive::new(name, Kind::Text { default: None, empty_unsets: true, check: None })
    }

    pub(super) const fn special(name: &'static str, special: Special) -> Directive {
        Directive::new(name, Kind::Special(special))
    }

    pub(super) const fn checked(mut self, rule: Rule) -> Directive {
        if let Kind::Text { check, .. } = &mut self.kind {
            *check = Some(rule);
        }
        self
    }

    pub(super) const fn clamped(mut self, low: i64, high: i64) -> Directive {
        if let Kind::Integer(bounds, _) | Kind::Memory(bounds, _) = &mut self.kind {
            bounds.clamp = Some((low, high));
        }
        self
    }

    pub(super) const fn alias(mut self, alias: &'static str) -> Directive {
        self.alias = Some(alias);
        self
    }

    pub(super) const fn immutable(mut self) -> Directive {
        self.mutability = Mutability::Immutable;
        self
    }

    pub(super) const fn start_only(mut self) -> Directive {
        self.mutability = Mutability::StartOnly;
        self
    }

    pub(super) const fn protected(mut self) -> Directive {
        self.mutability = Mutability::Protected;
        self
    }

    pub(super) const fn hidden(mut self) -> Directive {
        self.hidden = true;
        self
    }

    pub(super) const fn sensitive(mut self) -> Directive {
        self.sensitive = true;
        self
    }

    pub(super) const fn denied_while_loading(mut self) -> Directive {
        self.denied_while_loading = true;
        self
    }

    pub(super) const fn several_words(mut self) -> Directive {
        self.several_words = true;
        self
    }

    pub(super) const fn combined(mut self, rule: Combination) -> Directive {
        self.combination = Some(rule);
        self
    }

    pub(super) const fn harmless(mut self, reason: &'static str) -> Directive {
        self.standing = Standing::Harmless(reason);
        self
    }

    pub(super) const fn refused(self, reason: &'static str) -> Directive {
        self.refused_unless(&[], reason)
    }

    pub(super) const fn refused_unless(
        mut self,
        fine: &'static [&'static str],
        reason: &'static str,
    ) -> Directive {
        self.standing = Standing::Refused { reason, fine };
        self
    }

    pub(super) const fn known(mut self, known: Known) -> Directive {
        self.known = known;
        self
    }

    pub(super) const fn in_group(mut self, group: Group) -> Directive {
        self.group = group;
        self
    }

    pub(super) const fn summary(mut self, summary: &'static str) -> Directive {
        self.summary = summary;
        self
    }

    /// The default, sizes with their unit; empty for `dir`, which starts at the working directory.
    pub fn default_text(&self) -> String {
        if let Kind::Memory(_, bytes) | Kind::MemoryOrShare(_, bytes) | Kind::MemoryOrPercent(_, bytes) =
            self.kind
        {
            return value::memory_with_unit(bytes as u64);
        }
        let value = value::default(self, Path::new(""));
        String::from_utf8_lossy(&value::format(self, &value)).into_owned()
    }

    /// Whether `value` is the default.
    pub(super) fn has_default(&self, value: &value::Value) -> bool {
        *value == value::default(self, Path::new("/"))
    }

    /// Why `value` changes nothing, where somebody may have expected it to.
    pub(super) fn without_meaning(&self, value: &value::Value) -> Option<&'static str> {
        match self.standing {
            Standing::Harmless(reason) if !self.has_default(value) => Some(reason),
            _ => None,
        }
    }

    /// Why the server does not take `value`, if it does not.
    pub(super) fn refusal(&self, value: &value::Value) -> Option<&'static str> {
        let Standing::Refused { reason, fine } = self.standing else { return None };
        let text = value::format(self, value);
        let accepted = self.has_default(value) || fine.iter().any(|fine| fine.as_bytes() == text);
        (!accepted).then_some(reason)
    }

    /// Whether `name` is this directive's name or alias, in any case.
    pub fn is_called(&self, name: &[u8]) -> bool {
        name.eq_ignore_ascii_case(self.name.as_bytes())
            || self.alias.is_some_and(|alias| name.eq_ignore_ascii_case(alias.as_bytes()))
    }
}

bitflags::bitflags! {
    /// How a signal shuts the server down; none of them is `default`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ShutdownFlags: u8 {
        /// The data is saved although no save point asks for it.
        const SAVE = 1;
        /// The data is not saved although a save point asks for it.
        const NOSAVE = 2;
        /// Nothing is waited for.
        const NOW = 4;
        /// The server ends although the data could not be saved.
        const FORCE = 8;
    }
}

impl ShutdownFlags {
    /// Names and bits.
    pub(super) const NAMES: &'static [(&'static str, i64)] = &[
        ("default", 0),
        ("save", Self::SAVE.bits() as i64),
        ("nosave", Self::NOSAVE.bits() as i64),
        ("now", Self::NOW.bits() as i64),
        ("force", Self::FORCE.bits() as i64),
    ];
}

bitflags::bitflags! {
    /// What is counted of each slot besides its keys.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct SlotMetrics: u8 {
        /// The time that commands take.
        const CPU = 1;
        /// Bytes of requests and replies.
        const NET = 2;
        /// What keys and values take of memory.
        const MEM = 4;
    }
}

impl SlotMetrics {
    /// Names and bits.
    pub(super) const NAMES: &'static [(&'static str, i64)] = &[
        ("no", 0),
        ("yes", Self::all().bits() as i64),
        ("cpu", Self::CPU.bits() as i64),
        ("net", Self::NET.bits() as i64),
        ("mem", Self::MEM.bits() as i64),
    ];
}

/// Declares a fieldless enum together with the names its values have in the configuration.
macro_rules! choices {
    ($(#[$doc:meta])* pub enum $name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $name {
            $(#[doc = concat!("`", $text, "`")] $variant),+
        }

        impl $name {
            /// Names and the numbers they are kept as.
            pub(crate) const NAMES: &'static [(&'static str, i64)] =
                &[$(($text, $name::$variant as i64)),+];

            /// The value kept as `number`.
            pub(crate) fn from_number(number: i64) -> $name {
                $(if number == $name::$variant as i64 { return $name::$variant; })+
                unreachable!("a {} is only stored through its own names", stringify!($name))
            }

            /// The name in the configuration.
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }
        }
    };
}

choices! {
    /// What happens when `maxmemory` is reached.
    pub enum MaxmemoryPolicy {
        VolatileLru = "volatile-lru",
        VolatileLfu = "volatile-lfu",
        VolatileRandom = "volatile-random",
        VolatileTtl = "volatile-ttl",
        VolatileLrm = "volatile-lrm",
        AllkeysLru = "allkeys-lru",
        AllkeysLfu = "allkeys-lfu",
        AllkeysRandom = "allkeys-random",
        AllkeysLrm = "allkeys-lrm",
        AllkeysAdaptive = "allkeys-adaptive",
        VolatileAdaptive = "volatile-adaptive",
        NoEviction = "noeviction",
    }
}

choices! {
    /// How much the log says.
    pub enum LogLevel {
        Debug = "debug",
        Verbose = "verbose",
        Notice = "notice",
        Warning = "warning",
        Nothing = "nothing",
    }
}

choices! {
    /// Whether a service manager is told when the server is ready.
    pub enum Supervised {
        Upstart = "upstart",
        Systemd = "systemd",
        Auto = "auto",
        No = "no",
    }
}

choices! {
    /// How a log line looks.
    pub enum LogFormat {
        Text = "text",
        Json = "json",
    }
}

choices! {
    /// Who may use a protected command or change a protected directive.
    pub enum ProtectedAction {
        No = "no",
        Yes = "yes",
        Local = "local",
    }
}

choices! {
    /// What clients of a cluster are told to connect to.
    pub enum EndpointType {
        Ip = "ip",
        HostName = "hostname",
        Unknown = "unknown-endpoint",
    }
}

choices! {
    /// Whether TLS clients must present a certificate.
    pub enum TlsAuthClients {
        No = "no",
        Yes = "yes",
        Optional = "optional",
    }
}

choices! {
    /// What of a client's certificate names the user that it is logged in as.
    pub enum TlsAuthClientsUser {
        CommonName = "CN",
        Off = "off",
    }
}

choices! {
    /// The oldest version of TLS that is accepted.
    pub enum TlsMinVersion {
        Tls12 = "1.2",
        Tls13 = "1.3",
    }
}

choices! {
    /// What a new ACL user may subscribe to.
    pub enum AclPubsubDefault {
        Allchannels = "allchannels",
        Resetchannels = "resetchannels",
    }
}

choices! {
    /// When the append-only log is forced to disk.
    pub enum AppendFsync {
        Everysec = "everysec",
        Always = "always",
        No = "no",
    }
}

choices! {
    /// Whether a dump payload is checked to the last byte before it is used.
    pub enum SanitizeDumpPayload {
        No = "no",
        Yes = "yes",
        Clients = "clients",
    }
}
