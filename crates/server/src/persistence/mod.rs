//! The data outside of memory: values as payloads, and all of them in a file.
//!
//! - `value`: a value as the parts of RDB and back; a type has its lines there
//! - `stream`: streams, whose parts RDB has in another order
//! - `payload`: one value as DUMP gives it and RESTORE takes it
//! - `save`: all of them into the file, for SAVE, save points and the end of the server; `shutdown`: that end
//! - `load`: the file into memory, at the start and for DEBUG RELOAD
//! - `source`: where a file takes the data from; `background`: who writes files while the data goes on changing
//! - `replicate`: the stream for followers, its thread, and the data that they are sent
//! - `append`: the append-only log, its thread and its bases; `replay`: the log into memory

pub mod append;
pub mod background;
pub mod load;
pub mod payload;
pub mod replay;
pub mod replicate;
pub mod save;
pub mod shutdown;
mod source;
mod stream;
pub mod transfer;
pub mod value;
