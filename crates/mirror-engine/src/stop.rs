//! Being asked to stop.

use tokio::sync::watch;

/// Whether somebody has asked the engine to stop; cloned for whoever has to know.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

/// Asks the engine to stop.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

impl Stop {
    /// One that is asked by the [`Stopper`]. When that is dropped, nobody asks any more.
    pub fn new() -> (Stopper, Stop) {
        let (sender, receiver) = watch::channel(false);
        (Stopper(sender), Stop(receiver))
    }

    /// Whether it was asked for.
    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is asked for; at once, if it was already.
    pub async fn wait(&self) {
        let mut asked = self.0.clone();
        if asked.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Stopper {
    /// Stops: what is done stays, what is not finished is cancelled, and there is a report.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}
