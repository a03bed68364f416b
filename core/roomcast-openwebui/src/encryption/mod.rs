//! Conversations of encrypted channels: who takes part, and which packets each of them gets. The packets are the members' own:
//! they are passed on as they come, and never stored, looked into or logged.
//!
//! Owns: the parts below. Must never know: a socket's rooms, where a conversation is stored.
//!
//! | file | what |
//! |---|---|
//! | `payload` | what members say, and its bounds |
//! | `talk` | a conversation as it is stored |
//! | `talk_rules` | what members do to it, and what follows |
//! | `talk_queue` | what is under way about each, one thing at a time, and which sockets of this node take part |

mod payload;
mod talk;
mod talk_queue;
mod talk_rules;

pub(crate) use self::payload::{ConversationCall, TalkAction, is_encryption_event};
pub(crate) use self::talk::EncryptedTalk;
pub(crate) use self::talk_queue::{TalkJob, TalkPhase, TalkQueues};
pub(crate) use self::talk_rules::{TalkEvent, TalkMoment, TalkOutcome, close, depart, ended_here, prune, take_call};
