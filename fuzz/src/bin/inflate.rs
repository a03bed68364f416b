//! See `roomcast_fuzz::inflate`.
#![no_main]
roomcast_fuzz::target!(inflate::inflate);
