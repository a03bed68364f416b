//! Documents over the application protocol and y-protocols, with browsers that behave as those of 0.6.41 do, and in
//! `newer*` as those of 0.12.

mod browser;
mod defects;
mod front_end;
mod mended;
mod newer;
mod newer_editor;
mod newer_random;
mod protocol;
mod random;
mod rooms;
mod storing;
mod visits;
