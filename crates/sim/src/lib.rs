//! swytch-sim.
