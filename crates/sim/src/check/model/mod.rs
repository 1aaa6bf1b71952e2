//! Sequential meanings of the types that clients use, for the linearizability checker.
//!
//! Each type models one key. [`Keyed`] puts many independent keys into one history (and is divided by key);
//! [`Transactions`] lets one operation touch several keys atomically (and cannot be divided).

mod counter;
mod keyed;
mod list;
mod pair;
mod register;
mod set;

pub use counter::{Counter, CounterInput, CounterOutput};
pub use keyed::{Keyed, TransactionOutput, Transactions};
pub use list::{List, ListInput, ListOutput, Side};
pub use pair::{Pair, PairInput};
pub use register::{Register, RegisterInput, RegisterOutput};
pub use set::{Set, SetInput, SetOutput};
