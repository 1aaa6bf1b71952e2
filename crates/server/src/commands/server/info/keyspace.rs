//! Sections Keyspace and Keysizes.

use swytch_store::{Figures, Keyspace, Type};

use super::text::Text;
use crate::command::ShardSteps;
use crate::command::prelude::*;

pub(super) fn keyspace(text: &mut Text, call: &Call<'_>, steps: &mut ShardSteps<'_>) {
    text.section("Keyspace");
    for (db, figures) in databases(call, steps) {
        let (keys, expiring, subexpiry) = (figures.keys, figures.expiring, figures.with_expiring_parts);
        let average_ms = figures.time_to_live_ms(call.now_ms);
        text.field(
            &format!("db{db}"),
            format_args!("keys={keys},expires={expiring},avg_ttl={average_ms},subexpiry={subexpiry}"),
        );
    }
}

/// How many strings have so many bytes, and collections so many elements, up to twice as many.
pub(super) fn keysizes(text: &mut Text, call: &Call<'_>, steps: &mut ShardSteps<'_>) {
    text.section("Keysizes");
    for (db, figures) in databases(call, steps) {
        for data_type in Type::ALL {
            let classes: Vec<String> = figures
                .lengths
                .of(*data_type)
                .map(|(len, count)| format!("{}={count}", power_of_two(len)))
                .collect();
            if !classes.is_empty() {
                let what = if *data_type == Type::String { "sizes" } else { "items" };
                let name = format!("db{db}_distrib_{}_{what}", data_type.plural());
                text.field(&name, classes.join(","));
            }
        }
    }
}

/// What is known of the databases that have keys.
fn databases(call: &Call<'_>, steps: &mut ShardSteps<'_>) -> impl Iterator<Item = (usize, Figures)> {
    let mut databases = vec![Figures::default(); call.server.shards.databases()];
    for shard in 0..call.server.shards.count() as u16 {
        steps.with_shard(shard, &mut |keyspace: &Keyspace<'_>| {
            for (db, figures) in databases.iter_mut().enumerate() {
                keyspace.add_to(figures, shard, db as u32);
            }
        });
    }
    databases.into_iter().enumerate().filter(|(_, figures)| figures.keys > 0)
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
