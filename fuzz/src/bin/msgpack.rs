//! See `roomcast_fuzz::msgpack`.
#![no_main]
roomcast_fuzz::target!(msgpack::msgpack);
