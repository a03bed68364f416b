//! See `roomcast_fuzz::slab`.
#![no_main]
roomcast_fuzz::target!(slab::slab);
