//! What is counted, timed and logged, and how an operator reads it.

pub mod command_log;
pub mod histogram;
pub mod hot_keys;
pub mod latency;
pub mod logging;
pub mod monitor;
pub mod rates;
pub mod slot_stats;
pub mod stats;
pub mod supervision;
pub mod traces;
