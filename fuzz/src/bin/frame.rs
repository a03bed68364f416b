//! See `roomcast_fuzz::frame`.
#![no_main]
roomcast_fuzz::target!(frame::frame);
