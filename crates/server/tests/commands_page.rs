//! `docs/commands.md`: one row for each command of Redis and Valkey, generated from the declarations of our commands.
//!
//! A command's row comes from its declaration: whoever adds one runs `UPDATE=1 cargo test -p swytch --test commands_page`
//! and finds the row changed. The names that peers have are kept in `peer_commands.tsv`, which the same command renews
//! where the peers were built; without them the list is taken as it is.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use swytch::command::{CommandTable, Handler};
use swytch_testkit::{Program, Reply};

/// What is above the table.
const HEAD: &str = "\
# Commands

Every command of Redis 8.6.3 (without modules and vector sets) and of Valkey 9.1.2, and what swytch does with it.
Generated from the declarations in `crates/server/src/commands/`; `UPDATE=1 cargo test -p swytch --test commands_page`
writes it anew, and the same test without `UPDATE` fails where it is not what they say.

- *works*: as in Redis 8.6, but for what the last column names.
- *not yet*: answers Redis's `ERR unknown command`.
- *refused*: answers the same error and will, for the reason given.
- *since*: the version that brought the command; `V` stands for Valkey, where only that has it.

";

/// Commands that swytch does not mean to have, and why: the end of the name is open.
const REFUSED: &[(&str, &str)] = &[
    ("module|load", "Modules are compiled against the inside of Redis."),
    ("module|unload", "Modules are compiled against the inside of Redis."),
    ("cluster|addslots", SLOTS),
    ("cluster|bumpepoch", SLOTS),
    ("cluster|cancelslotmigrations", SLOTS),
    ("cluster|delslots", SLOTS),
    ("cluster|failover", "No node is a primary that another could take over from."),
    ("cluster|flushslot", SLOTS),
    ("cluster|getslotmigrations", SLOTS),
    ("cluster|migrat", SLOTS),
    ("cluster|replicate", "No node is a primary that another could replicate."),
    ("cluster|set-config-epoch", SLOTS),
    ("cluster|setslot", SLOTS),
    ("cluster|syncslots", SLOTS),
    ("trimslots", SLOTS),
];
const SLOTS: &str = "No node owns slots: every node answers for all of them.";

/// A command as peers have it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Listed {
    group: String,
    /// Since which version, of Redis and of Valkey.
    since: [Option<String>; 2],
}

