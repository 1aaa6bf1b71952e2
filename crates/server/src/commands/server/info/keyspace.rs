//! Sections Keyspace and Keysizes.

use swytch_store::{Figures, Lengths, Type};

use super::{Facts, Visitor};

pub(super) fn keyspace(info: &mut dyn Visitor, facts: &Facts<'_>) {
    info.section("Keyspace");
    for (db, figures) in databases(facts) {
        info.record(
            &format!("db{db}"),
            &[
                ("keys", &figures.keys),
                ("expires", &figures.expiring),
                ("avg_ttl", &figures.time_to_live_ms(facts.now_ms)),
                ("subexpiry", &figures.with_expiring_parts),
            ],
        );
    }
}

/// Types in Redis's order, which knows no lengths of streams.
const IN_ORDER: [Type; 6] = [Type::String, Type::List, Type::Set, Type::SortedSet, Type::Hash, Type::Stream];

/// How many strings have so many bytes, and collections so many elements, up to twice as many; and how many collections take so
/// much memory, where that is known.
pub(super) fn keysizes(info: &mut dyn Visitor, facts: &Facts<'_>) {
    info.section("Keysizes");
    for (db, figures) in databases(facts) {
        for data_type in IN_ORDER {
            let is_text = data_type == Type::String;
            let items = if is_text { "sizes" } else { "items" };
            distribution(info, db, data_type, items, &figures.lengths);
            if let Some(memory) = facts.memory.get(db).filter(|_| !is_text) {
                distribution(info, db, data_type, "sizes", memory);
            }
        }
    }
}

fn distribution(info: &mut dyn Visitor, db: usize, data_type: Type, what: &str, lengths: &Lengths) {
    let classes: Vec<String> =
        lengths.of(data_type).map(|(len, count)| format!("{}={count}", power_of_two(len))).collect();
    if !classes.is_empty() {
        info.field(&format!("db{db}_distrib_{}_{what}", data_type.plural()), &classes.join(","));
    }
}

/// What is known of the databases that have keys.
fn databases<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = (usize, &'a Figures)> {
    let databases = facts.totals.iter().flat_map(|totals| &totals.databases);
    databases.enumerate().filter(|(_, figures)| figures.keys > 0)
}

/// A power of two in the unit that makes it smallest: 4096 is `4K`.
fn power_of_two(mut number: u64) -> String {
    let mut units = ["", "K", "M", "G", "T", "P", "E"].into_iter();
    let mut unit = units.next();
    while number >= 1024 {
        number /= 1024;
        unit = units.next();
    }
    format!("{number}{}", unit.unwrap_or_default())
}
