//! The patterns of BY and GET: which key, or field of which hash, belongs to an element.

use swytch_store::{Hash, Keyspace, Text};

use crate::system::escape::up_to_zero;
use crate::system::slot;

/// A pattern. As in Redis it is looked at up to a zero byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern<'p> {
    /// `#`: the element itself.
    Element,
    /// Without a star: the same for all elements, and never anything.
    Constant,
    /// The element in the place of the first star.
    Key {
        before: &'p [u8],
        behind: &'p [u8],
        /// What follows an arrow: the key is a hash, and this one of its fields.
        field: Option<&'p [u8]>,
    },
}

impl<'p> Pattern<'p> {
    pub(super) fn parse(text: &'p [u8]) -> Pattern<'p> {
        let visible = up_to_zero(text);
        if visible == b"#" {
            return Pattern::Element;
        }
        let Some(star) = visible.iter().position(|byte| *byte == b'*') else { return Pattern::Constant };
        let (before, behind) = (&text[..star], &text[star + 1..]);
        let arrow = visible[star + 1..].windows(2).position(|pair| pair == b"->");
        let field = arrow.map(|arrow| &behind[arrow + 2..]);
        match (arrow, field.filter(|field| field.first().is_some_and(|byte| *byte != 0))) {
            (Some(arrow), Some(field)) => {
                Pattern::Key { before, behind: &behind[..arrow], field: Some(field) }
            }
            _ => Pattern::Key { before, behind, field: None },
        }
    }

    /// True if it leads to keys that the elements name.
    pub(super) fn names_keys(&self) -> bool {
        matches!(self, Pattern::Key { .. })
    }

    /// Whether all keys that it leads to are in a slot, whatever the elements are: by a tag before the star.
    pub(super) fn keeps_to(&self, slot: u16) -> bool {
        let Pattern::Key { before, .. } = self else { return true };
        slot::has_tag(before) && slot::of(before) == slot
    }

    /// The string in the key that an element names, if it names one and there is one.
    pub(super) fn look_up<'k>(
        &self,
        keyspace: &'k Keyspace<'_>,
        db: u32,
        element: &[u8],
    ) -> Option<Text<'k>> {
        let Pattern::Key { before, behind, field } = *self else { return None };
        let name = [before, element, behind].concat();
        let key = keyspace.key(db, &name);
        match field {
            None => keyspace.string(&key).ok().flatten(),
            Some(field) => {
                let hash = keyspace.get::<Hash>(&key).ok().flatten()?;
                hash.live(keyspace.visible_ms()).get(field).map(Text::Borrowed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Pattern<'_>) {
        assert_eq!(Pattern::parse(text.as_bytes()), expected, "{text:?}");
    }

    fn key<'p>(before: &'p str, behind: &'p str, field: Option<&'p str>) -> Pattern<'p> {
        let (before, behind) = (before.as_bytes(), behind.as_bytes());
        Pattern::Key { before, behind, field: field.map(str::as_bytes) }
    }

    #[test]
    fn the_first_star_is_the_element_and_what_follows_an_arrow_a_field() {
        check("#", Pattern::Element);
        check("#\0x", Pattern::Element);
        check("##", Pattern::Constant);
        check("nosort", Pattern::Constant);
        check("", Pattern::Constant);
        check("k\0*", Pattern::Constant);
        check("*", key("", "", None));
        check("w_*", key("w_", "", None));
        check("a*b*c", key("a", "b*c", None));
        check("a->*", key("a->", "", None));
        check("h_*->f", key("h_", "", Some("f")));
        check("h_*x->f->g", key("h_", "x", Some("f->g")));
        check("h_*->*", key("h_", "", Some("*")));
        check("h_*->", key("h_", "->", None));
        check("h_*->\0f", key("h_", "->\0f", None));
        check("h_*\0->f", key("h_", "\0->f", None));
    }
}
