//! What happens in a run, a line each.

use std::time::Duration;

use mirror_failure::{count, printable};
use mirror_oci::{ByteSize, Registry};
use mirror_plan::plan::{Note, Plan};
use mirror_plan::report::{Event, Status};

use crate::people::failure::explained;

/// Shorter pauses of a host are not worth a line.
const WORTH_A_LINE: Duration = Duration::from_secs(2);

/// How an image ended, after `seconds` in which so many bytes were pushed for it.
///
/// ```
/// use mirror_plan::report::Status;
/// use mirror_render::people::render_finished;
///
/// let line = render_finished("docker.io/library/redis:8", "prod", &Status::Done, 2048, 1.5);
/// assert_eq!(line, "copied docker.io/library/redis:8 to prod (2.0 KiB pushed in 1.5 s)");
/// ```
pub fn render_finished(
    image: &str,
    destination: &str,
    status: &Status,
    pushed_bytes: u64,
    seconds: f64,
) -> String {
    match status {
        Status::Failed { failure } => {
            format!("failed {image} to {destination}: {}", explained(failure).cause)
        }
        Status::Stale { .. } => {
            format!("left {image} at {destination} alone: it has changed since the plan was made")
        }
        Status::Done | Status::Refreshed | Status::Cancelled => {
            let verb = match status {
                Status::Done => "copied",
                Status::Refreshed => "refreshed",
                _ => "stopped copying",
            };
            let pushed = ByteSize(pushed_bytes);
            format!("{verb} {image} to {destination} ({pushed} pushed in {seconds:.1} s)")
        }
    }
}

/// What is not known of a plan that is carried out, a line each.
///
/// ```
/// use mirror_plan::plan::{Note, Plan};
/// use mirror_render::people::render_unknown;
///
/// let (destination, why) = ("prod".to_owned(), "403 AccessDeniedException".to_owned());
/// let note = Note::SettingsUnknown { destination, repositories: 2, why };
/// let plan = Plan { notes: vec![note], ..Plan::default() };
/// let line = "warning: the settings of 2 repositories at prod are unknown, and are left as they are: 403 AccessDeniedException";
/// assert_eq!(render_unknown(&plan), [line]);
/// ```
pub fn render_unknown(plan: &Plan) -> Vec<String> {
    let unknown = plan.notes.iter().filter_map(|note| match note {
        Note::SettingsUnknown { destination, repositories, why } => {
            let of = if *repositories == 1 { "repository" } else { "repositories" };
            let why = printable(why);
            Some(format!(
                "warning: the settings of {repositories} {of} at {destination} are unknown, and are left as they are: {why}"
            ))
        }
        _ => None,
    });
    unknown.collect()
}

/// What is worth a line beside the images: waiting, and what ends it.
///
/// ```
/// use std::time::Duration;
/// use mirror_plan::report::Event;
/// use mirror_render::people::render_notice;
///
/// let waiting = Event::Waiting { images: 3, wait: Duration::from_secs(600) };
/// let line = "3 images wait for a limit on pulls or requests; looking again in 600 s";
/// assert_eq!(render_notice(&waiting).as_deref(), Some(line));
/// assert_eq!(render_notice(&Event::Stopped), None);
/// ```
pub fn render_notice(event: &Event) -> Option<String> {
    match event {
        Event::Waiting { images, wait } => {
            let (images, seconds) = (count(*images as u64, "image"), wait.as_secs());
            Some(format!(
                "{images} wait for a limit on pulls or requests; looking again in {seconds} s"
            ))
        }
        Event::ServesAgain { hosts, images } => {
            let hosts: Vec<&str> = hosts.iter().map(Registry::as_str).collect();
            let images = count(*images as u64, "deferred image");
            Some(format!("{} serves again: looking at {images} again", hosts.join(" and ")))
        }
        Event::Paused { host, wait, why } if *wait >= WORTH_A_LINE => {
            let seconds = wait.as_secs_f64().round();
            Some(format!("{host} asks for a pause ({why}): going on in {seconds} s"))
        }
        Event::CredentialSourceFailed { host, why } => {
            let why = printable(why);
            Some(format!("warning: {why}; asking other places for credentials for {host}"))
        }
        _ => None,
    }
}
