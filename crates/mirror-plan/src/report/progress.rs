//! Progress as JSON lines, for whoever shows it elsewhere.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::report::event::Event;
use crate::report::model::Status;

/// One line of `--progress json`, on standard error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ProgressLine {
    /// The copy of an image begins.
    Started {
        /// What the image is called at its destination, `docker.io/library/postgres:14`.
        image: String,
        /// The name of the destination.
        destination: String,
        /// Size of its distinct blobs, as far as it is known before copying.
        bytes: u64,
    },
    /// How far everything is, once a second while bytes move.
    Moved {
        /// Bytes of blobs sent so far, to all destinations.
        pushed_bytes: u64,
        /// Bytes of all blobs of these images, as far as they are known before copying. What a destination has already is
        /// not sent, so this may never be reached.
        bytes: u64,
        /// Images that have ended.
        finished: usize,
        /// How many images are copied in this pass.
        of: usize,
    },
    /// An image has ended.
    Finished {
        /// What the image is called at its destination.
        image: String,
        /// The name of the destination.
        destination: String,
        /// Bytes of blobs sent for it.
        pushed_bytes: u64,
        /// How long it took.
        seconds: f64,
        /// Images that have ended, this one included.
        finished: usize,
        /// How many images are copied in this pass.
        of: usize,
        /// How the image ended.
        #[serde(flatten)]
        status: Status,
    },
    /// A host asked for a pause. Nothing is sent there for so long.
    Paused {
        /// The host that asked.
        host: String,
        /// How long, from now on.
        seconds: f64,
        /// What it answered, such as `429 TOOMANYREQUESTS`.
        why: String,
    },
    /// A place where credentials for a host may be kept could not be used; others were asked.
    CredentialSourceFailed {
        /// The host that they would be for.
        host: String,
        /// Which place, and why.
        why: String,
    },
    /// A host has shown what it does beyond the protocol.
    Learned {
        /// The host that has shown it.
        host: String,
        /// What it is about, such as `mounts`.
        capability: String,
        /// Whether, or how far, it does that.
        value: String,
    },
}

impl ProgressLine {
    /// What a host has shown, if that is what happened.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mirror_plan::report::{Event, ProgressLine};
    ///
    /// let event = Event::Paused {
    ///     host: "quay.io".parse()?,
    ///     wait: Duration::from_secs(30),
    ///     why: "429 TOOMANYREQUESTS".to_owned(),
    /// };
    /// let line = ProgressLine::of_host(&event).ok_or("it is about a host")?;
    /// let json = r#"{"event":"paused","host":"quay.io","seconds":30.0,"why":"429 TOOMANYREQUESTS"}"#;
    /// assert_eq!(serde_json::to_string(&line)?, json);
    /// assert!(ProgressLine::of_host(&Event::Stopped).is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of_host(event: &Event) -> Option<ProgressLine> {
        match event {
            Event::Paused { host, wait, why } => Some(ProgressLine::Paused {
                host: host.to_string(),
                seconds: wait.as_secs_f64(),
                why: why.clone(),
            }),
            Event::CredentialSourceFailed { host, why } => {
                Some(ProgressLine::CredentialSourceFailed {
                    host: host.to_string(),
                    why: why.clone(),
                })
            }
            Event::Learned { host, capability, value } => Some(ProgressLine::Learned {
                host: host.to_string(),
                capability: (*capability).to_owned(),
                value: value.clone(),
            }),
            _ => None,
        }
    }
}
