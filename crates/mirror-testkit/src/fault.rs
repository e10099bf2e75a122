//! What can go wrong at a registry.

use std::time::Duration;

use bytes::Bytes;

/// One request, as a fault rule sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// How many requests came before, at this registry.
    pub number: usize,
    /// `GET`, `PUT` and so on.
    pub method: String,
    /// The path, without query.
    pub path: String,
    /// The query.
    pub query: String,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The `Content-Length` header, 0 without one.
    pub length: u64,
}

/// What to do instead of answering properly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// 401 with this challenge.
    Challenge(String),
    /// Send the client to this URL.
    Redirect(String),
    /// This status, content type and body.
    Answer(u16, &'static str, String),
    /// This status with these headers and this body.
    Reply(u16, Vec<(&'static str, String)>, Bytes),
    /// The proper answer, with this header on top.
    Header(&'static str, String),
    /// 429, to be tried again after so many seconds.
    Throttle(u64),
    /// Close the connection without an answer.
    Reset,
    /// Send so many bytes of the body, then close the connection.
    Cut(usize),
    /// Do what is asked, then close the connection without an answer.
    Lost,
    /// Never answer.
    Hang,
    /// Send the body byte by byte, with a pause before each.
    Drip(Duration),
    /// Send the body over and over, without end.
    Endless,
    /// Change one byte of the body.
    WrongBytes,
    /// Answer after a while.
    Delay(Duration),
}

impl Fault {
    /// An error body as the distribution specification wants it.
    pub fn refuse(status: u16, code: &str, message: &str) -> Fault {
        let body = format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#);
        Fault::Answer(status, "application/json", body)
    }
}
