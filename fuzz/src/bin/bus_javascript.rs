//! See `roomcast_fuzz::bus`.
#![no_main]
roomcast_fuzz::target!(bus::bus_javascript);
