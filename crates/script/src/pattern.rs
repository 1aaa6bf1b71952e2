//! Matching of the language's patterns.
//!
//! The interpreter's own matcher calls itself once for each item of a pattern that may or may not repeat, and goes on until
//! it is done: a long pattern takes its stack, and one that tries again and again its time. This one bounds how deep it
//! goes and asks at every step whether it may go on.
//!
//! Source: the section on patterns in the Lua 5.1 manual, and `lstrlib.c` for the texts of errors and what it does in
//! cases that the manual leaves open. A pattern ends at a zero byte, as it does there.

use crate::lua::Failure;

/// Most captures of a pattern.
pub(crate) const CAPTURES_MAX: usize = 32;
/// Deepest nesting of calls, as in later versions of the language.
const DEPTH_MAX: usize = 200;

/// What a capture has captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Capture {
    /// It is open since here.
    Open(usize),
    /// Nothing but its place.
    Position(usize),
    /// These bytes.
    Bytes(usize, usize),
}

/// A subject and a pattern.
pub(crate) struct Matcher<'a, Step> {
    subject: &'a [u8],
    pattern: &'a [u8],
    captures: [Capture; CAPTURES_MAX],
    level: usize,
    depth: usize,
    step: Step,
}

type Matched = Result<Option<usize>, Failure>;

fn fault<T>(text: &str) -> Result<T, Failure> {
    Err(Failure::At(text.to_owned()))
}

impl<'a, Step: FnMut() -> Result<(), Failure>> Matcher<'a, Step> {
    /// A matcher; `step` is asked whether it may go on.
    pub(crate) fn new(subject: &'a [u8], pattern: &'a [u8], step: Step) -> Self {
        let end = pattern.iter().position(|byte| *byte == 0).unwrap_or(pattern.len());
        let captures = [Capture::Position(0); CAPTURES_MAX];
        Matcher { subject, pattern: &pattern[..end], captures, level: 0, depth: 0, step }
    }

    /// Matches the pattern from its position `from` on, at a place of the subject; where the match ends.
    pub(crate) fn match_at(&mut self, at: usize, from: usize) -> Matched {
        (self.level, self.depth) = (0, 0);
        self.matched(at, from)
    }

    /// Captures of the last match.
    pub(crate) fn captures(&self) -> &[Capture] {
        &self.captures[..self.level]
    }

    fn item(&self, at: usize) -> Option<u8> {
        self.pattern.get(at).copied()
    }

    fn matched(&mut self, at: usize, from: usize) -> Matched {
        self.depth += 1;
        let result = if self.depth > DEPTH_MAX { fault("pattern too complex") } else { self.items(at, from) };
        self.depth -= 1;
        result
    }

    /// Matches item after item, and calls [`Matcher::matched`] where it may have to come back.
    fn items(&mut self, mut at: usize, mut from: usize) -> Matched {
        loop {
            (self.step)()?;
            let Some(item) = self.item(from) else { return Ok(Some(at)) };
            match (item, self.item(from + 1)) {
                (b'(', Some(b')')) => return self.open(at, from + 2, Capture::Position(at)),
                (b'(', _) => return self.open(at, from + 1, Capture::Open(at)),
                (b')', _) => return self.close(at, from + 1),
                (b'$', None) => return Ok((at == self.subject.len()).then_some(at)),
                (b'%', Some(b'b')) => match self.balanced(at, from + 2)? {
                    Some(end) => (at, from) = (end, from + 4),
                    None => return Ok(None),
                },
                (b'%', Some(b'f')) => {
                    let set = from + 2;
                    if self.item(set) != Some(b'[') {
                        return fault("missing '[' after '%f' in pattern");
                    }
                    let end = self.end_of_item(set)?;
                    let before = if at == 0 { 0 } else { self.subject[at - 1] };
                    let here = self.subject.get(at).copied().unwrap_or(0);
                    if self.in_set(before, set, end) || !self.in_set(here, set, end) {
                        return Ok(None);
                    }
                    from = end;
                }
                (b'%', Some(digit @ b'0'..=b'9')) => match self.again(at, digit)? {
                    Some(end) => (at, from) = (end, from + 2),
                    None => return Ok(None),
                },
                _ => {
                    let end = self.end_of_item(from)?;
                    match self.item(end) {
                        Some(b'?') => {
                            if self.single(at, from, end)
                                && let Some(matched) = self.matched(at + 1, end + 1)?
                            {
                                return Ok(Some(matched));
                            }
                            from = end + 1;
                        }
                        Some(b'*') => return self.longest(at, from, end),
                        Some(b'+') if self.single(at, from, end) => return self.longest(at + 1, from, end),
                        Some(b'+') => return Ok(None),
                        Some(b'-') => return self.shortest(at, from, end),
                        _ if self.single(at, from, end) => (at, from) = (at + 1, end),
                        _ => return Ok(None),
                    }
                }
            }
        }
    }

