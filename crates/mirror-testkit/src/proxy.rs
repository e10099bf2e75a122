//! A TCP proxy on loopback that makes a network out of it: delay, bandwidth, and everything that breaks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;

use crate::server::Server;

/// Pieces of this size are delayed and paced one by one.
const PIECE: usize = 16 << 10;

/// What the way between two ends is like.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// Half of the round trip: what each direction takes.
    pub delay: Duration,
    /// Bytes a second from the server to all clients together, and as many the other way; 0 is no limit.
    pub rate: u64,
    /// Every so many connections, one is closed when it has carried so many bytes from the server.
    pub cut: Option<(u64, u64)>,
    /// Every so many connections, one goes silent when it has carried so many bytes from the server.
    pub stall: Option<(u64, u64)>,
    /// Every so many connections, one is closed at once.
    pub refuse: Option<u64>,
}

/// A running proxy. It stops when it is dropped.
pub struct Proxy(Server);

struct Way {
    to: SocketAddr,
    weather: Weather,
    connections: AtomicU64,
    /// When the line is free again, by direction.
    down: Arc<Mutex<Instant>>,
    up: Arc<Mutex<Instant>>,
}

impl Proxy {
    /// Starts a proxy to `to` on a free port of 127.0.0.1.
    pub fn start(to: SocketAddr, weather: Weather) -> Proxy {
        Proxy(Server::start(move |listener, _| {
            let now = Arc::new(Mutex::new(Instant::now()));
            let free = Arc::new(Mutex::new(Instant::now()));
            let way = Way { to, weather, connections: AtomicU64::new(0), down: now, up: free };
            accept(listener, Arc::new(way))
        }))
    }

    /// `127.0.0.1:<port>`.
    pub fn host(&self) -> String {
        self.0.address.to_string()
    }
}

async fn accept(listener: TcpListener, way: Arc<Way>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let number = way.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let nth = |every: u64| number.is_multiple_of(every);
        if way.weather.refuse.is_some_and(nth) {
            continue;
        }
        let limit = |fault: Option<(u64, u64)>| {
            fault.filter(|(every, _)| nth(*every)).map(|(_, bytes)| bytes)
        };
        let (cut, stall) = (limit(way.weather.cut), limit(way.weather.stall));
        tokio::spawn(connect(client, way.clone(), cut, stall));
    }
}

async fn connect(client: TcpStream, way: Arc<Way>, cut: Option<u64>, stall: Option<u64>) {
    let Ok(server) = TcpStream::connect(way.to).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let weather = way.weather;
    let up = carry(from_client, to_server, weather, way.up.clone(), None, None);
    let down = carry(from_server, to_client, weather, way.down.clone(), cut, stall);
    // A direction that is cut takes the other one with it.
    tokio::select! {
        true = up => {}
        true = down => {}
        else => {}
    }
}

/// Carries one direction to its end; true when the whole connection must go.
async fn carry(
    mut from: OwnedReadHalf,
    to: OwnedWriteHalf,
    weather: Weather,
    line: Arc<Mutex<Instant>>,
    cut: Option<u64>,
    stall: Option<u64>,
) -> bool {
    let (sender, receiver) = mpsc::channel(1024);
    let writer = tokio::spawn(deliver(to, receiver));
    let mut carried = 0;
    let mut buffer = vec![0; PIECE];
    let broken = loop {
        let read = match from.read(&mut buffer).await {
            Ok(0) => break false,
            Ok(read) => read,
            Err(_) => break true,
        };
        carried += read as u64;
        if stall.is_some_and(|limit| carried > limit) {
            std::future::pending::<()>().await;
        }
        if cut.is_some_and(|limit| carried > limit) {
            break true;
        }
        let sent = reserve(&line, weather.rate, read as u64).await;
        let piece = Bytes::copy_from_slice(&buffer[..read]);
        if sender.send((sent + weather.delay, piece)).await.is_err() {
            break true;
        }
    };
    drop(sender);
    let _ = writer.await;
    broken
}

/// Waits until the line has taken the bytes.
async fn reserve(line: &Mutex<Instant>, rate: u64, bytes: u64) -> Instant {
    let now = Instant::now();
    if rate == 0 {
        return now;
    }
    let free = {
        let mut free = line.lock().await;
        *free = (*free).max(now) + Duration::from_secs_f64(bytes as f64 / rate as f64);
        *free
    };
    // Timers tick in milliseconds: short waits are saved up.
    if free > now + Duration::from_millis(5) {
        tokio::time::sleep_until(free).await;
    }
    free
}

async fn deliver(mut to: OwnedWriteHalf, mut pieces: mpsc::Receiver<(Instant, Bytes)>) {
    while let Some((due, piece)) = pieces.recv().await {
        tokio::time::sleep_until(due).await;
        if to.write_all(&piece).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
