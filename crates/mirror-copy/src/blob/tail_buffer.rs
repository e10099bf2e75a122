//! The newest pieces of a blob, between the one who fetches and those who follow.
//!
//! Beside a file of the spool it saves whoever follows closely from reading back; without a file it is all there is,
//! and fetching goes as fast as sending.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

/// Pieces without a gap between them, the oldest first.
#[derive(Debug)]
pub(crate) struct TailBuffer {
    most: u64,
    pieces: Mutex<VecDeque<(u64, Bytes)>>,
    taken: Notify,
    begun: Notify,
}

impl TailBuffer {
    /// One that keeps so many bytes.
    pub(crate) fn of(most: u64) -> TailBuffer {
        TailBuffer { most, pieces: Mutex::default(), taken: Notify::new(), begun: Notify::new() }
    }

    /// Somebody is ready to read.
    pub(crate) fn begin(&self) {
        self.begun.notify_one();
    }

    /// Waits until somebody is ready to read: bytes that nobody takes would only fill the memory.
    pub(crate) async fn begun(&self) {
        self.begun.notified().await;
    }

    /// Adds pieces that begin at `at`.
    pub(crate) fn add(&self, mut at: u64, pieces: Vec<Bytes>) {
        let mut kept = self.lock();
        for piece in pieces {
            let length = piece.len() as u64;
            kept.push_back((at, piece));
            at += length;
        }
    }

    /// Lets the oldest go that are too many.
    pub(crate) fn trim(&self) {
        let mut kept = self.lock();
        let end = end(&kept);
        while kept.front().is_some_and(|(start, _)| end - start > self.most) {
            kept.pop_front();
        }
    }

    /// Waits until what was added has been taken, but for what may be kept.
    pub(crate) async fn room(&self) {
        loop {
            let taken = self.taken.notified();
            {
                let kept = self.lock();
                let start = kept.front().map_or(0, |(start, _)| *start);
                // A piece may be larger than that, and the reader waits for its last byte to be proven.
                if kept.len() < 2 || end(&kept) - start <= self.most {
                    return;
                }
            }
            taken.await;
        }
    }

    /// Lets everything go that ends before `at`.
    pub(crate) fn take_until(&self, at: u64) {
        let mut kept = self.lock();
        while kept.front().is_some_and(|(start, piece)| start + piece.len() as u64 <= at) {
            kept.pop_front();
        }
        self.taken.notify_one();
    }

    /// What there is from `at` on, in one piece, but nothing from `limit` on.
    pub(crate) fn get(&self, at: u64, limit: u64) -> Option<Bytes> {
        let kept = self.lock();
        let index = kept.partition_point(|(start, piece)| start + piece.len() as u64 <= at);
        let (start, piece) = kept.get(index)?;
        let from = usize::try_from(at.checked_sub(*start)?).ok()?;
        let to = usize::try_from(limit.checked_sub(*start)?).ok()?.min(piece.len());
        (from < to).then(|| piece.slice(from..to))
    }

    /// Forgets all pieces; whoever comes later reads the file.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(u64, Bytes)>> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end(kept: &VecDeque<(u64, Bytes)>) -> u64 {
    kept.back().map_or(0, |(start, piece)| start + piece.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u64 = 2 << 20;

    #[test]
    fn gives_what_is_there_and_no_byte_beyond_the_limit() {
        let buffer = TailBuffer::of(MOST);
        assert_eq!(buffer.get(0, 10), None);
        buffer.add(10, vec![Bytes::from_static(b"abc"), Bytes::from_static(b"defg")]);
        assert_eq!(buffer.get(9, 17), None);
        assert_eq!(buffer.get(10, 17).unwrap(), "abc");
        assert_eq!(buffer.get(12, 17).unwrap(), "c");
        assert_eq!(buffer.get(13, 16).unwrap(), "def");
        assert_eq!(buffer.get(16, 16), None);
        assert_eq!(buffer.get(17, 20), None);
        buffer.clear();
        assert_eq!(buffer.get(10, 17), None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_piece_may_be_larger_than_what_is_kept() {
        let buffer = TailBuffer::of(10);
        buffer.add(0, vec![Bytes::from_static(b"a reader waits for the last byte of this")]);
        tokio::time::timeout(std::time::Duration::from_secs(1), buffer.room()).await.unwrap();
    }

    #[test]
    fn lets_the_oldest_go() {
        let buffer = TailBuffer::of(MOST);
        let piece = Bytes::from(vec![0; 1 << 20]);
        buffer.add(0, vec![piece.clone(), piece.clone()]);
        buffer.add(2 << 20, vec![piece]);
        buffer.trim();
        assert_eq!(buffer.get(0, 3 << 20), None);
        assert!(buffer.get(1 << 20, 3 << 20).is_some());
    }

    #[tokio::test]
    async fn waits_for_whoever_takes() {
        let buffer = TailBuffer::of(MOST);
        buffer.add(0, vec![Bytes::from(vec![0; 1 << 20]); 3]);
        let filled = async {
            buffer.room().await;
            buffer.add(3 << 20, vec![Bytes::from_static(b"x")]);
        };
        let take = async {
            tokio::task::yield_now().await;
            assert_eq!(buffer.get(3 << 20, 4 << 20), None);
            buffer.take_until(1 << 20);
        };
        tokio::join!(filled, take);
        assert_eq!(buffer.get(3 << 20, 4 << 20).unwrap(), "x");
        assert_eq!(buffer.get(0, 4 << 20), None);
    }
}
