//! See `roomcast_fuzz::payload`.
#![no_main]
roomcast_fuzz::target!(payload::payload);
