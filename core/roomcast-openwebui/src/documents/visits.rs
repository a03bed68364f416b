//! The program's own dealings with documents: their state, and edits made on the server's side.
//!
//! Owns: a request's way through rights and loading into a document, as a member for one moment, and its answer. Must
//! never know: the contents of an update, or the requester.
//!
//! A visit is not announced to the other members, asks no member for missing structs and leaves nothing pending: an
//! update that depends on missing structs is refused.

use bytes::Bytes;
use bytestring::ByteString;

use roomcast_documents::yjs::Verdict;
use roomcast_documents::{DocumentId, Entered, Form, Joining, MayBegin};

use super::content;
use super::names::canonical;
use super::names::{Aim, MemberKey};
use super::records::Introduction;
use super::rights::rights;
use super::visit::{RightsFor, Visit, VisitTask};
use crate::access::Access;
use crate::purpose::Purpose;
use crate::query::{Note, Question, StoreAnswer, StoreError};
use crate::requests::{DocumentChange, DocumentRefusal, DocumentState, Intent};
use crate::settings::Release;
use crate::{OpenWebUi, Response, turn};
use roomcast_core::server::{AppRequestId, Cx};

impl OpenWebUi {
    /// A request about a document. Its note is asked for, and before that the user whose rights count.
    pub(crate) fn visit_document(
        &mut self,
        ticket: AppRequestId,
        (document, user): (&str, Option<ByteString>),
        task: VisitTask,
        cx: &mut Cx<'_>,
    ) {
        let Some((document, note)) = canonical(document, &self.settings.limits) else {
            return self.answers.push_back((ticket, task.refusal(DocumentRefusal::NoSuchDocument)));
        };
        if self.documents.visits.len() >= self.settings.documents.visits_max {
            return self.answers.push_back((ticket, task.refusal(DocumentRefusal::Overloaded)));
        }
        let (asks, question) = match user {
            Some(user) => {
                // No token, which a revocation could be about.
                let question =
                    Question::Authenticate { user, jti: None, issued_at_secs: Some(u64::MAX), ends_at_secs: None };
                (RightsFor::Asked, question)
            }
            None => (RightsFor::Program, Question::Note { note: note.clone(), user: ByteString::new() }),
        };
        self.documents.visits.0.insert(ticket, Visit { document, note, asks, task });
        self.ask(question, Purpose::Document(Aim::Visit(ticket)), cx);
    }

    /// A store answered a question about a request.
    pub(super) fn visit_answered(
        &mut self,
        ticket: AppRequestId,
        reply: Result<StoreAnswer, StoreError>,
        cx: &mut Cx<'_>,
    ) {
        let release = self.settings.release;
        let Some(visit) = self.documents.visits.0.get_mut(&ticket) else { return };
        let asked = match &visit.asks {
            RightsFor::Asked => match turn::user(reply, None) {
                Ok(Some(user)) => Ok(Some(user)),
                Ok(None) => Err(DocumentRefusal::Forbidden),
                Err(_) => Err(DocumentRefusal::Unavailable),
            },
            RightsFor::Program | RightsFor::Known(_) => {
                may_visit(visit, super::names::note(reply), release).map(|()| None)
            }
        };
        match asked {
            Ok(Some(user)) => {
                let question = Question::Note { note: visit.note.clone(), user: user.id.clone() };
                visit.asks = RightsFor::Known(user);
                self.ask(question, Purpose::Document(Aim::Visit(ticket)), cx);
            }
            Ok(None) => self.start_visit(ticket, cx),
            Err(refusal) => self.refuse_visit(ticket, refusal),
        }
    }

    /// The document is there: what was asked is done and answered.
    pub(super) fn visit(&mut self, document: DocumentId, ticket: AppRequestId, cx: &mut Cx<'_>) {
        let Some(Visit { task, .. }) = self.documents.visits.0.remove(&ticket) else { return };
        let answer = match task {
            VisitTask::Read => self.read_document(document),
            VisitTask::Write { update, content, intent } => {
                let changed = self.write_document(document, ticket, update, intent, cx);
                if changed.is_ok()
                    && let Some(content) = content.filter(|json| !content::says_nothing(json))
                {
                    self.put_content(document, MemberKey::Visitor(ticket), content, cx);
                }
                Response::DocumentUpdated(changed)
            }
        };
        self.answers.push_back((ticket, answer));
    }

