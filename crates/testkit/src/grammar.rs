//! What random commands of a group look like, in some thirty lines.
//!
//! A grammar is text. `name = this | that one | ''` defines alternatives, each a sequence of words; `''` is an empty
//! word, and an alternative without words is nothing. Any other line is a rule: words that make one command, with a
//! number in front for how often it comes beside the others and `~how` behind for how replies are compared
//! (`~sorted`, `~scan`, `~exists`, `~seconds`, `~milliseconds`, `~times`, `~any`; without, byte for byte).
//!
//! In a word, `a|b` chooses, `<name>` stands for a definition, `<name>*5` for one to five of them; `[ ... ]` around
//! words leaves them out half of the time, and `\s` is a space. Built in are `<number:N>` (below N), `<letters:N>`, `<bytes:N>` and
//! `<long:N>` (shorter than N: four letters, anything, one letter), `<bits:N>` (all bits alike).

use std::collections::BTreeMap;

use crate::differential::{Compare, Step};
use crate::random::Random;

/// A grammar that was read.
#[derive(Debug)]
pub struct Grammar {
    definitions: BTreeMap<String, Vec<Sequence>>,
    rules: Vec<Rule>,
    weights: u32,
}

type Sequence = Vec<Part>;

#[derive(Debug)]
struct Rule {
    weight: u32,
    compare: Compare,
    words: Sequence,
}

#[derive(Debug)]
enum Part {
    /// Alternatives of one word, each of pieces that are joined.
    Word(Vec<Vec<Piece>>),
    /// One to this many words or sequences that the reference makes.
    Repeated(String, usize),
    Optional(Sequence),
}

#[derive(Debug)]
enum Piece {
    Literal(String),
    Reference(String),
}

impl Grammar {
    /// Reads a grammar.
    ///
    /// # Panics
    /// When it is none, or names what is not defined: it is part of a test.
    #[track_caller]
    pub fn read(text: &str) -> Grammar {
        let mut grammar = Grammar { definitions: BTreeMap::new(), rules: Vec::new(), weights: 0 };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            if words.get(1) == Some(&"=") {
                let alternatives = words[2..].split(|word| *word == "|").map(sequence).collect();
                grammar.definitions.insert(words[0].to_owned(), alternatives);
            } else {
                grammar.rules.push(rule(&words));
            }
        }
        assert!(!grammar.rules.is_empty(), "a grammar without rules");
        grammar.weights = grammar.rules.iter().map(|rule| rule.weight).sum();
        // Every rule is tried, so that a name that is not defined shows at once.
        for rule in &grammar.rules {
            (0..20).for_each(|seed| grammar.expand(&rule.words, &mut Random::new(seed), &mut Vec::new()));
        }
        grammar
    }

    /// A random command.
    pub fn step(&self, random: &mut Random) -> Step {
        let mut at = random.below(self.weights);
        let found = self.rules.iter().find(|rule| match at.checked_sub(rule.weight) {
            Some(rest) => {
                at = rest;
                false
            }
            None => true,
        });
        let rule = found.expect("the weights add up");
        let mut words = Vec::new();
        self.expand(&rule.words, random, &mut words);
        Step { words, compare: rule.compare }
    }

    fn expand(&self, sequence: &[Part], random: &mut Random, words: &mut Vec<Vec<u8>>) {
        for part in sequence {
            match part {
                Part::Optional(parts) if random.once_in(2) => self.expand(parts, random, words),
                Part::Optional(_) => {}
                Part::Repeated(name, most) => {
                    (0..1 + random.below(*most)).for_each(|_| self.refer(name, random, words));
                }
                Part::Word(alternatives) => match &alternatives[random.below(alternatives.len())][..] {
                    [Piece::Reference(name)] => self.refer(name, random, words),
                    pieces => {
                        let mut word = Vec::new();
                        for piece in pieces {
                            match piece {
                                Piece::Literal(text) => word.extend_from_slice(text.as_bytes()),
                                Piece::Reference(name) => {
                                    let mut made = Vec::new();
                                    self.refer(name, random, &mut made);
                                    word.extend(made.concat());
                                }
                            }
                        }
                        words.push(word);
                    }
                },
            }
        }
    }

    fn refer(&self, name: &str, random: &mut Random, words: &mut Vec<Vec<u8>>) {
        if let Some((kind, bound)) = name.split_once(':') {
            let bound: usize = bound.parse().unwrap_or_else(|_| panic!("no number in <{name}>"));
            words.push(built_in(kind, bound, random));
            return;
        }
        let alternatives = self.definitions.get(name).unwrap_or_else(|| panic!("<{name}> is not defined"));
        self.expand(&alternatives[random.below(alternatives.len())], random, words);
    }
}

