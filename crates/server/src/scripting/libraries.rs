//! Libraries of functions: loaded from their sources, joined with those that there are, written and read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use swytch_script::Registered;
use swytch_script::header::{BAD_NAME, Header, is_name};

use super::threads;
use crate::server::Server;
use crate::server::scripts::{Function, Libraries, Library};

/// FUNCTION LOAD: the library's name. One of that name makes way only if it is to be replaced.
///
/// # Errors
/// Why it was not loaded, in Redis's words. Nothing has changed.
pub fn load(server: &Server, source: &[u8], replace: bool) -> Result<String, String> {
    let (name, header_bytes) = read_header(source)?;
    let existing = || server.scripts.libraries().get(&name).cloned();
    if !replace && existing().is_some() {
        return Err(format!("Library '{name}' already exists"));
    }
    threads::load_library(server, &source[header_bytes..], |registered| {
        let library = make(&name, source, header_bytes, registered)?;
        server.scripts.change_libraries(|libraries| {
            if !replace && libraries.get(&name).is_some() {
                return Err(format!("Library '{name}' already exists"));
            }
            libraries.remove(&name);
            add(libraries, &library)
        })?;
        Ok(Some(library))
    })?;
    Ok(name)
}

/// The name of a library, and the bytes of its header.
fn read_header(source: &[u8]) -> Result<(String, usize), String> {
    let (engine, name, header_bytes) = Header::of_library(source)?;
    if !is_name(name.as_bytes()) {
        return Err(BAD_NAME.to_owned());
    }
    if !engine.eq_ignore_ascii_case("lua") {
        return Err(format!("Engine '{engine}' not found"));
    }
    Ok((name, header_bytes))
}

fn make(
    name: &str,
    source: &[u8],
    header_bytes: usize,
    registered: Vec<Registered>,
) -> Result<Arc<Library>, String> {
    if registered.is_empty() {
        return Err("No functions registered".to_owned());
    }
    let mut functions: Vec<_> = registered
        .into_iter()
        .map(|Registered { name, description, flags }| {
            Arc::new(Function { name, description, flags, is_wide: AtomicBool::new(false) })
        })
        .collect();
    functions.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Arc::new(Library { name: name.to_owned(), source: source.into(), header_bytes, functions }))
}

/// Adds a library whose name is free, if those of its functions are.
fn add(libraries: &mut Libraries, library: &Arc<Library>) -> Result<(), String> {
    let is_taken = |function: &&Arc<Function>| libraries.function(function.name.as_bytes()).is_some();
    if let Some(function) = library.functions.iter().find(is_taken) {
        return Err(format!("Function {} already exists", function.name));
    }
    libraries.insert(Arc::clone(library));
    Ok(())
}

/// What becomes of libraries that are there when others are restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// They go.
    Flush,
    /// They stay, and none may have the name of one that is restored.
    Append,
    /// They stay, unless one of their name is restored.
    Replace,
}

/// Takes libraries from their sources.
///
/// # Errors
/// Why they were not taken. Nothing has changed.
pub fn restore(server: &Server, sources: &[Vec<u8>], policy: Policy) -> Result<(), String> {
    let mut restored = Libraries::default();
    for source in sources {
        let (name, header_bytes) = read_header(source)?;
        if restored.get(&name).is_some() {
            return Err(format!("Library '{name}' already exists"));
        }
        let mut made = None;
        threads::load_library(server, &source[header_bytes..], |registered| {
            made = Some(make(&name, source, header_bytes, registered)?);
            Ok(None)
        })?;
        if let Some(library) = made {
            add(&mut restored, &library)?;
        }
    }
    server.scripts.change_libraries(|libraries| {
        if policy == Policy::Flush {
            *libraries = restored;
            return Ok(());
        }
        for library in restored.iter() {
            if libraries.get(&library.name).is_none() {
                continue;
            }
            if policy == Policy::Append {
                return Err(format!("Library {} already exists", library.name));
            }
            libraries.remove(&library.name);
        }
        restored.iter().try_for_each(|library| add(libraries, library))
    })
}

/// FUNCTION DELETE; false when there is no such library.
pub fn delete(server: &Server, name: &str) -> bool {
    server.scripts.change_libraries(|libraries| libraries.remove(name).then_some(()).ok_or(())).is_ok()
}

/// FUNCTION FLUSH.
pub fn flush(server: &Server) {
    let emptied: Result<(), std::convert::Infallible> = server.scripts.change_libraries(|libraries| {
        *libraries = Libraries::default();
        Ok(())
    });
    debug_assert!(emptied.is_ok(), "nothing is wrong with no libraries");
    server.scripts.function_flushes.fetch_add(1, Ordering::Release);
}

/// Sources of all libraries, in the order of their names.
pub fn sources(server: &Server) -> Vec<Arc<[u8]>> {
    server.scripts.libraries().iter().map(|library| Arc::clone(&library.source)).collect()
}