#[test]
fn the_page_is_what_the_declarations_say() {
    let mut listed =
        read_list(&std::fs::read_to_string(path("src/command/peer_commands.tsv")).expect("the list"));
    if let Some(told) = told_by_peers() {
        if updating() {
            let text = std::fs::read_to_string(path("src/command/peer_commands.tsv")).expect("the list");
            let head: String =
                text.lines().take_while(|line| line.starts_with('#')).map(|l| l.to_owned() + "\n").collect();
            std::fs::write(path("src/command/peer_commands.tsv"), head + &write_list(&told))
                .expect("it is writable");
            listed = told;
        } else {
            assert_eq!(listed, told, "the peers have other commands; UPDATE=1 renews the list");
        }
    }
    let page = page(&listed);
    let file = path("../../docs/commands.md");
    if updating() {
        std::fs::write(&file, &page).expect("it is writable");
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = page.lines().zip(found.lines()).find(|(wanted, found)| wanted != found);
    assert!(found == page, "docs/commands.md is old, UPDATE=1 writes it; the first difference: {differs:?}");
}

fn updating() -> bool {
    std::env::var_os("UPDATE").is_some()
}

fn path(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

fn page(listed: &BTreeMap<String, Listed>) -> String {
    let table = CommandTable::new(swytch::commands::SPECS, &[]).expect("names of one command each");
    let mut groups: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let (mut works, mut refused) = (0, 0);
    for (name, peer) in listed {
        let ours = table.find_full(name.as_bytes());
        let refusal = REFUSED.iter().find(|(start, _)| name.starts_with(start));
        let (state, note) = match (ours, refusal) {
            (Some(command), None) => {
                works += 1;
                ("works", note(command.spec.differs, matches!(command.spec.handler, Handler::Container)))
            }
            (None, Some((_, why))) => {
                refused += 1;
                ("refused", (*why).to_owned())
            }
            (None, None) => ("not yet", String::new()),
            (Some(_), Some(_)) => panic!("{name} is there and refused"),
        };
        let since = match &peer.since {
            [Some(redis), _] => redis.clone(),
            [None, Some(valkey)] => format!("V {valkey}"),
            [None, None] => panic!("nobody has {name}"),
        };
        let shown = name.replace('|', " ").to_uppercase();
        groups.entry(&peer.group).or_default().push(format!("| {shown} | {state} | {since} | {note} |"));
    }
    let own: Vec<String> = table
        .iter_all()
        .filter(|command| !listed.contains_key(command.full_name.as_str()))
        .map(|command| {
            let shown = command.full_name.replace('|', " ").to_uppercase();
            format!("| {shown} | {} | {} |", command.spec.summary, command.spec.differs)
        })
        .collect();
    let mut text = HEAD.to_owned();
    let open = listed.len() - works - refused;
    writeln!(text, "Of {} names {works} work, {open} do not yet, {refused} are refused.", listed.len())
        .expect("a string takes every write");
    for (group, rows) in groups {
        write!(
            text,
            "\n## {group}\n\n| command | state | since | deviations |\n|---|---|---|---|\n{}\n",
            rows.join("\n")
        )
        .expect("a string takes every write");
    }
    let own = own.join("\n");
    write!(
        text,
        "\n## of neither\n\n| command | what it does | where it comes from |\n|---|---|---|\n{own}\n"
    )
    .expect("a string takes every write");
    text
}

fn note(differs: &str, container: bool) -> String {
    if container && differs.is_empty() { "a container".to_owned() } else { differs.to_owned() }
}

fn read_list(text: &str) -> BTreeMap<String, Listed> {
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let columns: Vec<&str> = row.split('\t').collect();
        let [name, group, redis, valkey] = columns[..] else { panic!("four columns: {row}") };
        let since = [redis, valkey].map(|version| (version != "-").then(|| version.to_owned()));
        (name.to_owned(), Listed { group: group.to_owned(), since })
    })
    .collect()
}

fn write_list(listed: &BTreeMap<String, Listed>) -> String {
    let row = |(name, command): (&String, &Listed)| {
        let [redis, valkey] = command.since.each_ref().map(|version| version.as_deref().unwrap_or("-"));
        format!("{name}\t{}\t{redis}\t{valkey}\n", command.group)
    };
    listed.iter().map(row).collect()
}

/// The commands of both peers; none unless both were built.
fn told_by_peers() -> Option<BTreeMap<String, Listed>> {
    let peers = Program::peers();
    let [redis, valkey] = &peers[..] else { return None };
    let mut all = BTreeMap::new();
    for (at, peer) in [redis, valkey].into_iter().enumerate() {
        let mut server = peer.start("names", "");
        let documented = server.say("COMMAND DOCS");
        gather(&documented, at, &mut all);
    }
    Some(all)
}

/// Enters the commands of a COMMAND DOCS map, and their subcommands.
fn gather(documented: &Reply, at: usize, all: &mut BTreeMap<String, Listed>) {
    for pair in documented.elements().chunks_exact(2) {
        let name = pair[0].text().to_lowercase();
        let fields = pair[1].elements();
        let field = |wanted: &str| {
            fields.chunks_exact(2).find(|field| field[0] == Reply::bulk(wanted)).map(|field| &field[1])
        };
        let text = |wanted: &str| field(wanted).map(Reply::text).unwrap_or_default();
        if text("group") == "module" {
            continue;
        }
        let entry = all.entry(name).or_insert_with(|| Listed { group: text("group"), since: [None, None] });
        entry.since[at] = Some(text("since"));
        if let Some(subcommands) = field("subcommands") {
            gather(subcommands, at, all);
        }
    }
}
