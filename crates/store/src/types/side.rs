//! The two ends of a sequence.

/// An end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The left end, index 0.
    Head,
    /// The right end, index -1.
    Tail,
}

impl Side {
    /// The other end.
    pub fn opposite(self) -> Side {
        match self {
            Side::Head => Side::Tail,
            Side::Tail => Side::Head,
        }
    }

    /// The name in arguments of LMOVE and its kin.
    pub fn name(self) -> &'static str {
        match self {
            Side::Head => "LEFT",
            Side::Tail => "RIGHT",
        }
    }
}
