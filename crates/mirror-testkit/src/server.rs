//! Servers in process: each on a free loopback port and a thread of its own, until it is dropped.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// A server that runs. It stops when this is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Server {
    /// Runs what `work` makes of the listener and its address.
    pub(crate) fn start<F: Future<Output = ()>>(
        work: impl FnOnce(TcpListener, SocketAddr) -> F + Send + 'static,
    ) -> Server {
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, address) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                ready.send(address).unwrap();
                tokio::select! {
                    () = work(listener, address) => {}
                    _ = stopped => {}
                }
            });
        });
        Server { address: address.recv().unwrap(), _stop: stop }
    }
}