    /// Where the item at a position of the pattern ends.
    fn end_of_item(&self, from: usize) -> Result<usize, Failure> {
        match self.item(from) {
            Some(b'%') if self.item(from + 1).is_none() => fault("malformed pattern (ends with '%')"),
            Some(b'%') => Ok(from + 2),
            Some(b'[') => {
                let mut at = from + 1;
                if self.item(at) == Some(b'^') {
                    at += 1;
                }
                // A bracket that comes first stands for itself.
                loop {
                    match self.item(at) {
                        None => return fault("malformed pattern (missing ']')"),
                        Some(b'%') if self.item(at + 1).is_some() => at += 2,
                        Some(_) => at += 1,
                    }
                    if self.item(at) == Some(b']') {
                        return Ok(at + 1);
                    }
                }
            }
            _ => Ok(from + 1),
        }
    }

    /// Whether the byte at a place matches the one item between two positions.
    fn single(&self, at: usize, from: usize, end: usize) -> bool {
        let Some(byte) = self.subject.get(at).copied() else { return false };
        match self.pattern[from] {
            b'.' => true,
            b'%' => in_class(byte, self.pattern[from + 1]),
            b'[' => self.in_set(byte, from, end),
            literal => literal == byte,
        }
    }

    /// Whether a byte is in the set between two positions.
    fn in_set(&self, byte: u8, from: usize, end: usize) -> bool {
        let negated = self.item(from + 1) == Some(b'^');
        let (mut at, last) = (from + 1 + usize::from(negated), end - 1);
        while at < last {
            let item = self.pattern[at];
            if item == b'%' {
                at += 1;
                if in_class(byte, self.item(at).unwrap_or(0)) {
                    return !negated;
                }
                at += 1;
            } else if self.item(at + 1) == Some(b'-') && at + 2 < last {
                if (item..=self.pattern[at + 2]).contains(&byte) {
                    return !negated;
                }
                at += 3;
            } else {
                if item == byte {
                    return !negated;
                }
                at += 1;
            }
        }
        negated
    }

    fn longest(&mut self, at: usize, from: usize, end: usize) -> Matched {
        let mut count = 0;
        while self.single(at + count, from, end) {
            (self.step)()?;
            count += 1;
        }
        for count in (0..=count).rev() {
            if let Some(matched) = self.matched(at + count, end + 1)? {
                return Ok(Some(matched));
            }
        }
        Ok(None)
    }

    fn shortest(&mut self, mut at: usize, from: usize, end: usize) -> Matched {
        loop {
            if let Some(matched) = self.matched(at, end + 1)? {
                return Ok(Some(matched));
            }
            if !self.single(at, from, end) {
                return Ok(None);
            }
            at += 1;
        }
    }

    fn open(&mut self, at: usize, from: usize, capture: Capture) -> Matched {
        if self.level == CAPTURES_MAX {
            return fault("too many captures");
        }
        self.captures[self.level] = capture;
        self.level += 1;
        let matched = self.matched(at, from)?;
        if matched.is_none() {
            self.level -= 1;
        }
        Ok(matched)
    }

    fn close(&mut self, at: usize, from: usize) -> Matched {
        let open = self.captures().iter().rposition(|capture| matches!(capture, Capture::Open(_)));
        let Some(open) = open else { return fault("invalid pattern capture") };
        let before = self.captures[open];
        if let Capture::Open(start) = before {
            self.captures[open] = Capture::Bytes(start, at);
        }
        let matched = self.matched(at, from)?;
        if matched.is_none() {
            self.captures[open] = before;
        }
        Ok(matched)
    }

    /// `%b`: up to where as many of the second byte have come as of the first.
    fn balanced(&mut self, at: usize, from: usize) -> Matched {
        let (Some(first), Some(second)) = (self.item(from), self.item(from + 1)) else {
            return fault("unbalanced pattern");
        };
        if self.subject.get(at) != Some(&first) {
            return Ok(None);
        }
        let mut open = 1_usize;
        for (offset, byte) in self.subject[at + 1..].iter().enumerate() {
            if *byte == second {
                open -= 1;
                if open == 0 {
                    return Ok(Some(at + offset + 2));
                }
            } else if *byte == first {
                open += 1;
            }
        }
        Ok(None)
    }

    /// `%1`: what a capture has captured, again.
    fn again(&self, at: usize, digit: u8) -> Matched {
        let index = usize::from(digit).wrapping_sub(usize::from(b'1'));
        match self.captures().get(index) {
            Some(Capture::Bytes(start, end)) => {
                let captured = &self.subject[*start..*end];
                Ok(self.subject[at..].starts_with(captured).then_some(at + captured.len()))
            }
            // Of no length that a subject has.
            Some(Capture::Position(_)) => Ok(None),
            Some(Capture::Open(_)) | None => fault("invalid capture index"),
        }
    }
}

/// Whether a byte is in a class; an upper-case letter names all others.
fn in_class(byte: u8, class: u8) -> bool {
    let is_in = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => byte.is_ascii_whitespace() || byte == 0x0b,
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    is_in == class.is_ascii_lowercase()
}