fn built_in(kind: &str, bound: usize, random: &mut Random) -> Vec<u8> {
    let chosen = random.below(bound);
    match kind {
        "number" => chosen.to_string().into_bytes(),
        "letters" => (0..chosen).map(|_| b"abcd"[random.below(4_usize)]).collect(),
        "bytes" => (0..chosen).map(|_| random.next() as u8).collect(),
        "long" => vec![b'l'; chosen],
        "bits" => vec![[0x00, 0xFF][random.below(2_usize)]; chosen],
        other => panic!("<{other}> is not built in"),
    }
}

fn rule(words: &[&str]) -> Rule {
    let (weight, words) = match words[0].parse() {
        Ok(weight) => (weight, &words[1..]),
        Err(_) => (1, words),
    };
    let (compare, words) = match words.split_last() {
        Some((last, rest)) if last.starts_with('~') => (compare(last), rest),
        _ => (Compare::Exact, words),
    };
    Rule { weight, compare, words: sequence(words) }
}

fn compare(name: &str) -> Compare {
    match name {
        "~sorted" => Compare::Sorted,
        "~scan" => Compare::Scan,
        "~exists" => Compare::Exists,
        "~seconds" => Compare::Time { unit_ms: 1000 },
        "~milliseconds" => Compare::Time { unit_ms: 1 },
        "~times" => Compare::Times,
        "~any" => Compare::Any,
        other => panic!("{other} compares nothing"),
    }
}

fn sequence(words: &[&str]) -> Sequence {
    let mut parts = Vec::new();
    let mut rest = words;
    while let Some((word, behind)) = rest.split_first() {
        rest = behind;
        if *word == "[" {
            let end = rest.iter().position(|word| *word == "]").expect("a bracket is closed");
            parts.push(Part::Optional(sequence(&rest[..end])));
            rest = &rest[end + 1..];
        } else if let Some((reference, most)) = word.split_once(">*") {
            let name = reference.strip_prefix('<').expect("what is repeated is a reference");
            parts.push(Part::Repeated(name.to_owned(), most.parse().expect("a number of times")));
        } else {
            parts.push(Part::Word(word.split('|').map(pieces).collect()));
        }
    }
    parts
}

fn pieces(word: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = if word == "''" { "" } else { word };
    while let Some((before, behind)) = rest.split_once('<') {
        let (name, after) = behind.split_once('>').expect("a reference is closed");
        if !before.is_empty() {
            pieces.push(Piece::Literal(before.replace("\\s", " ")));
        }
        pieces.push(Piece::Reference(name.to_owned()));
        rest = after;
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Literal(rest.replace("\\s", " ")));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
        # Comments and empty lines are no rules.
        key = a | b:<number:3> | ''
        option = EX 10 | | NX

        3 SET <key> v<number:2> [ GET ]
        LPUSH|RPUSH <key> <key>*3 <option>
        KEYS * ~sorted
    ";

    #[test]
    fn every_rule_comes_and_makes_what_it_says() {
        let grammar = Grammar::read(TEXT);
        let mut random = Random::new(5);
        let lines: Vec<String> = (0..5000)
            .map(|_| {
                let step = grammar.step(&mut random);
                let words: Vec<_> =
                    step.words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
                assert_eq!(step.compare == Compare::Sorted, words[0] == "KEYS");
                words.join(" ")
            })
            .collect();
        for line in ["SET a v0", "SET b:2 v1 GET", "SET  v1", "RPUSH a a", "LPUSH b:0 a EX 10", "KEYS *"] {
            assert!(lines.iter().any(|made| made == line), "no {line:?}");
        }
    }

    #[test]
    #[should_panic(expected = "<nothing> is not defined")]
    fn a_name_that_is_not_defined_is_found_at_once() {
        Grammar::read("GET a\nGET <nothing>");
    }
}
