//! See `roomcast_fuzz::session`.
#![no_main]
roomcast_fuzz::target!(session::session);
