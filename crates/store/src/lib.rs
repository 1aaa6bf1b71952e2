//! swytch-store.
