//! Documents over the application protocol and y-protocols, with browsers that behave as those of 0.6.41 do.

mod browser;
mod defects;
mod front_end;
mod mended;
mod protocol;
mod random;
mod rooms;
mod storing;
mod visits;
