//! What a client has said of itself with REPLCONF: how it is to be served when it begins to follow.

/// What a client has said of itself.
#[derive(Clone, Debug, Default)]
pub struct Introduction {
    /// Where it listens.
    pub port: u16,
    /// The address where others reach it, if that is another one than it connects from.
    pub address: Option<String>,
    /// It finds the end of a file by a mark, so that it need not be told the length before.
    pub finds_mark: bool,
    /// It understands that the stream may go on under another name.
    pub knows_names: bool,
    /// Its version: major, minor and patch, a byte each.
    pub version: Option<u32>,
    /// It wants the data alone.
    pub data_only: bool,
    /// What of the data it wants.
    pub part: DataPart,
    /// Strings are not to be compressed.
    pub uncompressed: bool,
}

/// What of the data a client wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataPart {
    /// All of it.
    #[default]
    All,
    /// Functions without keys.
    Functions,
    /// Nothing.
    None,
}

/// Versions of RDB: what a server that tells its version reads (of those, only Valkey does), and what one that does not is
/// sent, unless the data needs a newer one: the version of Redis 7.0, the oldest that knows functions.
const OF_VERSION_TOLD: u32 = 11;
const OF_VERSION_UNTOLD: u32 = 10;

/// The first version that lets fields of a hash expire.
const VALKEY_9: u32 = 0x09_00_00;

impl Introduction {
    /// The version of RDB that it is sent.
    pub fn rdb_version(&self) -> u32 {
        if self.version.is_some() { OF_VERSION_TOLD } else { OF_VERSION_UNTOLD }
    }

    /// Whether it reads the version of RDB that Valkey has for itself.
    pub fn reads_valkey_version(&self) -> bool {
        self.version.is_some_and(|version| version >= VALKEY_9)
    }

    /// The newest version of Redis that it may be sent, where that is known.
    pub fn rdb_version_max(&self) -> Option<u32> {
        self.version.map(|_| OF_VERSION_TOLD)
    }
}
