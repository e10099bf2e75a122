//! Why a request failed, as kinds.

use std::time::{Duration, SystemTime};

use mirror_oci::{ByteSize, ManifestError};

/// A time that a host tells counts as this at most, so that whatever it says can be added to what time it is.
pub const LONGEST_TOLD: Duration = Duration::from_secs(366 * 24 * 3600);

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// The registry refused with a status, and perhaps a code and a message.
    #[error("{}", refused(*status, code.as_deref(), message.as_deref(), *page))]
    Status {
        /// The HTTP status, such as 403.
        status: u16,
        /// Code from the error body, such as `DENIED`.
        code: Option<String>,
        /// Message from the error body.
        message: Option<String>,
        /// Whether it came with a page for people, of which the message is the title: something in front of the registry may
        /// have answered.
        page: bool,
    },
    /// Docker Hub's limit on pulls, which lasts for hours, as opposed to one on requests, which lasts for seconds.
    #[error("the limit on pulls is reached: {message}{}", told(*ends))]
    PullLimit {
        /// What the registry says, or how many pulls are needed and left.
        message: String,
        /// When all pulls are back, as far as the registry tells.
        ends: Option<SystemTime>,
    },
    /// A host that serves nothing for now, though it answers.
    #[error("the registry takes no requests for now: {}", throttled(*wait, *pauses))]
    Throttled {
        /// The pause that it asked for.
        wait: Option<Duration>,
        /// Over how many pauses in a row it served nothing.
        pauses: Option<u32>,
    },
    /// A host with a public address sends us to a private one.
    #[error("a public address leads to {0}, which is a private one")]
    PrivateAddress(String),
    /// The host name is unknown.
    #[error("the host name can't be resolved")]
    Dns,
    /// Nobody listens on that port.
    #[error("connection refused")]
    Refused,
    /// TLS was spoken to something that doesn't.
    #[error("the server does not speak TLS")]
    PlainHttp,
    /// Plain HTTP was spoken to something that wants TLS.
    #[error("the server speaks TLS, but was asked in plain HTTP")]
    TlsExpected,
    /// The certificate or the handshake.
    #[error("TLS: {text}")]
    Tls {
        /// What it failed for.
        cause: TlsCause,
        /// In words.
        text: String,
    },
    /// The proxy on the way, and not the host behind it.
    #[error("the proxy {proxy} {problem}")]
    Proxy {
        /// Its host and port with the variable that names it; its user is nobody's business.
        proxy: String,
        /// What is wrong with it.
        problem: ProxyProblem,
    },
    /// Nothing came for a while.
    #[error("nothing was heard for {} s", .0.as_secs())]
    TimedOut(Duration),
    /// Too little came or went for too long, while others waited for the room that it holds.
    #[error("only {} moved in {} s while others waited for room", ByteSize(*moved), spent.as_secs())]
    TooSlow {
        /// Bytes that came in that time.
        moved: u64,
        /// Time in which nobody but the other end was waited for.
        spent: Duration,
    },
    /// Any other breakage of the connection.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The bytes to send could not be had.
    #[error("could not read the bytes to upload: {0}")]
    Body(String),
    /// An answer that no registry gives.
    #[error("this is not a container registry: {0}")]
    NotARegistry(String),
    /// A registry that does not know where it is.
    #[error("{0}")]
    Misconfigured(String),
    /// A breach of the protocol.
    #[error("{0}")]
    Protocol(String),
    /// A service beside the registry can't be used.
    #[error("{0}")]
    Service(String),
    /// A manifest that can't be taken.
    #[error(transparent)]
    Manifest(ManifestError),
    /// The registry sends us to a place where our credentials must not go.
    #[error("the registry names {0} as its token service, credentials are not sent there")]
    ForeignRealm(String),
    /// Credentials could not be read.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
}

/// What a TLS handshake failed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsCause {
    /// The certificate of the server is out of date.
    Expired,
    /// The certificate of the server is for a later time.
    NotYetValid,
    /// The certificate of the server is for another name.
    OtherName,
    /// Nobody vouches for the certificate of the server.
    UnknownIssuer,
    /// The server shows the certificate of an authority as its own.
    AuthorityItself,
    /// The server wants a certificate of ours, or another one.
    ClientCertificate,
    /// A file with certificates for this registry can't be used.
    Files,
    /// The store of the system can't be used.
    Store,
    /// The two sides have no version or cipher in common.
    Protocol,
    /// Anything else.
    Other,
}

