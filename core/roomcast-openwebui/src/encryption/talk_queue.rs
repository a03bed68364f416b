//! What is under way about the conversations of encrypted channels.
//!
//! Owns: that one thing at a time is done about each channel, in which order, which sockets of this node take part where,
//! and when these conversations are looked at by themselves. Must never know: what is done.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytestring::ByteString;

use super::payload::{ConversationCall, TalkAction};
use super::talk::EncryptedTalk;
use super::talk_rules::{TalkEvent, TalkPlace};
use roomcast_core::server::SocketId;
use roomcast_core::socket_io::Args;
use roomcast_core::time::Instant;

/// Something to be done about a conversation.
#[derive(Debug)]
pub(crate) enum TalkJob {
    /// A member calls.
    Call { socket: SocketId, action: TalkAction, call: Box<ConversationCall>, bytes: u64 },
    /// The socket with this Socket.IO id is gone.
    Depart(String),
    /// Nothing has happened for a while.
    Sweep,
    /// The channel has changed: its conversation ends.
    End,
}

/// How far a job is.
#[derive(Debug)]
pub(crate) enum TalkPhase {
    /// The conversation has been asked for.
    Begin,
    /// The conversation is locked, and it has been asked who may take part.
    Judge { lock: u64, talk: Option<EncryptedTalk> },
    /// The result is being stored; then these are told, and the caller gets its ack.
    Store { events: Vec<TalkEvent>, ack: Option<Args> },
}

/// A job that has begun.
#[derive(Debug)]
pub(crate) struct TalkUnderWay {
    pub(crate) job: TalkJob,
    pub(crate) phase: TalkPhase,
}

/// The jobs of all channels, and the members of this node.
#[derive(Debug)]
pub(crate) struct TalkQueues {
    interval: Duration,
    channels: BTreeMap<ByteString, TalkLine>,
    /// Which conversation each socket takes part in, as far as this node knows.
    places: BTreeMap<SocketId, ByteString>,
    sweep_at: Option<Instant>,
    /// Channels in which a job has come to wait.
    touched: VecDeque<ByteString>,
}

#[derive(Debug, Default)]
struct TalkLine {
    open: Option<TalkUnderWay>,
    waiting: VecDeque<TalkJob>,
}

