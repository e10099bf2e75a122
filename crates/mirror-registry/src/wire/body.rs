//! Bodies of requests and responses.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http_body::{Frame, SizeHint};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use mirror_failure::ErrorKind;
use sync_wrapper::SyncStream;

/// A body: all of it at once, or bit by bit.
#[derive(Debug)]
pub struct Body(BodyKind);

#[derive(Debug)]
enum BodyKind {
    Whole(Full<Bytes>),
    Streamed(BoxBody<Bytes, ErrorKind>),
}

impl Body {
    /// Another body, whatever it fails with.
    pub fn new<B>(body: B) -> Body
    where
        B: http_body::Body<Data = Bytes> + Send + Sync + 'static,
        B::Error: Into<ErrorKind>,
    {
        Body(BodyKind::Streamed(body.map_err(Into::into).boxed()))
    }

    /// Bytes as they come.
    pub fn stream(stream: impl Stream<Item = Result<Bytes, ErrorKind>> + Send + 'static) -> Body {
        let frames = stream.map(|piece| piece.map(Frame::data));
        Body::new(StreamBody::new(SyncStream::new(frames)))
    }

    /// All of it, where nothing more comes than is here: it can be sent again.
    pub(crate) fn into_whole(self) -> Result<Bytes, Body> {
        match self.0 {
            BodyKind::Whole(full) => Ok(full.into_inner().unwrap_or_default()),
            BodyKind::Streamed(body) => Err(Body(BodyKind::Streamed(body))),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        Body(BodyKind::Whole(Full::new(bytes)))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = ErrorKind;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ErrorKind>>> {
        match &mut self.0 {
            BodyKind::Whole(body) => {
                Pin::new(body).poll_frame(context).map_err(|never| match never {})
            }
            BodyKind::Streamed(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            BodyKind::Whole(body) => body.is_end_stream(),
            BodyKind::Streamed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            BodyKind::Whole(body) => body.size_hint(),
            BodyKind::Streamed(body) => body.size_hint(),
        }
    }
}