/// What is wrong with a proxy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyProblem {
    /// It wants to know who we are, or does not believe it.
    #[error("does not accept these credentials, or wants some (407)")]
    Credentials,
    /// It wants to know who we are in ways that we don't have.
    #[error("wants a login by {0} (407)")]
    Login(String),
    /// It speaks plain HTTP where TLS is expected of it.
    #[error("does not speak TLS")]
    SpeaksPlain,
    /// It speaks something else where plain HTTP is expected of it.
    #[error("does not speak plain HTTP")]
    SpeaksOther,
    /// It does not let us reach the host.
    #[error("refuses the connection ({0})")]
    Refused(u16),
    /// It can't reach the host, or has a problem of its own.
    #[error("can't make the connection{}", .0.map(|status| format!(" ({status})")).unwrap_or_default())]
    Failing(Option<u16>),
    /// What it gives is no connection to the host.
    #[error("gives a connection that breaks at once: {0}")]
    Broken(String),
    /// Nobody answers there.
    #[error("can't be reached: {why}")]
    Unreachable {
        /// Why not.
        why: String,
        /// Whether it has served before, and may be back.
        passing: bool,
    },
}

impl ProxyProblem {
    /// Whether trying once more may help.
    ///
    /// ```
    /// use mirror_failure::ProxyProblem;
    ///
    /// assert!(ProxyProblem::Failing(Some(503)).passes() && !ProxyProblem::Credentials.passes());
    /// ```
    pub fn passes(&self) -> bool {
        match self {
            ProxyProblem::Credentials
            | ProxyProblem::Login(_)
            | ProxyProblem::SpeaksPlain
            | ProxyProblem::SpeaksOther
            | ProxyProblem::Refused(_) => false,
            ProxyProblem::Failing(_) | ProxyProblem::Broken(_) => true,
            ProxyProblem::Unreachable { passing, .. } => *passing,
        }
    }
}

/// Why credentials could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// A file that can't be read or understood.
    #[error("credentials file {path}: {reason}")]
    File {
        /// The file with the credentials.
        path: String,
        /// Why it can't be used.
        reason: String,
    },
    /// A helper that failed.
    #[error("credential helper {program}: {reason}")]
    Helper {
        /// The credential helper, such as `docker-credential-pass`.
        program: String,
        /// Why it failed.
        reason: String,
    },
    /// A helper that is not installed.
    #[error("credential helper {program}, which {file} names, is not installed")]
    NoHelper {
        /// The credential helper, such as `docker-credential-pass`.
        program: String,
        /// The file that names it.
        file: String,
    },
    /// A password that is not sent without TLS.
    #[error("{0} is set, but no password is sent without TLS")]
    Withheld(String),
    /// A variable that isn't `user:password`.
    #[error("the environment variable {0} must have the form user:password")]
    Variable(String),
}

impl ErrorKind {
    /// Adds when a limit on pulls ends: at the moment that the registry names, or when its window is over.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// use mirror_failure::ErrorKind;
    ///
    /// let now = SystemTime::UNIX_EPOCH;
    /// let limit = ErrorKind::PullLimit { message: "100 pulls in 6 h".to_owned(), ends: None };
    /// let told = limit.ending(now, Some(Duration::from_secs(21_600)), None).to_string();
    /// assert!(told.ends_with("all pulls are back by Thu, 01 Jan 1970 06:00:00 GMT at the latest"));
    /// ```
    #[must_use]
    pub fn ending(
        self,
        now: SystemTime,
        window: Option<Duration>,
        wait: Option<Duration>,
    ) -> ErrorKind {
        match self {
            ErrorKind::PullLimit { message, ends: None } => {
                let ends = wait.or(window).map(|wait| now + wait.min(LONGEST_TOLD));
                ErrorKind::PullLimit { message, ends }
            }
            kind => kind,
        }
    }
}

/// A refusal: `403 DENIED: why`.
fn refused(status: u16, code: Option<&str>, message: Option<&str>, page: bool) -> String {
    let code = code.map(|code| format!(" {code}")).unwrap_or_default();
    let page = if page { " with an HTML page" } else { "" };
    let message = message.map(|message| format!(": {message}")).unwrap_or_default();
    format!("{status}{code}{page}{message}")
}

/// When a limit ends, for the end of a sentence.
fn told(ends: Option<SystemTime>) -> String {
    let date = ends.map(httpdate::fmt_http_date);
    date.map(|date| format!("; all pulls are back by {date} at the latest")).unwrap_or_default()
}

fn throttled(wait: Option<Duration>, pauses: Option<u32>) -> String {
    let asked = wait.map(|wait| format!("it asks for a pause of {} s", wait.as_secs()));
    let pauses = pauses.map(|pauses| format!("it served nothing over {pauses} pauses"));
    match (pauses, asked) {
        (Some(pauses), _) => pauses,
        (None, asked) => asked.unwrap_or_else(|| "it asks for a pause".to_owned()),
    }
}
