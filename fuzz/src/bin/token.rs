//! See `roomcast_fuzz::token`.
#![no_main]
roomcast_fuzz::target!(token::token);