    /// A request that cannot be met.
    pub(super) fn refuse_visit(&mut self, ticket: AppRequestId, refusal: DocumentRefusal) {
        if let Some(Visit { task, .. }) = self.documents.visits.0.remove(&ticket) {
            self.answers.push_back((ticket, task.refusal(refusal)));
        }
    }

    /// Members that have only visited leave. Not before all who waited for the document are in: without members it ends.
    pub(super) fn end_visits(&mut self, document: DocumentId, cx: &mut Cx<'_>) {
        let members = self.documents.machine.get(document).map_or(&[][..], |open| open.members());
        let visitors = members.iter().map(|member| member.id()).filter(|id| matches!(id, MemberKey::Visitor(_)));
        for visitor in visitors.collect::<Vec<_>>() {
            self.leave_document(document, visitor, cx);
        }
    }

    fn start_visit(&mut self, ticket: AppRequestId, cx: &mut Cx<'_>) {
        let Some(visit) = self.documents.visits.0.get(&ticket) else { return };
        let user = match &visit.asks {
            RightsFor::Known(user) => user.id.clone(),
            RightsFor::Program | RightsFor::Asked => ByteString::new(),
        };
        let (member, access) = (MemberKey::Visitor(ticket), visit.task.access());
        let joining = Joining { member, user, access, form: Form::Silent };
        let document = visit.document.clone();
        match self.enter_document(&document, joining, Introduction::default(), cx) {
            Entered::Now(document) => self.end_visits(document, cx),
            Entered::Later => {}
        }
    }

    fn read_document(&mut self, document: DocumentId) -> Response {
        let state = self.documents.machine.state(document);
        let content = self.documents.notes.get(&document).and_then(|note| note.content.current());
        let content = content.filter(|json| !content::says_nothing(json)).cloned();
        let found = state.map(|state| DocumentState { state, content });
        Response::Document(found.ok_or(DocumentRefusal::Unavailable))
    }

    fn write_document(
        &mut self,
        document: DocumentId,
        ticket: AppRequestId,
        update: Bytes,
        intent: Intent,
        cx: &mut Cx<'_>,
    ) -> Result<DocumentChange, DocumentRefusal> {
        let Some(note) = self.documents.notes.get(&document) else { return Err(DocumentRefusal::Unavailable) };
        let says_something = note.content.current().is_some_and(|json| !content::says_nothing(json));
        let is_empty = self.documents.is_empty(document);
        match intent {
            Intent::Edit if is_empty && says_something => return Err(DocumentRefusal::Unseeded),
            Intent::Initialize if !is_empty => return Err(DocumentRefusal::Seeded),
            Intent::Edit | Intent::Initialize => {}
        }
        // Another node may begin the document, or this one may soon.
        if self.documents.machine.begin(document, cx.now) == MayBegin::Later {
            return Err(DocumentRefusal::Unavailable);
        }
        let verdict = self.documents.machine.apply(document, MemberKey::Visitor(ticket), update, cx.now);
        self.pump_documents(cx);
        match verdict {
            Verdict::Applied => Ok(DocumentChange::Applied),
            Verdict::NothingNew => Ok(DocumentChange::NothingNew),
            Verdict::Missing(missing) => Err(DocumentRefusal::Missing(missing)),
            Verdict::Bad(reason) => Err(DocumentRefusal::Bad(reason)),
        }
    }
}

/// What a request's note says of it.
fn may_visit(visit: &Visit, found: Result<Option<Note>, StoreError>, release: Release) -> Result<(), DocumentRefusal> {
    let found = found.map_err(|_| DocumentRefusal::Unavailable)?;
    let note = found.ok_or(DocumentRefusal::NoSuchDocument)?;
    let granted = match &visit.asks {
        RightsFor::Program => Some(Access::Write),
        RightsFor::Known(user) => rights(user, Some(&note), release),
        RightsFor::Asked => None,
    };
    match (granted, visit.task.access()) {
        (Some(Access::Write), _) | (Some(Access::Read), Access::Read) => Ok(()),
        (Some(Access::Read), Access::Write) | (None, _) => Err(DocumentRefusal::Forbidden),
    }
}
