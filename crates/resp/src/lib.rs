//! swytch-resp.
