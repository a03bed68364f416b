//! An application whose events an observer sees too.
//!
//! Owns: passing everything on unchanged. Must never know: what the observer makes of an event.

use roomcast_core::server::{App, AppRequestId, Cx, Event, Server, Work};
use roomcast_core::time::Instant;

/// Sees each event of the server before the application does.
pub trait Observer {
    /// Looks at an event and at the server as it is by then.
    fn observe(&mut self, event: &Event, server: &Server);
}

/// An application and its observer.
#[derive(Debug, Default)]
pub struct Observed<A, O> {
    /// The application that handles the events.
    pub app: A,
    /// The observer, which sees each event before the application.
    pub observer: O,
}

impl<A: App, O: Observer> App for Observed<A, O> {
    type Query = A::Query;
    type Reply = A::Reply;
    type Request = A::Request;
    type Response = A::Response;
    type Notice = A::Notice;

    fn handle_event(&mut self, event: Event, cx: &mut Cx<'_>) -> Option<Event> {
        self.observer.observe(&event, &cx.server);
        self.app.handle_event(event, cx)
    }

    fn handle_reply(&mut self, reply: Self::Reply, cx: &mut Cx<'_>) {
        self.app.handle_reply(reply, cx);
    }

    fn handle_request(&mut self, id: AppRequestId, request: Self::Request, cx: &mut Cx<'_>) {
        self.app.handle_request(id, request, cx);
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>) {
        self.app.handle_timeout(cx);
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.app.poll_event()
    }

    fn poll_query(&mut self) -> Option<Self::Query> {
        self.app.poll_query()
    }

    fn poll_work(&mut self) -> Option<Work<Self::Reply>> {
        self.app.poll_work()
    }

    fn poll_response(&mut self) -> Option<(AppRequestId, Self::Response)> {
        self.app.poll_response()
    }

    fn poll_notice(&mut self) -> Option<Self::Notice> {
        self.app.poll_notice()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.app.poll_timeout()
    }

    fn handle_end(&mut self, cx: &mut Cx<'_>) {
        self.app.handle_end(cx);
    }

    fn is_settled(&self) -> bool {
        self.app.is_settled()
    }
}
