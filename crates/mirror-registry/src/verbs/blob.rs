//! Blobs: read as a stream that survives a broken connection.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::GzDecoder;
use http::Method;
use http::header::{self, HeaderMap, HeaderValue};
use mirror_failure::{ErrorKind, RequestError};
use mirror_oci::Digest;
use tokio::time::Instant;

use crate::host::answer::HostResponse;
use crate::host::call::Call;
use crate::host::response::LEAST;
use crate::host::{BodySlot, Host};
use crate::limits::pressure::{Pressure, Speed};
use crate::limits::retry::Attempts;
use crate::remote::Remote;

/// A blob on its way from a registry. When the connection breaks, the rest is asked for where it stopped.
///
/// The bytes are not hashed here: whoever keeps them does that, over what was really kept. A reader keeps its slot
/// until the end, also between attempts, so that those who wait for its bytes never wait for each other.
pub struct BlobReader<'a> {
    host: &'a Host,
    call: Call,
    slot: Option<BodySlot>,
    response: Option<HostResponse>,
    attempts: Attempts<'a>,
    size: u64,
    at: u64,
    /// Bytes that the running attempt received.
    received: u64,
    /// Bytes of a whole response to drop, when a server ignored the range.
    skip: u64,
    /// What takes the bytes out of what somebody on the way has packed them in.
    unpacking: Option<Unpacking>,
    speed: Speed,
}

