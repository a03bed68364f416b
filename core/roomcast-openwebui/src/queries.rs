//! Questions to stores that have no answer yet.
//!
//! Owns: their numbers and deadlines, and the order in which they are asked. Must never know: what is asked, or what is
//! done with an answer, which the caller keeps as a purpose `P`.

use std::collections::{BTreeMap, VecDeque};

use super::query::{Query, QueryId, Question};
use roomcast_core::time::Instant;
use roomcast_core::timer::{Fifo, FifoKey};

/// The open questions.
#[derive(Debug)]
pub(crate) struct Queries<P> {
    last: u64,
    open: BTreeMap<QueryId, OpenQuery<P>>,
    deadlines: Fifo<QueryId>,
    out: VecDeque<Query>,
    overdue: u64,
}

/// What becomes of an answer that arrives after the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// It is ignored, and the question forgotten at its deadline.
    Ignored,
    /// It counts. The question stays open until [`Queries::forget`].
    Counts,
}

impl<P: Clone> Queries<P> {
    pub(crate) fn ask(&mut self, question: Question, purpose: P, late: Late, deadline: Instant) -> QueryId {
        self.last += 1;
        let id = QueryId(self.last);
        let deadline = Some(self.deadlines.arm(deadline, id));
        self.open.insert(id, OpenQuery { purpose, late, deadline });
        self.out.push_back(Query { id, question });
        id
    }

    /// The number under which the result of work comes back. Work has no deadline: it comes to its end by itself.
    pub(crate) fn hand_out(&mut self, purpose: P) -> QueryId {
        self.last += 1;
        let id = QueryId(self.last);
        self.open.insert(id, OpenQuery { purpose, late: Late::Counts, deadline: None });
        id
    }

    /// A store answered. `None`: the question is no longer open.
    pub(crate) fn handle_answer(&mut self, id: QueryId) -> Option<P> {
        let open = self.open.remove(&id)?;
        if let Some(deadline) = open.deadline {
            self.deadlines.cancel(deadline);
        }
        Some(open.purpose)
    }

    /// Drops a question whose answer is no longer needed.
    pub(crate) fn forget(&mut self, id: QueryId) {
        self.handle_answer(id);
    }

    /// The next question whose deadline has passed.
    pub(crate) fn pop_overdue(&mut self, now: Instant) -> Option<(QueryId, P)> {
        while let Some(id) = self.deadlines.pop_due(now) {
            let Some(open) = self.open.get_mut(&id) else { continue };
            self.overdue += 1;
            open.deadline = None;
            let purpose = open.purpose.clone();
            match open.late {
                Late::Ignored => {
                    self.open.remove(&id);
                }
                Late::Counts => {}
            }
            return Some((id, purpose));
        }
        None
    }

    pub(crate) fn poll_query(&mut self) -> Option<Query> {
        self.out.pop_front()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next_deadline()
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn unpolled(&self) -> usize {
        self.out.len()
    }

    /// Questions since startup whose deadline passed without an answer.
    pub(crate) fn overdue(&self) -> u64 {
        self.overdue
    }
}

impl<P> Default for Queries<P> {
    fn default() -> Self {
        Self { last: 0, open: BTreeMap::new(), deadlines: Fifo::new(), out: VecDeque::new(), overdue: 0 }
    }
}

#[derive(Debug)]
struct OpenQuery<P> {
    purpose: P,
    late: Late,
    deadline: Option<FifoKey>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_answered_once() {
        let mut queries = Queries::default();
        let id = queries.ask(chat(), 'a', Late::Ignored, at(5));
        assert_eq!(queries.poll_query(), Some(Query { id, question: chat() }));
        assert_eq!((queries.handle_answer(id), queries.handle_answer(id)), (Some('a'), None));
        assert_eq!((queries.pop_overdue(at(9)), queries.next_deadline(), queries.len()), (None, None, 0));
    }

    #[test]
    fn after_the_deadline_an_answer_counts_where_the_asker_said_so() {
        let mut queries = Queries::default();
        let ignored = queries.ask(chat(), 'i', Late::Ignored, at(5));
        let counts = queries.ask(chat(), 'c', Late::Counts, at(5));
        assert_eq!(queries.pop_overdue(at(4)), None);
        assert_eq!(queries.pop_overdue(at(5)), Some((ignored, 'i')));
        assert_eq!(queries.pop_overdue(at(5)), Some((counts, 'c')));
        assert_eq!((queries.pop_overdue(at(5)), queries.overdue(), queries.len()), (None, 2, 1));
        assert_eq!((queries.handle_answer(ignored), queries.handle_answer(counts)), (None, Some('c')));
    }

    fn chat() -> Question {
        Question::Chat { chat: "c".into(), user: "u".into() }
    }

    fn at(secs: u64) -> Instant {
        Instant::from_nanos(secs * 1_000_000_000)
    }
}
