//! Whether a slow transfer keeps others waiting. A slow line alone is no fault; it becomes one where the room that it
//! holds is what others lack.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mirror_failure::ErrorKind;

/// Bytes a second that a transfer must move while others wait, at least.
const LEAST_RATE: u64 = 64 << 10;
/// However large a blob is, moving it must not take longer than this.
const LONGEST: u64 = 6 * 3600;
/// How long a transfer may be slow: so many idle times, a minute by default.
const WINDOW: u32 = 2;

/// Transfers that wait for room which others hold.
#[derive(Debug, Clone, Default)]
pub struct Pressure(Arc<AtomicUsize>);

/// One that waits, until this is dropped.
#[derive(Debug)]
pub struct Waiting(Pressure);

impl Pressure {
    /// Somebody waits from now on.
    pub fn waiting(&self) -> Waiting {
        self.0.fetch_add(1, Ordering::Relaxed);
        Waiting(self.clone())
    }

    fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How fast one transfer is.
#[derive(Debug)]
pub(crate) struct Speed {
    pressure: Pressure,
    size: u64,
    window: Duration,
    moved: u64,
    spent: Duration,
}

impl Speed {
    /// Of a blob of `size` bytes, over a host with this idle time.
    pub(crate) fn new(pressure: &Pressure, size: u64, idle: Duration) -> Speed {
        let window = idle * WINDOW;
        Speed { pressure: pressure.clone(), size, window, moved: 0, spent: Duration::ZERO }
    }

    /// So many bytes have moved in this time, in which the other end was waited for.
    pub(crate) fn moved(&mut self, bytes: u64, spent: Duration) -> Result<(), ErrorKind> {
        self.moved += bytes;
        self.spent += spent;
        if self.spent < self.window {
            return Ok(());
        }
        let least = LEAST_RATE.max(self.size / LONGEST);
        let (moved, spent) = (self.moved, self.spent);
        (self.moved, self.spent) = (0, Duration::ZERO);
        let slow = u128::from(moved) * 1000 < u128::from(least) * spent.as_millis();
        if slow && self.pressure.is_on() {
            return Err(ErrorKind::TooSlow { moved, spent });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_is_a_fault_only_where_others_wait() {
        let (pressure, second) = (Pressure::default(), Duration::from_secs(1));
        let minute = |bytes: u64, size: u64| {
            let mut speed = Speed::new(&pressure, size, Duration::from_secs(30));
            (0..60).try_for_each(|_| speed.moved(bytes, second))
        };
        assert_eq!(minute(1000, 1 << 40), Ok(()));
        let _waiting = pressure.waiting();
        let slow = ErrorKind::TooSlow { moved: 60_000, spent: second * 60 };
        assert_eq!(minute(1000, 1), Err(slow));
        assert_eq!(minute(64 << 10, 1 << 30), Ok(()));
        // A terabyte at a megabyte a second would take twelve days.
        assert!(minute(1 << 20, 1 << 40).is_err());
        assert_eq!(minute(51 << 20, 1 << 40), Ok(()));
    }
}