impl Remote {
    /// Whether a blob of this size is there. One HEAD.
    ///
    /// # Errors
    /// When the registry can't be asked, or answers neither yes nor no.
    pub async fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool, RequestError> {
        let call = Call {
            method: Method::HEAD,
            url: self.url(&format!("blobs/{digest}")),
            scope: self.look_scope(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        let response = self.host.call(&call).await?;
        match response.status() {
            200 => Ok(response
                .header("content-length")
                .is_none_or(|length| length.parse() == Ok(size))),
            404 => Ok(false),
            _ => Err(self.host.refused(response).await),
        }
    }

    /// Starts reading a blob of `size` bytes at byte `from`. Being slow is a failure while there is `pressure`. The first request goes out with the first
    /// [`BlobReader::chunk`].
    pub fn read_blob(
        &self,
        digest: &Digest,
        size: u64,
        from: u64,
        pressure: &Pressure,
    ) -> BlobReader<'_> {
        let call = Call {
            method: Method::GET,
            url: self.url(&format!("blobs/{digest}")),
            scope: self.pull_scope(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        BlobReader {
            host: &self.host,
            call,
            slot: None,
            response: None,
            attempts: self.host.attempts(),
            size,
            at: from,
            received: 0,
            skip: 0,
            unpacking: None,
            speed: Speed::new(pressure, size, self.host.pace().idle()),
        }
    }
}

impl BlobReader<'_> {
    /// The next bytes; `None` after the last.
    ///
    /// # Errors
    /// When the registry refuses, sends more than it should, or the connection breaks time after time without
    /// any progress.
    ///
    /// # Cancellation
    /// When the future is dropped, no byte is lost and none comes twice, but the next call asks for the rest in another request.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, RequestError> {
        loop {
            // A body that stopped short of a skipped part is not at its end yet.
            if self.at == self.size && self.response.is_some() && self.skip == 0 {
                return self.end().await;
            }
            match self.step().await {
                Ok(Some(bytes)) => {
                    self.at += bytes.len() as u64;
                    self.received += bytes.len() as u64;
                    return Ok(Some(bytes));
                }
                Ok(None) => {}
                Err(error) => {
                    self.response = None;
                    // A few bytes in all that time are no progress.
                    let least = match error.kind() {
                        ErrorKind::TimedOut(_) => LEAST,
                        ErrorKind::TooSlow { .. } => u64::MAX,
                        _ => 1,
                    };
                    if self.received >= least {
                        self.attempts.progress();
                    }
                    self.received = 0;
                    self.attempts.wait(error).await?;
                }
            }
        }
    }

    /// One step: a request where none is running, otherwise a piece of the body; `None` when the piece is empty.
    async fn step(&mut self) -> Result<Option<Bytes>, RequestError> {
        let mut response = match self.response.take() {
            Some(response) => response,
            None => self.open().await?,
        };
        let broken = |kind| RequestError::new(response.request.clone(), kind);
        let started = Instant::now();
        let chunk = response.stall_guard.chunk(&mut response.response).await;
        let length = chunk.as_ref().ok().and_then(Option::as_ref).map_or(0, Bytes::len);
        self.speed.moved(length as u64, started.elapsed()).map_err(broken)?;
        let Some(bytes) = chunk.map_err(broken)? else {
            if self.at == self.size {
                self.response = Some(response);
                return Ok(None);
            }
            let message = format!("the body ended after {} of {} bytes", self.at, self.size);
            return Err(broken(ErrorKind::Broken(message)));
        };
        let mut bytes = match &mut self.unpacking {
            Some(unpacking) => unpacking.take(&bytes).map_err(broken)?,
            None => bytes,
        };
        let dropped = self.skip.min(bytes.len() as u64);
        self.skip -= dropped;
        let bytes = bytes.split_off(usize::try_from(dropped).unwrap_or(usize::MAX));
        if self.at + bytes.len() as u64 > self.size {
            return Err(broken(too_long(self.size)));
        }
        self.response = Some(response);
        Ok(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }

    async fn open(&mut self) -> Result<HostResponse, RequestError> {
        if self.slot.is_none() {
            self.slot = Some(self.host.slot_for(self.size - self.at.min(self.size)).await?);
        }
        self.call.headers.remove(header::RANGE);
        // Of what is packed, the rest alone can't be unpacked.
        if self.at > 0 && self.unpacking.is_none() {
            let range = HeaderValue::try_from(format!("bytes={}-", self.at)).ok();
            self.call.headers.extend(range.map(|range| (header::RANGE, range)));
        }
        let mut response = self.host.exchange(&self.call).await?;
        let packed = is_packed(&response, self.size, self.at);
        let part_of_it = packed && response.status() == 206;
        if (response.status() == 416 && self.at > 0) || part_of_it {
            // The server no longer knows the range: start over and drop what we have.
            drop(response);
            self.call.headers.remove(header::RANGE);
            response = self.host.exchange(&self.call).await?;
        }
        let packed = is_packed(&response, self.size, 0) && response.status() == 200;
        self.unpacking = packed.then(|| Unpacking::of(self.size));
        match response.status() {
            200 => self.skip = self.at,
            206 if starts_at(&response, self.at) => self.skip = 0,
            206 => {
                let kind = ErrorKind::Protocol(
                    "the response is another range than was asked for".to_owned(),
                );
                return Err(RequestError::new(response.request, kind));
            }
            _ => return Err(self.host.refused(response).await),
        }
        Ok(response)
    }

    /// All bytes are here: a body that goes on is refused.
    async fn end(&mut self) -> Result<Option<Bytes>, RequestError> {
        let Some(mut response) = self.response.take() else { return Ok(None) };
        // The end of the body frees the connection for the next request. A failure to read it changes nothing.
        let more = response.stall_guard.chunk(&mut response.response).await;
        self.slot = None;
        let more = match (more, &mut self.unpacking) {
            // What is left of the packing.
            (Ok(Some(more)), Some(unpacking)) => unpacking.take(&more).map(Some),
            (more, _) => more,
        };
        match more {
            Ok(Some(more)) if !more.is_empty() => {
                Err(RequestError::new(response.request, too_long(self.size)))
            }
            _ => Ok(None),
        }
    }
}

/// Whether a body is packed though it was asked for as it is (quay/quay#1310). A layer that is packed itself is often said to
/// be: then it has the length that its manifest says.
fn is_packed(response: &HostResponse, size: u64, from: u64) -> bool {
    let encoding = response.header("content-encoding").unwrap_or_default();
    let length = response.header("content-length").and_then(|length| length.parse().ok());
    let whole = Some(size.saturating_sub(from));
    let is_gzip = matches!(encoding.trim().to_ascii_lowercase().as_str(), "gzip" | "x-gzip");
    is_gzip && length != Some(size) && length != whole
}

/// Unpacks a body as it comes, and no more than a blob has.
struct Unpacking(GzDecoder<Capped>);

/// Bytes that were unpacked, up to a cap over all of them.
#[derive(Default)]
struct Capped {
    bytes: Vec<u8>,
    left: u64,
}

impl Unpacking {
    fn of(size: u64) -> Unpacking {
        // One byte more shows that it is too long.
        Unpacking(GzDecoder::new(Capped { bytes: Vec::new(), left: size.saturating_add(1) }))
    }

    fn take(&mut self, packed: &[u8]) -> Result<Bytes, ErrorKind> {
        let broken =
            |error: io::Error| ErrorKind::Protocol(format!("the body can't be unpacked: {error}"));
        self.0.write_all(packed).map_err(broken)?;
        self.0.flush().map_err(broken)?;
        Ok(std::mem::take(&mut self.0.get_mut().bytes).into())
    }
}

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self
            .left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| io::Error::other("it is longer than its manifest says"))?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn too_long(size: u64) -> ErrorKind {
    ErrorKind::Protocol(format!("the blob is longer than the {size} bytes that its manifest says"))
}

fn starts_at(response: &HostResponse, at: u64) -> bool {
    response.header("content-range").is_some_and(|range| is_range_from(range, at))
}

/// `bytes 5-9/10`, from 5 on: <https://www.rfc-editor.org/rfc/rfc9110#name-content-range>.
fn is_range_from(header: &str, at: u64) -> bool {
    let range = header.trim().strip_prefix("bytes ");
    let begin = range.and_then(|range| range.trim_start().split_once('-'));
    begin.is_some_and(|(begin, _)| begin.parse() == Ok(at))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges() {
        for (header, at, expected) in [
            ("bytes 5-9/10", 5, true),
            (" bytes 0-", 0, true),
            ("bytes 50-99/100", 5, false),
            ("bytes */100", 5, false),
            ("5-9/10", 5, false),
            ("bytes 99999999999999999999-", 5, false),
        ] {
            assert_eq!(is_range_from(header, at), expected, "{header}");
        }
    }

    proptest! {
        #[test]
        fn any_range_is_understood_or_refused(header in "(bytes )?[-0-9*/ ]{0,2000}", at in 0..20u64) {
            let says = header.trim().strip_prefix("bytes ").map(str::trim_start);
            let says = says.is_some_and(|range| range.starts_with(&format!("{at}-")));
            prop_assert!(is_range_from(&header, at) || !says, "{header}");
        }
    }
}