impl TalkQueues {
    /// `interval`: time between two looks at conversations in which sockets of this node take part.
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, channels: BTreeMap::new(), places: BTreeMap::new(), sweep_at: None, touched: VecDeque::new() }
    }

    /// A job comes behind those of its channel.
    pub(crate) fn push(&mut self, channel: &ByteString, job: TalkJob) {
        self.channels.entry(channel.clone()).or_default().waiting.push_back(job);
        self.touched.push_back(channel.clone());
    }

    /// A channel in which a job has come to wait.
    pub(crate) fn poll_channel(&mut self) -> Option<ByteString> {
        self.touched.pop_front()
    }

    /// The next job of a channel, which is under way from now on; `None` while one is.
    pub(crate) fn begin(&mut self, channel: &ByteString) -> Option<&TalkJob> {
        let line = self.channels.get_mut(channel)?;
        if line.open.is_none() && line.waiting.is_empty() {
            self.channels.remove(channel);
            return None;
        }
        let line = self.channels.get_mut(channel).filter(|line| line.open.is_none())?;
        let job = line.waiting.pop_front()?;
        Some(&line.open.insert(TalkUnderWay { job, phase: TalkPhase::Begin }).job)
    }

    /// The job of a channel that is under way, which is to go on or is done.
    pub(crate) fn take(&mut self, channel: &ByteString) -> Option<TalkUnderWay> {
        self.channels.get_mut(channel)?.open.take()
    }

    /// A job that was taken is under way again, waiting for its next answer.
    pub(crate) fn go_on(&mut self, channel: &ByteString, job: TalkJob, phase: TalkPhase) {
        self.channels.entry(channel.clone()).or_default().open = Some(TalkUnderWay { job, phase });
    }

    /// Whether a socket takes part in a channel's conversation.
    pub(crate) fn takes_part(&self, socket: SocketId, channel: &str) -> bool {
        self.place(socket, channel) == TalkPlace::Here
    }

    /// Where a socket takes part, seen from a channel.
    pub(crate) fn place(&self, socket: SocketId, channel: &str) -> TalkPlace {
        match self.places.get(&socket) {
            None => TalkPlace::Nowhere,
            Some(other) if **other == *channel => TalkPlace::Here,
            Some(_) => TalkPlace::Elsewhere,
        }
    }

    /// A socket takes part now.
    pub(crate) fn enter(&mut self, socket: SocketId, channel: &ByteString, now: Instant) {
        self.places.insert(socket, channel.clone());
        self.sweep_at.get_or_insert(now + self.interval);
    }

    /// A socket takes part no more, or is gone: in which conversation it was.
    pub(crate) fn leave(&mut self, socket: SocketId) -> Option<ByteString> {
        self.places.remove(&socket)
    }

    /// The sockets of this node in a channel's conversation, which take part no more.
    pub(crate) fn leave_all(&mut self, channel: &str) -> Vec<SocketId> {
        let is_here = |(_, other): &(&SocketId, &ByteString)| ***other == *channel;
        let sockets: Vec<SocketId> = self.places.iter().filter(is_here).map(|(socket, _)| *socket).collect();
        for socket in &sockets {
            self.places.remove(socket);
        }
        sockets
    }

    /// Looks at the conversations of this node's members, if it is time for that.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.sweep_at.is_none_or(|at| at > now) {
            return;
        }
        self.sweep_at = (!self.places.is_empty()).then_some(now + self.interval);
        let channels: BTreeSet<ByteString> = self.places.values().cloned().collect();
        for channel in channels {
            let waiting = self.channels.get(&channel).map(|line| &line.waiting);
            if !waiting.is_some_and(|waiting| waiting.iter().any(|job| matches!(job, TalkJob::Sweep))) {
                self.push(&channel, TalkJob::Sweep);
            }
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.sweep_at
    }

    /// Jobs under way or waiting, and sockets that take part.
    pub(crate) fn len(&self) -> usize {
        let jobs = self.channels.values().map(|line| line.waiting.len() + usize::from(line.open.is_some()));
        jobs.sum::<usize>() + self.places.len()
    }

    pub(crate) fn armed(&self) -> usize {
        usize::from(self.sweep_at.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::socket;

    #[test]
    fn one_job_of_a_channel_is_under_way_at_a_time() {
        let mut queues = queues();
        let (one, two) = (ByteString::from_static("1"), ByteString::from_static("2"));
        for job in ["a", "b"] {
            queues.push(&one, TalkJob::Depart(job.into()));
        }
        queues.push(&two, TalkJob::End);
        assert!(matches!(queues.begin(&one), Some(TalkJob::Depart(sid)) if sid == "a"));
        assert!(queues.begin(&one).is_none() && queues.begin(&two).is_some());
        let under_way = queues.take(&one).unwrap();
        queues.go_on(&one, under_way.job, TalkPhase::Judge { lock: 1, talk: None });
        assert!(queues.begin(&one).is_none(), "it goes on");
        queues.take(&one);
        assert!(matches!(queues.begin(&one), Some(TalkJob::Depart(sid)) if sid == "b"));
        queues.take(&one);
        queues.take(&two);
        assert!(queues.begin(&one).is_none() && queues.begin(&two).is_none());
        assert_eq!(queues.len(), 0);
    }

    #[test]
    fn conversations_are_looked_at_while_sockets_take_part() {
        let mut queues = queues();
        let at = |secs: u64| Instant::from_nanos(secs * 1_000_000_000);
        let channel = ByteString::from_static("1");
        queues.enter(socket(1), &channel, at(0));
        queues.enter(socket(2), &channel, at(9));
        assert_eq!(queues.place(socket(1), "1"), TalkPlace::Here);
        assert_eq!(
            (queues.place(socket(1), "2"), queues.place(socket(3), "1")),
            (TalkPlace::Elsewhere, TalkPlace::Nowhere)
        );
        queues.handle_timeout(at(29));
        assert_eq!(queues.poll_channel(), None);
        // The first is still waiting: once is enough.
        for secs in [30, 60] {
            queues.handle_timeout(at(secs));
        }
        assert_eq!((queues.poll_channel(), queues.poll_channel()), (Some(channel.clone()), None));
        assert!(matches!(queues.begin(&channel), Some(TalkJob::Sweep)));
        queues.take(&channel);
        assert!(queues.begin(&channel).is_none());
        assert_eq!((queues.leave(socket(1)), queues.leave(socket(1))), (Some(channel), None));
        assert_eq!((queues.leave_all("2"), queues.leave_all("1")), (vec![], vec![socket(2)]));
        queues.handle_timeout(at(90));
        assert_eq!(queues.poll_channel(), None);
        assert_eq!((queues.armed(), queues.len(), queues.next_deadline()), (0, 0, None));
    }

    fn queues() -> TalkQueues {
        TalkQueues::new(Duration::from_secs(30))
    }
}
