//! The floors of the server: a module imports only from lower ones.
//!
//! `crates/server/floors.txt` lists the rooms, lowest first. The imports of every file are read from its `use` items
//! and its paths; what a module re-exports counts as an import of the file that defines it, so that a room cannot hide
//! behind another. Tests may look anywhere. `cargo xtask floors` prints what it sees.
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemUse, UseTree, Visibility};

use crate::workspace;

/// The crate that has floors.
const CRATE: &str = "crates/server";
/// Most files that may import one another in a circle.
const CIRCLE_FILES_MAX: usize = 4;
/// Re-exports of re-exports that are followed.
const HOPS_MAX: usize = 8;

/// A module by its names from the crate's root on; the root has none.
type Module = Vec<String>;
/// Who imports whom.
type Imports = BTreeMap<Module, BTreeSet<Module>>;

/// What there is to say about the crate's imports.
#[derive(Debug)]
pub(crate) struct Survey {
    /// Modules, one per file.
    pub(crate) modules: usize,
    /// Files that import one another in a circle, the largest circle first.
    pub(crate) circles: Vec<Vec<String>>,
    /// Each import that goes up or sideways, in words.
    pub(crate) faults: Vec<String>,
}

/// Reads the crate and its list of floors.
///
/// # Errors
/// When a file cannot be read or parsed, or a room has no floor.
pub(crate) fn survey() -> Result<Survey> {
    let root = workspace::root().join(CRATE);
    let plan = Plan::parse(&fs::read_to_string(root.join("floors.txt")).context("reading floors.txt")?);
    let files = read_modules(&root.join("src"))?;
    let imports = imports_of(&files);
    let mut faults = plan.faults(&imports);
    faults.extend(
        files.keys().filter(|module| plan.floor_of(module).is_none()).map(|module| {
            format!("{} stands on no floor: floors.txt does not name its room", name_of(module))
        }),
    );
    let circles = circles(&imports);
    faults.extend(circles.iter().filter(|circle| circle.len() > CIRCLE_FILES_MAX).map(|circle| {
        format!("{} files import one another in a circle: {}", circle.len(), circle.join(", "))
    }));
    Ok(Survey { modules: files.len(), circles, faults })
}

/// The rooms with their floors, from the lowest on; a room is a module with all below it.
struct Plan(Vec<(Module, usize)>);

impl Plan {
    /// One floor per line: its rooms, separated by blanks; `#` begins a remark.
    fn parse(text: &str) -> Plan {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
        let floors = lines.filter(|line| !line.trim().is_empty()).enumerate();
        let rooms = floors.flat_map(|(floor, line)| {
            line.split_whitespace().map(move |room| (room.split("::").map(str::to_owned).collect(), floor))
        });
        Plan(rooms.collect())
    }

    /// The room of a module, the innermost that is named, and its floor.
    fn room_of(&self, module: &[String]) -> Option<&(Module, usize)> {
        let fitting = self.0.iter().filter(|(room, _)| module.starts_with(room));
        fitting.max_by_key(|(room, _)| room.len())
    }

    fn floor_of(&self, module: &[String]) -> Option<usize> {
        if module.is_empty() { Some(usize::MAX) } else { self.room_of(module).map(|(_, floor)| *floor) }
    }

    fn faults(&self, imports: &Imports) -> Vec<String> {
        let mut faults = Vec::new();
        for (from, targets) in imports.iter().filter(|(from, _)| !from.is_empty()) {
            for to in targets {
                let (Some((own, floor)), Some((other, other_floor))) = (self.room_of(from), self.room_of(to))
                else {
                    continue;
                };
                if own != other && other_floor >= floor {
                    let way = if other_floor > floor { "up" } else { "sideways" };
                    faults.push(format!("{} imports {way} from {}", name_of(from), name_of(to)));
                }
            }
        }
        faults
    }
}

/// What one file imports, as written, and what it offers under other names.
#[derive(Default)]
struct Paths {
    used: Vec<Module>,
    /// Name to path, for `pub use`.
    offered: BTreeMap<String, Module>,
}

impl Paths {
    fn of(file: &syn::File) -> Paths {
        let mut paths = Paths::default();
        paths.visit_file(file);
        paths
    }

    fn take(&mut self, tree: &UseTree, before: &[String], offers: bool) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.take(&path.tree, &with(&path.ident), offers),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.take(item, before, offers)),
            UseTree::Glob(_) => self.used.push(before.to_vec()),
            UseTree::Name(name) => self.take_name(with(&name.ident), &name.ident.to_string(), offers),
            UseTree::Rename(name) => self.take_name(with(&name.ident), &name.rename.to_string(), offers),
        }
    }

    fn take_name(&mut self, path: Module, name: &str, offers: bool) {
        if offers {
            self.offered.insert(name.to_owned(), path);
        } else {
            self.used.push(path);
        }
    }
}

