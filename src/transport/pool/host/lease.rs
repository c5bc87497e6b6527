//! What may a request do with the connection that it was granted?

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::transport::upload::Upload;

use super::super::book::Id;
use super::super::sender::{Http1Sender, RequestSender};
use super::Host;

/// The right to send one request on a connection. Dropping it gives the stream back.
#[derive(Debug)]
pub(in crate::transport) struct Lease {
    pub(super) host: Arc<Host>,
    pub(super) id: Id,
    /// The progress of the request that uses it.
    pub(super) upload: Option<Upload>,
}

impl Lease {
    /// What the request is to be given to; `None` if the connection has ended.
    pub(in crate::transport) fn link(&self) -> Option<RequestSender> {
        match self.host.book().link(self.id)? {
            RequestSender::Http1(sender) => Some(RequestSender::Http1(Some(sender.take()?))),
            RequestSender::Http2(sender) => Some(RequestSender::Http2(sender.clone())),
        }
    }

    /// Whether the connection was made after this moment. True if it has ended already.
    pub(in crate::transport) fn is_newer_than(&self, moment: Instant) -> bool {
        let made = self.host.book().made_at(self.id);
        made.is_none_or(|made| made >= moment)
    }

    /// Gives back the sender of an HTTP/1.1 connection that is ready for its next request.
    pub(in crate::transport) fn give_back(self, sender: Http1Sender) {
        if let Some(link) = self.host.book().link(self.id) {
            *link = RequestSender::Http1(Some(sender));
        }
    }

    /// The connection gets no more requests.
    pub(in crate::transport) fn retire(&self) {
        self.host.book().retire(self.id);
    }

    /// The host has announced how long it keeps the connection while it is unused.
    pub(in crate::transport) fn set_keep_alive(&self, unused: Duration) {
        self.host.book().set_keep_alive(self.id, unused);
    }

    pub(in crate::transport) fn host(&self) -> &Arc<Host> {
        &self.host
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        {
            let is_overdue = self.upload.as_ref().is_some_and(Upload::is_overdue);
            let mut book = self.host.book();
            match book.link(self.id) {
                // The sender was lost with the request, so the connection cannot be used again.
                Some(RequestSender::Http1(None)) => {
                    book.forget(self.id);
                    if is_overdue {
                        // Unused connections may have gone silent for the same reason.
                        book.forget_unused();
                    }
                }
                Some(RequestSender::Http1(Some(_)) | RequestSender::Http2(_)) | None => {
                    if is_overdue {
                        book.retire(self.id);
                    }
                    book.release(self.id, Instant::now());
                }
            }
        }
        self.host.serve();
    }
}
