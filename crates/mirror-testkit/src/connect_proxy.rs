//! An HTTP proxy as companies have it: CONNECT, and plain HTTP by absolute URLs; with a login, and hosts that it refuses. Every
//! name means this machine.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::server::Server;

/// How a proxy behaves.
#[derive(Debug, Clone, Default)]
pub struct ProxyRules {
    /// `user:password` that it wants.
    pub login: Option<String>,
    /// The status for hosts whose name contains this text.
    pub refuses: Option<(String, u16)>,
    /// What it says instead of the answer to anything, before it closes the connection.
    pub says: Option<String>,
}

/// One request to a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxied {
    /// `CONNECT`, or another one of plain HTTP.
    pub method: String,
    /// Host and port.
    pub target: String,
    /// The `Authorization` header, which is nothing of the proxy's.
    pub authorization: Option<String>,
    /// The `Proxy-Authorization` header.
    pub login: Option<String>,
}

/// A running proxy. It stops when it is dropped.
pub struct ConnectProxy {
    server: Server,
    asked: Arc<Mutex<Vec<Proxied>>>,
}

impl ConnectProxy {
    /// Starts one on a free port of 127.0.0.1.
    pub fn start(rules: ProxyRules) -> ConnectProxy {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (rules, seen) = (Arc::new(rules), asked.clone());
        let server = Server::start(move |listener, _| accept(listener, rules, seen));
        ConnectProxy { server, asked }
    }

    /// `127.0.0.1:<port>`.
    pub fn host(&self) -> String {
        self.server.address.to_string()
    }

    /// What it was asked since the last call.
    pub fn take_asked(&self) -> Vec<Proxied> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

async fn accept(listener: TcpListener, rules: Arc<ProxyRules>, asked: Arc<Mutex<Vec<Proxied>>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (rules, asked) = (rules.clone(), asked.clone());
        tokio::spawn(async move { serve(stream, &rules, &asked).await });
    }
}

/// The head of a request.
struct Head {
    method: String,
    target: String,
    rest: String,
    headers: Vec<(String, String)>,
}

impl Head {
    async fn read(stream: &mut BufReader<TcpStream>) -> Option<Head> {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
        let mut parts = line.split_whitespace();
        let (method, whole) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        let bare = whole.strip_prefix("http://").unwrap_or(&whole);
        let (target, rest) = bare.split_once('/').unwrap_or((bare, ""));
        let target = if target.contains(':') { target.to_owned() } else { format!("{target}:80") };
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok()?;
            let Some((name, value)) = line.trim().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Some(Head { method, target, rest: format!("/{rest}"), headers })
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

async fn serve(stream: TcpStream, rules: &ProxyRules, asked: &Mutex<Vec<Proxied>>) -> Option<()> {
    let mut client = BufReader::new(stream);
    if let Some(says) = &rules.says {
        // Whatever is asked, and be it no HTTP.
        let read = client.fill_buf().await.ok()?.len();
        client.consume(read);
        client.write_all(says.as_bytes()).await.ok()?;
        return client.shutdown().await.ok();
    }
    let head = Head::read(&mut client).await?;
    asked.lock().unwrap().push(Proxied {
        method: head.method.clone(),
        target: head.target.clone(),
        authorization: head.header("authorization").map(str::to_owned),
        login: head.header("proxy-authorization").map(str::to_owned),
    });
    let wanted = rules.login.as_ref().map(|login| format!("Basic {}", STANDARD.encode(login)));
    if wanted.is_some() && head.header("proxy-authorization") != wanted.as_deref() {
        let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"proxy\"\r\nContent-Length: 0\r\n\r\n";
        return client.write_all(refusal.as_bytes()).await.ok();
    }
    let refused = rules.refuses.as_ref().filter(|(text, _)| head.target.contains(text.as_str()));
    if let Some((_, status)) = refused {
        let refusal = format!(
            "HTTP/1.1 {status} No\r\nX-Squid-Error: ERR_ACCESS_DENIED 0\r\nContent-Length: 0\r\n\r\n"
        );
        return client.write_all(refusal.as_bytes()).await.ok();
    }
    let port = head.target.rsplit(':').next()?.parse::<u16>().ok()?;
    let mut server = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    if head.method == "CONNECT" {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok()?;
        tokio::io::copy_bidirectional(&mut client, &mut server).await.ok()?;
        return Some(());
    }
    // One request for each connection is enough here.
    let mut request = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", head.method, head.rest);
    for (name, value) in &head.headers {
        if !matches!(name.as_str(), "connection" | "proxy-authorization" | "proxy-connection") {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    server.write_all(format!("{request}\r\n").as_bytes()).await.ok()?;
    let length = head.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    client.read_exact(&mut body).await.ok()?;
    server.write_all(&body).await.ok()?;
    tokio::io::copy(&mut server, &mut client).await.ok()?;
    client.shutdown().await.ok()
}
