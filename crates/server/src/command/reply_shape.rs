//! The shape of a command's reply: what a client may rely on, in both protocols.
//!
//! Data only. Tests check each reply that they see against it (`tests/support/shapes.rs`). An error may always come
//! instead, and `QUEUED` in a transaction; neither is said.

/// What a command answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyShape {
    /// Nothing but an error: a container's name alone.
    Never,
    /// Whatever another command answers, or a test asks for.
    Any,
    /// One of these words, as a simple string.
    Word(&'static [&'static str]),
    /// Any simple string.
    Line,
    /// Any integer.
    Integer,
    /// An integer of at least 0.
    Count,
    /// 0 or 1.
    Flag,
    /// A double; in RESP2 a bulk string.
    Double,
    /// A bulk string.
    Text,
    /// A text for people: verbatim in RESP3, a bulk string in RESP2.
    Report,
    /// Null; in RESP2 that of a string.
    Null,
    /// Null; in RESP2 that of an array.
    NullArray,
    /// An array of any number of these.
    List(&'static ReplyShape),
    /// An array of exactly these.
    Tuple(&'static [ReplyShape]),
    /// A set of any number of these; in RESP2 an array.
    Set(&'static ReplyShape),
    /// Any number of pairs of these; in RESP2 an array of twice as many.
    Map(&'static ReplyShape, &'static ReplyShape),
    /// A list of pairs of these; in RESP2 their parts one behind the other.
    Pairs(&'static ReplyShape, &'static ReplyShape),
    /// One of several.
    OneOf(&'static [ReplyShape]),
}

impl ReplyShape {
    /// `OK`.
    pub const OK: ReplyShape = ReplyShape::Word(&["OK"]);
    /// A string that may be absent.
    pub const TEXT_OR_NULL: ReplyShape = ReplyShape::OneOf(&[ReplyShape::Text, ReplyShape::Null]);
    /// Strings.
    pub const TEXTS: ReplyShape = ReplyShape::List(&ReplyShape::Text);
    /// Members with their scores.
    pub const SCORED: ReplyShape = ReplyShape::Pairs(&ReplyShape::Text, &ReplyShape::Double);
}
