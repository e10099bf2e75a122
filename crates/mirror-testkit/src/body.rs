//! Bodies that end as they should, or in another way.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// A body that may end in another way than it should.
pub struct Breakable {
    pub(crate) bytes: Bytes,
    pub(crate) size: Option<u64>,
    pub(crate) ending: Ending,
}

/// How a body ends.
pub(crate) enum Ending {
    Proper,
    Cut,
    Never,
    Slow(Duration, Pin<Box<tokio::time::Sleep>>),
}

impl Body for Breakable {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        if this.bytes.is_empty() {
            let cut = matches!(this.ending, Ending::Cut);
            return Poll::Ready(cut.then(|| Err(io::Error::other("cut"))));
        }
        let piece = match &mut this.ending {
            Ending::Proper | Ending::Cut => std::mem::take(&mut this.bytes),
            Ending::Never => this.bytes.clone(),
            Ending::Slow(pause, sleep) => {
                if sleep.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                sleep.as_mut().reset(tokio::time::Instant::now() + *pause);
                this.bytes.split_to(1)
            }
        };
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        self.size.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
