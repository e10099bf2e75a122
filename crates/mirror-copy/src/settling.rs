//! Patience with a registry that does not know for a moment what it has just taken: some need seconds
//! (infobloxopen/konk#626, openshift/image-registry#220, estesp/manifest-tool#191).

use std::time::Duration;

use tokio::time::Instant;

use crate::error::CopyError;

/// So often a manifest is put that the registry refuses because it lacks what the manifest points to, in so much time.
const MOST_PUTS: u32 = 8;
const LONGEST: Duration = Duration::from_secs(10);
/// The pause after the first refusal; each further one is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How often one manifest was put, and since when.
#[derive(Debug)]
pub(crate) struct Settling {
    began: Instant,
    pause: Duration,
    puts: u32,
    put_at: Instant,
}

impl Settling {
    pub(crate) fn new() -> Settling {
        let now = Instant::now();
        Settling { began: now, pause: FIRST_PAUSE, puts: 0, put_at: now }
    }

    /// It is put now; how often it was, with this one.
    pub(crate) fn put(&mut self) -> u32 {
        self.put_at = Instant::now();
        self.puts += 1;
        self.puts
    }

    /// Waits before it is put again.
    ///
    /// # Errors
    /// The refusal, when that was the last time.
    pub(crate) async fn after(&mut self, refusal: CopyError) -> Result<(), CopyError> {
        // The next one takes as long as this one did.
        let elapsed = self.began.elapsed();
        if self.puts >= MOST_PUTS || elapsed + self.pause + self.put_at.elapsed() > LONGEST {
            return Err(refusal.after(self.puts, elapsed));
        }
        tracing::debug!(%refusal, pause = ?self.pause, "the destination does not know yet what it has");
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}
