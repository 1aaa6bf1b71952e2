//! swytch-cluster.
