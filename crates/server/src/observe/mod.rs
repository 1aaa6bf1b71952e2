//! What is counted, timed and logged, and how an operator reads it.

pub mod histogram;
pub mod latency;
pub mod logging;
pub mod monitor;
pub mod rates;
pub mod slowlog;
pub mod stats;
pub mod supervision;
