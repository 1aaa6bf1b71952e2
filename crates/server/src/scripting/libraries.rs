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
    let free = |libraries: &Libraries| match libraries.get(&name) {
        Some(_) if !replace => Err(format!("Library '{name}' already exists")),
        _ => Ok(()),
    };
    free(&server.scripts.libraries())?;
    threads::load_library(server, &source[header_bytes..], |registered| {
        let library = make(&name, source, header_bytes, registered)?;
        server.scripts.change_libraries(|libraries| {
            free(libraries)?;
            libraries.add(std::slice::from_ref(&library))
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
            let (is_wide, is_gone) = (AtomicBool::new(false), AtomicBool::new(false));
            Arc::new(Function { name, description, flags, is_wide, is_gone })
        })
        .collect();
    functions.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Arc::new(Library { name: name.to_owned(), source: source.into(), header_bytes, functions }))
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
        threads::load_library(server, &source[header_bytes..], |registered| {
            restored.add(&[make(&name, source, header_bytes, registered)?]).map(|()| None)
        })?;
    }
    server.scripts.change_libraries(|libraries| {
        let added: Vec<_> = restored.iter().cloned().collect();
        match policy {
            Policy::Flush => libraries.clear(),
            Policy::Append => {
                if let Some(library) = added.iter().find(|library| libraries.get(&library.name).is_some()) {
                    return Err(format!("Library {} already exists", library.name));
                }
            }
            Policy::Replace => {}
        }
        libraries.add(&added)
    })
}

/// FUNCTION DELETE; false when there is no such library.
pub fn delete(server: &Server, name: &str) -> bool {
    server.scripts.change_libraries(|libraries| libraries.remove(name).then_some(()).ok_or(())).is_ok()
}

/// FUNCTION FLUSH.
pub fn flush(server: &Server) {
    let emptied: Result<(), std::convert::Infallible> = server.scripts.change_libraries(|libraries| {
        libraries.clear();
        Ok(())
    });
    debug_assert!(emptied.is_ok(), "nothing is wrong with no libraries");
    server.scripts.function_flushes.fetch_add(1, Ordering::Release);
}

/// Sources of all libraries, in the order of their names.
pub fn sources(server: &Server) -> Vec<Arc<[u8]>> {
    server.scripts.libraries().iter().map(|library| Arc::clone(&library.source)).collect()
}
