//! See `roomcast_fuzz::packet`.
#![no_main]
roomcast_fuzz::target!(packet::packet);
