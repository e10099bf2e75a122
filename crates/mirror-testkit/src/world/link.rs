//! The way between a machine and a host: latency, bandwidth that all connections share, slow connections among fast ones,
//! and those that break.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::world::dice::Dice;

/// Pieces of this size are delayed one by one.
const PIECE: usize = 1 << 10;

/// What a way is like.
#[derive(Debug, Clone, Default)]
pub struct Link {
    /// What one direction takes.
    pub latency: Duration,
    /// Bytes a second of all connections in one direction; 0 is no limit.
    pub bandwidth: u64,
    /// So many of a hundred connections have a twentieth of that for themselves.
    pub slow: u64,
    /// So many of a thousand bodies break off somewhere.
    pub breaks: u64,
}

/// A way with those who are on it.
#[derive(Debug)]
pub(crate) struct Line {
    link: Link,
    down: Mutex<Instant>,
    up: Mutex<Instant>,
    dice: Mutex<Dice>,
}

/// How one exchange is carried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    slow: bool,
    breaks: Option<u64>,
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

impl Line {
    pub(crate) fn new(link: Link, dice: Dice) -> Line {
        let now = Instant::now();
        Line { link, down: Mutex::new(now), up: Mutex::new(now), dice: Mutex::new(dice) }
    }

    /// How the next body goes; whole ones only, once faults have ceased.
    pub(crate) fn way(&self, calm: bool) -> Way {
        let mut dice = self.dice.lock().unwrap();
        let slow = dice.percent(self.link.slow);
        let breaks = dice.below(1000) < self.link.breaks as usize;
        let after = dice.below(6000) as u64;
        Way { slow: slow && !calm, breaks: (breaks && !calm).then_some(after) }
    }

    pub(crate) async fn latency(&self) {
        tokio::time::sleep(self.link.latency).await;
    }

    /// When so many bytes have gone.
    fn reserve(&self, direction: Direction, slow: bool, bytes: usize) -> Instant {
        let now = Instant::now();
        if self.link.bandwidth == 0 {
            return now;
        }
        let takes = Duration::from_secs_f64(bytes as f64 / self.link.bandwidth as f64);
        let line = match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        };
        let mut free = line.lock().unwrap();
        *free = (*free).max(now) + takes;
        if slow { *free + takes * 19 } else { *free }
    }
}

/// A body on its way. Its bytes are counted for as long as somebody holds them.
pub struct Carried<B> {
    body: Pin<Box<B>>,
    line: Arc<Line>,
    direction: Direction,
    way: Way,
    carried: u64,
    waiting: Bytes,
    sleep: Option<Pin<Box<Sleep>>>,
    held: Option<Arc<AtomicU64>>,
}

/// Why a body breaks off.
#[derive(Debug)]
pub struct Broken(pub String);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

impl<B> Carried<B> {
    pub(crate) fn new(
        body: B,
        line: &Arc<Line>,
        direction: Direction,
        way: Way,
        held: Option<Arc<AtomicU64>>,
    ) -> Carried<B> {
        Carried {
            body: Box::pin(body),
            line: line.clone(),
            direction,
            way,
            carried: 0,
            waiting: Bytes::new(),
            sleep: None,
            held,
        }
    }
}

/// Bytes that are counted until nobody holds them.
struct Counted(Bytes, Arc<AtomicU64>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(self.0.len() as u64, Ordering::Relaxed);
    }
}

impl<B> Body for Carried<B>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        loop {
            if let Some(sleep) = &mut this.sleep {
                if sleep.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                this.sleep = None;
                if this.way.breaks.is_some_and(|after| this.carried >= after) {
                    return Poll::Ready(Some(Err(Broken("the connection was reset".to_owned()))));
                }
                let piece = this.waiting.split_to(PIECE.min(this.waiting.len()));
                this.carried += piece.len() as u64;
                let piece = match &this.held {
                    Some(held) => {
                        held.fetch_add(piece.len() as u64, Ordering::Relaxed);
                        Bytes::from_owner(Counted(piece, held.clone()))
                    }
                    None => piece,
                };
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if this.waiting.is_empty() {
                let frame = std::task::ready!(this.body.as_mut().poll_frame(context));
                let Some(frame) = frame else { return Poll::Ready(None) };
                let frame = frame.map_err(|error| Broken(error.to_string()));
                match frame.map(Frame::into_data) {
                    Ok(Ok(bytes)) => this.waiting = bytes,
                    Ok(Err(_)) => continue,
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
            }
            if !this.waiting.is_empty() {
                let bytes = PIECE.min(this.waiting.len());
                let due = this.line.reserve(this.direction, this.way.slow, bytes);
                this.sleep = Some(Box::pin(tokio::time::sleep_until(due)));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.waiting.is_empty() && self.sleep.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