impl<'file> Visit<'file> for Paths {
    fn visit_item(&mut self, item: &'file Item) {
        let attributes: &[Attribute] = match item {
            Item::Mod(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => &[],
        };
        if !attributes.iter().any(is_for_tests) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'file ItemUse) {
        self.take(&item.tree, &[], !matches!(item.vis, Visibility::Inherited));
    }

    fn visit_path(&mut self, path: &'file syn::Path) {
        let names: Module = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if names.len() > 1 && matches!(names[0].as_str(), "crate" | "super" | "self") {
            self.used.push(names);
        }
        visit::visit_path(self, path);
    }
}

fn is_for_tests(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.parse_args::<syn::Ident>().is_ok_and(|condition| condition == "test")
}

/// Every file below `src`, by its module; files of tests are left out.
fn read_modules(src: &Path) -> Result<BTreeMap<Module, Paths>> {
    let mut modules = BTreeMap::new();
    let mut folders = vec![src.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let below = path.strip_prefix(src)?.with_extension("");
            let mut module: Module = below.iter().map(|name| name.to_string_lossy().into_owned()).collect();
            let is_test = |name: &String| name == "tests" || name.ends_with("_tests");
            if path.extension().is_none_or(|end| end != "rs") || module.iter().any(is_test) {
                continue;
            }
            module.pop_if(|name| name == "mod");
            if module == ["lib"] || module == ["main"] {
                continue;
            }
            let text = fs::read_to_string(&path)?;
            let file = syn::parse_file(&text).with_context(|| format!("parsing {}", path.display()))?;
            modules.insert(module, Paths::of(&file));
        }
    }
    Ok(modules)
}

fn imports_of(files: &BTreeMap<Module, Paths>) -> Imports {
    let mut imports = Imports::new();
    for (module, paths) in files {
        // What a module offers of its own children is no import: it is their door.
        let offered = paths
            .offered
            .values()
            .filter(|path| absolute(files, module, path).is_some_and(|target| !target.starts_with(module)));
        for path in paths.used.iter().chain(offered) {
            let target = absolute(files, module, path).and_then(|target| resolve(files, target));
            if let Some(target) = target.filter(|target| target != module) {
                imports.entry(module.clone()).or_default().insert(target);
            }
        }
    }
    imports
}

/// A path as seen from the crate's root; `None` for one into another crate.
fn absolute(files: &BTreeMap<Module, Paths>, from: &[String], path: &[String]) -> Option<Module> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([from, rest].concat()),
        "super" => {
            let ups = path.iter().take_while(|name| *name == "super").count();
            Some([&from[..from.len().checked_sub(ups)?], &path[ups..]].concat())
        }
        _ => {
            let child = [from, std::slice::from_ref(first)].concat();
            files.contains_key(&child).then(|| [from, path].concat())
        }
    }
}

/// The file that defines what a path names.
fn resolve(files: &BTreeMap<Module, Paths>, mut path: Module) -> Option<Module> {
    for _ in 0..HOPS_MAX {
        let len = (0..=path.len()).rev().find(|len| files.contains_key(&path[..*len]))?;
        let (module, rest) = path.split_at(len);
        let next = rest.first().and_then(|name| files[module].offered.get(name));
        match next.and_then(|next| absolute(files, module, next)) {
            Some(next) => path = [next, rest[1..].to_vec()].concat(),
            None => return Some(module.to_vec()),
        }
    }
    None
}

/// Groups of modules that reach one another, the largest first (by the transitive closure: there are few modules).
fn circles(imports: &Imports) -> Vec<Vec<String>> {
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        imports.keys().map(|module| (module, reachable(imports, module))).collect();
    let mut circles: Vec<Vec<String>> = Vec::new();
    let mut seen = BTreeSet::new();
    for (module, all) in &reached {
        if !all.contains(*module) || !seen.insert(*module) {
            continue;
        }
        let back = |other: &&&Module| reached.get(*other).is_some_and(|from| from.contains(*module));
        let circle: Vec<&Module> = all.iter().filter(back).copied().collect();
        seen.extend(&circle);
        circles.push(circle.into_iter().map(|module| name_of(module)).collect());
    }
    circles.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
    circles
}

fn reachable<'graph>(imports: &'graph Imports, from: &Module) -> BTreeSet<&'graph Module> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&Module> = imports.get(from).into_iter().flatten().collect();
    while let Some(module) = open.pop() {
        if reached.insert(module) {
            open.extend(imports.get(module).into_iter().flatten());
        }
    }
    reached
}

fn name_of(module: &[String]) -> String {
    module.join("::")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(texts: &[(&str, &str)]) -> BTreeMap<Module, Paths> {
        let parsed = texts.iter().map(|(name, text)| {
            let module = name.split("::").map(str::to_owned).collect();
            (module, Paths::of(&syn::parse_file(text).expect("the text is Rust")))
        });
        parsed.collect()
    }

    fn faults(texts: &[(&str, &str)]) -> Vec<String> {
        Plan::parse("low\nmiddle left # two rooms\nhigh").faults(&imports_of(&files(texts)))
    }

    #[test]
    fn an_import_from_below_is_none_and_from_above_is_one() {
        assert!(faults(&[("low", ""), ("high", "use crate::low::Thing;")]).is_empty());
        let up = faults(&[("low", "fn f() { crate::high::g(); }"), ("high", "")]);
        assert_eq!(up, ["low imports up from high"]);
        let sideways = faults(&[("left", ""), ("middle", "use crate::{left::{self, A}};")]);
        assert_eq!(sideways, ["middle imports sideways from left"]);
    }

    #[test]
    fn a_name_that_is_passed_on_is_followed_to_its_file() {
        let seen = faults(&[
            ("high", "pub use part::Thing;"),
            ("high::part", ""),
            ("low", "pub use crate::high::Thing as Other;"),
        ]);
        assert_eq!(seen, ["low imports up from high::part"]);
    }

    #[test]
    fn tests_may_look_anywhere() {
        let text = "#[cfg(test)] mod tests { use crate::high::Thing; }";
        assert!(faults(&[("low", text), ("high", "")]).is_empty());
    }

    #[test]
    fn circles_are_found() {
        let files = files(&[
            ("a", "use crate::b::B; use crate::d::D;"),
            ("b", "use super::c::C;"),
            ("c", "use crate::a::A;"),
            ("d", ""),
        ]);
        assert_eq!(circles(&imports_of(&files)), [["a", "b", "c"]]);
    }
}
