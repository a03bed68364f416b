//! See `roomcast_fuzz::yjs`.
#![no_main]
roomcast_fuzz::target!(yjs::yjs_awareness);
